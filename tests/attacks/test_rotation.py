"""Somebody who left, and who can still push or has a friend who can, wants off the list of what is to be changed.

Each attack leaves alice's ``get`` with a password that bob could read. Whatever commits and paths say, it stays open.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, KeyRing
from support.people.leavers import A, B, Leavers

from passhelper.store import treepolicy
from passhelper.team.entries import log, rotation

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "the registry's"
ENTRY = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"


@pytest.fixture
def team(git_store: Path, environ: dict[str, str], keys: KeyRing) -> Leavers:
    """Bob could read a.example, and has left."""
    team = Leavers(environ, keys)
    team.let_in("bob")
    team.store(A, secret=SECRET)
    team.let_go("bob")
    return team


def push(team: Leavers, path: str, secret: str | None, *readers: str, options: tuple[str, ...] = ()) -> None:
    """Commit as any client would that stores a credential."""
    data = None if secret is None else team.keys.encrypt(secret.encode(), *readers, options=options)
    team.write(path, data, "Store credential for a.example (bob)")


def _line_end(team: Leavers) -> str:
    push(team, ENTRY, f"{SECRET}\r\n\n", "alice")
    return A


def _decoy(team: Leavers) -> str:
    """What he could read last is not what he knows."""
    push(team, ENTRY, "decoy", "alice", "bob")
    push(team, ENTRY, SECRET, "alice")
    return A


def _decoy_elsewhere(team: Leavers) -> str:
    """A decoy in the place, for the list to compare with; the password in a spelling that is looked at, too."""
    push(team, ENTRY, "decoy", "alice")
    push(team, ENTRY.replace("=", ""), SECRET, "alice")
    return A


def _spelling(team: Leavers) -> str:
    """The same directory without its padding, and with the line end of the name that ``echo`` has added."""
    for directory in ("aHR0cHM6Ly9hLmV4YW1wbGU", "aHR0cHM6Ly9hLmV4YW1wbGUK"):
        push(team, f"{FOLDER}/{directory}/bob.gpg", SECRET, "alice")
    push(team, ENTRY, None)
    return A


def _name_of_the_registry(team: Leavers) -> str:
    push(team, f"{FOLDER}/YS5leGFtcGxl/bob.gpg", SECRET, "alice")
    push(team, ENTRY, None)
    return "a.example"


def _username(team: Leavers) -> str:
    push(team, ENTRY.replace("bob.gpg", "bot.gpg"), SECRET, "alice")
    push(team, ENTRY, None)
    return A


def _folder(team: Leavers) -> str:
    """As the Go helper writes a username with a slash."""
    push(team, ENTRY.replace("bob.gpg", "org/bot.gpg"), f"{SECRET}\n", "alice")
    push(team, ENTRY, "decoy", "alice")
    return A


def _other_server(team: Leavers) -> str:
    """Not even a name of the same registry: whoever stored it there had it."""
    push(team, f"{FOLDER}/Yi5leGFtcGxl/bob.gpg", SECRET, "alice")
    push(team, ENTRY, "decoy", "alice")
    return "b.example"


def _renamed(team: Leavers) -> str:
    """Moved as it is, by git alone."""
    team.git("mv", str(Path(ENTRY).parent), f"{FOLDER}/Yi5leGFtcGxl")
    team.git("commit", "-q", "-m", "Remove credential")
    return "b.example"


ATTACKS: dict[str, tuple[Callable[[Leavers], str], str]] = {
    "adds a line end": (_line_end, "unchanged"),
    "stores a decoy for him, then the password without him": (_decoy, "unchanged"),
    "stores a decoy, and the password in another spelling": (_decoy_elsewhere, "unchanged"),
    "moves it to another spelling": (_spelling, "unchanged"),
    "moves it to another name of the registry": (_name_of_the_registry, "moved"),
    "moves it to another user": (_username, "moved"),
    "moves it to another user in a folder": (_folder, "moved"),
    "moves it to another server": (_other_server, "moved"),
    "renames its directory": (_renamed, "moved"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_it_stays_on_the_list(team: Leavers, name: str) -> None:
    attack, state = ATTACKS[name]
    server = attack(team)
    if name != "renames its directory":  # that one is bound to the place where it was
        assert team.get(server)[1] in (SECRET, "decoy")
    (item,) = rotation.find(team.pass_store, team.keys["bob"])
    assert (item.server, item.username, item.state, item.is_open) == (A, "bob", state, True)
    assert [place[0] for place in item.places] == ([server] if state == "moved" else [])


@pytest.mark.parametrize("name", ATTACKS)
def test_it_leaves_the_list_once_it_is_another_one(team: Leavers, name: str) -> None:
    """No attack keeps it open for ever."""
    server = ATTACKS[name][0](team)
    for each in {A, server}:
        team.store(each, username="new", secret=f"new one of {each}")
    assert team.left() == []


def test_what_may_be_it_and_cannot_be_read_here(team: Leavers) -> None:
    """Under another name of the registry, for others than alice."""
    push(team, f"{FOLDER}/YS5leGFtcGxl/bob.gpg", SECRET, "stranger")
    push(team, ENTRY, None)
    assert team.states() == {A: "unknown"}
    push(team, f"{FOLDER}/YS5leGFtcGxl/bob.gpg", None)
    assert team.states() == {A: "erased"}


def test_what_another_member_could_compare(git_store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    """Alice's key came later: with what was there before only another key can compare, which nobody opens here."""
    team = Leavers(environ, keys)
    push(team, ENTRY, SECRET, "stranger", "locked")
    push(team, ENTRY, "decoy", "alice", "stranger", "locked")
    push(team, ENTRY, SECRET, "alice", "locked")
    assert team.states("stranger") == {A: "unknown"}
    (warning,) = team.warnings
    assert warning.startswith("not all could be compared: GPG key ")
    assert warning.endswith(" is locked; run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE")
    push(team, ENTRY, None)
    assert team.states("stranger") == {A: "erased"}


