"""Readers against recipients: what is drift, what cannot be told, and what is neither."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FOLDER, KeyRing, tree
from support.worlds.readers import subkeys
from support.worlds.vault import Vault

from passhelper.store.packets import HIDDEN
from passhelper.store.store import PassStore
from passhelper.team.entries.drift import Drift, Policy, Recipient, compare
from passhelper.team.entries.survey import Record, survey
from passhelper.team.keyring.key import Key
from passhelper.team.keyring.keys import KeyRing as Ring

A, B, C = (letter * 16 for letter in "ABC")
X, Y = "1" * 16, "2" * 16


def key(name: str, *ids: str, revoked: tuple[str, ...] = (), usable: bool = True) -> Key:
    fingerprint = name * 40
    return Key(fingerprint, name, (f"{name}@x",), 0, usable, ids, False, False, (), 0, revoked)


ALICE, BOB, CAROL = (key(name, id_) for name, id_ in (("a", A), ("b", B), ("c", C)))
KNOWN = {A: ALICE, B: BOB, C: CAROL}


def one(who: Key) -> Recipient:
    return Recipient(who.fingerprint, (who,))


def absent(letter: str) -> Recipient:
    return Recipient(letter * 40, ())


TEAM = (one(ALICE), one(BOB))


@pytest.mark.parametrize(
    ("ids", "wanted", "expected"),
    [
        ([A, B], TEAM, Drift()),
        ([B, A], TEAM, Drift()),
        ([A], TEAM, Drift(missing=(one(BOB),))),
        ([A, B, C], TEAM, Drift(extra=(C,))),
        ([A, C], TEAM, Drift(missing=(one(BOB),), extra=(C,))),
        ([A, B, X], TEAM, Drift(unknown=(X,), surplus=1)),
        ([A, X], TEAM, Drift(missing=(one(BOB),), unknown=(X,), surplus=1)),
        # Hidden: as many as are not seen can be them.
        ([A, HIDDEN], TEAM, Drift(hidden=1)),
        ([HIDDEN, HIDDEN], TEAM, Drift(hidden=2)),
        ([A, B, HIDDEN], TEAM, Drift(hidden=1, surplus=1)),
        ([HIDDEN], TEAM, Drift(missing=TEAM, hidden=1)),
        ([A, C, HIDDEN], TEAM, Drift(extra=(C,), hidden=1)),
        ([HIDDEN, X], TEAM, Drift(missing=TEAM, unknown=(X,), hidden=1, surplus=1)),
        # A recipient whose key is not here can be whoever is not known here.
        ([A, X], (one(ALICE), absent("d")), Drift(unknown=(X,))),
        ([A, X, Y], (one(ALICE), absent("d")), Drift(unknown=(X, Y), surplus=1)),
        ([A], (one(ALICE), absent("d")), Drift(missing=(absent("d"),))),
        ([A, X], (one(ALICE), absent("d"), absent("e")), Drift(missing=(absent("d"), absent("e")), unknown=(X,))),
        ([X], (one(ALICE), absent("d")), Drift(missing=(one(ALICE),), unknown=(X,))),
        ([A, C], (one(ALICE), absent("d")), Drift(missing=(absent("d"),), extra=(C,))),
        ([A, HIDDEN], (one(ALICE), absent("d")), Drift(hidden=1)),
        # Unless his primary key itself encrypts.
        ([A, "D" * 16], (one(ALICE), absent("D")), Drift()),
    ],
)  # fmt: skip
def test_compare(ids: list[str], wanted: tuple[Recipient, ...], expected: Drift) -> None:
    found = compare(ids, wanted, KNOWN)
    assert found == expected
    assert found.is_there is bool(expected.missing or expected.extra or expected.surplus)


def test_any_of_a_recipients_own_subkeys_will_do() -> None:
    """`pass` calls an entry wrong for ever when a recipient has two, or an expired one beside it."""
    two = key("a", A, X)
    known = {A: two, X: two}
    for ids in ([A], [X], [A, X]):
        assert not compare(ids, (one(two),), known).is_there


def test_a_revoked_subkey_is_a_reader_that_should_not_be() -> None:
    changed = key("a", A, X, revoked=(X,))
    known = {A: changed, X: changed}
    assert compare([A], (one(changed),), known) == Drift()
    assert compare([X], (one(changed),), known) == Drift(missing=(one(changed),), extra=(X,))
    assert compare([A, X], (one(changed),), known) == Drift(extra=(X,))


def look(vault: Vault, *servers: str) -> dict[str, Record]:
    store = PassStore(vault.environ, vault.warnings.append)
    records = survey(store, Policy(store, Ring(store.gpg)), list(servers) or None)
    return {f"{record.entry.server}/{record.entry.username}": record for record in records}


def test_planted_drift_of_every_kind(vault: Vault, keys: KeyRing, own_keys: KeyRing) -> None:
    """What gpg really writes, with keys that are here, that have expired since, and that are nowhere."""
    for subkeys_too in ((), ("*",)):
        own_keys.gpg("--pinentry-mode", "loopback", "--quick-set-expire", keys["expired"], "0", *subkeys_too)
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n{keys['expired']}\n")
    others = {"right": ("alice", "bob", "expired"), "missing": ("alice", "expired"),
              "extra": ("alice", "bob", "expired", "stranger")}  # fmt: skip
    for name, readers in others.items():
        vault.put(own_keys.encrypt(b"s", *readers), name)
    vault.put(own_keys.encrypt(b"s", *others["right"], options=("--throw-keyids",)), "hidden")
    vault.put(own_keys.encrypt(b"s", *others["extra"], options=("--throw-keyids",)), "hidden-extra")
    vault.put(own_keys.encrypt(b"s", *others["missing"], options=("--throw-keyids",)), "hidden-missing")
    stranger = subkeys(keys, "stranger")[0]
    data = own_keys.encrypt(b"s", *others["extra"])
    vault.put(data.replace(bytes.fromhex(stranger), b"\x01" * 8), "unknown")
    vault.put(b"", "empty")
    vault.put(b"plain text", "damaged")
    before = tree(vault.path)
    found = look(vault)
    kinds = {name.removesuffix("/bob"): record for name, record in found.items()}
    drift = {name: record.drift for name, record in kinds.items() if not record.trouble}
    assert sorted(name for name, each in drift.items() if each.is_there) == [
        "extra", "hidden-extra", "hidden-missing", "missing", "unknown",
    ]  # fmt: skip
    assert [str(each.keys[0].uid) for each in drift["missing"].missing] == ["bob <bob@example.test>"]
    assert drift["extra"].extra == (stranger,)
    assert drift["unknown"] == Drift(unknown=("01" * 8,), surplus=1)
    assert (drift["hidden"].hidden, drift["hidden"].is_uncertain) == (3, True)
    assert (drift["hidden-extra"].surplus, drift["hidden-missing"].hidden) == (1, 2)
    assert {name: record.trouble.rpartition(": ")[2] for name, record in kinds.items() if record.trouble} == {
        "empty": "it is empty", "damaged": "it is not an OpenPGP message",
    }  # fmt: skip
    assert tree(vault.path) == before


def test_a_recipient_whose_key_is_not_here(vault: Vault, keys: KeyRing) -> None:
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['missing']}\n")
    data = keys.encrypt(b"s", "alice", "stranger")
    stranger = bytes.fromhex(subkeys(keys, "stranger")[0])
    vault.put(data.replace(stranger, b"\x01" * 8), "perhaps")
    vault.put(keys.encrypt(b"s", "alice"), "missing")
    vault.put(data, "extra")
    found = look(vault)
    assert found["perhaps/bob"].drift == Drift(unknown=("01" * 8,))
    assert [each.line for each in found["missing/bob"].drift.missing] == [keys["missing"]]
    assert str(found["missing/bob"].drift.missing[0]) == f"{keys['missing']} (not in this keyring)"
    assert found["extra/bob"].drift.extra == (subkeys(keys, "stranger")[0],)


def test_nearest_file_counts(vault: Vault, keys: KeyRing) -> None:
    for server in ("all", "own"):
        vault.put(keys.encrypt(b"s", "alice"), server)
    (vault.directory("own") / ".gpg-id").write_text(f"{keys['bob']} # him\n")
    found = look(vault)
    assert not found["all/bob"].drift.is_there
    assert (len(found["own/bob"].drift.missing), len(found["own/bob"].drift.extra)) == (1, 1)
    (vault.path / FOLDER / ".gpg-id").write_text("bob@example.test\n")
    assert look(vault, "all")["all/bob"].drift.extra == (subkeys(keys, "alice")[0],)
    assert list(look(vault, "own")) == ["own/bob"]


def test_a_file_that_names_nobody_is_told_for_its_entries_alone(vault: Vault, keys: KeyRing) -> None:
    for server in ("all", "own"):
        vault.put(keys.encrypt(b"s", "alice"), server)
    (vault.directory("own") / ".gpg-id").write_text("# nobody\n")
    found = look(vault)
    assert not found["all/bob"].trouble
    assert found["own/bob"].trouble == f"{vault.directory('own')}/.gpg-id names no key"


def test_left_over_entries_and_spellings_are_looked_at_too(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"s", "alice"), "a.example")
    vault.put(keys.encrypt(b"s", "bob"), "a.example", "old.gpg")
    bare = vault.directory("ab").with_name(vault.directory("ab").name.rstrip("="))
    bare.mkdir()
    (bare / "u.gpg").write_bytes(keys.encrypt(b"s", "bob"))
    drifted = [name for name, record in look(vault).items() if record.drift.is_there]
    assert sorted(drifted) == ["a.example/old", "ab/u"]
    assert [name for name, record in look(vault, "ab").items() if record.drift.is_there] == ["ab/u"]


def test_no_gpg_for_entries(
    vault: Vault, keys: KeyRing, tmp_path: Path, count_gpg: Callable[[dict[str, str]], Callable[[], int]]
) -> None:
    data = keys.encrypt(b"s", "alice", "bob")
    for number in range(30):
        vault.put(data, f"{number}.example")
    runs = count_gpg(vault.environ)
    assert sum(record.drift.is_there for record in look(vault).values()) == 30
    assert runs() <= 4  # its version, and the two listings of the keyring


@pytest.fixture
def count_gpg(tmp_path: Path) -> Callable[[dict[str, str]], Callable[[], int]]:
    """Count how often gpg is started."""

    def start(environ: dict[str, str]) -> Callable[[], int]:
        gpg, log = shutil.which("gpg"), tmp_path / "gpg-runs"
        program = tmp_path / "counted-gpg"
        program.write_text(f'#!/bin/sh\necho x >> {log}\nexec {gpg} "$@"\n')
        program.chmod(0o755)
        log.touch()
        environ["PASSHELPER_GPG"] = str(program)
        return lambda: len(log.read_text().splitlines())

    return start
