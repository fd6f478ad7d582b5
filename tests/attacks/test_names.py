"""What an attacker calls himself: names of keys that look like, or are found for, another one's."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import KeyRing, Program, run
from support.worlds.doctors import Doctor
from support.worlds.impostors import adopting
from support.worlds.vault import Vault

from passhelper.errors import PasshelperError, RecipientsError
from passhelper.store import claims
from passhelper.store.gpg import Gpg
from passhelper.store.keyinfo import find_keys
from passhelper.store.packets import key_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHERS = "; check PASSWORD_STORE_GPG_OPTS and the gpg.conf of this machine (run: gpgconf --list-dirs sysconfdir)"


def add(ring: KeyRing, key: bytes) -> None:
    """As somebody did who was sent it; gpg takes it, and may complain that a part is another key's already."""
    ring.gpg("--import", stdin=key, check=False)


def public(keys: KeyRing, name: str) -> bytes:
    return keys.gpg("--export", keys[name]).stdout


def recipients(vault: Vault, *lines: str) -> None:
    (vault.path / ".gpg-id").write_text("".join(f"{line}\n" for line in lines))


def subkey(ring: KeyRing, name: str) -> str:
    """The fingerprint of the subkey that encrypts."""
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode()
    return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")][1]


def refused(vault: Vault) -> str:
    with pytest.raises(RecipientsError) as caught:
        vault.store()
    assert not vault.entry().exists()
    return str(caught.value)


def has_keyboxd(ring: KeyRing) -> bool:
    return (ring.home / "public-keys.d" / "pubring.db").exists()


def take_in_anew(vault: Vault, ring: KeyRing, name: str) -> None:
    """keyboxd does not find the owner's key any more when the impostor's has gone, and cannot import it: as it says."""
    if has_keyboxd(ring):
        said = refused(vault)
        assert f"{name} is in this keyring, but keyboxd does not find it, as after a key has gone that called " in said
        command = said.partition("let it take all keys in anew: ")[2].replace("KEYFILE", f"{ring.home}/all-keys")
        subprocess.run(["sh", "-ec", command], env=ring.environ, check=True, capture_output=True)


def impostor(ring: KeyRing, victim: str) -> str:
    return (
        f"the key {ring['bob']} bob <bob@example.test> calls {victim} a subkey of its own, so that gpg takes it for "
        f"that recipient; find out who made it, then remove it: gpg --delete-keys {ring['bob']}, or name it by "
        f"{ring['bob']}"
    )


def test_an_owner_has_expired_and_another_key_calls_hers_a_subkey(
    vault: Vault, own_keys: KeyRing, ring: KeyRing
) -> None:
    """gpg goes on to the next key that has the fingerprint; nothing but its status lines says so."""
    recipients(vault, ring["alice"], ring["expired"])
    add(ring, public(own_keys, "expired"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "expired")))
    assert refused(vault) == impostor(ring, ring["expired"])
    ring.gpg("--yes", "--delete-keys", ring["bob"])  # what the message says
    take_in_anew(vault, ring, ring["expired"])
    assert f"key {ring['expired']} expired <expired@example.test> expired on " in refused(vault)


def test_the_owners_key_is_not_here_and_another_one_calls_it_a_subkey(
    vault: Vault, own_keys: KeyRing, ring: KeyRing
) -> None:
    recipients(vault, ring["alice"], ring["stranger"])
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    assert refused(vault) == impostor(ring, ring["stranger"])
    ring.gpg("--yes", "--delete-keys", ring["bob"])  # what the message says
    assert f"{ring['stranger']} is not in this keyring" in refused(vault)


