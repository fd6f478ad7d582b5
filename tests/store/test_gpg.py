"""gpg driven directly: real keys, real failures, one stable message for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import FOLDER, PASSPHRASE, KeyRing, run
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import (
    ConfigurationError,
    EntryError,
    GpgError,
    GpgNotFoundError,
    LockedKeyError,
    NoSecretKeyError,
    PasshelperError,
    RecipientsError,
)
from passhelper.store import keyinfo
from passhelper.store.child import Child, finish
from passhelper.store.cipher import has_ended_well
from passhelper.store.gpg import Gpg
from passhelper.store.packets import key_ids

REPOSITORY = Path(__file__).parents[2]
LABEL = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"
VERB = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from passhelper.store.helper import main; main()"


def failure(kind: type[PasshelperError], verb: Callable[..., object], *arguments: object, **named: object) -> str:
    """The text of the error that a verb raises."""
    with pytest.raises(kind) as caught:
        verb(*arguments, **named)
    assert type(caught.value) is kind
    return str(caught.value)


def subkey(ring: KeyRing, name: str) -> str:
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode()
    return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))


def recipients(vault: Vault, *lines: str) -> None:
    (vault.path / ".gpg-id").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def own(vault: Vault, own_keys: KeyRing) -> Vault:
    """A store whose keyring and agent are this test's own."""
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    return vault


@pytest.fixture
def locked(own: Vault, own_keys: KeyRing) -> Vault:
    """A store whose only key has a passphrase, which the agent does not hold."""
    recipients(own, own_keys["locked"])
    own.store()
    return own


@pytest.fixture
def spy(vault: Vault, tmp_path: Path) -> Callable[[], list[dict[str, object]]]:
    """A gpg that writes down each call's arguments and environment and then does its work."""
    log = tmp_path / "calls"
    program = tmp_path / "spy"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"print(json.dumps({{'argv': sys.argv[1:], 'environ': dict(os.environ)}}), file=open({str(log)!r}, 'a'))\n"
        "os.execv('/usr/bin/gpg', ['gpg', *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    vault.environ["PASSHELPER_GPG"] = str(program)
    return lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# A locked key and nobody to ask


def test_a_locked_key_fails_at_once_where_nobody_can_answer(locked: Vault, own_keys: KeyRing) -> None:
    assert failure(LockedKeyError, locked.get) == (
        f"GPG key {subkey(own_keys, 'locked')} is locked; run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE"
    )


@pytest.mark.parametrize(
    "settings", [{"CI": "true"}, {"PASSHELPER_NONINTERACTIVE": "1"}, {}], ids=["ci", "set", "no-terminal"]
)
def test_the_program_says_so_on_both_streams(locked: Vault, settings: dict[str, str]) -> None:
    del locked.environ["PASSHELPER_NONINTERACTIVE"]
    answer = run([sys.executable, "-I", "-S", "-c", VERB, "get"], {**locked.environ, **settings}, SERVER.encode())
    assert answer.code == 1
    assert b" is locked; run: passhelper unlock" in answer.out
    assert answer.err == b"docker-credential-pass: " + answer.out
    assert answer.out.count(b"\n") == 1


@pytest.mark.parametrize(
    "variable", ["PASSHELPER_PASSPHRASE", "PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD"]
)
def test_a_configured_passphrase_unlocks(locked: Vault, tmp_path: Path, variable: str) -> None:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    with open(file, "rb") as opened:
        values = {"": PASSPHRASE, "_FILE": str(file), "_FD": str(opened.fileno())}
        locked.environ[variable] = values[variable.removeprefix("PASSHELPER_PASSPHRASE")]
        assert locked.get() == ("bob", "s3cret")


def test_the_passphrase_is_tried_once_and_shown_to_nobody(
    locked: Vault, own_keys: KeyRing, spy: Callable[[], list[dict[str, object]]]
) -> None:
    locked.environ["PASSHELPER_PASSPHRASE"] = "c4n4ry-wrong"
    message = failure(LockedKeyError, locked.get)
    key = subkey(own_keys, "locked")
    assert message == f"the passphrase in PASSHELPER_PASSPHRASE does not unlock GPG key {key}"
    calls = spy()
    tries = [call for call in calls if "loopback" in str(call["argv"])]
    assert len(tries) == 1
    assert "c4n4ry" not in json.dumps(calls)
    assert "PASSHELPER_PASSPHRASE" not in json.dumps(calls)


def test_an_agent_that_holds_the_key_needs_no_passphrase(
    own: Vault, spy: Callable[[], list[dict[str, object]]]
) -> None:
    own.store()
    own.environ["PASSHELPER_PASSPHRASE_FILE"] = "/nonexistent"
    assert own.get() == ("bob", "s3cret")
    assert all("loopback" not in str(call["argv"]) for call in spy())


