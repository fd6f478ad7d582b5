"""Drift that sync mends by itself: readers go; one comes only where nobody can have planted the entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import PASSPHRASE, KeyRing
from support.programs import script
from support.worlds.disks import too_deep
from support.worlds.readers import ids, subkeys, tidy
from support.worlds.vault import SERVER, Vault

from passhelper.errors import GpgError, TrustError
from passhelper.store.store import PassStore
from passhelper.team.entries.repair import RepairReport, repair
from passhelper.team.git import gitrepo
from passhelper.team.sync.exchange import shared_repository

OTHER = "https://other.example"
PLANT = "https://evil.example"


@pytest.fixture
def vault(git_store: Path, environ: dict[str, str]) -> Vault:
    return Vault(environ)


def mend(vault: Vault) -> RepairReport:
    store = PassStore(vault.environ, vault.warnings.append)
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        return repair(store, git)


def name_readers(vault: Vault, *fingerprints: str) -> None:
    """Change the recipients as another member would, and accept that here."""
    (vault.path / ".gpg-id").write_text("".join(f"{each}\n" for each in fingerprints))
    vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = " ".join(fingerprints)
    commit(vault)


def commit(vault: Vault) -> None:
    vault.git("add", ".")
    vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "--allow-empty", "-m", "By others")


def test_nothing_to_do(vault: Vault) -> None:
    vault.store()
    subjects = vault.subjects
    for _ in range(2):
        assert mend(vault) == RepairReport()
    assert vault.subjects == subjects
    tidy(vault.path, vault.environ)


def test_who_left_is_taken_out(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"s", "alice", "bob"))
    vault.put(keys.encrypt(b"t", "alice", "bob", "stranger"), OTHER)
    commit(vault)
    assert mend(vault) == RepairReport(removed=[SERVER, OTHER])
    assert ids(vault.entry(), keys) == ids(vault.entry(OTHER), keys) == {"alice"}
    assert (vault.get(), vault.get(OTHER)) == (("bob", "s"), ("bob", "t"))
    assert vault.subjects[0] == "Re-encrypt 2 credentials"
    tidy(vault.path, vault.environ)


def test_who_left_and_whose_key_is_not_here(vault: Vault, keys: KeyRing) -> None:
    stranger = bytes.fromhex(subkeys(keys, "stranger")[0])
    vault.put(keys.encrypt(b"s", "alice", "stranger").replace(stranger, b"\x01" * 8))
    commit(vault)
    assert mend(vault) == RepairReport(removed=[SERVER])
    assert ids(vault.entry(), keys) == {"alice"}


def test_who_joined_reads_what_is_bound(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    name_readers(vault, keys["alice"], keys["bob"])
    assert mend(vault) == RepairReport(added=[SERVER])
    assert ids(vault.entry(), keys) == {"alice", "bob"}
    tidy(vault.path, vault.environ)


def test_who_joined_does_not_read_what_is_not_bound(vault: Vault, keys: KeyRing) -> None:
    """However right it looked before: that is what the entry says of itself, and where it is says nothing."""
    path = vault.put(keys.encrypt(b"s", "alice"))
    commit(vault)
    assert mend(vault) == RepairReport()
    name_readers(vault, keys["alice"], keys["bob"])
    assert len(mend(vault).reported) == 1
    assert ids(path, keys) == {"alice"}


def planted(vault: Vault, keys: KeyRing) -> Path:
    """What alice alone reads, copied by bob to where he reads too."""
    name_readers(vault, keys["alice"], keys["bob"])
    path = vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(vault)
    return path


def test_nor_when_it_could_not_be_looked_at(vault: Vault, keys: KeyRing) -> None:
    """What lay in a directory that could not be read was not seen to be right."""
    vault.store()
    assert mend(vault) == RepairReport()
    path = vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(vault)
    with too_deep(path.parent):
        trouble = f"{PLANT}: {path.parent} cannot be read: File name too long"
        assert mend(vault) == RepairReport(reported=[trouble])
    name_readers(vault, keys["alice"], keys["bob"])
    report = mend(vault)
    assert (report.added, len(report.reported)) == ([SERVER], 1)
    assert ids(path, keys) == {"alice"}


def test_an_insiders_copy_gets_no_reader_however_often_we_look(vault: Vault, keys: KeyRing) -> None:
    path = planted(vault, keys)
    before = path.read_bytes()
    for _ in range(3):
        why = "it is not bound to its server, so it may have been copied here to be read by others"
        remedy = f"run: passhelper reencrypt {PLANT}"
        assert mend(vault) == RepairReport(reported=[f"{PLANT} (bob): {why}; {remedy}"])
        commit(vault)
    assert path.read_bytes() == before


def test_nor_when_it_comes_before_the_reader(vault: Vault, keys: KeyRing) -> None:
    """Copied to a directory whose readers it did not match, while nobody could add one: that is remembered."""
    name_readers(vault, keys["alice"], keys["missing"])
    path = vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(vault)
    assert mend(vault) == RepairReport()  # nobody here can encrypt to him
    name_readers(vault, keys["alice"], keys["bob"])
    assert len(mend(vault).reported) == 1
    assert ids(path, keys) == {"alice"}


def test_nor_when_we_look_for_the_first_time(vault: Vault, keys: KeyRing) -> None:
    planted(vault, keys)
    commit(vault)
    assert len(mend(vault).reported) == 1


def test_nor_when_it_replaces_what_was_right(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"harmless", "alice", "bob"), PLANT)
    name_readers(vault, keys["alice"], keys["bob"])
    assert mend(vault) == RepairReport()
    planted(vault, keys)
    assert len(mend(vault).reported) == 1


def test_a_copy_that_is_bound_elsewhere_is_reported(vault: Vault, keys: KeyRing) -> None:
    vault.store(OTHER)
    path = planted(vault, keys)
    path.write_bytes(vault.entry(OTHER).read_bytes())
    commit(vault)
    report = mend(vault)
    assert report.reported == [f"{PLANT} (bob): it was moved here from another server"]
    assert report.added == [OTHER]
    assert ids(path, keys) == {"alice"}


def test_who_has_to_go_goes_even_where_nobody_may_come(vault: Vault, keys: KeyRing) -> None:
    name_readers(vault, keys["alice"], keys["bob"])
    path = vault.put(keys.encrypt(b"s", "alice", "stranger"))
    commit(vault)
    report = mend(vault)
    assert (report.removed, report.added, len(report.reported)) == ([SERVER], [], 1)
    assert ids(path, keys) == {"alice"}
    assert len(mend(vault).reported) == 1


def test_a_recipient_without_a_usable_key_is_no_reason_to_write(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    name_readers(vault, keys["alice"], keys["expired"], keys["missing"])
    subjects = vault.subjects
    assert mend(vault) == RepairReport()
    assert vault.subjects == subjects


def test_what_cannot_be_written_again_for_everybody_is_reported(vault: Vault, keys: KeyRing, own_keys: KeyRing) -> None:
    for every in ((), ("*",)):
        own_keys.gpg("--pinentry-mode", "loopback", "--quick-set-expire", keys["expired"], "0", *every)
    path = vault.put(own_keys.encrypt(b"s", "alice", "expired", "stranger"))
    name_readers(vault, keys["alice"], keys["expired"])
    before = path.read_bytes()
    (line,) = mend(vault).reported
    assert line.startswith(f"{SERVER} (bob): it cannot be encrypted anew for {keys['expired']}")
    assert path.read_bytes() == before


def test_hidden_readers_are_reported(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",)))
    commit(vault)
    assert mend(vault).reported == [f"{SERVER} (bob): its readers are hidden, and not as many as its recipients"]


def test_a_newer_key_elsewhere_is_not_undone(vault: Vault, keys: KeyRing) -> None:
    """Bob has a new subkey, which another member's machine knows and this one does not."""
    bob = bytes.fromhex(subkeys(keys, "bob")[0])
    path = vault.put(keys.encrypt(b"s", "alice", "bob").replace(bob, b"\x01" * 8))
    name_readers(vault, keys["alice"], keys["bob"])
    before = path.read_bytes()
    (line,) = mend(vault).reported
    assert line.endswith("cannot read it, but a key that is not in this keyring can")
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["devteam", "missing"])
def test_who_cannot_be_found_here_is_not_shut_out(vault: Vault, own_keys: KeyRing, line: str) -> None:
    """One of gpg's own groups, or a member whose key is not in this keyring, reads beside somebody who left.

    gpg 2.4 lists the keys of a group by its name, so there nobody has left.
    """
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    (own_keys.home / "gpg.conf").write_text(f"group devteam = {own_keys['bob']} {own_keys['stranger']}\n")
    ciphertext = own_keys.encrypt(b"s", "alice", "bob", "stranger")
    if line == "missing":
        ciphertext = ciphertext.replace(bytes.fromhex(subkeys(own_keys, "bob")[0]), b"\x01" * 8)
    path = vault.put(ciphertext)
    name_readers(vault, own_keys["alice"], own_keys.fingerprints.get(line, line))
    report = mend(vault)
    named = own_keys.fingerprints.get(line, line)
    is_known = own_keys.gpg("--list-keys", named, check=False).returncode == 0
    reported = [f"{SERVER} (bob): it cannot be encrypted anew for {named} (not in this keyring)"]
    assert report.reported == ([] if is_known else reported)
    assert (report.removed, path.read_bytes()) == ([], ciphertext)