def test_both_are_here(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    """A keyring in a file is searched from its beginning, keyboxd has an order of its own: hers, or a refusal."""
    recipients(vault, ring["alice"], ring["stranger"])
    add(ring, public(own_keys, "stranger"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    with contextlib.suppress(RecipientsError):
        vault.store()
        assert set(key_ids(vault.entry().read_bytes())) == {subkey(own_keys, n)[-16:] for n in ("alice", "stranger")}


def test_a_recipient_calls_another_recipients_key_a_subkey(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    """Both are in the list, and yet only one could read."""
    recipients(vault, ring["alice"], ring["expired"], ring["bob"])
    add(ring, public(own_keys, "expired"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "expired")))
    assert refused(vault) == impostor(ring, ring["expired"])


@pytest.mark.parametrize("mark", ["", "!"])
def test_a_list_names_a_subkey(vault: Vault, own_keys: KeyRing, ring: KeyRing, mark: str) -> None:
    """It is the key's that holds it, as long as one key alone does."""
    named = subkey(own_keys, "stranger")
    recipients(vault, ring["alice"], named + mark)
    add(ring, public(own_keys, "stranger"))
    vault.store()
    assert sorted(key_ids(vault.entry().read_bytes())) == sorted([named[-16:], subkey(ring, "alice")[-16:]])
    vault.erase()
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger"), part=1))
    said = refused(vault)
    assert f"{ring['bob']} bob <bob@example.test>" in said
    assert said.endswith(
        f" call {named} a subkey of its own, so that gpg takes it for that recipient; find out whose it is, then name "
        "that key by its own fingerprint"
    )


def test_one_key_is_named_whole_and_by_a_subkey(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    """That gpg has taken the owner's key once does not say that it has done so for both."""
    exactly = f"{subkey(own_keys, 'stranger')}!"
    add(ring, public(own_keys, "stranger"))
    for lines in ([ring["stranger"], f"{subkey(ring, 'alice')}!"], [ring["stranger"], exactly]):
        recipients(vault, *lines)
        vault.store()
        vault.erase()
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    with contextlib.suppress(RecipientsError):  # as above
        vault.store()
        assert key_ids(vault.entry().read_bytes()) == [exactly[-17:-1]]


def test_names_are_shown_of_the_key_itself(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    add(ring, public(own_keys, "stranger"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    assert [key.uid for key in find_keys(Gpg(vault.environ), ring["stranger"])] == ["stranger <stranger@example.test>"]


def test_a_part_is_not_shown_as_the_key(vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program) -> None:
    """Who accepts a list sees that it names no key of bob's, but what bob's key calls a part of its own."""
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    said = f"{ring['stranger']} (a subkey of {ring['bob']} bob <bob@example.test>)"
    assert claims.describe({".gpg-id": ([ring["stranger"]], [])}, Gpg(vault.environ)) == f"+{said} (.gpg-id)"
    vault.git("init", "-q")
    vault.store()  # which accepts the first list
    recipients(vault, ring["alice"], ring["stranger"], ring["bob"])
    answer = run([installed.passhelper, "recipients", "accept"], vault.environ)
    assert answer.code == 4, answer
    assert f"+ {ring['bob']} bob <bob@example.test> (.gpg-id)" in answer.text.splitlines()
    assert any(line.startswith(f"+ {said}") for line in answer.text.splitlines()), answer


def test_a_key_id_means_both(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    """With keyboxd, gpg itself finds one."""
    add(ring, public(own_keys, "stranger"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    found = find_keys(Gpg(vault.environ), f"0x{ring['stranger'][-16:]}")
    assert {key.fingerprint for key in found} == {ring["bob"], ring["stranger"]}


def test_the_other_key_has_gone(vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program) -> None:
    """keyboxd forgets the owner's with it, though it has it."""
    recipients(vault, ring["alice"], ring["stranger"])
    add(ring, public(own_keys, "stranger"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    ring.gpg("--yes", "--delete-keys", ring["bob"])
    doctor = Doctor(installed.passhelper, vault.environ)
    if has_keyboxd(ring):
        severity, cause, remedy = doctor().finding("key.known")
        assert severity == "failed"
        assert f"{ring['stranger']} is in this keyring, but keyboxd does not find it" in cause
        assert remedy.startswith("let it take all keys in anew: gpg ")
    take_in_anew(vault, ring, ring["stranger"])
    vault.store()
    assert set(key_ids(vault.entry().read_bytes())) == {subkey(ring, name)[-16:] for name in ("alice", "stranger")}
    assert doctor().status("key.known") == "ok"


def test_the_other_key_cannot_be_encrypted_to(vault: Vault, own_keys: KeyRing, ring: KeyRing) -> None:
    """gpg takes the owner's; where keyboxd finds the other one alone, that one is named."""
    recipients(vault, ring["alice"], ring["stranger"])
    add(ring, public(own_keys, "stranger"))
    add(ring, adopting(own_keys, "expired", public(own_keys, "stranger")))
    if not has_keyboxd(ring):
        vault.store()
        assert subkey(ring, "stranger")[-16:] in key_ids(vault.entry().read_bytes())
        return
    said = refused(vault)
    assert f"the key {ring['expired']} expired <expired@example.test> calls {ring['stranger']} a subkey " in said
    assert said.endswith(f"remove it: gpg --delete-keys {ring['expired']}")


def test_doctor_names_both(vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program) -> None:
    recipients(vault, ring["alice"], ring["stranger"])
    add(ring, public(own_keys, "stranger"))
    doctor = Doctor(installed.passhelper, vault.environ)
    assert doctor().status("key.shared") == "ok"
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    severity, cause, _ = doctor().finding("key.shared")
    assert severity == "warning"
    for text in (
        f"{ring['bob']} bob <bob@",
        f"{ring['stranger']} stranger <stranger@",
        f"both hold {ring['stranger']}, ",
    ):
        assert text in cause
    recipients(vault, ring["alice"])
    assert doctor().status("key.shared") == "ok"


def test_the_owners_key_comes_after_the_other_one(
    vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program, tmp_path: Path
) -> None:
    """gpg 2.2 does not take it. keyboxd finds what came last, so hers; and still does when the other one has gone."""
    add(ring, adopting(own_keys, "bob", public(own_keys, "stranger")))
    file = tmp_path / "stranger.key"
    file.write_bytes(public(own_keys, "stranger"))
    answer = run([installed.passhelper, "recipients", "add", str(file)], vault.environ)
    if answer.code:
        assert answer.err.decode() == (
            f"error: gpg could not import {file}: the key {ring['bob']} bob <bob@example.test> calls "
            f"{ring['stranger']} a subkey of its own\n"
            f"hint: find out who made it, then remove it: gpg --delete-keys {ring['bob']}\n"
        )
        ring.gpg("--yes", "--delete-keys", ring["bob"])  # what the message says
        answer = run([installed.passhelper, "recipients", "add", str(file)], vault.environ)
    elif not has_keyboxd(ring):
        assert refused(vault) == impostor(ring, ring["stranger"])
        ring.gpg("--yes", "--delete-keys", ring["bob"])  # what the message says
    assert answer.code == 0, answer
    for _ in range(2):
        vault.store()
        assert subkey(own_keys, "stranger")[-16:] in key_ids(vault.entry().read_bytes())
        vault.erase()
        ring.gpg("--yes", "--delete-keys", ring["bob"], check=False)


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "reencrypt": lambda _: ["reencrypt"],
    "recipients add": lambda key: ["recipients", "add", key],
    "setup": lambda _: ["setup", "--no-docker"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_encrypts_refuses(
    vault: Vault, own_keys: KeyRing, ring: KeyRing, installed: Program, command: str
) -> None:
    vault.store()
    before = vault.tree
    recipients(vault, ring["alice"], ring["expired"])
    add(ring, public(own_keys, "stranger"))
    add(ring, public(own_keys, "expired"))
    add(ring, adopting(own_keys, "bob", public(own_keys, "expired")))
    answer = run([installed.passhelper, *COMMANDS[command](ring["stranger"])], vault.environ)
    assert answer.code == 1, answer
    assert {**vault.tree, ".gpg-id": b""} == {**before, ".gpg-id": b""}


@pytest.mark.parametrize("option", ["--throw-keyids", "--hidden-recipient {stranger}"])
def test_nobody_is_hidden(vault: Vault, keys: KeyRing, option: str) -> None:
    """Who reads what is written could never be compared with who should."""
    recipients(vault, keys["alice"])
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = option.format_map(keys.fingerprints)
    with pytest.raises(RecipientsError) as caught:
        vault.store()
    assert str(caught.value) == f"gpg did not write down whom it encrypted it to{OTHERS}"
    assert not vault.entry().exists()


@pytest.mark.parametrize("line", ["!", "0x", "0x!", "@", "<>", "*", "0X", "=", "..."])
def test_a_line_that_names_nobody(vault: Vault, keys: KeyRing, line: str) -> None:
    """gpg would find it in every user id, or in none."""
    recipients(vault, keys["alice"], line)
    with pytest.raises(PasshelperError) as caught:
        vault.store()
    said = f"{vault.path}/.gpg-id has a line that is not a key: {line!r}; write one key fingerprint per line"
    assert str(caught.value) == said
