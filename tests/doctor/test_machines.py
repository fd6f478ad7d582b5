"""Broken gpg, keys and recipients, each made for real: what the doctor finds, and what the verb says."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PASSPHRASE, Helper, KeyRing, Program, require, run
from support.worlds.doctors import SERVER, Doctor

from passhelper.doctor import key_checks

KEY_CHECKS = {check.id for check in key_checks.CHECKS}


def test_healthy(doctor: Doctor) -> None:
    report = doctor()
    assert report.troubled() == set()
    assert report.code == 0
    assert {name for name, check in report.checks.items() if check["status"] == "not checked"} == {
        "git.program", "git.identity", "git.lock", "git.unfinished", "git.pending", "git.changes",
        "git.transport", "git.remote", "git.pins",
    }  # fmt: skip
    assert report.checks["git.lock"]["reason"] == "the store is not a git repository"


def test_no_gpg(doctor: Doctor, helper: Helper, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "git", "readlink", "dirname", "sed", "env"):
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found
        (folder / name).symlink_to(found)
    path = f"{Path(helper.program).parent}:{folder}"
    report = doctor(PATH=path)
    cause, remedy = (
        "gpg not found in PATH",
        "install GnuPG (Debian and Ubuntu: apt-get install gnupg) or set PASSHELPER_GPG",
    )
    assert report.finding("gpg.program") == ("failed", cause, remedy)
    assert report.troubled() == {"gpg.program"}
    assert report.blocked_by("gpg.program") >= KEY_CHECKS | {"gpg.version", "gpg.agent", "store.drift", "store.bound"}
    assert helper.store(SERVER, "alice", "new", PATH=path).text == f"{cause}; {remedy}\n"


def test_home_of_another_user(doctor: Doctor, helper: Helper, own_keys: KeyRing) -> None:
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    if os.geteuid() == 0:
        require("setpriv")
        os.chown(own_keys.home, 65534, 65534)
        doctor.prefix = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]  # root without its powers
    else:
        own_keys.home.chmod(0)
    try:
        report = doctor()
        request = b'{"ServerURL":"%s","Username":"alice","Secret":"new"}' % SERVER.encode()
        answer = run([*doctor.prefix, helper.program, "store"], helper.environ, request)
        got = run([*doctor.prefix, helper.program, "get"], helper.environ, SERVER.encode())
    finally:
        own_keys.home.chmod(0o700)
    severity, cause, remedy = report.finding("gpg.home")
    assert severity == "failed"
    assert cause.startswith(f"GNUPGHOME {own_keys.home} belongs to uid ")
    assert "cannot be used by uid" in cause
    assert remedy == "run as its owner, or set GNUPGHOME to a directory of your own"
    assert report.troubled() == {"gpg.home"}
    assert report.blocked_by("gpg.home") >= KEY_CHECKS | {"gpg.socket", "gpg.agent"}
    for said in (answer, got):
        assert said.code == 1
        assert said.text.count("\n") == 1
        uid = cause.partition("belongs to ")[2].partition(" and")[0]
        assert said.text == f"GNUPGHOME {own_keys.home} belongs to {uid} and cannot be read; {remedy}\n"


def test_socket_path_too_long(doctor: Doctor, helper: Helper, own_keys: KeyRing, tmp_path: Path) -> None:
    home = tmp_path / ("x" * 110)
    shutil.copytree(own_keys.home, home, ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))
    home.chmod(0o700)
    report = doctor(GNUPGHOME=str(home))
    size = len(str(home / "S.gpg-agent"))
    cause = f"GNUPGHOME path too long: its agent socket needs {size} bytes, at most 107 fit"
    remedy = f"use a shorter GNUPGHOME than {home}"
    assert report.finding("gpg.socket") == ("failed", cause, remedy)
    assert report.troubled() == {"gpg.socket"}
    assert report.blocked_by("gpg.socket") >= KEY_CHECKS | {"gpg.agent"}
    assert helper.get(SERVER, GNUPGHOME=str(home)).text == f"{cause}; {remedy}\n"


def test_agent_killed_and_not_to_be_started(doctor: Doctor, helper: Helper, own_keys: KeyRing) -> None:
    (own_keys.home / "gpg.conf").write_text("no-autostart\n")
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    report = doctor()
    severity, cause, remedy = report.finding("gpg.agent")
    assert (severity, remedy) == ("failed", "run: gpg-connect-agent /bye")
    assert cause.startswith(f"no gpg-agent for {own_keys.home}: ")
    assert report.troubled() == {"gpg.agent"}
    assert report.blocked_by("gpg.agent") >= KEY_CHECKS
    said = helper.get(SERVER).text
    assert said.startswith(f"no gpg-agent for {own_keys.home}: ")
    assert said.endswith(f"; {remedy}\n")


def test_agent_that_does_not_answer(doctor: Doctor, own_keys: KeyRing) -> None:
    """It listens, as one that has been stopped does, and says nothing."""
    doctor.environ["GNUPGHOME"] = str(own_keys.home)
    own_keys.stop_agent()
    place = run(["gpgconf", "--list-dirs", "agent-socket"], own_keys.environ).text.strip()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(place)
        silent.listen(64)
        report = doctor()
    cause = f"gpg-agent for {own_keys.home} does not answer within 5 s"
    assert report.finding("gpg.agent") == ("failed", cause, "end the gpg-agent process; gpg starts a new one")
    assert report.blocked_by("gpg.agent") >= KEY_CHECKS


@pytest.fixture
def locked(healthy: dict[str, str], store: Path, own_keys: KeyRing) -> KeyRing:
    """The store is ``locked``'s, whose passphrase the agent knew until it was killed."""
    healthy["GNUPGHOME"] = str(own_keys.home)
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    return own_keys