def test_a_passphrase_that_cannot_be_read_is_what_the_error_is_about(locked: Vault) -> None:
    locked.environ["PASSHELPER_PASSPHRASE_FILE"] = "/nonexistent/file"
    message = failure(ConfigurationError, locked.get)
    assert (
        message
        == "cannot read PASSHELPER_PASSPHRASE_FILE (/nonexistent/file): No such file or directory; check its path"
    )


def test_a_passphrase_is_never_tried_as_a_cards_pin(locked: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    """No card is at hand: the keyring's listing says that the key is on one."""
    key = subkey(own_keys, "locked")
    card = f"ssb:u:255:18:{key}:1::::::e:::D2760001240102000005000011112222"
    marks = tmp_path / "tries"
    locked.environ["PASSHELPER_GPG"] = script(
        tmp_path / "card",
        f'case "$*" in *--list-secret-keys*) echo "{card}::cv25519:";; '
        f'*loopback*) touch {marks};; *) exec /usr/bin/gpg "$@";; esac',
    )
    locked.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    assert failure(ConfigurationError, locked.get) == (
        f"GPG key {key} is on a card, so PASSHELPER_PASSPHRASE is not tried as its PIN; "
        "unset PASSHELPER_PASSPHRASE and run: passhelper unlock"
    )
    assert not marks.exists()


def test_todays_work_around_still_works(locked: Vault, tmp_path: Path) -> None:
    """A user's own pinentry mode in PASSWORD_STORE_GPG_OPTS wins over ours."""
    (tmp_path / "p").write_text(PASSPHRASE)
    locked.environ["PASSWORD_STORE_GPG_OPTS"] = f"--pinentry-mode loopback\n  --passphrase-file {tmp_path}/p "
    assert locked.get() == ("bob", "s3cret")


def test_an_agent_that_was_forwarded_takes_no_orders_about_prompts(
    own: Vault, own_keys: KeyRing, short_tmp: Path
) -> None:
    """The socket that is made for forwarding refuses pinentry modes; the entry is as good as it was."""
    own.store()
    home = short_tmp / "forwarded"
    home.mkdir(mode=0o700)
    ring = KeyRing(home, {})
    ring.gpg("--import", stdin=own_keys.gpg("--export").stdout)
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=ring.environ, check=True)  # keyboxd, if any, goes on running
    (home / "gpg.conf").write_text("no-autostart\n")
    (home / "S.gpg-agent").unlink(missing_ok=True)
    (home / "S.gpg-agent").symlink_to(own_keys.home / "S.gpg-agent.extra")
    subprocess.run(["gpgconf", "--launch", "gpg-agent"], env=own_keys.environ, check=True)
    own.environ["GNUPGHOME"] = str(home)
    assert failure(GpgError, own.get) == (
        f"gpg-agent is reached through its restricted socket, which refuses orders about prompts, so {LABEL} was not "
        "decrypted; set PASSHELPER_NONINTERACTIVE=0, and no passphrase: then it asks where it runs, if it has to"
    )
    own.environ["PASSHELPER_NONINTERACTIVE"] = "0"
    assert own.get() == ("bob", "s3cret")
    subprocess.run(["gpgconf", "--kill", "keyboxd"], env=ring.environ, check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)  # the agent removes its sockets at the same time


def test_store_needs_no_passphrase(locked: Vault) -> None:
    locked.store(secret="new")
    locked.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    assert locked.get() == ("bob", "new")


# Entries that cannot be decrypted


def test_no_secret_key(vault: Vault, keys: KeyRing) -> None:
    recipients(vault, keys["stranger"])
    vault.store()
    assert failure(NoSecretKeyError, vault.get) == (
        f"no secret key for {LABEL}: it is encrypted to {subkey(keys, 'stranger')}; "
        "ask a team member to run: passhelper recipients add KEY"
    )


def test_one_of_several_keys_is_enough(vault: Vault, keys: KeyRing) -> None:
    recipients(vault, keys["stranger"], keys["alice"], keys["locked"])
    vault.store()
    assert vault.get() == ("bob", "s3cret")


@pytest.fixture
def lonely(own: Vault, short_tmp: Path, own_keys: KeyRing) -> Iterator[KeyRing]:
    """A keyring that holds nothing but the locked key."""
    home = short_tmp / "lonely"
    home.mkdir(mode=0o700)
    ring = KeyRing(home, {"locked": own_keys["locked"]})
    secret = own_keys.gpg(
        "--pinentry-mode", "loopback", "--passphrase", PASSPHRASE, "--export-secret-keys", own_keys["locked"]
    ).stdout
    ring.gpg("--pinentry-mode", "loopback", "--passphrase", PASSPHRASE, "--import", stdin=secret)
    ring.stop_agent()
    own.environ["GNUPGHOME"] = str(home)
    yield ring
    ring.stop_agent()
    shutil.rmtree(home, ignore_errors=True)  # the agent removes its sockets at the same time


