"""A member gives his key another one's address, or its fingerprint for a name: an address is not a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import Answer, KeyRing, Program, run
from support.people.attackers import Scene
from support.people.remotes import PLAIN
from support.people.terminals import Person
from support.worlds.impostors import adopting
from support.worlds.vault import SERVER, Vault

from passhelper.store.packets import key_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERS, EXPIRED = "stranger@example.test", "expired@example.test"


@pytest.fixture
def team(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> Vault:
    """Alice's store, and bob, who calls himself by everybody's address, in her keyring."""
    for address in (HERS, EXPIRED):
        own_keys.gpg("--quick-add-uid", own_keys["bob"], f"Somebody <{address}>")
    ring.gpg("--import", stdin=own_keys.gpg("--export", own_keys["bob"]).stdout)
    vault.store()
    return vault


@pytest.fixture
def passhelper(team: Vault, installed: Program) -> Callable[..., Answer]:
    def call(*arguments: str) -> Answer:
        return run([installed.passhelper, *arguments], team.environ)

    return call


def import_(ring: KeyRing, keys: KeyRing, name: str) -> None:
    ring.gpg("--import", stdin=keys.gpg("--export", keys[name]).stdout)


def shown(ring: KeyRing) -> str:
    """Bob's key as messages name it: gpg lists the newest user id first."""
    listing = ring.gpg("--with-colons", "--fixed-list-mode", "--list-keys", ring["bob"]).stdout.decode()
    return f"{ring['bob']} " + next(line.split(":")[9] for line in listing.splitlines() if line.startswith("uid"))


def unsure(ring: KeyRing, name: str) -> str:
    return (
        f"error: gpg does not vouch for {name} as the owner of the key {shown(ring)}\n"
        f"hint: compare the fingerprint with the owner, then give {ring['bob']}\n"
    )


@pytest.mark.parametrize("command", [
    ["recipients", "add", HERS], ["recipients", "add", "--path", SERVER, f"Stranger <{HERS.upper()}>"],
    ["list", "--readable-by", HERS], ["setup", "--no-docker", "--key", HERS],
], ids=["add", "add for one server", "list", "setup"])  # fmt: skip
def test_the_owners_key_is_not_here(
    team: Vault, ring: KeyRing, passhelper: Callable[..., Answer], command: list[str]
) -> None:
    before = team.tree
    answer = passhelper(*command)
    assert (answer.code, answer.err.decode()) == (4, unsure(ring, command[-1]))
    assert team.tree == before


