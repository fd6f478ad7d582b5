"""Broken stores and ``.gpg-id`` files: what the doctor finds, what --fix does about it, what the verb says."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, run, tree
from support.worlds.doctors import SERVER, Doctor, git

DIRECTORY = base64.urlsafe_b64encode(SERVER.encode()).decode()
ODD = base64.urlsafe_b64encode(f"{SERVER}\n".encode()).decode()  # as echo would write it


@pytest.fixture
def entry(healthy: dict[str, str], store: Path) -> Path:
    return store / FOLDER / DIRECTORY / "alice.gpg"


def test_no_store(doctor: Doctor, helper: Helper, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    report = doctor(PASSWORD_STORE_DIR=missing)
    cause = f"no password store at {missing}"
    assert report.finding("store.path") == ("failed", cause, "run: passhelper setup, or set PASSWORD_STORE_DIR")
    assert report.troubled() == {"store.path"}
    assert missing in helper.store(SERVER, "a", "s", PASSWORD_STORE_DIR=missing).text
    report = doctor(PASSWORD_STORE_DIR="store")
    assert report.finding("store.path")[1] == "PASSWORD_STORE_DIR is relative: store"


def test_no_recipients(doctor: Doctor, helper: Helper, store: Path) -> None:
    (store / ".gpg-id").unlink()
    report = doctor()
    assert report.finding("store.recipients")[1] == f"password store not initialised at {store}"
    assert {"key.known", "key.expiry", "key.trust", "store.drift"} <= report.blocked_by("store.recipients")
    assert helper.store(SERVER, "a", "s").text.startswith("password store not initialised")


@pytest.mark.parametrize("content", [b"", b"\x99", b"garbage" * 20], ids=["empty", "truncated", "garbage"])
def test_corrupt_entry(doctor: Doctor, helper: Helper, entry: Path, content: bytes) -> None:
    entry.write_bytes(content)
    report = doctor()
    severity, cause, remedy = report.finding("store.entries")
    assert (severity, report.code) == ("failed", 1)
    assert cause.startswith(f"{FOLDER}/{DIRECTORY}/alice.gpg is not an entry: ")
    assert remedy == "restore it from git, or erase it and store it again"
    assert report.troubled() == {"store.entries"}
    assert helper.get(SERVER).text == f"{cause}; {remedy}\n"


def test_duplicate_usernames(doctor: Doctor, helper: Helper, entry: Path) -> None:
    shutil.copy(entry, entry.with_name("zoe.gpg"))
    report = doctor()
    cause = f"{SERVER} has 2 users (alice, zoe), and Docker gets alice"
    assert report.finding("store.users") == ("warning", cause, f"keep one: passhelper login {SERVER} -u USER")
    assert report.code == 1  # the copy is bound to another user's place
    assert report.finding("store.bound")[1].startswith("1 entries were moved here from another server: ")
    assert helper.get(SERVER).json["Username"] == "alice"
    assert helper.store(SERVER, "zoe", "s").code == 0  # the remedy
    assert doctor().troubled() == set()


def test_a_remedy_for_a_name_that_a_shell_would_run(doctor: Doctor, entry: Path) -> None:
    """Who may push chooses it, and what doctor advises is typed."""
    server = "x$(touch ran);y.example"
    folder = entry.parent.parent / base64.urlsafe_b64encode(server.encode()).decode()
    folder.mkdir()
    for user in ("alice", "zoe"):
        shutil.copy(entry, folder / f"{user}.gpg")
    remedy = doctor().finding("store.users")[2]
    assert shlex.split(remedy) == ["keep", "one:", "passhelper", "login", server, "-u", "USER"]


def test_one_registry_under_several_names(doctor: Doctor, helper: Helper) -> None:
    helper.store("registry.example/v2/", "bob", "s")
    severity, cause, remedy = doctor().finding("store.classes")
    erase = f"printf %s {SERVER} | PASSHELPER_STRICT=1 docker-credential-pass erase"
    assert (severity, remedy) == ("warning", f"erase those that you do not need, such as: {erase}")
    assert f"{SERVER} (alice), registry.example/v2/ (bob)" in cause
    path = f"{Path(helper.program).parent}:{helper.environ['PATH']}"
    assert run(["sh", "-c", erase], {**helper.environ, "PATH": path}).code == 0  # the remedy
    assert helper.list().json == {"registry.example/v2/": "bob"}
    assert "store.classes" not in doctor().troubled()


@pytest.mark.parametrize("kind", ["store", "git_store"])
def test_hand_made_spelling(
    doctor: Doctor, helper: Helper, entry: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """A copy of the same bytes, and then the entry itself, go to where a writer would look for them."""
    store: Path = request.getfixturevalue(kind)
    odd = entry.parent.with_name(ODD)
    odd.mkdir()
    shutil.copy(entry, odd)
    cause = f"{FOLDER}/{odd.name} is not the usual directory of {SERVER}, so nobody is added to its readers"
    assert doctor().finding("store.spelling") == ("warning", cause, "run: passhelper doctor --fix")
    doctor("--fix")
    assert (odd.exists(), entry.exists()) == (False, True)
    before = entry.read_bytes()
    entry.parent.rename(odd)
    assert doctor().finding("store.spelling")[1] == cause
    report = doctor("--fix")
    assert "store.spelling" not in report.troubled()
    assert (odd.exists(), entry.read_bytes()) == (False, before)
    assert helper.get(SERVER).code == 0
    if (store / ".git").exists():
        assert git(store, "status", "--porcelain", "--", FOLDER) == ""


def test_hand_made_spelling_of_a_second_credential(doctor: Doctor, entry: Path) -> None:
    odd = entry.parent.with_name(ODD)
    odd.mkdir()
    (odd / "alice.gpg").write_bytes(entry.read_bytes() + b" ")
    assert doctor().finding("store.spelling")[2] == "look into it, then remove it"
    doctor("--fix")
    assert (odd / "alice.gpg").exists()


def test_hand_made_spelling_of_a_list(doctor: Doctor, helper: Helper, entry: Path, store: Path) -> None:
    odd = entry.parent.with_name(ODD)
    odd.mkdir()
    shutil.copy(store / ".gpg-id", odd)
    shutil.copy(entry, odd)
    report = doctor("--fix")
    severity, cause, remedy = report.finding("store.spelling")
    assert cause == f"{FOLDER}/{odd.name}/.gpg-id is not used, because {SERVER} has its list in {FOLDER}/{DIRECTORY}"
    assert remedy == (
        f"look into it; if it is right, move it to {FOLDER}/{DIRECTORY}, then run: passhelper recipients accept"
    )
    assert (severity, (odd / "alice.gpg").exists()) == ("warning", True)
    (odd / ".gpg-id").rename(entry.with_name(".gpg-id"))  # the remedy; "accept" is for a git store
    assert doctor("--fix").troubled() == set()
    assert helper.store(SERVER, "alice", "s").code == 0


def test_undecodable_directory(doctor: Doctor, store: Path) -> None:
    path = store / FOLDER / "notbase64!"
    path.mkdir(mode=0o700)
    cause = f"{path} is not a server's name, so nothing in it is found"
    assert doctor().finding("store.names") == ("warning", cause, "look into it, then remove it")


def test_unbound_entry(doctor: Doctor, entry: Path, keys: KeyRing) -> None:
    entry.write_bytes(keys.encrypt(b"s3cret", "alice"))
    report = doctor()
    assert report.finding("store.bound")[:2] == ("warning", "1 entries of 1 are not bound to their server")
    assert report.code == 0


def test_drift(doctor: Doctor, helper: Helper, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    report = doctor()
    cause = f"1 entries are not encrypted to exactly their recipients: {SERVER}"
    remedy = "run: passhelper recipients check, then passhelper reencrypt"
    assert report.finding("store.drift") == ("drift", cause, remedy)
    assert report.code == 3
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    assert doctor().troubled() == set()
    (store / ".gpg-id").write_text(keys["bob"] + "\n")
    assert doctor().code == 3
    # A recipient without a key here is no reason to call an entry wrong.
    (store / ".gpg-id").write_text(keys["alice"] + "\n")
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['missing']}\n")
    assert doctor().checks["store.drift"]["findings"] == []


def test_a_directory_that_cannot_be_read(doctor: Doctor, helper: Helper, store: Path, entry: Path) -> None:
    """Too deep for the system, which stands for whatever it refuses: root may read all that there is."""
    assert helper.store("https://deep.example", "alice", "s").code == 0
    path = next(path for path in (store / FOLDER).iterdir() if path != entry.parent)
    folder = os.open(path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    try:
        severity, cause, _ = doctor().finding("store.entries")
        assert (severity, cause) == (
            "failed", f"https://deep.example is not served, {path} cannot be read: File name too long"
        )  # fmt: skip
        assert list(helper.list().json) == [SERVER]
    finally:
        subprocess.run(["rm", "-rf", str(path)], check=True)


def test_open_store(doctor: Doctor, helper: Helper, store: Path, entry: Path) -> None:
    store.chmod(0o755)
    entry.chmod(0o644)
    report = doctor()
    remedy = f"run: passhelper doctor --fix, or chmod -R go-rwx {store}"
    assert report.finding("store.modes") == ("failed", f"other users can look into the store {store}", remedy)
    assert helper.get(SERVER).code == 0  # it works all the same
    store.chmod(0o700)
    assert doctor().finding("store.modes")[0] == "warning"  # nobody gets past the root
    store.chmod(0o755)
    fixed = doctor("--fix")
    assert fixed.answer.json["data"]["repaired"] == [
        {"id": "store.modes", "what": "closed 2 files and directories of the store to other users"}
    ]
    assert (fixed.troubled(), fixed.code) == (set(), 0)
    assert (store.stat().st_mode & 0o777, entry.stat().st_mode & 0o777) == (0o700, 0o600)


def test_umask_of_the_user(doctor: Doctor, store: Path) -> None:
    store.chmod(0o750)
    assert doctor(PASSWORD_STORE_UMASK="027").troubled() == set()


@pytest.mark.parametrize(
    ("text", "phrase", "after"),
    [
        ("{alice}\r\n", "Windows line ends (CRLF)", "{alice}\n"),
        ("{alice}", "no line end after the last line", "{alice}\n"),
        ("alice@example.test\n", "an e-mail address (alice@example.test)", "# {uid}\n{alice}\n"),
        ("{short}\n", "a short key id ({short})", "# {uid}\n{alice}\n"),
        ("{alice} # of Alice\n", "a comment behind a key ({alice})", "# of Alice\n{alice}\n"),
        ("\ufeff# Us\r\n{alice}", "a byte order mark", "# Us\n{alice}\n"),
    ],
    ids=["CRLF", "no last newline", "e-mail", "short id", "inline comment", "all at once"],
)
@pytest.mark.parametrize("has_git", [False, True], ids=["no git", "git"])
def test_gpg_id(
    doctor: Doctor, helper: Helper, store: Path, keys: KeyRing, text: str, phrase: str, after: str, has_git: bool,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    words = {"alice": keys["alice"], "short": keys["alice"][-16:], "uid": "alice <alice@example.test>"}
    file = store / ".gpg-id"
    file.write_bytes(text.format(**words).encode())
    if has_git:
        request.getfixturevalue("repository")
        assert helper.store("pinned.example", "a", "s").code == 0  # pins the recipients as they are
    report = doctor()
    severity, cause, remedy = report.finding("store.gpg-id")
    assert severity == "warning"
    assert phrase.format(**words) in cause
    assert remedy == "run: passhelper doctor --fix, or write one full fingerprint per line"
    assert (report.troubled(), report.code) == ({"store.gpg-id"}, 0)
    assert helper.store(SERVER, "alice", "s").code == 0  # understood as it was meant

    fixed = doctor("--fix")
    assert file.read_bytes() == after.format(**words).encode()
    assert fixed.answer.json["data"]["repaired"] == [{"id": "store.gpg-id", "what": "rewrote .gpg-id"}]
    assert fixed.troubled() == set()
    assert helper.store(SERVER, "alice", "other").code == 0  # and still accepted
    if has_git:
        assert git(store, "status", "--porcelain") == ""
        assert "Write full fingerprints into .gpg-id" in git(store, "log", "--format=%s")


def test_gpg_id_that_is_not_ours_to_write(doctor: Doctor, store: Path, keys: KeyRing) -> None:
    file = store / ".gpg-id"
    file.write_bytes(keys["alice"].encode())
    (store / "bank.gpg").write_bytes(b"x")  # an entry of pass
    (store / "bank.gpg").chmod(0o600)
    before = tree(store)
    report = doctor("--fix")
    assert report.finding("store.gpg-id")[2] == "write one full fingerprint per line"
    (store / "bank.gpg").unlink()
    (store / ".gpg-id.sig").write_bytes(b"x")  # the signature covers it as it is
    doctor("--fix")
    assert (store / ".gpg-id").read_bytes() == before[".gpg-id"]


def test_gpg_id_that_is_no_list_of_keys(doctor: Doctor, store: Path) -> None:
    (store / ".gpg-id").write_bytes(b"--export-secret-keys\r\n")
    report = doctor("--fix")
    assert report.finding("store.recipients")[1].endswith("has a line that is not a key: '--export-secret-keys'")
    assert (store / ".gpg-id").read_bytes() == b"--export-secret-keys\r\n"


def test_missing_signature(doctor: Doctor, store: Path, keys: KeyRing) -> None:
    report = doctor(PASSWORD_STORE_SIGNING_KEY=keys["alice"])
    assert report.finding("store.signature")[1] == f"{store / '.gpg-id'} has no signature"


def test_nothing_is_changed_without_fix(doctor: Doctor, repository: Path) -> None:
    (repository / ".gpg-id").write_text((repository / ".gpg-id").read_text().strip())
    (repository / FOLDER).chmod(0o755)
    lock = repository / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    before = tree(repository)
    assert doctor().troubled() >= {"store.gpg-id", "store.modes", "git.lock", "git.changes"}
    assert tree(repository) == before