def test_hidden_recipients_are_tried(own: Vault, lonely: KeyRing, own_keys: KeyRing) -> None:
    """As ``throw-keyids`` in a gpg.conf makes all entries."""
    own.put(lonely.encrypt(b"x", "locked", options=("--throw-keyids",)))
    message = (
        f"no unlocked GPG key opens {LABEL}, whose recipients are hidden; "
        "run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE"
    )
    assert failure(LockedKeyError, own.get) == message
    own.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    assert own.get() == ("bob", "x")
    own.put(own_keys.encrypt(b"x", "alice", options=("--throw-keyids",)))
    assert failure(LockedKeyError, own.get) == message


@pytest.mark.parametrize("names", [("alice",), ("bob",), ("stranger", "bob"), ("bob", "stranger"), ("locked", "bob")])
def test_hidden_recipients_and_several_secret_keys(own: Vault, own_keys: KeyRing, names: tuple[str, ...]) -> None:
    """gpg tries all its keys, and exits with 2 because of those that were the wrong ones."""
    for secret in ("x", "x" * 3000):
        own.put(own_keys.encrypt(secret.encode(), *names, options=("--throw-keyids",)))
        assert own.get() == ("bob", secret)


HIDDEN = "ENC_TO 0000000000000000 18 0"
OPENED = (
    "DECRYPTION_KEY F F u|BEGIN_DECRYPTION|DECRYPTION_INFO 2 9 0|PLAINTEXT 62 1 x|"
    "DECRYPTION_OKAY|GOODMDC|END_DECRYPTION"
)


@pytest.mark.parametrize(
    ("code", "lines", "expected"),
    [
        (2, f"{HIDDEN}|ERROR pkdecrypt_failed 67108949|{OPENED}|FAILURE gpg-exit 33554433", True),
        (2, f"ENC_TO 0000000000000001 18 0|{OPENED}|FAILURE gpg-exit 33554433", False),
        (2, f"{HIDDEN}|{OPENED.replace('2 9 0', '0 9 2')}", True),
        (2, f"{HIDDEN}|{OPENED.replace('2 9 0', '0 9 0')}", False),
        (2, f"{HIDDEN}|{OPENED.replace('2 9 0', '0 9')}", False),
        (2, f"{HIDDEN}|{OPENED.replace('DECRYPTION_INFO 2 9 0|', '')}", False),
        (1, f"{HIDDEN}|{OPENED}", False),
        (-9, f"{HIDDEN}|{OPENED}", False),
        (2, f"{HIDDEN}|{OPENED.replace('GOODMDC', 'BADMDC')}", False),
        (2, f"{HIDDEN}|{OPENED.replace('|END_DECRYPTION', '')}", False),
        (2, f"{HIDDEN}|{OPENED}|DECRYPTION_FAILED", False),
        (2, f"{HIDDEN}|{OPENED}|NODATA 3", False),
        (2, f"{HIDDEN}|{OPENED}|FAILURE decrypt 4294967295", False),
        (2, f"{HIDDEN}|{OPENED}|ERROR write 5", False),
        (0, "", True),
    ],
)
def test_an_exit_status_of_2_is_forgiven_for_other_keys_only(
    environ: dict[str, str], code: int, lines: str, expected: bool
) -> None:
    child = Child(["/bin/true"], environ)
    finish([child], 20)
    child.returncode = code
    assert has_ended_well(child, [line.split(" ") for line in lines.split("|")]) is expected


AGAIN = "restore it from git, or store the credential again"
RESTORE = "restore it from git, or erase it and store it again"


CONTENT = "its content does not match its check sum"


@pytest.mark.parametrize("position", [20, 60, 120, 150, 160, -30, -1])
@pytest.mark.parametrize("compress", [(), ("-z", "0")], ids=["compressed", "plain"])
def test_a_damaged_entry_may_be_restored_and_is_not_to_be_erased(
    vault: Vault, keys: KeyRing, position: int, compress: tuple[str, ...]
) -> None:
    message = bytearray(keys.encrypt(bytes(range(256)) * 20, "alice", options=compress))
    message[position] ^= 0x55
    vault.put(bytes(message))
    with pytest.raises(PasshelperError) as caught:
        vault.get()
    why = f"what it holds for GPG key {subkey(keys, 'alice')} does not match its check sum"
    if position > 100 or position < 0:  # a damaged stream may end gpg before it has seen the check sum
        assert CONTENT in caught.value.cause or "zlib inflate problem: " in caught.value.cause
    else:
        assert caught.value.cause == f"{LABEL} is damaged: {why}"
    assert caught.value.remedy == AGAIN
    vault.store(secret="again")
    assert vault.get() == ("bob", "again")