def test_key_locked(doctor: Doctor, helper: Helper, locked: KeyRing, tmp_path: Path) -> None:
    assert helper.store(SERVER, "alice", "s").code == 0
    report = doctor()
    remedy = "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE"
    cause = f"GPG key {locked['locked']} locked <locked@example.test> is locked"
    assert report.finding("key.locked") == ("failed", cause, remedy)
    assert report.troubled() == {"key.locked"}
    assert report.blocked_by("key.locked") == {"store.bound"}
    assert helper.get(SERVER).text.endswith(f" is locked; {remedy}\n")

    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o644)
    report = doctor(PASSHELPER_PASSPHRASE_FILE=str(passphrase))
    what = f"{passphrase}, the passphrase, can be read by other users"
    assert report.finding("gpg.passphrase") == ("warning", what, f"run: chmod 600 {passphrase}")
    assert (report.troubled(), report.code) == ({"gpg.passphrase"}, 0)
    # Now the agent knows it; when it is killed, it knows it no more.
    assert doctor().troubled() == set()
    locked.stop_agent()
    assert doctor().troubled() == {"key.locked"}

    passphrase.write_text("wrong")
    passphrase.chmod(0o600)
    locked.stop_agent()
    _, cause, _ = doctor(PASSHELPER_PASSPHRASE_FILE=str(passphrase)).finding("key.locked")
    assert cause.startswith("the passphrase in PASSHELPER_PASSPHRASE_FILE does not unlock GPG key ")


