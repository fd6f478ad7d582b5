"""Keys that change while they are recipients: what their owner does to them reaches the others."""

from __future__ import annotations

import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import KeyRing
from support.worlds.impostors import adopting

from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients.members import Members, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.people.clones import Clone, Team

LAST = ("2099-01-01", "4070")  # as gpg takes a day, and how the seconds of that day begin


@pytest.fixture
def ring_of(keys: KeyRing, short_tmp: Path) -> Iterator[Callable[[str], KeyRing]]:
    """Make the keyring of a member: his secret key, and the public keys of all."""
    homes = []

    def make(name: str) -> KeyRing:
        home = Path(tempfile.mkdtemp(prefix="r", dir=short_tmp))
        ring = KeyRing(home, dict(keys.fingerprints))
        homes.append(ring)
        public = keys.gpg("--export", keys["alice"], keys["bob"], keys["stranger"]).stdout
        ring.gpg("--import", stdin=public)
        ring.gpg("--import", stdin=keys.gpg("--export-secret-keys", keys[name]).stdout)
        return ring

    yield make
    for ring in homes:
        ring.stop_agent()
        shutil.rmtree(ring.home, ignore_errors=True)


@pytest.fixture
def alices(ring_of: Callable[[str], KeyRing]) -> KeyRing:
    return ring_of("alice")


@pytest.fixture
def bobs(ring_of: Callable[[str], KeyRing]) -> KeyRing:
    return ring_of("bob")


@pytest.fixture
def ann(team: Team, git_store: Path, alices: KeyRing) -> Clone:
    """Who has alice's key, has let bob's read the store, and shares it."""
    ann = team.adopt(git_store)
    ann.environ["GNUPGHOME"] = str(alices.home)
    ann.store()
    add(ann, alices["bob"])
    ann.sync()
    return ann


@pytest.fixture
def bob(team: Team, ann: Clone, bobs: KeyRing) -> Clone:
    bob = team.clone("bob")
    bob.environ["GNUPGHOME"] = str(bobs.home)
    bob.sync()
    return bob


def add(clone: Clone, *wanted: str) -> Report:
    return Members(Rekey(clone.helper.pass_store, jobs=1)).add(wanted)


def expires(ring: KeyRing, name: str) -> str:
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode().splitlines()
    return next(line.split(":")[6] for line in listing if line.startswith("pub:"))


def subkeys(ring: KeyRing, name: str) -> list[tuple[str, str]]:
    """The validity and the fingerprint of each."""
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode().splitlines()
    return [(line.split(":")[1], after.split(":")[9]) for line, after in pairwise(listing) if line.startswith("sub:")]


def test_an_extended_key_travels(ann: Clone, bob: Clone, alices: KeyRing, bobs: KeyRing) -> None:
    alices.gpg("--quick-set-expire", alices["alice"], LAST[0])
    report = ann.sync()
    assert (report.renewed, report.pushed) == ([alices["alice"]], 1)
    assert ann.git("log", "-1", "--format=%s").strip() == (
        f"Renew the public key {alices['alice']} alice <alice@example.test>"
    )
    assert alices["alice"] in bob.sync().imported
    assert expires(bobs, "alice").startswith(LAST[1])
    report = ann.sync()
    assert (report.renewed, report.pushed) == ([], 0)
    report = bob.sync()
    assert (report.renewed, report.imported, report.pushed) == ([], [], 0)


def test_another_subkey_travels_and_the_revocation_of_the_first(
    ann: Clone, bob: Clone, alices: KeyRing, bobs: KeyRing
) -> None:
    alices.gpg("--passphrase", "", "--quick-add-key", alices["alice"], "cv25519", "encr", "never")
    (_, first), (_, second) = subkeys(alices, "alice")
    revoke = b"key 1\nrevkey\ny\n0\n\ny\nsave\n"
    alices.gpg("--command-fd", "0", "--edit-key", alices["alice"], stdin=revoke)
    assert ann.sync().renewed == [alices["alice"]]
    bob.sync()
    assert sorted(subkeys(bobs, "alice")) == sorted([("r", first), ("-", second)])
    bob.store(secret="for the new subkey")
    bob.sync()
    ann.sync()
    assert ann.get() == ("bob", "for the new subkey")


def test_what_changes_in_the_keys_of_others_is_theirs_to_share(ann: Clone, keys: KeyRing, alices: KeyRing) -> None:
    bobs = keys.gpg("--export-secret-keys", keys["bob"]).stdout
    elsewhere = KeyRing(Path(tempfile.mkdtemp(prefix="e", dir=alices.home.parent)), dict(keys.fingerprints))
    elsewhere.gpg("--import", stdin=bobs)
    elsewhere.gpg("--quick-set-expire", keys["bob"], LAST[0])
    alices.gpg("--import", stdin=elsewhere.gpg("--export", keys["bob"]).stdout)
    elsewhere.stop_agent()
    assert expires(alices, "bob").startswith(LAST[1])
    assert ann.sync().renewed == []