@pytest.mark.parametrize("size", [100, 130, 1000])
@pytest.mark.parametrize("compress", [(), ("-z", "0")], ids=["compressed", "plain"])
def test_a_truncated_entry_is_no_message(vault: Vault, keys: KeyRing, size: int, compress: tuple[str, ...]) -> None:
    vault.put(keys.encrypt(os.urandom(5000), "alice", options=compress)[:size])
    assert failure(EntryError, vault.get) == f"{LABEL} is not an entry: it is truncated; {RESTORE}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"\x84", "it is truncated"),
        (b"s3cret", "it is not an OpenPGP message"),
        (b"\0" * 512, "it is not an OpenPGP message"),
        (b"-----BEGIN PGP MESSAGE-----\n\n", "it is truncated"),
    ],
)
def test_what_is_no_entry_never_reaches_gpg(vault: Vault, content: bytes, why: str) -> None:
    vault.put(content)
    vault.environ["PASSHELPER_GPG"] = "/nonexistent"
    assert failure(EntryError, vault.get) == f"{LABEL} is not an entry: {why}; {RESTORE}"
    assert vault.list() == {SERVER: "bob"}


def test_an_entry_after_the_entry(vault: Vault, keys: KeyRing) -> None:
    message = keys.encrypt(b"s3cret", "alice")
    for more in (b"trailing", message):
        vault.put(message + more)
        assert failure(EntryError, vault.get) == f"{LABEL} is not an entry: something follows its end; {AGAIN}"


def test_a_password_message_hidden_inside_an_entry_opens_nothing(vault: Vault, keys: KeyRing) -> None:
    """Encrypted to the right key, so only gpg finds out what is inside."""
    password = ("--pinentry-mode", "loopback", "--passphrase", "x")
    inner = keys.gpg(*password, "--symmetric", stdin=b"s3cret").stdout
    message = (
        f"{LABEL} asks for a password of its own; type none; find out who wrote it, then store the credential again"
    )
    vault.put(keys.encrypt(inner, "alice", options=("--no-literal", "-z", "0")))
    assert failure(EntryError, vault.get) == message
    vault.put(keys.encrypt(b"s3cret", "alice") + inner)
    assert failure(EntryError, vault.get) == message


def test_nobody_is_asked_for_the_password_of_an_entry(vault: Vault, own_keys: KeyRing, tmp_path: Path) -> None:
    """Where somebody could answer: gpg is ended while its question is on the screen."""
    pinentry = script(tmp_path / "pinentry", "echo asked >> $PINENTRY_LOG; exec sleep 100")
    log = tmp_path / "log"
    (own_keys.home / "gpg-agent.conf").write_text(f"pinentry-program {pinentry}\n")
    vault.environ.update(GNUPGHOME=str(own_keys.home), PASSHELPER_NONINTERACTIVE="0", PINENTRY_LOG=str(log))
    password = ("--pinentry-mode", "loopback", "--passphrase", "x")
    inner = own_keys.gpg(*password, "--symmetric", stdin=b"s3cret").stdout
    own_keys.stop_agent()  # the next one reads its configuration and our environment
    vault.put(own_keys.encrypt(b"s3cret", "alice") + inner)
    message = (
        f"{LABEL} asks for a password of its own; type none; find out who wrote it, then store the credential again"
    )
    assert failure(EntryError, vault.get) == message


def test_an_entry_that_expands_is_ended(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"\0" * (3 << 20), "alice"))
    assert failure(EntryError, vault.get) == (f"{LABEL} expands to more than 2097152 bytes; store the credential again")
    vault.put(keys.encrypt(b"x" * (2 << 20), "alice"))
    assert vault.get() == ("bob", "x" * (2 << 20))


OKAY = "[GNUPG:] ENC_TO 1111111111111111 18 0\\n[GNUPG:] PLAINTEXT 62 1 x\\n"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("", 0),
        (OKAY, 0),
        (OKAY + "[GNUPG:] DECRYPTION_OKAY\\n", 2),
        ("[GNUPG:] DECRYPTION_OKAY\\n", 0),
        (OKAY + "[GNUPG:] PLAINTEXT 62 2 y\\n[GNUPG:] DECRYPTION_OKAY\\n", 0),
        (OKAY + " [GNUPG:] DECRYPTION_OKAY\\n", 0),
    ],
    ids=["silent", "not-encrypted", "exit-2", "no-plaintext", "two-plaintexts", "not-a-status"],
)
def test_plaintext_counts_only_if_gpg_says_that_it_was_encrypted(
    vault: Vault, keys: KeyRing, tmp_path: Path, status: str, code: int
) -> None:
    vault.put(keys.encrypt(b"x", "alice"))
    vault.environ["PASSHELPER_GPG"] = script(
        tmp_path / "liar",
        'while [ "$1" != --status-fd ]; do shift; done\n'
        f'echo s3cret; printf "{status}" > /dev/fd/$2; echo "some words" >&2; exit {code}',
    )
    with pytest.raises(PasshelperError) as caught:
        vault.get()
    assert "s3cret" not in str(caught.value)
    assert LABEL in str(caught.value)