def test_secure_memory_for_rsa(doctor: Doctor, locked: KeyRing, store: Path) -> None:
    conf = locked.home / "gpg-agent.conf"
    before = conf.read_text()
    new = ("--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", "rsa <rsa@example.test>", "rsa2048")
    locked.gpg(*new, "sign,encr", "never")
    listing = locked.gpg("--with-colons", "--list-keys", "rsa@example.test").stdout.decode().splitlines()
    (store / ".gpg-id").write_text(next(line.split(":")[9] for line in listing if line.startswith("fpr")) + "\n")
    hint = (
        "gpg-agent has secure memory for some thirty decryptions with an RSA key at a time; for more, add the line "
        f"auto-expand-secmem to {conf}, then run: gpgconf --kill gpg-agent && passhelper unlock"
    )
    report = doctor()
    assert (report.checks["key.memory"]["status"], report.checks["key.memory"]["notes"]) == ("ok", [hint])
    conf.write_text(f"{before}# auto-expand-secmem\n#x auto-expand-secmem\nauto-expand-secmem-x\n")
    assert doctor().checks["key.memory"]["notes"] == [hint]
    for line in ("auto-expand-secmem", " \tauto-expand-secmem 65536 # more"):
        conf.write_text(f"{before}{line}\n")
        assert doctor().checks["key.memory"]["notes"] == []
    conf.write_text(before)
    (store / ".gpg-id").write_text(locked["alice"] + "\n")
    assert doctor().checks["key.memory"]["notes"] == []


def test_key_expired(doctor: Doctor, helper: Helper, store: Path, keys: KeyRing) -> None:
    """Its key was made with ``--faked-system-time`` and ended in January 2020."""
    (store / ".gpg-id").write_text(keys["expired"] + "\n")
    report = doctor()
    cause = f"key {keys['expired']} expired <expired@example.test> expired on 2020-01-03"
    remedy = f"extend: gpg --quick-set-expire {keys['expired']} 1y"
    assert report.finding("key.expiry") == ("failed", cause, remedy)
    assert report.code == 1
    assert report.blocked_by("key.expiry") == {"key.trust"}
    said = helper.store(SERVER, "alice", "new").text
    assert "expired on 2020-01-03" in said
    assert remedy in said
    assert said.count("\n") == 1


def test_key_expires_soon(doctor: Doctor, helper: Helper, store: Path, own_keys: KeyRing) -> None:
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    fingerprint = own_keys["alice"]
    own_keys.gpg("--quick-set-expire", fingerprint, "10d")
    report = doctor()
    severity, cause, remedy = report.finding("key.expiry")
    assert (severity, report.code) == ("expiring", 5)
    assert cause.startswith(f"key {fingerprint} alice <alice@example.test> expires on ")
    assert cause.endswith((", in 9 days", ", in 10 days"))
    assert remedy == f"extend: gpg --quick-set-expire {fingerprint} 1y"
    assert helper.store(SERVER, "alice", "new").code == 0  # until then everything works
    assert doctor("--lead", "5").code == 0
    # The remedy is one.
    own_keys.gpg("--quick-set-expire", fingerprint, "1y")
    own_keys.gpg("--quick-set-expire", fingerprint, "20d", "*")
    _, cause, remedy = doctor().finding("key.expiry")
    assert cause.startswith(f"the encryption subkey of {fingerprint}")
    own_keys.gpg(*remedy.partition("gpg ")[2].replace("'", "").split())
    assert doctor().code == 0


def test_key_of_a_colleague_expires_soon(doctor: Doctor, store: Path, own_keys: KeyRing) -> None:
    doctor.environ["GNUPGHOME"] = str(own_keys.home)
    own_keys.gpg("--quick-set-expire", own_keys["bob"], "10d")
    own_keys.gpg("--yes", "--delete-secret-keys", own_keys["bob"])
    (store / ".gpg-id").write_text(f"{own_keys['alice']}\n{own_keys['bob']}\n")
    report = doctor()
    assert report.finding("key.expiry")[2] == (
        f"ask its owner to run: gpg --quick-set-expire {own_keys['bob']} 1y, and passhelper sync; then run: "
        "passhelper sync, or, with a key that you are sent, gpg --import KEYFILE"
    )
    assert report.code == 3  # and the entry is not his yet: drift comes before expiry


def test_a_revoked_subkey_keeps_no_key_going(doctor: Doctor, helper: Helper, own_keys: KeyRing) -> None:
    """The one that never expires counts no more once it is revoked."""
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    alice = own_keys["alice"]
    own_keys.gpg("--passphrase", "", "--quick-add-key", alice, "cv25519", "encr", "10d")
    assert doctor().code == 0
    own_keys.gpg("--command-fd", "0", "--edit-key", alice, stdin=b"key 1\nrevkey\ny\n0\n\ny\nsave\n")
    assert doctor().finding("key.expiry")[1].startswith(f"the encryption subkey of {alice} alice ")


