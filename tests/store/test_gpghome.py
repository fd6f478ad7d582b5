"""Locks in gpg's home that somebody else holds: named with their holder, by everything that would wait for them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, KeyRing, Program, run
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.doctor import gpg_checks
from passhelper.doctor.context import Context
from passhelper.errors import GpgError, PasshelperError, RecipientsError
from passhelper.store import keyinfo
from passhelper.store.gpg import Gpg
from passhelper.team.keyring.keys import KeyRing as Keys
from passhelper.team.keyring.keys import NewKey

LABEL = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"
ELSEWHERE = "container-7"
WAITING = 'echo "gpg: waiting for lock (held by 4711) ..." >&2; exec sleep 60'
# A key of version 5, which gpg 2.4 has made.
NEWER_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mEkFaw2bWRYAAAA/AytlcQHEDYhWsB4Yzj2YDA6YLd0lq+kIGU8pCLHB4fCy2F4z
q4X2BDZLrL10vD3ifalw/PoS2buQKcxB48EAtBR2NSA8djVAZXhhbXBsZS50ZXN0
PojHBRMWCgBHIiEFfXk6QAMgHaq92Rhav0MopCYmPbNx4MIVdUj6z/CTvEYFAmsN
m1kCGwMFCwkIBwICIgIGFQoJCAsCBBYCAwECHgcCF4AAAIJHAcidIJIeYFItiwpt
CUQgawhqPKjdURIoVscsy+95nCZPhH5Gtv68al0zzKikKU6uiBcRrV7BHYyKDoAB
yPW8OC2t695hDcfX5CeBoa/93Ht1urofQ5vs4XqO1kLwScYEGMGQs8L234IEl8SO
NvTlw9c4s5cRAA==
=DKxE
-----END PGP PUBLIC KEY BLOCK-----
"""
NEWER_FINGERPRINT = "7D793A4003201DAABDD9185ABF4328A426263DB371E0C2157548FACFF093BC46"
NEWER = "GnuPG 2.4 and newer take version 5, and none takes version 6"


def lock(home: Path, name: str, host: str = ELSEWHERE, process: int = 4711) -> Path:
    """Hold a lock as gpg's dotlocks do: the process and the host, one line each."""
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{process:10d}\n{host}\n")
    return path


def told(path: Path) -> str:
    return (
        f"gpg waits for {path}, which process 4711 on {ELSEWHERE} holds; end it there (gpgconf --kill all); "
        f"only if that host or container is gone, run: rm {path}"
    )