def test_the_last_line_of_an_unknown_failure_is_quoted(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.put(keys.encrypt(b"x", "alice"))
    for code, quoted in (
        ("echo first >&2; printf 'gpg: last \\033[2J\\n\\n' >&2", "gpg: last ?[2J"),
        ("true", "exit status 9"),
    ):
        vault.environ["PASSHELPER_GPG"] = script(
            tmp_path / "g", f'case "$*" in *--list-keys*) exec /usr/bin/gpg "$@";; esac; {code}; exit 9'
        )
        assert failure(GpgError, vault.get) == f"gpg failed on {LABEL}: {quoted}"
        assert failure(GpgError, vault.store) == f"gpg could not encrypt: {quoted}"


# Recipients


def test_all_unusable_recipients_are_named_at_once_and_nothing_is_written(vault: Vault, keys: KeyRing) -> None:
    recipients(vault, keys["alice"], keys["expired"], keys["missing"], keys["signer"], "nobody@example.test")
    before = vault.tree
    expired, signer = keys["expired"], keys["signer"]
    assert failure(RecipientsError, vault.store) == (
        "cannot encrypt for 4 of 5 recipients in .gpg-id: "
        f"key {expired} expired <expired@example.test> expired on 2020-01-03, "
        f"extend: gpg --quick-set-expire {expired} 1y; "
        f"{keys['missing']} is not in this keyring, run: gpg --import KEYFILE; "
        f"key {signer} signer <signer@example.test> has no encryption subkey, "
        f"add one: gpg --quick-add-key {signer} cv25519 encr; "
        "nobody@example.test is not in this keyring, run: gpg --import KEYFILE"
    )
    assert vault.tree == before


def test_unusable_recipients_are_left_out_on_request(vault: Vault, keys: KeyRing) -> None:
    recipients(vault, keys["alice"], keys["expired"], keys["missing"])
    vault.environ["PASSHELPER_SKIP_UNUSABLE"] = "1"
    vault.store()
    assert key_ids(vault.entry().read_bytes()) == [subkey(keys, "alice")]
    expired, start = keys["expired"], "not encrypted for a recipient in .gpg-id: "
    first, second = vault.warnings
    assert first == (
        f"{start}key {expired} expired <expired@example.test> expired on 2020-01-03, "
        f"extend: gpg --quick-set-expire {expired} 1y"
    )
    assert second == f"{start}{keys['missing']} is not in this keyring, run: gpg --import KEYFILE"


@pytest.mark.parametrize("others", [(), ("stranger",)], ids=["nobody", "nobody-here"])
def test_somebody_here_must_be_left(vault: Vault, keys: KeyRing, others: tuple[str, ...]) -> None:
    recipients(vault, *(keys[name] for name in others), keys["missing"])
    vault.environ["PASSHELPER_SKIP_UNUSABLE"] = "1"
    before = vault.tree
    assert failure(RecipientsError, vault.store) == (
        "no usable recipient in .gpg-id has a secret key here: "
        f"{keys['missing']} is not in this keyring, run: gpg --import KEYFILE"
    )
    assert vault.tree == before


def test_nothing_is_skipped_where_all_are_usable(vault: Vault, keys: KeyRing) -> None:
    vault.environ["PASSHELPER_SKIP_UNUSABLE"] = "1"
    recipients(vault, keys["alice"], keys["stranger"])
    vault.store()
    assert (len(key_ids(vault.entry().read_bytes())), vault.warnings) == (2, [])


def test_an_expired_key_still_reads(own: Vault, own_keys: KeyRing) -> None:
    own.put(own_keys.encrypt(b"old", "expired", options=("--faked-system-time", "20200101T120000")))
    assert own.get() == ("bob", "old")


def test_a_revoked_key(own: Vault, own_keys: KeyRing) -> None:
    alice = own_keys["alice"]
    own.store()
    certificate = (own_keys.home / "openpgp-revocs.d" / f"{alice}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    own_keys.gpg("--import", stdin=certificate.encode())
    assert failure(RecipientsError, own.store) == (
        f"cannot encrypt for 1 of 1 recipients in .gpg-id: key {alice} alice <alice@example.test> has been revoked"
    )
    assert own.get() == ("bob", "s3cret")


def test_an_encryption_subkey_that_has_expired(own: Vault, own_keys: KeyRing) -> None:
    alice = own_keys["alice"]
    own_keys.gpg("--quick-set-expire", alice, "seconds=1", "*")
    time.sleep(2)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert failure(RecipientsError, own.store) == (
        f"cannot encrypt for 1 of 1 recipients in .gpg-id: key {alice} alice <alice@example.test> has an "
        f"encryption subkey that expired on {day}, extend: gpg --quick-set-expire {alice} 1y '*'"
    )


@pytest.fixture
def doubtful(own: Vault, own_keys: KeyRing) -> Vault:
    """A store for bob, whose key is there but trusted by nobody."""
    own_keys.gpg("--import-ownertrust", stdin=f"{own_keys['bob']}:2:\n".encode())
    own_keys.gpg("--check-trustdb")
    return own


@pytest.mark.parametrize("line", ["bob@example.test", "bob <bob@example.test>", "bob", "{id}"])
def test_a_key_that_is_not_named_by_fingerprint_must_be_trusted(doubtful: Vault, own_keys: KeyRing, line: str) -> None:
    bob = own_keys["bob"]
    line = line.format(id=bob[-16:])
    recipients(doubtful, own_keys["alice"], line)
    before = doubtful.tree
    assert failure(RecipientsError, doubtful.store) == (
        f"cannot encrypt for 1 of 2 recipients in .gpg-id: {line} is not trusted by this keyring, "
        f"replace the line {line!r} in .gpg-id with its owner's full fingerprint, which may be {bob} bob "
        "<bob@example.test>"
    )
    assert doubtful.tree == before


def test_one_name_that_is_no_fingerprint_puts_the_whole_call_under_gpgs_rules(
    doubtful: Vault, own_keys: KeyRing
) -> None:
    recipients(doubtful, "alice@example.test", own_keys["bob"])
    assert failure(RecipientsError, doubtful.store).endswith(
        f"{own_keys['bob']} is not trusted by this keyring, replace the line 'alice@example.test' in .gpg-id with full "
        "fingerprints"
    )


@pytest.mark.parametrize("form", ["{}", "0x{}", "{}!"])
def test_a_fingerprint_is_a_statement_of_trust(doubtful: Vault, own_keys: KeyRing, form: str) -> None:
    bob = own_keys["bob"].lower() if form == "{}" else own_keys["bob"]
    if form.endswith("!"):  # gpg then takes exactly this subkey
        listing = own_keys.gpg("--with-colons", "--list-keys", bob).stdout.decode().splitlines()
        bob = [line.split(":")[9] for line in listing if line.startswith("fpr")][1]
    recipients(doubtful, form.format(bob))
    doubtful.store()
    assert doubtful.get() == ("bob", "s3cret")


def test_a_trusted_name_is_enough(vault: Vault) -> None:
    recipients(vault, "alice@example.test")
    vault.store()
    assert vault.get() == ("bob", "s3cret")


# What gpg is told


def test_one_gpg_for_each_verb_that_needs_one(vault: Vault, spy: Callable[[], list[dict[str, object]]]) -> None:
    vault.store()
    assert len(spy()) == 1
    vault.get()
    assert len(spy()) == 2
    vault.list()
    vault.erase()
    with pytest.raises(PasshelperError):
        vault.get()
    assert len(spy()) == 2


def test_the_users_options_come_last_and_are_split_at_white_space(
    vault: Vault, spy: Callable[[], list[dict[str, object]]]
) -> None:
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = " --comment  a\t--no-comments\n"
    vault.store()
    vault.get()
    encrypt, decrypt = (call["argv"] for call in spy())
    assert isinstance(encrypt, list)
    assert isinstance(decrypt, list)
    for argv, end in ((encrypt, "--recipient"), (decrypt, "--decrypt")):
        own = argv.index("--comment")
        assert argv[own : own + 3] == ["--comment", "a", "--no-comments"]
        # Behind them stand only those that keep a secret whole and on our pipe.
        assert argv[own + 3] == "--debug-level"
        assert {"--output", "--status-fd", "--max-output"} <= {*argv[own + 3 : argv.index(end)]}
        assert {"--batch", "--no-auto-key-locate", "--no-auto-key-retrieve", "--status-fd"} <= {*argv}
    assert {"--no-encrypt-to", "--compress-algo=none"} <= {*encrypt}
    assert "s3cret" not in json.dumps(spy())


def test_a_keyring_in_the_users_options_is_used_for_everything(vault: Vault, keys: KeyRing) -> None:
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = f"--homedir {keys.home}"
    vault.environ["GNUPGHOME"] = "/nonexistent"
    vault.store()
    assert vault.get() == ("bob", "s3cret")
    recipients(vault, keys["expired"])
    assert "expired on 2020-01-03" in failure(RecipientsError, vault.store)


@pytest.mark.parametrize("language", ["de_DE.UTF-8", "fr_FR", "C.UTF-8"])
def test_the_users_language_makes_no_difference(
    locked: Vault, spy: Callable[[], list[dict[str, object]]], language: str
) -> None:
    expected = failure(LockedKeyError, locked.get)
    locked.environ.update(LANG=language, LC_ALL=language, LC_MESSAGES=language, LANGUAGE="de:fr")
    assert failure(LockedKeyError, locked.get) == expected
    environ = spy()[-1]["environ"]
    assert isinstance(environ, dict)
    assert environ["LC_ALL"] == "C"
    assert "LANGUAGE" not in environ


def test_a_gpg_that_talks_on_both_streams_reaches_no_stream_of_ours(vault: Vault, tmp_path: Path) -> None:
    vault.environ["PASSHELPER_GPG"] = script(tmp_path / "g", '/usr/bin/gpg "$@"; code=$?; echo chatter >&2; exit $code')
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = "--verbose --verbose"
    command = [sys.executable, "-I", "-S", "-c", VERB]
    request = json.dumps({"ServerURL": SERVER, "Username": "bob", "Secret": "s3cret"}).encode()
    stored = run([*command, "store"], vault.environ, request)
    assert (stored.code, stored.out, stored.err) == (0, b"", b"")
    got = run([*command, "get"], vault.environ, SERVER.encode())
    assert (got.code, got.err) == (0, b"")
    assert got.json == {"ServerURL": SERVER, "Username": "bob", "Secret": "s3cret"}


# Finding gpg


def test_names_and_paths_of_gpg(vault: Vault, tmp_path: Path) -> None:
    os.symlink("/usr/bin/gpg", tmp_path / "mygpg")
    for chosen in ("/usr/bin/gpg", "gpg", str(tmp_path / "mygpg"), "mygpg"):
        vault.environ["PATH"] = f"{tmp_path}:/usr/bin"
        vault.environ["PASSHELPER_GPG"] = chosen
        vault.store(secret=chosen)
        assert vault.get() == ("bob", chosen)


def test_gpg2_is_taken_where_there_is_no_gpg(environ: dict[str, str], tmp_path: Path) -> None:
    script(tmp_path / "gpg2", "exit 0")
    assert Gpg({**environ, "PATH": str(tmp_path)}).program == f"{tmp_path}/gpg2"
    script(tmp_path / "gpg", "exit 0")
    assert Gpg({**environ, "PATH": str(tmp_path)}).program == f"{tmp_path}/gpg"


INSTALL = "install GnuPG (Debian and Ubuntu: apt-get install gnupg) or set PASSHELPER_GPG"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PATH": "/nonexistent"}, f"gpg not found in PATH; {INSTALL}"),
        ({"PATH": ""}, f"gpg not found in PATH; {INSTALL}"),
        ({"PATH": ".:bin:"}, f"gpg not found in PATH; {INSTALL}"),
        ({"PASSHELPER_GPG": "gpg-1.4"}, f"gpg-1.4 not found in PATH; {INSTALL}"),
        ({"PASSHELPER_GPG": "./gpg"}, "PASSHELPER_GPG must be an absolute path: ./gpg"),
        ({"PASSHELPER_GPG": "bin/gpg"}, "PASSHELPER_GPG must be an absolute path: bin/gpg"),
        ({"PASSHELPER_GPG": "/nonexistent/gpg"}, "PASSHELPER_GPG names /nonexistent/gpg, which cannot be run"),
        ({"PASSHELPER_GPG": "/etc/passwd"}, "PASSHELPER_GPG names /etc/passwd, which cannot be run"),
    ],
)
def test_no_gpg(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    """With a planted gpg in the working directory, which is never run."""
    vault.store()
    (tmp_path / "bin").mkdir()
    for planted in (tmp_path / "gpg", tmp_path / "bin" / "gpg"):
        script(planted, f"touch {tmp_path}/planted")
    monkeypatch.chdir(tmp_path)
    before = vault.tree
    vault.environ.update(settings)
    assert failure(GpgNotFoundError, vault.get) == message
    assert failure(GpgNotFoundError, vault.store, secret="new") == message
    assert vault.tree == before
    assert not (tmp_path / "planted").exists()
    assert vault.list() == {SERVER: "bob"}
    vault.erase()
    assert vault.list() == {}


def test_a_directory_is_no_gpg(vault: Vault) -> None:
    vault.environ["PASSHELPER_GPG"] = "/tmp"
    assert failure(PasshelperError, vault.store) == "cannot start /tmp: Permission denied"


# Time


def test_a_gpg_that_hangs_is_ended(vault: Vault, tmp_path: Path) -> None:
    vault.store()
    before = vault.tree
    vault.environ["PASSHELPER_GPG"] = script(tmp_path / "g", "exec sleep 600")
    vault.environ["PASSHELPER_TIMEOUT"] = "0.2"
    assert failure(GpgError, vault.get) == (
        f"gpg did not answer within 0.2 s for {LABEL}; check the passphrase prompt, or set PASSHELPER_TIMEOUT"
    )
    assert failure(GpgError, vault.store, secret="new") == "gpg did not encrypt within 0.2 s; set PASSHELPER_TIMEOUT"
    assert vault.tree == before


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", "86400", "1e9"])
def test_a_timeout_that_is_none(vault: Vault, value: str) -> None:
    vault.store()
    vault.environ["PASSHELPER_TIMEOUT"] = value
    message = (
        f"PASSHELPER_TIMEOUT is not a number of seconds: {value!r}; "
        "set it to a number above 0 and below 86400, such as 120"
    )
    assert failure(ConfigurationError, vault.get) == message
    assert failure(ConfigurationError, vault.store, secret="new") == message


def test_the_default_is_two_minutes(environ: dict[str, str]) -> None:
    assert Gpg(environ).deadline.seconds == 120.0
    assert Gpg({**environ, "PASSHELPER_TIMEOUT": "2.5"}).deadline.seconds == 2.5


# The agent and the keyring


def test_a_gnupghome_that_is_too_long_for_a_socket(vault: Vault, keys: KeyRing, short_tmp: Path) -> None:
    if Path(f"/run/user/{os.geteuid()}").exists():
        pytest.skip("gpg puts its sockets into /run/user here")
    vault.store()
    deep = short_tmp / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True, exist_ok=True)
    keys.copy(deep)
    vault.environ["GNUPGHOME"] = str(deep)
    size = len(f"{deep}/S.gpg-agent")
    assert failure(GpgError, vault.get) == (
        f"GNUPGHOME path too long: its agent socket needs {size} bytes, at most 107 fit; "
        f"use a shorter GNUPGHOME than {deep}"
    )
    if (keys.home / "public-keys.d").exists():  # the home of keyboxd, whose socket is too long as well
        assert failure(GpgError, vault.store).startswith("GNUPGHOME path too long: ")
    else:
        vault.store(secret="new")  # encryption needs no agent