def test_key_whose_primary_secret_part_is_elsewhere(
    doctor: Doctor, helper: Helper, store: Path, own_keys: KeyRing, keys: KeyRing
) -> None:
    """As one is told to keep it. Only that part can extend the key, so the remedy must not be typed here."""
    doctor.environ["GNUPGHOME"] = helper.environ["GNUPGHOME"] = str(own_keys.home)
    alice = own_keys["alice"]
    parts = own_keys.gpg("--export-secret-subkeys", alice).stdout
    own_keys.gpg("--yes", "--delete-secret-keys", alice)
    own_keys.gpg("--import", stdin=parts)
    keys_there = keys.copy(own_keys.home.parent / f"{own_keys.home.name}t")
    keys_there.gpg("--quick-set-expire", alice, "10d")
    own_keys.gpg("--import", stdin=keys_there.gpg("--export", alice).stdout)
    extend = f"extend: gpg --quick-set-expire {alice} 1y"
    remedy = f"its primary secret key is not here: where it is, {extend}; then import the key: gpg --import KEYFILE"
    assert doctor().finding("key.expiry")[2] == remedy
    assert own_keys.gpg("--quick-set-expire", alice, "1y", check=False).returncode != 0  # what was advised before
    keys_there.gpg(*extend.partition("gpg ")[2].split())
    own_keys.gpg("--import", stdin=keys_there.gpg("--export", alice).stdout)
    assert doctor().code == 0
    keys_there.stop_agent()


