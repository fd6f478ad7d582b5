"""Recipients that are exactly one subkey (``!``): two tokens hold two subkeys of one key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import KeyRing
from support.worlds.vault import SERVER, Vault

from passhelper.doctor import hygiene
from passhelper.doctor.context import Context
from passhelper.errors import ConfigurationError, RecipientsError, TrustError
from passhelper.machine import agentcache
from passhelper.store import keynames, packets, recipients, trust
from passhelper.store.store import PassStore
from passhelper.team.entries import rotation
from passhelper.team.entries.drift import Policy
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.entries.survey import survey
from passhelper.team.keyring.keys import KeyRing as Keys
from passhelper.team.recipients.members import Members, Report


class Tokens:
    """A store whose ``bob`` has two subkeys that encrypt, as two tokens hold them.

    Attributes:
        primary: the fingerprint of his key.
        first: of the older subkey.
        second: of the newer one, which gpg takes for the key as a whole.
    """

    def __init__(self, vault: Vault, ring: KeyRing) -> None:
        self.vault, self.ring = vault, ring
        vault.environ["GNUPGHOME"] = str(ring.home)
        self.primary, self.alice = ring["bob"], ring["alice"]
        ring.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key", self.primary, "cv25519")
        listing = ring.gpg("--with-colons", "--list-keys", self.primary).stdout.decode().splitlines()
        _, self.first, self.second = [line.split(":")[9] for line in listing if line.startswith("fpr")]

    def name(self, *lines: str) -> None:
        (self.vault.path / ".gpg-id").write_text("".join(f"{line}\n" for line in lines))

    @property
    def lines(self) -> list[str]:
        return recipients.parse((self.vault.path / ".gpg-id").read_bytes(), ".gpg-id")

    def rekey(self) -> Rekey:
        return Rekey(PassStore(self.vault.environ, self.vault.warnings.append), jobs=1)

    def add(self, *wanted: str) -> Report:
        return Members(self.rekey()).add(wanted)

    def remove(self, *wanted: str) -> Report:
        return Members(self.rekey()).remove(wanted)

    def drifted(self) -> bool:
        store = PassStore(self.vault.environ, self.vault.warnings.append)
        (record,) = survey(store, Policy(store, Keys(store.gpg)))
        return record.drift.is_there

    def readers(self) -> set[str]:
        return set(packets.key_ids(self.vault.entry().read_bytes()))


@pytest.fixture
def tokens(store: Path, environ: dict[str, str], own_keys: KeyRing) -> Tokens:
    return Tokens(Vault(environ), own_keys)


@pytest.fixture
def shared(git_store: Path, environ: dict[str, str], own_keys: KeyRing) -> Tokens:
    return Tokens(Vault(environ), own_keys)


@pytest.mark.parametrize("form", ["{}!", "0x{}!", "{id}!", "0x{id}!"])
def test_store_and_check_mean_that_subkey_alone(tokens: Tokens, form: str) -> None:
    tokens.name(tokens.alice, form.format(tokens.first, id=tokens.first[-16:]))
    tokens.vault.store()
    assert tokens.vault.get() == ("bob", "s3cret")
    assert tokens.first[-16:] in tokens.readers()
    assert tokens.second[-16:] not in tokens.readers()
    assert not tokens.drifted()
    tokens.name(tokens.alice, form.format(tokens.second, id=tokens.second[-16:]))
    assert tokens.drifted()
    assert [record.entry.server for record in tokens.rekey().reencrypt(may_add={str(tokens.vault.entry())}).changed]
    assert tokens.second[-16:] in tokens.readers()
    assert tokens.first[-16:] not in tokens.readers()
    assert not tokens.drifted()


def test_two_tokens_are_two_recipients(tokens: Tokens) -> None:
    tokens.name(tokens.alice, f"{tokens.first}!", f"{tokens.second}!")
    tokens.vault.store()
    assert {tokens.first[-16:], tokens.second[-16:]} < tokens.readers()
    report = tokens.remove(f"{tokens.second}!")
    assert report.keys == (f"{tokens.second}! bob <bob@example.test>",)
    assert tokens.lines == [tokens.alice, f"{tokens.first}!"]
    assert tokens.first[-16:] in tokens.readers()
    assert tokens.second[-16:] not in tokens.readers()
    report = tokens.add(f"{tokens.second}!")
    assert report.keys == (f"{tokens.second}! bob <bob@example.test>",)
    assert tokens.lines == [tokens.alice, f"{tokens.first}!", f"{tokens.second}!"]
    assert {tokens.first[-16:], tokens.second[-16:]} < tokens.readers()
    assert tokens.add(f"{tokens.second}!").keys == ()
    tokens.remove(tokens.first)  # without the mark it is the same line
    assert tokens.lines == [tokens.alice, f"{tokens.second}!"]
    assert not tokens.drifted()


def test_whose_tokens_are_removed_is_said(tokens: Tokens) -> None:
    tokens.name(tokens.alice, f"{tokens.first}!", f"{tokens.second}!")
    tokens.vault.store()
    before = tokens.vault.tree
    for wanted in (tokens.primary, "bob@example.test"):
        with pytest.raises(ConfigurationError) as caught:
            tokens.remove(wanted)
        assert str(caught.value) == (
            f"2 recipients in .gpg-id are {wanted}: {tokens.first}!, {tokens.second}!; name one by its fingerprint"
        )
    assert tokens.vault.tree == before
    tokens.remove(f"{tokens.first}!", f"{tokens.second}!")
    assert tokens.lines == [tokens.alice]
    assert len(tokens.readers()) == 1


def test_the_key_as_a_whole_is_another_recipient_than_its_token(tokens: Tokens) -> None:
    tokens.name(tokens.alice, f"{tokens.first}!")
    tokens.vault.store()
    tokens.add("bob@example.test")
    assert tokens.lines == [tokens.alice, f"{tokens.first}!", tokens.primary]
    assert {tokens.first[-16:], tokens.second[-16:]} < tokens.readers()


def test_a_short_line_becomes_the_subkeys_fingerprint(tokens: Tokens) -> None:
    """By ``recipients add`` of somebody else, and by ``doctor --fix``: never the primary key's."""
    short = f"0x{tokens.first[-16:]}!"
    tokens.name(tokens.alice, short)
    tokens.vault.store()
    tokens.add(tokens.ring["stranger"])
    assert tokens.lines == [tokens.alice, f"{tokens.first}!", tokens.ring["stranger"]]
    assert tokens.first[-16:] in tokens.readers()
    tokens.name(tokens.alice, short)
    assert list(hygiene.fix(Context(tokens.vault.environ, 30))) == ["rewrote .gpg-id"]
    assert tokens.lines == [tokens.alice, f"{tokens.first}!"]
    tokens.vault.store(secret="new")
    assert tokens.first[-16:] in tokens.readers()