def test_what_nobody_else_could_read_keeps_nothing_open(
    git_store: Path, environ: dict[str, str], keys: KeyRing
) -> None:
    """He was alone when the store began, and leaves: what only he could read nobody can ever compare with."""
    team = Leavers(environ, keys)
    push(team, ENTRY, "oldest", "stranger")
    push(team, ENTRY, "old", "stranger", "alice")
    assert team.states("stranger") == {A: "readable"}
    push(team, ENTRY, "old", "alice")
    assert team.states("stranger") == {A: "unchanged"}
    push(team, ENTRY, "new", "alice")
    assert team.states("stranger") == {A: "changed"}


def test_what_he_alone_could_read_until_he_left(git_store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    """What follows it may be the same; what follows that and differs is another one."""
    team = Leavers(environ, keys)
    push(team, ENTRY, SECRET, "stranger")
    push(team, ENTRY, SECRET, "alice")
    assert team.states("stranger") == {A: "unknown"}
    push(team, ENTRY, f"{SECRET}\n", "alice")
    assert team.states("stranger") == {A: "unchanged"}
    push(team, ENTRY, "new", "alice")
    assert team.states("stranger") == {A: "changed"}


@pytest.mark.parametrize("how", ["a password of its own", "too many to look at all"])
def test_readers_that_a_message_does_not_name(team: Leavers, how: str) -> None:
    """It may be anybody's."""
    one = team.keys.encrypt(b"s", "alice")
    if how == "a password of its own":
        password = ("--symmetric", "--passphrase", "x", "--pinentry-mode", "loopback")
        data = team.keys.encrypt(b"s", "alice", options=password)
    else:
        data = one[: 2 + one[1]] * 4000 + one
    team.write(f"{FOLDER}/Yi5leGFtcGxl/u.gpg", data, "Store")
    (item, _) = rotation.find(team.pass_store, team.keys["bob"])
    assert (item.server, item.state, item.is_certain) == ("b.example", "readable", False)


def test_a_key_that_has_lost_the_subkey_with_which_it_read(
    git_store: Path, environ: dict[str, str], own_keys: KeyRing
) -> None:
    """His newest public key does not name it, and this machine has never seen another one; the history has."""
    environ["GNUPGHOME"] = str(own_keys.home)
    team = Leavers(environ, own_keys)
    team.let_in("stranger")
    team.store(A, secret=SECRET)
    edit = ("--command-fd", "0", "--no-tty", "--edit-key", own_keys["stranger"])
    own_keys.gpg(*edit, stdin=b"key 1\ndelkey\ny\nsave\n")
    assert b"sub:" not in own_keys.gpg("--with-colons", "--list-keys", own_keys["stranger"]).stdout
    team.write(f".public-keys/{own_keys['stranger']}", own_keys.gpg("--export", own_keys["stranger"]).stdout)
    assert team.states("stranger") == {A: "readable"}


def test_a_submodule_in_the_history_stops_nothing(team: Leavers) -> None:
    """It has no content here, and git would say that an object is missing."""
    team.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{FOLDER}/Yi5leGFtcGxl/bob.gpg")
    team.git("commit", "-q", "-m", "Odd")
    assert team.states() == {A: "unchanged"}
    team.git("rm", "-q", "--cached", f"{FOLDER}/Yi5leGFtcGxl/bob.gpg")
    team.git("commit", "-q", "-m", "Mend")
    assert team.states() == {A: "unchanged"}


LARGE = bytes((64 << 20) + 1)  # more than git's answers may have; some 64 kB in a push
ELSEWHERE = f"{FOLDER}/Yi5leGFtcGxl/u.gpg"


def too_large(path: str) -> str:
    return f"{path} was larger than {treepolicy.limit(path)} bytes in the history, and was not looked at: "


def test_one_that_is_too_large_to_look_at(team: Leavers) -> None:
    """Pushed once and taken away again, it neither ends the list nor is left out of it."""
    team.write(ENTRY, LARGE, "Store")
    team.write(ELSEWHERE, LARGE, "Store")
    assert team.states() == {A: "readable", "b.example": "readable"}
    large = team.head
    push(team, ENTRY, "new", "alice")
    push(team, ELSEWHERE, None)
    team.warnings.clear()
    items = rotation.find(team.pass_store, team.keys["bob"])
    assert [(item.server, item.state, item.is_certain) for item in items] == [
        ("b.example", "unknown", False), (A, "unknown", True),
    ]  # fmt: skip
    (warning,) = team.warnings
    assert warning.startswith("larger than the 4194304 bytes that an entry may have, so nobody has looked at who can ")
    assert f"and it counts as known: {A} (bob) of commit " in warning
    assert warning.endswith(f", b.example (u) of commit {large[:12]}")
    push(team, ENTRY, SECRET, "alice")
    assert team.states() == {A: "unchanged", "b.example": "unknown"}
    assert [event.server for event in log.events(team.pass_store)].count("b.example") == 2


def test_a_key_that_is_too_large_to_look_at(team: Leavers) -> None:
    """What has no key's name is nobody's key; what has one is said to be left out."""
    bob = team.keys["bob"]
    odd = [f".public-keys/{name}" for name in (bob[-1], "0x", f"x/{bob[-4:]}")]
    path = f".public-keys/{bob}"
    for each in (*odd, path):
        team.write(each, LARGE, "Keys")
    for each in odd:
        team.write(each, None, "Mend")
    team.write(path, team.keys.gpg("--export", bob).stdout, "Mend")
    team.warnings.clear()
    assert team.states() == {A: "unchanged"}
    assert team.warnings == [f"{too_large(path)}subkeys that only it names are not known"]


def test_a_list_that_is_too_large_to_look_at(team: Leavers) -> None:
    path = f"{FOLDER}/Yi5leGFtcGxl/.gpg-id"
    team.write(path, LARGE, "List")
    team.write(path, None, "Mend")
    team.warnings.clear()
    found = [(event.action, event.server) for event in log.events(team.pass_store)]
    assert found[:2] == [("recipients", "b.example")] * 2
    assert ("recipients", "") in found[2:]
    assert team.warnings == [f"{too_large(path)}the keys that came and went with it are not shown"]
    assert team.states() == {A: "unchanged"}


def test_a_commit_that_is_too_large_to_read(team: Leavers) -> None:
    """Its first line alone is more than git's answers may have; what it changed counts all the same."""
    push(team, ELSEWHERE, SECRET, "alice", "bob")
    file = team.path / ".git" / "commit"
    who = "<m@example.test> 1700000000 +0000"
    file.write_text(
        f"tree {team.tree_id}\nparent {team.commits[1]}\nauthor {'x' * len(LARGE)} {who}\ncommitter m {who}\n\nx\n"
    )
    commit = team.git("hash-object", "-t", "commit", "-w", str(file)).strip()
    team.git("reset", "-q", "--hard", commit)
    assert team.states() == {A: "unchanged", "b.example": "readable"}
    event, *others = log.events(team.pass_store)
    assert (event.server, event.revision.author, event.revision.when) == ("b.example", "?", 1_700_000_000)
    assert len(others) > 2


def test_two_credentials_and_one_password(team: Leavers) -> None:
    """What he knows opens another registry, too."""
    team.store(B, secret=SECRET)
    team.store(A, secret="new")
    (item,) = rotation.find(team.pass_store, team.keys["bob"])
    assert (item.server, item.state, item.places) == (A, "moved", ((B, "bob"),))
