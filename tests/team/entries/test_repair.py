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


def test_nothing_to_do(git_vault: Vault) -> None:
    git_vault.store()
    subjects = git_vault.subjects
    for _ in range(2):
        assert mend(git_vault) == RepairReport()
    assert git_vault.subjects == subjects
    tidy(git_vault.path, git_vault.environ)


def test_who_left_is_taken_out(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.put(keys.encrypt(b"s", "alice", "bob"))
    git_vault.put(keys.encrypt(b"t", "alice", "bob", "stranger"), OTHER)
    commit(git_vault)
    assert mend(git_vault) == RepairReport(removed=[SERVER, OTHER])
    assert ids(git_vault.entry(), keys) == ids(git_vault.entry(OTHER), keys) == {"alice"}
    assert (git_vault.get(), git_vault.get(OTHER)) == (("bob", "s"), ("bob", "t"))
    assert git_vault.subjects[0] == "Re-encrypt 2 credentials"
    tidy(git_vault.path, git_vault.environ)


def test_who_left_and_whose_key_is_not_here(git_vault: Vault, keys: KeyRing) -> None:
    stranger = bytes.fromhex(subkeys(keys, "stranger")[0])
    git_vault.put(keys.encrypt(b"s", "alice", "stranger").replace(stranger, b"\x01" * 8))
    commit(git_vault)
    assert mend(git_vault) == RepairReport(removed=[SERVER])
    assert ids(git_vault.entry(), keys) == {"alice"}


def test_who_joined_reads_what_is_bound(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    name_readers(git_vault, keys["alice"], keys["bob"])
    assert mend(git_vault) == RepairReport(added=[SERVER])
    assert ids(git_vault.entry(), keys) == {"alice", "bob"}
    tidy(git_vault.path, git_vault.environ)


def test_who_joined_does_not_read_what_is_not_bound(git_vault: Vault, keys: KeyRing) -> None:
    """However right it looked before: that is what the entry says of itself, and where it is says nothing."""
    path = git_vault.put(keys.encrypt(b"s", "alice"))
    commit(git_vault)
    assert mend(git_vault) == RepairReport()
    name_readers(git_vault, keys["alice"], keys["bob"])
    assert len(mend(git_vault).reported) == 1
    assert ids(path, keys) == {"alice"}


def planted(vault: Vault, keys: KeyRing) -> Path:
    """What alice alone reads, copied by bob to where he reads too."""
    name_readers(vault, keys["alice"], keys["bob"])
    path = vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(vault)
    return path


def test_nor_when_it_could_not_be_looked_at(git_vault: Vault, keys: KeyRing) -> None:
    """What lay in a directory that could not be read was not seen to be right."""
    git_vault.store()
    assert mend(git_vault) == RepairReport()
    path = git_vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(git_vault)
    with too_deep(path.parent):
        trouble = f"{PLANT}: {path.parent} cannot be read: File name too long"
        assert mend(git_vault) == RepairReport(reported=[trouble])
    name_readers(git_vault, keys["alice"], keys["bob"])
    report = mend(git_vault)
    assert (report.added, len(report.reported)) == ([SERVER], 1)
    assert ids(path, keys) == {"alice"}


def test_an_insiders_copy_gets_no_reader_however_often_we_look(git_vault: Vault, keys: KeyRing) -> None:
    path = planted(git_vault, keys)
    before = path.read_bytes()
    for _ in range(3):
        why = "it is not bound to its server, so it may have been copied here to be read by others"
        remedy = f"run: passhelper reencrypt {PLANT}"
        assert mend(git_vault) == RepairReport(reported=[f"{PLANT} (bob): {why}; {remedy}"])
        commit(git_vault)
    assert path.read_bytes() == before


def test_nor_when_it_comes_before_the_reader(git_vault: Vault, keys: KeyRing) -> None:
    """Copied to a directory whose readers it did not match, while nobody could add one: that is remembered."""
    name_readers(git_vault, keys["alice"], keys["missing"])
    path = git_vault.put(keys.encrypt(b"restricted", "alice"), PLANT)
    commit(git_vault)
    assert mend(git_vault) == RepairReport()  # nobody here can encrypt to him
    name_readers(git_vault, keys["alice"], keys["bob"])
    assert len(mend(git_vault).reported) == 1
    assert ids(path, keys) == {"alice"}


def test_nor_when_we_look_for_the_first_time(git_vault: Vault, keys: KeyRing) -> None:
    planted(git_vault, keys)
    commit(git_vault)
    assert len(mend(git_vault).reported) == 1


def test_nor_when_it_replaces_what_was_right(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.put(keys.encrypt(b"harmless", "alice", "bob"), PLANT)
    name_readers(git_vault, keys["alice"], keys["bob"])
    assert mend(git_vault) == RepairReport()
    planted(git_vault, keys)
    assert len(mend(git_vault).reported) == 1


def test_a_copy_that_is_bound_elsewhere_is_reported(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store(OTHER)
    path = planted(git_vault, keys)
    path.write_bytes(git_vault.entry(OTHER).read_bytes())
    commit(git_vault)
    report = mend(git_vault)
    assert report.reported == [f"{PLANT} (bob): it was moved here from another server"]
    assert report.added == [OTHER]
    assert ids(path, keys) == {"alice"}


def test_who_has_to_go_goes_even_where_nobody_may_come(git_vault: Vault, keys: KeyRing) -> None:
    name_readers(git_vault, keys["alice"], keys["bob"])
    path = git_vault.put(keys.encrypt(b"s", "alice", "stranger"))
    commit(git_vault)
    report = mend(git_vault)
    assert (report.removed, report.added, len(report.reported)) == ([SERVER], [], 1)
    assert ids(path, keys) == {"alice"}
    assert len(mend(git_vault).reported) == 1


def test_a_recipient_without_a_usable_key_is_no_reason_to_write(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    name_readers(git_vault, keys["alice"], keys["expired"], keys["missing"])
    subjects = git_vault.subjects
    assert mend(git_vault) == RepairReport()
    assert git_vault.subjects == subjects


def test_what_cannot_be_written_again_for_everybody_is_reported(
    git_vault: Vault, keys: KeyRing, own_keys: KeyRing
) -> None:
    for every in ((), ("*",)):
        own_keys.gpg("--pinentry-mode", "loopback", "--quick-set-expire", keys["expired"], "0", *every)
    path = git_vault.put(own_keys.encrypt(b"s", "alice", "expired", "stranger"))
    name_readers(git_vault, keys["alice"], keys["expired"])
    before = path.read_bytes()
    (line,) = mend(git_vault).reported
    assert line.startswith(f"{SERVER} (bob): it cannot be encrypted anew for {keys['expired']}")
    assert path.read_bytes() == before


def test_hidden_readers_are_reported(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.put(keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",)))
    commit(git_vault)
    assert mend(git_vault).reported == [f"{SERVER} (bob): its readers are hidden, and not as many as its recipients"]


def test_a_newer_key_elsewhere_is_not_undone(git_vault: Vault, keys: KeyRing) -> None:
    """Bob has a new subkey, which another member's machine knows and this one does not."""
    bob = bytes.fromhex(subkeys(keys, "bob")[0])
    path = git_vault.put(keys.encrypt(b"s", "alice", "bob").replace(bob, b"\x01" * 8))
    name_readers(git_vault, keys["alice"], keys["bob"])
    before = path.read_bytes()
    (line,) = mend(git_vault).reported
    assert line.endswith("cannot read it, but a key that is not in this keyring can")
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["devteam", "missing"])
def test_who_cannot_be_found_here_is_not_shut_out(git_vault: Vault, own_keys: KeyRing, line: str) -> None:
    """One of gpg's own groups, or a member whose key is not in this keyring, reads beside somebody who left.

    gpg 2.4 lists the keys of a group by its name, so there nobody has left.
    """
    git_vault.environ["GNUPGHOME"] = str(own_keys.home)
    (own_keys.home / "gpg.conf").write_text(f"group devteam = {own_keys['bob']} {own_keys['stranger']}\n")
    ciphertext = own_keys.encrypt(b"s", "alice", "bob", "stranger")
    if line == "missing":
        ciphertext = ciphertext.replace(bytes.fromhex(subkeys(own_keys, "bob")[0]), b"\x01" * 8)
    path = git_vault.put(ciphertext)
    name_readers(git_vault, own_keys["alice"], own_keys.fingerprints.get(line, line))
    report = mend(git_vault)
    named = own_keys.fingerprints.get(line, line)
    is_known = own_keys.gpg("--list-keys", named, check=False).returncode == 0
    reported = [f"{SERVER} (bob): it cannot be encrypted anew for {named} (not in this keyring)"]
    assert report.reported == ([] if is_known else reported)
    assert (report.removed, path.read_bytes()) == ([], ciphertext)


def test_a_recipient_who_is_named_by_a_subkey(git_vault: Vault, own_keys: KeyRing) -> None:
    """With a newer one beside it, which gpg takes for the key as a whole."""
    git_vault.environ["GNUPGHOME"] = str(own_keys.home)
    (old,) = subkeys(own_keys, "bob")
    listing = own_keys.gpg("--with-colons", "--list-keys", own_keys["bob"]).stdout.decode().splitlines()
    named = next(line.split(":")[9] for line in listing if line.startswith("fpr") and line.endswith(f"{old}:"))
    own_keys.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key", own_keys["bob"], "cv25519")
    name_readers(git_vault, own_keys["alice"], named)
    for subkey in subkeys(own_keys, "bob"):
        path = git_vault.put(own_keys.encrypt(b"s", "alice", f"{subkey}!"))
        commit(git_vault)
        before = path.read_bytes()
        assert mend(git_vault) == RepairReport()
        assert path.read_bytes() == before


def test_a_gpg_that_fails_is_no_missing_key(git_vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    path = git_vault.put(keys.encrypt(b"s", "alice", "bob"))
    name_readers(git_vault, keys["alice"], "bob@example.test")
    fails = "echo gpg: keyboxd fell over >&2; exit 2"
    gpg = script(tmp_path / "gpg", f'case "$*" in *--list-keys*bob@*) {fails};; esac; exec /usr/bin/gpg "$@"')
    git_vault.environ["PASSHELPER_GPG"] = gpg
    before = path.read_bytes()
    with pytest.raises(GpgError) as caught:
        mend(git_vault)
    assert str(caught.value) == (
        "gpg cannot look for the key bob@example.test: gpg: keyboxd fell over; run: passhelper doctor"
    )
    assert path.read_bytes() == before
    del git_vault.environ["PASSHELPER_GPG"]
    assert mend(git_vault) == RepairReport()


def test_what_this_machine_cannot_read_is_reported(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.put(keys.encrypt(b"s", "stranger"))
    git_vault.put(keys.encrypt(b"s", "alice", "bob"), OTHER)
    commit(git_vault)
    report = mend(git_vault)
    assert report.removed == [OTHER]
    assert report.reported[0].startswith(f"{SERVER} (bob): it is encrypted to ")


def test_a_locked_key(git_vault: Vault, own_keys: KeyRing) -> None:
    git_vault.environ["GNUPGHOME"] = str(own_keys.home)
    git_vault.put(own_keys.encrypt(b"s", "locked", "bob"))
    own_keys.gpg("--delete-secret-keys", own_keys["bob"])
    name_readers(git_vault, own_keys["locked"])
    (line,) = mend(git_vault).reported
    assert line.startswith(f"{SERVER} (bob): GPG key ")
    assert line.endswith(" is locked")
    git_vault.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    assert mend(git_vault) == RepairReport(removed=[SERVER])


def test_recipients_that_nobody_accepted(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    name_readers(git_vault, keys["alice"], keys["stranger"])
    del git_vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"]
    with pytest.raises(TrustError, match="recipients changed: \\+"):
        mend(git_vault)
    assert ids(git_vault.entry(), keys) == {"alice"}


@pytest.mark.parametrize("kind", ["runner", "override"])
def test_where_nothing_is_mended(git_vault: Vault, keys: KeyRing, kind: str) -> None:
    path = git_vault.put(keys.encrypt(b"s", "alice", "bob"))
    commit(git_vault)
    if kind == "runner":
        git_vault.git("config", "passhelper.ci", "true")
    else:
        git_vault.environ["PASSWORD_STORE_KEY"] = keys["alice"]
    assert mend(git_vault) == RepairReport()
    assert ids(path, keys) == {"alice", "bob"}