def test_sign_only_key(doctor: Doctor, helper: Helper, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(keys["signer"] + "\n")
    report = doctor()
    cause = f"recipient key {keys['signer']} signer <signer@example.test> has no encryption subkey"
    remedy = f"add one: gpg --quick-add-key {keys['signer']} cv25519 encr"
    assert report.finding("key.usable") == ("failed", cause, remedy)
    assert "key.trust" in report.blocked_by("key.usable")
    said = helper.store(SERVER, "alice", "new").text
    assert "has no encryption subkey" in said
    assert remedy in said


def test_only_a_sign_only_key(doctor: Doctor, own_keys: KeyRing, short_tmp: Path) -> None:
    home = short_tmp / "sign-only"
    home.mkdir(mode=0o700)
    ring = KeyRing(home, {})
    ring.gpg("--import", stdin=own_keys.gpg("--export-secret-keys", own_keys["signer"]).stdout)
    try:
        report = doctor(GNUPGHOME=str(home))
    finally:
        ring.stop_agent()
    _, cause, remedy = report.finding("key.own")
    assert "has no encryption subkey" in cause
    assert remedy.startswith("add one: gpg --quick-add-key")
    assert {"key.store", "key.locked", "store.bound"} <= report.blocked_by("key.own")


def test_unknown_recipient(doctor: Doctor, helper: Helper, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['missing']}\n")
    report = doctor()
    cause = f"recipient {keys['missing']} in .gpg-id is not in this keyring"
    assert report.finding("key.known") == ("failed", cause, "run: gpg --import KEYFILE")
    assert report.troubled() == {"key.known"}
    assert report.blocked_by("key.known") == {"key.trust"}
    said = helper.store(SERVER, "alice", "new").text
    assert f"{keys['missing']} is not in this keyring, run: gpg --import KEYFILE" in said


@pytest.fixture
def untrusting(healthy: dict[str, str], keys: KeyRing, short_tmp: Path) -> Iterator[KeyRing]:
    """A keyring of alice's own, who trusts herself and has got the stranger's key from somewhere."""
    home = Path(tempfile.mkdtemp(prefix="t", dir=short_tmp))
    ring = KeyRing(home, dict(keys.fingerprints))
    ring.gpg("--import", stdin=keys.gpg("--export-secret-keys", keys["alice"]).stdout)
    ring.gpg("--import-ownertrust", stdin=f"{keys['alice']}:6:\n".encode())
    ring.gpg("--import", stdin=keys.gpg("--export", keys["stranger"]).stdout)
    healthy["GNUPGHOME"] = str(home)
    yield ring
    ring.stop_agent()


def test_untrusted_recipient(doctor: Doctor, helper: Helper, store: Path, untrusting: KeyRing) -> None:
    keys = untrusting
    (store / ".gpg-id").write_text(f"{keys['alice']}\nstranger@example.test\n")
    report = doctor()
    _, cause, remedy = report.finding("key.trust")
    assert "stranger@example.test is not trusted by this keyring" in cause
    assert keys["stranger"] in cause  # the line to write instead
    assert remedy
    said = helper.store(SERVER, "alice", "new").text
    assert "stranger@example.test is not trusted by this keyring" in said
    # --fix does not vouch for a key that gpg does not trust.
    doctor("--fix")
    assert "stranger@example.test" in (store / ".gpg-id").read_text()


def test_no_secret_key_for_the_store(doctor: Doctor, helper: Helper, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(keys["stranger"] + "\n")
    assert helper.store(SERVER, "alice", "new").code == 0
    report = doctor()
    _, cause, remedy = report.finding("key.store")
    assert cause.startswith("no secret key for the store: ")
    assert remedy.startswith("ask a member to run: passhelper recipients add ")
    assert report.finding("store.readable")[1].startswith("1 entries are encrypted to none of this machine's keys")
    assert report.blocked_by("key.store") == {"key.locked", "key.memory", "store.bound"}
    assert helper.get(SERVER).text.startswith("no secret key for ")


def test_no_secret_key_at_all(doctor: Doctor, helper: Helper, keys: KeyRing, short_tmp: Path) -> None:
    home = short_tmp / "no-secret-key"
    home.mkdir(mode=0o700)
    ring = KeyRing(home, {})
    try:
        report = doctor(GNUPGHOME=str(home))
        _, cause, remedy = report.finding("key.own")
        assert cause == f"no secret key in {home}"
        assert remedy == "run: passhelper setup --generate-key, or gpg --import"
        assert {"key.store", "key.locked"} <= report.blocked_by("key.own")
        assert "no secret key for" in helper.get(SERVER, GNUPGHOME=str(home)).text
    finally:
        ring.stop_agent()


def test_home_that_is_not_there(doctor: Doctor, tmp_path: Path) -> None:
    report = doctor(GNUPGHOME=str(tmp_path / "nowhere"))
    assert report.finding("gpg.home")[1] == f"GNUPGHOME {tmp_path / 'nowhere'} does not exist"
    assert not (tmp_path / "nowhere").exists()


def test_old_gpg(doctor: Doctor, tmp_path: Path, installed: Program) -> None:
    """A program that says so: no GnuPG 2.0 is to be had any more."""
    old = tmp_path / "gpg"
    old.write_text("#!/bin/sh\necho 'gpg (GnuPG) 2.0.30'\n")
    old.chmod(0o755)
    report = doctor(PASSHELPER_GPG=str(old))
    assert report.finding("gpg.version")[1] == "gpg (GnuPG) 2.0.30 is too old"
    assert report.blocked_by("gpg.version") >= KEY_CHECKS


def test_locked_key_where_somebody_can_answer(doctor: Doctor, helper: Helper, locked: KeyRing) -> None:
    """There gpg asks when it is needed: worth a line, no failure. The doctor itself asks nobody."""
    assert helper.store(SERVER, "alice", "s").code == 0
    report = doctor(PASSHELPER_NONINTERACTIVE="0")
    assert report.finding("key.locked")[0] == "warning"
    assert report.code == 0
    assert report.checks["store.bound"]["reason"] == "no entry opens without a prompt"