def test_a_recipient_who_is_named_by_a_subkey(vault: Vault, own_keys: KeyRing) -> None:
    """With a newer one beside it, which gpg takes for the key as a whole."""
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    (old,) = subkeys(own_keys, "bob")
    listing = own_keys.gpg("--with-colons", "--list-keys", own_keys["bob"]).stdout.decode().splitlines()
    named = next(line.split(":")[9] for line in listing if line.startswith("fpr") and line.endswith(f"{old}:"))
    own_keys.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key", own_keys["bob"], "cv25519")
    name_readers(vault, own_keys["alice"], named)
    for subkey in subkeys(own_keys, "bob"):
        path = vault.put(own_keys.encrypt(b"s", "alice", f"{subkey}!"))
        commit(vault)
        before = path.read_bytes()
        assert mend(vault) == RepairReport()
        assert path.read_bytes() == before


def test_a_gpg_that_fails_is_no_missing_key(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    path = vault.put(keys.encrypt(b"s", "alice", "bob"))
    name_readers(vault, keys["alice"], "bob@example.test")
    fails = "echo gpg: keyboxd fell over >&2; exit 2"
    gpg = script(tmp_path / "gpg", f'case "$*" in *--list-keys*bob@*) {fails};; esac; exec /usr/bin/gpg "$@"')
    vault.environ["PASSHELPER_GPG"] = gpg
    before = path.read_bytes()
    with pytest.raises(GpgError) as caught:
        mend(vault)
    assert str(caught.value) == (
        "gpg cannot look for the key bob@example.test: gpg: keyboxd fell over; run: passhelper doctor"
    )
    assert path.read_bytes() == before
    del vault.environ["PASSHELPER_GPG"]
    assert mend(vault) == RepairReport()


def test_what_this_machine_cannot_read_is_reported(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"s", "stranger"))
    vault.put(keys.encrypt(b"s", "alice", "bob"), OTHER)
    commit(vault)
    report = mend(vault)
    assert report.removed == [OTHER]
    assert report.reported[0].startswith(f"{SERVER} (bob): it is encrypted to ")