def test_a_gnupghome_that_is_not_there(vault: Vault) -> None:
    vault.store()
    vault.environ["GNUPGHOME"] = "/nonexistent/home"
    assert failure(GpgError, vault.get) == "gpg has no keyring in /nonexistent/home; check GNUPGHOME"
    assert failure(GpgError, vault.store) == "gpg has no keyring in /nonexistent/home; check GNUPGHOME"
    del vault.environ["GNUPGHOME"]  # as a daemon whose user has no home
    vault.environ["HOME"] = "/nonexistent/home"
    assert failure(GpgError, vault.get) == "gpg has no keyring in /nonexistent/home/.gnupg; check GNUPGHOME"


def test_an_empty_keyring(vault: Vault, tmp_path: Path, short_tmp: Path) -> None:
    vault.store()
    empty = short_tmp / "empty-keyring"
    empty.mkdir(mode=0o700)
    vault.environ["GNUPGHOME"] = str(empty)
    assert failure(NoSecretKeyError, vault.get).startswith(f"no secret key for {LABEL}: ")
    subprocess.run(["gpgconf", "--kill", "all"], env=vault.environ, check=False)


def test_an_agent_that_cannot_be_started(own: Vault, own_keys: KeyRing) -> None:
    own.store()
    own_keys.stop_agent()
    (own_keys.home / "gpg.conf").write_text("no-autostart\n")
    message = failure(GpgError, own.get)
    assert message.startswith(f"no gpg-agent for {own_keys.home}: ")
    assert message.endswith("; run: gpg-connect-agent /bye")