def test_an_older_file_that_somebody_pushes_is_replaced(ann: Clone, bob: Clone, alices: KeyRing) -> None:
    path = f".public-keys/{alices['alice']}"
    older = (bob.path / path).read_bytes()
    alices.gpg("--quick-set-expire", alices["alice"], LAST[0])
    ann.sync()
    newer = (ann.path / path).read_bytes()
    bob.sync()
    bob.write(path, older)
    bob.git("push", "-q")
    assert ann.sync().renewed == [alices["alice"]]
    assert (ann.path / path).read_bytes() == newer


def test_a_runner_changes_nothing(ann: Clone, bob: Clone, bobs: KeyRing) -> None:
    bob.git("config", "passhelper.ci", "true")
    bobs.gpg("--quick-set-expire", bobs["bob"], LAST[0])
    assert bob.sync().renewed == []


def test_a_file_that_signed_lists_name_is_left_to_the_signer(
    ann: Clone, bob: Clone, alices: KeyRing, bobs: KeyRing, tmp_path: Path
) -> None:
    """Who demands signed lists would not take another file than the one that they name."""
    ann.environ["PASSWORD_STORE_SIGNING_KEY"] = alices["alice"]
    Members(Rekey(ann.helper.pass_store)).sign()
    ann.sync()
    bobs.gpg("--quick-set-expire", bobs["bob"], LAST[0])
    report = bob.sync()
    assert (report.renewed, report.pushed) == ([], 0)
    (warning,) = bob.warnings
    assert warning == (
        f"key {bobs['bob']} bob <bob@example.test> has changed since the lists of recipients that name its file were "
        "signed; send it to whoever signs them, who runs: passhelper recipients add KEYFILE"
    )
    file = tmp_path / "bob.asc"
    file.write_bytes(bobs.gpg("--armor", "--export", bobs["bob"]).stdout)
    added = add(ann, str(file))
    assert (added.renewed, added.files, added.keys) == ((bobs["bob"],), (".gpg-id",), ())
    ann.sync()
    bob.environ["PASSWORD_STORE_SIGNING_KEY"] = alices["alice"]
    bob.warnings.clear()
    report = bob.sync()
    assert (report.renewed, report.imported) == ([], [bobs["bob"]])
    assert bob.warnings == []


def test_a_file_of_a_recipient_is_what_has_changed(
    ann: Clone, bob: Clone, alices: KeyRing, bobs: KeyRing, tmp_path: Path
) -> None:
    bobs.gpg("--quick-set-expire", bobs["bob"], LAST[0])
    file = tmp_path / "bob.asc"
    file.write_bytes(bobs.gpg("--armor", "--export", bobs["bob"]).stdout)
    entry = ann.entry().read_bytes()
    report = add(ann, str(file))
    assert (report.renewed, report.keys, report.files) == ((bobs["bob"],), (), ())
    assert ann.git("status", "--porcelain") == ""
    assert ann.entry().read_bytes() == entry
    assert add(ann, str(file)).renewed == ()
    ann.sync()
    assert bob.sync().renewed == []


def test_a_key_that_was_named_by_its_subkey_comes_along(
    ann: Clone, bob: Clone, alices: KeyRing, keys: KeyRing, bobs: KeyRing
) -> None:
    """As two tokens are named; nobody but its file says whose subkey it is."""
    ((_, part),) = subkeys(alices, "stranger")
    add(ann, f"{part}!")
    ann.sync()
    bobs.gpg("--delete-keys", bobs["stranger"])
    bob.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{bobs['alice']},{bobs['bob']},{part}!"
    bob.sync(accepted=frozenset([bob.environ["PASSHELPER_ACCEPT_RECIPIENTS"]]))
    assert subkeys(bobs, "stranger") == [("-", part)]
    bob.store(secret="for the token")
    assert bob.sync().imported == []


def test_several_that_call_it_their_own(
    ann: Clone, bob: Clone, alices: KeyRing, own_keys: KeyRing, bobs: KeyRing
) -> None:
    ((_, part),) = subkeys(alices, "stranger")
    add(ann, f"{part}!")
    other = adopting(own_keys, "expired", alices.gpg("--export", alices["stranger"]).stdout, part=1)
    ann.write(f".public-keys/{own_keys['expired']}", other)
    ann.sync()
    bobs.gpg("--delete-keys", bobs["stranger"])
    bob.sync(accepted=frozenset([f"{bobs['alice']},{bobs['bob']},{part}!"]))
    holders = ", ".join(sorted([own_keys["expired"], own_keys["stranger"]]))
    assert (
        f"several keys in .public-keys call {part} a subkey of their own: {holders}; find out whose it is, then import "
        "that one: gpg --import KEYFILE"
    ) in bob.warnings
    assert bobs.gpg("--list-keys", bobs["stranger"], check=False).returncode != 0