def test_a_pin_is_what_was_accepted(shared: Tokens) -> None:
    shared.name(shared.alice, f"{shared.first}!")
    shared.vault.store()
    state = shared.vault.path / ".git" / "passhelper"
    pins = trust.load(str(state))
    assert pins == {".gpg-id": sorted([shared.alice, f"{shared.first}!"])}
    part = f"\\(a subkey of {shared.primary} bob <"
    for changed, whose in ((shared.first, part), (f"{shared.second}!", part), (shared.primary, "bob <")):
        shared.name(shared.alice, changed)
        with pytest.raises(TrustError, match=f"recipients changed: \\+{changed} {whose}"):
            shared.vault.store(secret="new")
    shared.name(shared.alice, f"0x{shared.first.lower()}!")  # only spelled in another way
    shared.vault.store(secret="new")


def test_what_is_no_subkey_to_encrypt_to_is_named(tokens: Tokens) -> None:
    """The primary key itself cannot encrypt: gpg refuses it where it is meant exactly."""
    tokens.name(tokens.alice, f"{tokens.primary}!")
    with pytest.raises(RecipientsError) as caught:
        tokens.vault.store()
    assert str(caught.value) == (
        f"cannot encrypt for 1 of 2 recipients in .gpg-id: {tokens.primary}! is not a subkey of {tokens.primary} "
        f"bob <bob@example.test> to encrypt to today, name 0x{tokens.first[-16:]}! or 0x{tokens.second[-16:]}!"
    )
    tokens.name(tokens.alice, f"0x{tokens.second[-16:]}!")
    tokens.vault.store()


def test_this_machine_has_the_other_token(tokens: Tokens) -> None:
    """Its key is there, and the subkey that is meant is not."""
    grips = tokens.ring.gpg("--with-colons", "--with-keygrip", "--list-secret-keys", tokens.primary).stdout.decode()
    second = [line.split(":")[9] for line in grips.splitlines() if line.startswith("grp")][2]
    tokens.name(f"{tokens.second}!")
    tokens.vault.store()
    (tokens.ring.home / "private-keys-v1.d" / f"{second}.key").unlink()
    tokens.ring.stop_agent()
    for line, own in ((f"{tokens.first}!", True), (f"{tokens.second}!", False)):
        store = PassStore(tokens.vault.environ, tokens.vault.warnings.append)
        assert Policy(store, Keys(store.gpg)).recipient(line).is_own is own
    assert not tokens.rekey().reencrypt().changed
    gpg = PassStore(tokens.vault.environ, tokens.vault.warnings.append).gpg
    (key,) = [key for key in Keys(gpg).own() if key.fingerprint == tokens.primary]
    assert agentcache.is_unlocked(gpg, key)  # a message to the key as a whole would be for the other token


def test_rotation_asks_for_what_that_token_opens(shared: Tokens) -> None:
    shared.name(shared.alice, f"{shared.first}!")
    shared.vault.store()
    store = PassStore(shared.vault.environ, shared.vault.warnings.append)
    assert [item.server for item in rotation.open_for(store, f"{shared.first}!")] == [SERVER]
    assert rotation.open_for(store, f"{shared.second}!") == []


@pytest.mark.parametrize("line", ["bob!", "!", "0x!", "", "bob@example.test!"])
def test_a_mark_behind_a_name_says_nothing(line: str) -> None:
    assert keynames.normalize(line) == line
    assert not keynames.is_fingerprint(line)


def test_digits_of_other_scripts_are_no_fingerprint() -> None:
    assert not keynames.is_fingerprint("\ufb00" * 20)
    assert not keynames.is_fingerprint("\uff11" * 40)
    assert os.path.basename(keynames.normalize("\ufb00")) == "\ufb00"