# Listings


LISTING = """\
tru::1:1:0:3:1:5
sec:{validity}:255:22:AAAAAAAAAAAAAAAA:1:{expires}::u:::{capabilities}::::::23::0:
fpr:::::::::{fingerprint}:
uid:{uid}::::1::HASH::First \\x3a One\\x5c <first@example.test>::::::::::0:
uid:u::::1::HASH::Second:::::::::0:
ssb:{subkey}:255:18:BBBBBBBBBBBBBBBB:1:{subkey_expires}:::::{usage}::::::23:
fpr:::::::::{other}:
"""


@pytest.mark.parametrize(
    ("changes", "problem", "remedy"),
    [
        ({}, "", ""),
        ({"validity": "r"}, "has been revoked", ""),
        ({"validity": "r", "capabilities": "scESCD"}, "has been revoked", ""),  # enabling it would not help
        ({"validity": "i"}, "is invalid", ""),
        ({"validity": "e", "expires": "86400"}, "expired on 1970-01-02", "extend: gpg --quick-set-expire F 1y"),
        ({"capabilities": "scESCD"}, "is disabled", "run: gpg --edit-key F enable save"),
        ({"usage": "s"}, "has no encryption subkey", "add one: gpg --quick-add-key F cv25519 encr"),
        ({"subkey": "r"}, "has no encryption subkey", "add one: gpg --quick-add-key F cv25519 encr"),
        (
            {"subkey": "e", "subkey_expires": "172800"},
            "has an encryption subkey that expired on 1970-01-03",
            "extend: gpg --quick-set-expire F 1y '*'",
        ),
    ],
)
def test_what_is_wrong_with_a_key(changes: dict[str, str], problem: str, remedy: str) -> None:
    fields = {"validity": "u", "expires": "", "capabilities": "scESC", "uid": "u", "subkey": "u", "subkey_expires": "",
              "usage": "e", "fingerprint": "F" * 40, "other": "E" * 40}  # fmt: skip
    (key,) = keyinfo.parse_keys(LISTING.format(**{**fields, **changes}))
    assert (key.fingerprint, key.uid) == ("F" * 40, "First : One\\ <first@example.test>")
    assert (key.problem, key.remedy) == (problem, remedy.replace("F", "F" * 40))


def test_the_first_name_that_is_not_revoked_counts() -> None:
    fields = {"validity": "u", "expires": "", "capabilities": "scESC", "uid": "r", "subkey": "u", "subkey_expires": "",
              "usage": "e", "fingerprint": "F" * 40, "other": "E" * 40}  # fmt: skip
    (key,) = keyinfo.parse_keys(LISTING.format(**fields))
    assert key.uid == "Second"
    assert keyinfo.parse_keys("") == []
