"""The cache that lets ``list`` leave out what this machine cannot read; ``list`` itself starts no program."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support import Helper, KeyRing, Program, run
from support.programs import script
from support.worlds.vault import Vault

from passhelper.errors import NoSecretKeyError
from passhelper.store import packets, readable
from passhelper.store.store import PassStore

MINE, HERS, BOTH, HIDDEN = "https://mine.example", "https://hers.example", "https://both.example", "https://h.example"
MANY = tuple(f"https://{name}.example" for name in ("empty", "text", "half"))


@pytest.fixture
def ring(own_keys: KeyRing, environ: dict[str, str]) -> KeyRing:
    """A keyring that this test may change; it cannot read for ``stranger``."""
    environ["GNUPGHOME"] = str(own_keys.home)
    return own_keys


@pytest.fixture
def vault(store: Path, environ: dict[str, str], ring: KeyRing) -> Vault:
    """A store with entries for this machine, for others, for both, and with things that are not entries."""
    vault = Vault(environ)
    vault.put(ring.encrypt(b"s", "alice"), MINE)
    vault.put(ring.encrypt(b"s", "stranger"), HERS)
    vault.put(ring.encrypt(b"s", "stranger", "bob"), BOTH)
    vault.put(ring.encrypt(b"s", "stranger", options=("--throw-keyids",)), HIDDEN)
    for server, data in zip(MANY, (b"", b"no entry\n", ring.encrypt(b"s", "alice")[:9]), strict=True):
        vault.put(data, server)
    return vault


def write(vault: Vault) -> None:
    readable.write(PassStore(vault.environ, vault.warnings.append))


def cache(environ: dict[str, str]) -> Path | None:
    found = list(Path(environ["HOME"], ".cache", "passhelper").glob("*"))
    assert len(found) < 2
    return found[0] if found else None


def test_without_the_cache_everything_is_listed_and_nothing_opened(vault: Vault) -> None:
    for path in vault.path.rglob("*.gpg"):
        path.chmod(0)
    assert set(vault.list()) == {MINE, HERS, BOTH, HIDDEN, *MANY}


def test_the_cache_leaves_out_what_others_read_and_what_is_no_entry(vault: Vault) -> None:
    write(vault)
    assert set(vault.list()) == {MINE, BOTH, HIDDEN}
    assert vault.list()[BOTH] == "bob"
    for server in (MINE, BOTH):
        assert vault.get(server) == ("bob", "s")


def test_list_agrees_with_gpg(vault: Vault, ring: KeyRing) -> None:
    """Nobody but gpg decides what can be read: what list names of these, gpg decrypts, and nothing else."""
    write(vault)
    for server in (MINE, HERS, BOTH, *MANY):
        said = ring.gpg("--status-fd", "1", "--decrypt", str(vault.entry(server)), check=False).stdout
        assert (server in vault.list()) == (b"DECRYPTION_OKAY" in said), server


def test_many_recipients_are_read_to_the_end(vault: Vault, ring: KeyRing) -> None:
    """Our id stands behind what is read at first."""
    others = ring.encrypt(b"s", "stranger")
    length = others[1] + 2  # one packet of the old format, tag 1
    assert others[0] == 0x84
    vault.put(others[:length] * 9 + ring.encrypt(b"s", "alice"), MINE)
    vault.put(others[:length] * 9 + others, HERS)
    vault.put(others[:length] * 9, BOTH)
    write(vault)
    assert set(vault.list()) == {MINE, HIDDEN}


def test_armored_entries(vault: Vault, ring: KeyRing) -> None:
    vault.put(ring.encrypt(b"s" * 3000, "alice", options=("--armor",)), MINE)
    vault.put(ring.encrypt(b"s" * 3000, "stranger", options=("--armor",)), BOTH)
    write(vault)
    assert set(vault.list()) == {MINE, HIDDEN}


@pytest.mark.parametrize("change", ["a new secret key", "a secret key gone", "a new public key", "another keyring"])
def test_a_changed_keyring_makes_the_cache_stale(vault: Vault, ring: KeyRing, change: str, keys: KeyRing) -> None:
    write(vault)
    assert HERS not in vault.list()
    if change == "a new secret key":
        ring.gpg("--passphrase", "", "--quick-gen-key", "new@example.test", "future-default", "default", "0")
    elif change == "a secret key gone":
        ring.gpg("--delete-secret-keys", ring["bob"])
    elif change == "a new public key":
        ring.gpg("--delete-keys", ring["stranger"])
    else:
        vault.environ["GNUPGHOME"] = str(keys.home)
    assert HERS in vault.list()
    write(vault)
    if change != "another keyring":
        assert HERS not in vault.list()
        assert (BOTH in vault.list()) == (change != "a secret key gone")


def test_one_cache_for_each_keyring(vault: Vault, ring: KeyRing) -> None:
    write(vault)
    vault.environ["GNUPGHOME"] = str(ring.home) + "-other"
    assert HERS in vault.list()
    assert cache(vault.environ) is not None


def test_an_expired_key_still_reads(vault: Vault, ring: KeyRing) -> None:
    vault.put(ring.encrypt(b"s", "expired", options=("--faked-system-time", "20200101T120000")), MINE)
    write(vault)
    assert MINE in vault.list()
    assert vault.get(MINE) == ("bob", "s")


def test_what_is_not_known_hides_nothing(vault: Vault, tmp_path: Path, ring: KeyRing) -> None:
    everything = set(vault.list())
    write(vault)
    damaged = cache(vault.environ)
    assert damaged is not None
    text = damaged.read_bytes()
    for broken in (b"", b"x", text.replace(b"rights 1", b"rights 2"), text[:-3], b"\xff\n" * 9):
        damaged.write_bytes(broken)
        assert set(vault.list()) == everything, broken
    damaged.write_bytes(text)
    assert set(vault.list()) != everything
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = f"--homedir {tmp_path}"
    assert set(vault.list()) == everything


def test_a_machine_without_secret_keys_is_told_everything(vault: Vault, tmp_path: Path, ring: KeyRing) -> None:
    """Its keys are with an agent elsewhere, or gpg could not say: no ground to hide anything."""
    everything = set(vault.list())
    for broken in ("exit 2", "exit 0"):
        write(vault)
        assert cache(vault.environ) is not None
        vault.environ["PASSHELPER_GPG"] = script(tmp_path / "gpg", broken)
        write(vault)
        assert cache(vault.environ) is None
        assert set(vault.list()) == everything
        del vault.environ["PASSHELPER_GPG"]


def test_the_cache_is_private_small_and_written_only_when_it_changes(vault: Vault, ring: KeyRing) -> None:
    write(vault)
    path = cache(vault.environ)
    assert path is not None
    facts = path.stat()
    assert facts.st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    ids = set(path.read_text().splitlines()[3:])
    assert set(packets.key_ids(ring.encrypt(b"s", "alice", "bob"))) <= ids
    assert not set(packets.key_ids(ring.encrypt(b"s", "stranger"))) & ids
    write(vault)
    assert path.stat().st_ino == facts.st_ino


def test_a_cache_that_cannot_be_written_is_nobodys_trouble(vault: Vault) -> None:
    Path(vault.environ["HOME"], ".cache").write_text("a file")
    write(vault)
    assert vault.warnings == []
    assert HERS in vault.list()


def test_a_file_that_cannot_be_opened_stays_in_the_list(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    write(vault)
    assert HERS not in vault.list()
    path, original = str(vault.entry(HERS)), os.open

    def opened(name: str, flags: int, mode: int = 0o777, **options: int) -> int:
        if name == path:
            raise PermissionError(errno.EACCES, "denied", name)  # which root, who may run this, cannot be
        return original(name, flags, mode, **options)

    monkeypatch.setattr(os, "open", opened)
    assert HERS in vault.list()


def test_the_protocol_list_starts_no_program(
    installed: Program, store: Path, environ: dict[str, str], ring: KeyRing, vault: Vault, tmp_path: Path
) -> None:
    write(vault)
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = Helper(installed.helper, environ).list(PATH=f"{empty}:{Path(installed.python).parent}")
    assert set(answer.json) == {MINE, BOTH, HIDDEN}


@pytest.mark.parametrize("command", ["unlock", "doctor", "setup --no-docker"])
def test_who_writes_it(installed: Program, store: Path, environ: dict[str, str], vault: Vault, command: str) -> None:
    path = f"{environ['HOME']}/.local/bin:{environ['PATH']}"
    run([installed.passhelper, *command.split()], {**environ, "PATH": path})
    assert cache(environ) is not None
    assert set(vault.list()) == {MINE, BOTH, HIDDEN}


def test_a_get_of_what_others_read_writes_it_where_there_is_none(vault: Vault, ring: KeyRing) -> None:
    for server in (MINE, BOTH):
        vault.get(server)
        assert cache(vault.environ) is None
    with pytest.raises(NoSecretKeyError):
        vault.get(HERS)
    assert set(vault.list()) == {MINE, BOTH, HIDDEN}
    written = cache(vault.environ)
    assert written
    before = written.stat()
    with pytest.raises(NoSecretKeyError):
        vault.get(HERS)
    assert written.stat().st_ino == before.st_ino  # whoever writes it replaces the file


def test_a_subkey_whose_secret_part_is_elsewhere_does_not_count(vault: Vault, ring: KeyRing) -> None:
    listing = ring.gpg("--with-colons", "--with-keygrip", "--list-secret-keys", ring["alice"]).stdout.decode()
    grips = [line.split(":")[9] for line in listing.splitlines() if line.startswith("grp")]
    (ring.home / "private-keys-v1.d" / f"{grips[1]}.key").unlink()
    write(vault)
    assert set(vault.list()) == {BOTH, HIDDEN}


def test_no_keyring_is_made_to_look_into_it(vault: Vault, tmp_path: Path) -> None:
    vault.environ["GNUPGHOME"] = str(tmp_path / "none")
    write(vault)
    assert not (tmp_path / "none").exists()
    assert cache(vault.environ) is None