def test_a_locked_key(vault: Vault, own_keys: KeyRing) -> None:
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    vault.put(own_keys.encrypt(b"s", "locked", "bob"))
    own_keys.gpg("--delete-secret-keys", own_keys["bob"])
    name_readers(vault, own_keys["locked"])
    (line,) = mend(vault).reported
    assert line.startswith(f"{SERVER} (bob): GPG key ")
    assert line.endswith(" is locked")
    vault.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    assert mend(vault) == RepairReport(removed=[SERVER])


def test_recipients_that_nobody_accepted(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    name_readers(vault, keys["alice"], keys["stranger"])
    del vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"]
    with pytest.raises(TrustError, match="recipients changed: \\+"):
        mend(vault)
    assert ids(vault.entry(), keys) == {"alice"}


@pytest.mark.parametrize("kind", ["runner", "override"])
def test_where_nothing_is_mended(vault: Vault, keys: KeyRing, kind: str) -> None:
    path = vault.put(keys.encrypt(b"s", "alice", "bob"))
    commit(vault)
    if kind == "runner":
        vault.git("config", "passhelper.ci", "true")
    else:
        vault.environ["PASSWORD_STORE_KEY"] = keys["alice"]
    assert mend(vault) == RepairReport()
    assert ids(path, keys) == {"alice", "bob"}