def gpg_version() -> tuple[int, int]:
    first = subprocess.run(["gpg", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    numbers = first.split()[-1].split(".")
    return int(numbers[0]), int(numbers[1])


@pytest.fixture
def own(vault: Vault, own_keys: KeyRing) -> Vault:
    vault.environ.update(GNUPGHOME=str(own_keys.home), PASSHELPER_TIMEOUT="4")
    return vault


def test_the_command_to_type_helps(own: Vault, own_keys: KeyRing) -> None:
    """A key is made, and one is imported, while the keyring is locked from elsewhere: both end, and say why."""
    name = "public-keys.d/pubring.db.lock" if (own_keys.home / "public-keys.d").exists() else "pubring.kbx.lock"
    own_keys.stop_agent()
    path = lock(own_keys.home, name)
    wanted = NewKey("Carol", "carol@example.test")
    with pytest.raises(GpgError) as caught:
        Keys(Gpg(own.environ)).generate(wanted, None)
    assert str(caught.value) == told(path)
    subprocess.run(caught.value.remedy.rpartition("run: ")[2], shell=True, check=True)
    assert Keys(Gpg({**own.environ, "PASSHELPER_TIMEOUT": "60"})).generate(wanted, None).can_encrypt


def test_an_imported_key(own: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    file = tmp_path / "bob.asc"
    file.write_bytes(own_keys.gpg("--armor", "--export", own_keys["bob"]).stdout)
    own_keys.gpg("--delete-secret-and-public-key", own_keys["bob"])
    own_keys.stop_agent()
    name = "public-keys.d/pubring.db.lock" if (own_keys.home / "public-keys.d").exists() else "pubring.kbx.lock"
    path = lock(own_keys.home, name)
    with pytest.raises(GpgError) as caught:
        Keys(Gpg(own.environ)).import_file(str(file))
    assert str(caught.value) == told(path)


@pytest.mark.parametrize("name", ["pubring.kbx.lock", "public-keys.d/pubring.db.lock"])
def test_every_question_names_the_lock(own: Vault, own_keys: KeyRing, tmp_path: Path, name: str) -> None:
    """With a gpg that says what every version says while it waits."""
    own.store()
    path = lock(own_keys.home, name)
    own.environ.update(PASSHELPER_GPG=script(tmp_path / "g", WAITING), PASSHELPER_TIMEOUT="0.5")
    for verb in (own.get, lambda: own.store(secret="new")):
        with pytest.raises(GpgError) as caught:
            verb()
        assert str(caught.value) == told(path)
    with pytest.raises(GpgError) as caught:  # doctor's check does not blame gpg-agent
        list(gpg_checks._agent(Context(own.environ, 30)))
    assert str(caught.value) == told(path)
    lock(own_keys.home, name, host=socket.gethostname())
    with pytest.raises(GpgError) as caught:
        own.get()
    assert str(caught.value) == f"gpg waits for {path}, which process 4711 holds; wait until process 4711 ends"
    path.unlink()
    with pytest.raises(GpgError) as caught:
        own.get()
    assert str(caught.value) == f"gpg waits for a lock in {own_keys.home}, which process 4711 holds; try again"


def test_a_copied_lock_of_a_keyboxd_that_runs(own: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    """A home that was copied with its locks waits for the keyboxd of the first one, which does not end by itself."""
    own.store()
    own_keys.stop_agent()
    shutil.copy("/bin/sleep", tmp_path / "keyboxd")
    with subprocess.Popen([tmp_path / "keyboxd", "600"]) as daemon:
        path = lock(own_keys.home, "public-keys.d/pubring.db.lock", socket.gethostname(), daemon.pid)
        gpg = script(tmp_path / "g", WAITING.replace("4711", str(daemon.pid)))
        with pytest.raises(GpgError) as caught:
            Vault({**own.environ, "PASSHELPER_GPG": gpg, "PASSHELPER_TIMEOUT": "0.5"}).get()
        told = f"gpg waits for {path}, which keyboxd (process {daemon.pid}) holds; end it: kill {daemon.pid}"
        assert str(caught.value) == told
        subprocess.run(told.partition("end it: ")[2], shell=True, check=True)
        assert daemon.wait() == -signal.SIGTERM


def test_where_gpgs_home_is(environ: dict[str, str]) -> None:
    del environ["GNUPGHOME"]
    assert Gpg(environ).home == f"{environ['HOME']}/.gnupg"
    for options in ("--homedir /a", "--homedir=/a", "--verbose --homedir /a"):
        assert Gpg({**environ, "GNUPGHOME": "/b", "PASSWORD_STORE_GPG_OPTS": options}).home == "/a"
    assert Gpg({**environ, "GNUPGHOME": "/b"}).home == "/b"


# Secure memory


def failing(tmp_path: Path, times: int, code: int) -> str:
    """A gpg whose agent has no memory for some decryptions, and then does its work."""
    count = tmp_path / "count"
    return script(
        tmp_path / "short",
        f'case "$*" in *--decrypt*) echo x >> {count}; if [ "$(wc -l < {count})" -le {times} ]; then\n'
        'while [ "$1" != --status-fd ]; do shift; done\n'
        'printf "[GNUPG:] ENC_TO %s 1 0\\n[GNUPG:] ERROR pkdecrypt_failed %s\\n[GNUPG:] DECRYPTION_FAILED\\n" '
        f'"$KEY" {code} > /dev/fd/$2; echo "gpg: public key decryption failed: Cannot allocate memory" >&2\n'
        'exit 2; fi;; esac\nexec /usr/bin/gpg "$@"',
    )


def test_a_decryption_is_tried_again_when_memory_is_short(own: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    own.store()
    own.environ.update(PASSHELPER_GPG=failing(tmp_path, 4, 16810070), PASSHELPER_TIMEOUT="60")
    own.environ["KEY"] = subkey(own_keys, "alice")
    assert own.get() == ("bob", "s3cret")


def test_an_agent_that_stays_out_of_memory_is_named(own: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    own.store()
    own.environ.update(PASSHELPER_GPG=failing(tmp_path, 99, 16810070), PASSHELPER_TIMEOUT="60")
    own.environ["KEY"] = subkey(own_keys, "alice")
    with pytest.raises(GpgError) as caught:
        own.get()
    assert str(caught.value) == (
        f"gpg-agent is out of secure memory, so {LABEL} was not decrypted; try again; to give it more, add the line "
        f"auto-expand-secmem to {own_keys.home}/gpg-agent.conf, then run: gpgconf --kill gpg-agent && passhelper unlock"
    )


def subkey(ring: KeyRing, name: str) -> str:
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode()
    return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))


def test_many_gets_at_once(own: Vault, own_keys: KeyRing, installed: Program) -> None:
    """With an agent as the system sets it up; PASSHELPER_TEST_PARALLEL=40 runs so many, with an RSA-4096 key."""
    count = int(os.environ.get("PASSHELPER_TEST_PARALLEL", "0"))
    kind = "rsa4096" if count else "rsa2048"
    (own_keys.home / "gpg-agent.conf").write_text("s2k-count 65536\nallow-loopback-pinentry\n")
    own_keys.stop_agent()
    secret = ("--pinentry-mode", "loopback", "--passphrase", "pw pw")
    own_keys.gpg(*secret, "--quick-gen-key", "rsa <rsa@example.test>", kind, "default", "never")
    listing = own_keys.gpg("--with-colons", "--list-keys", "rsa@example.test").stdout.decode().splitlines()
    key = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
    own_keys.gpg(*secret, "--quick-add-key", key, kind, "encr", "never")
    (own.path / ".gpg-id").write_text(f"{key}\n")
    own.environ["PASSHELPER_TIMEOUT"] = "100"
    own.store()
    assert run([installed.helper, "get"], {**own.environ, "PASSHELPER_PASSPHRASE": "pw pw"}, SERVER.encode()).code == 0
    running = [
        subprocess.Popen([installed.helper, "get"], env=own.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count or 3)
    ]
    for each in running:  # only then does any of them begin
        assert each.stdin is not None
        each.stdin.write(SERVER.encode())
        each.stdin.close()
        each.stdin = None
    answers = [each.communicate()[0] for each in running]
    assert [answer for answer in answers if b'"Secret":"s3cret"' not in answer] == []


# Keys of a newer format


def test_a_key_file_of_a_newer_format(own: Vault, tmp_path: Path) -> None:
    own.environ["PASSHELPER_TIMEOUT"] = "60"
    file = tmp_path / "v5.asc"
    file.write_text(NEWER_KEY)
    if gpg_version() >= (2, 4):
        assert Keys(Gpg(own.environ)).import_file(str(file)).fingerprint == NEWER_FINGERPRINT
        return
    with pytest.raises(PasshelperError) as caught:
        Keys(Gpg(own.environ)).import_file(str(file))
    version = keyinfo.version(Gpg(own.environ))
    assert str(caught.value) == (
        f"{file} holds a key of version 5, which {version} does not take: {NEWER}; "
        "let its owner make a key of version 4"
    )


def test_a_recipient_of_a_newer_format(own: Vault) -> None:
    own.environ["PASSHELPER_TIMEOUT"] = "60"
    (own.path / ".gpg-id").write_text(f"{NEWER_FINGERPRINT}\n")
    with pytest.raises(RecipientsError) as caught:
        own.store()
    start = "cannot encrypt for 1 of 1 recipients in .gpg-id: "
    if gpg_version() >= (2, 4):
        assert str(caught.value) == f"{start}{NEWER_FINGERPRINT} is not in this keyring, run: gpg --import KEYFILE"
    else:
        version = keyinfo.version(Gpg(own.environ))
        assert str(caught.value) == (
            f"{start}{NEWER_FINGERPRINT} is a key of a newer format than {version} takes, {NEWER}"
        )