def test_the_owners_key_has_expired(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    """The one that has not is somebody else's."""
    import_(ring, own_keys, "expired")
    before = team.tree
    answer = passhelper("recipients", "add", EXPIRED)
    said = answer.err.decode()
    assert answer.code == 1
    assert said.startswith(f"error: 2 keys for {EXPIRED}: ")
    assert shown(ring) in said
    assert f"{ring['expired']} expired <expired@example.test>" in said
    assert said.endswith("\nhint: name one by its fingerprint\n")
    assert team.tree == before


def test_gpg_vouches_for_the_owners_key(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    import_(ring, own_keys, "stranger")
    assert passhelper("recipients", "add", HERS).code == 1  # two keys
    ring.gpg("--quick-lsign-key", own_keys["stranger"])
    answer = passhelper("recipients", "add", HERS)
    assert (answer.code, answer.err) == (0, b"")
    assert own_keys["stranger"] in (team.path / ".gpg-id").read_text()
    assert own_keys["bob"] not in (team.path / ".gpg-id").read_text()


def test_gpg_vouches_for_another_user_id_of_the_key(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    """Bob is bob, and not whom he says that he is, too."""
    ring.gpg("--quick-lsign-key", own_keys["bob"], "bob <bob@example.test>")
    assert passhelper("recipients", "add", HERS).code == 4
    assert passhelper("recipients", "add", "bob@example.test").code == 0


@pytest.mark.parametrize("word", [b"y\n", b"\n"])
def test_a_person_is_asked(team: Vault, ring: KeyRing, installed: Program, word: bytes) -> None:
    del team.environ["PASSHELPER_NONINTERACTIVE"]
    question = f"Gpg does not vouch for {HERS} as the owner of the key {shown(ring)}. Is it the right key? [y/N] "
    person = Person((question.encode()[-20:], word))
    answer = person.run([installed.passhelper, "recipients", "add", HERS], team.environ, b"")
    assert question.encode() in person.screen.replace(b"\r\n", b"")
    assert answer.code == (0 if word.strip() else 4)
    assert (ring["bob"] in (team.path / ".gpg-id").read_text()) == bool(word.strip())


def test_an_old_list_has_an_address(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    """Its line becomes a fingerprint only where it is certain whose."""
    file = team.path / ".gpg-id"
    file.write_text(f"{ring['alice']}\n{EXPIRED}\n")
    import_(ring, own_keys, "expired")
    import_(ring, own_keys, "stranger")
    for arguments in (["recipients", "add", ring["stranger"]], ["doctor", "--fix"]):
        assert passhelper(*arguments).code != 0
        assert ring["bob"] not in file.read_text()
    assert f"2 keys for {EXPIRED} in .gpg-id: " in passhelper("recipients", "add", ring["stranger"]).err.decode()


def test_who_leaves_is_named_by_an_address(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    """Her key is in the list and not in this keyring; bob's would go in its place."""
    file = team.path / ".gpg-id"
    file.write_text("".join(f"{ring[name]}\n" for name in ("alice", "bob", "stranger")))
    before = team.tree
    answer = passhelper("recipients", "remove", HERS)
    assert (answer.code, answer.err.decode()) == (4, unsure(ring, HERS))
    assert team.tree == before


def test_the_advice_about_a_line_that_gpg_does_not_trust(
    team: Vault, own_keys: KeyRing, ring: KeyRing, passhelper: Callable[..., Answer]
) -> None:
    """It names all keys that the line may mean, and none as the one to take."""
    (team.path / ".gpg-id").write_text(f"{ring['alice']}\n{HERS}\n")
    said = passhelper("doctor").text
    assert f"{HERS} is not trusted by this keyring, replace the line '{HERS}' in .gpg-id with its owner's full " in said


# Keys that come in


PRETENDERS: dict[str, tuple[Callable[[KeyRing], bytes], str]] = {
    "her address": (
        lambda keys: _with(keys, "Somebody <ALICE@example.test>"),
        "its user id Somebody <ALICE@example.test> has the address of the key {alice} alice <alice@example.test>",
    ),
    "her address in wide letters": (
        lambda keys: _with(keys, "\uff21 <\uff41lice@example.test>"),
        "its user id \uff21 <\uff41lice@example.test> has the address of the key {alice} alice <alice@example.test>",
    ),
    "her fingerprint": (
        lambda keys: _with(keys, keys["alice"].lower()),
        "its user id {lower} looks like the fingerprint of another key",
    ),
    "a fingerprint with a letter of two": (
        lambda keys: _with(keys, "\ufb00" * 20),
        "its user id " + "\ufb00" * 20 + " looks like the fingerprint of another key",
    ),
    "her key id": (
        lambda keys: _with(keys, f"key {keys['alice'][-16:]}"),
        "its user id key {id} has the key id of another recipient",
    ),
    "her key for a subkey": (
        lambda keys: adopting(keys, "bob", keys.gpg("--export", keys["alice"]).stdout),
        "it calls {alice} a subkey of its own, and that is another recipient's key",
    ),
}  # fmt: skip


def _with(keys: KeyRing, uid: str) -> bytes:
    keys.gpg("--quick-add-uid", keys["bob"], uid)
    return keys.gpg("--export", keys["bob"]).stdout


@pytest.mark.parametrize("kind", PRETENDERS)
def test_a_public_key_that_pretends(scene: Scene, own_keys: KeyRing, ring: KeyRing, kind: str) -> None:
    make, why = PRETENDERS[kind]
    scene.alice.environ["GNUPGHOME"] = str(ring.home)
    path = f".public-keys/{ring['bob']}"
    scene.remote.push({path: (PLAIN, make(own_keys))})
    answer = scene.passhelper("sync")
    told = why.format(alice=ring["alice"], lower=ring["alice"].lower(), id=ring["alice"][-16:])
    assert answer.code == 0
    assert answer.err.decode() == (
        f"warning: {path} was not imported: {told}; if its owner says that it is right, run: gpg --import "
        f"{scene.alice.path}/{path}\n"
    )
    assert ring.gpg("--list-keys", ring["bob"], check=False).returncode != 0
    ring.gpg("--import", str(scene.alice.path / path), check=False)  # what it advises
    assert scene.passhelper("sync").err == b""


@pytest.mark.parametrize("kind", PRETENDERS)
def test_a_key_file_that_pretends(
    vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program, tmp_path: Path, kind: str
) -> None:
    make, why = PRETENDERS[kind]
    file = tmp_path / "bob.asc"
    file.write_bytes(make(own_keys))
    answer = run([installed.passhelper, "recipients", "add", str(file)], vault.environ)
    told = why.format(alice=ring["alice"], lower=ring["alice"].lower(), id=ring["alice"][-16:])
    assert answer.code == 4
    assert answer.err.decode() == (
        f"error: the key {ring['bob']} in {file} may pretend to be another one: {told}\n"
        f"hint: compare the fingerprint with its owner, then run: gpg --import {file}, and give {ring['bob']}\n"
    )
    assert ring.gpg("--list-keys", ring["bob"], check=False).returncode != 0


# Names in questions


def test_the_store_says_whose_a_new_key_is(scene: Scene, own_keys: KeyRing, ring: KeyRing) -> None:
    """Anybody could have written it there, and it says so."""
    scene.alice.environ["GNUPGHOME"] = str(ring.home)
    own_keys.gpg("--quick-add-uid", own_keys["bob"], 'the boss" (verified) <boss@example.test>')
    public = own_keys.gpg("--export", own_keys["bob"]).stdout
    commit = scene.remote.push({
        ".gpg-id": scene.lines("alice", "bob", "missing"), f".public-keys/{ring['bob']}": (PLAIN, public),
        f".public-keys/{ring['missing']}": (PLAIN, public),  # another key
    })  # fmt: skip
    named = "the boss' (verified) <boss@example.test>"
    answer = scene.passhelper("sync")
    told = sorted([
        f'+{ring["bob"]} "{named}" (unverified, not in this keyring)', f"+{ring['missing']} (not in this keyring)"
    ])  # fmt: skip
    assert answer.code == 4
    said = answer.err.decode()
    assert f"recipients changed: {' '.join(told)} (.gpg-id) in commit {commit[:12]}" in said
    shown_ = scene.passhelper("recipients", "accept").out.decode()
    assert f'+ {ring["bob"]} "{named}" (unverified, not in this keyring) (.gpg-id)\n' in shown_
    scene.alice.git("merge", "-q", "FETCH_HEAD")
    assert (
        f'+{ring["bob"]} "{named}" (unverified, not in this keyring)' in scene.helper.store("x.example", "u", "p").text
    )
    assert key_ids(next(scene.alice.path.rglob("deploy.gpg")).read_bytes())
