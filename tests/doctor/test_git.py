"""Git repositories in every state: what the doctor finds, and what the verb says."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, require, run
from support.worlds.doctors import SERVER, Doctor, git


@pytest.fixture
def remote(repository: Path, tmp_path: Path) -> Path:
    """A bare remote that has what the store has."""
    path = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    git(repository, "remote", "add", "origin", str(path))
    git(repository, "push", "-q", "-u", "origin", "main")
    return path


def test_healthy(doctor: Doctor, helper: Helper, remote: Path, repository: Path) -> None:
    assert doctor().troubled() == set()
    helper.store(SERVER, "alice", "new")
    git(repository, "push", "-q")
    report = doctor()
    assert (report.troubled(), report.status("git.pins")) == (set(), "ok")


def test_no_git(doctor: Doctor, helper: Helper, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "gpg", "gpgconf", "gpg-agent", "readlink", "dirname", "sed", "env"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    path = f"{Path(helper.program).parent}:{folder}"
    report = doctor(PATH=path)
    assert report.finding("git.program") == ("failed", "git not found in PATH", "install git")
    assert report.blocked_by("git.program") >= {"git.identity", "git.lock", "git.remote", "git.pins"}
    assert b"git not found in PATH" in helper.store(SERVER, "alice", "new", PATH=path).err


def test_a_umask_that_is_none_is_not_the_fault_of_git(doctor: Doctor, repository: Path) -> None:
    report = doctor(PASSWORD_STORE_UMASK="9")
    assert (report.status("store.modes"), report.status("git.program")) == ("failed", "ok")


def test_no_identity(doctor: Doctor, helper: Helper, repository: Path) -> None:
    git(repository, "config", "--unset", "user.name")
    git(repository, "config", "--unset", "user.email")
    severity, cause, remedy = doctor().finding("git.identity")
    assert (severity, cause) == (
        "warning",
        "git knows no user.name and user.email, so changes are committed as passhelper",
    )
    assert remedy.startswith("run: git config --global user.name ")
    answer = helper.store(SERVER, "alice", "new")
    assert (answer.code, answer.err) == (0, b"")
    assert "passhelper" in git(repository, "log", "-1", "--format=%an")


def test_a_lock_that_lasts(doctor: Doctor, helper: Helper, repository: Path) -> None:
    lock = repository / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    assert doctor().troubled() == set()  # somebody may be at work
    os.utime(lock, (1, 1))
    severity, cause, remedy = doctor().finding("git.lock")
    assert (severity, cause.startswith(f"{lock} has been there for ")) == ("warning", True)
    assert cause.endswith(f"; no git was found running on this machine in {repository}")
    assert remedy.endswith(f", then run: rm {lock}")
    git = subprocess.Popen(
        ["git", "-C", str(repository), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        severity, cause, remedy = doctor("--fix").finding("git.lock")
    finally:
        git.communicate()
    assert (severity, f"; git runs here: git -C (pid {git.pid})" in cause) == ("warning", True)
    assert remedy == "let it finish, or end it"
    assert lock.exists()
    lock.unlink()
    assert helper.store(SERVER, "alice", "new").err == b""


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize("state", ["merge", "detached"])
def test_something_unfinished(doctor: Doctor, helper: Helper, repository: Path, state: str) -> None:
    git(repository, "checkout", "-q", "--detach")
    if state == "merge":
        git(repository, "switch", "-q", "main")
        (repository / ".git" / "MERGE_HEAD").write_text(git(repository, "rev-parse", "HEAD"))
    assert helper.store("https://new.example", "alice", "new").code == 0
    severity, cause, remedy = doctor().finding("git.unfinished")
    what = {
        "merge": f"a git merge in {repository} is not finished",
        "detached": f"{repository} is on no branch (detached HEAD)",
    }
    assert (severity, cause) == ("failed", f"{what[state]}, so changes wait for their commit")
    answer = run([doctor.program, "sync"], helper.environ)
    assert (answer.code, what[state] in answer.err.decode(), remedy in answer.err.decode()) == (1, True, True)
    if state == "merge":
        assert f"git -C {repository} status" in remedy
        git(repository, "merge", "--abort")
    else:
        for command in remedy.removeprefix("run: ").replace(" (or whatever its branch is called)", "").split(", then "):
            assert run(command.split(), helper.environ).code == 0
    assert run([doctor.program, "sync"], helper.environ).code == 0
    assert helper.get("https://new.example").json["Secret"] == "new"
    assert doctor().troubled() == set()


def test_pending_and_uncommitted(doctor: Doctor, helper: Helper, repository: Path) -> None:
    git(repository, "config", "commit.gpgsign", "true")
    git(repository, "config", "gpg.program", "/bin/false")
    answer = helper.store(SERVER, "alice", "new")
    assert (answer.code, answer.err.count(b"\n")) == (0, 1)
    report = doctor()
    assert report.finding("git.pending")[1] == "1 change waits for its commit"
    assert report.finding("git.changes")[1].startswith("1 file of the store is not committed as now on disk, such as ")
    git(repository, "config", "--unset", "commit.gpgsign")
    helper.store(SERVER, "alice", "newer")
    assert doctor().troubled() == set()


def test_what_waits_without_a_copy(doctor: Doctor, helper: Helper, repository: Path) -> None:
    """A full disk, or a kill, has left only the note that something waits."""
    git(repository, "config", "commit.gpgsign", "true")
    git(repository, "config", "gpg.program", "/bin/false")
    helper.store(SERVER, "alice", "new")
    kept = repository / ".git" / "passhelper" / "kept"
    kept.write_bytes(kept.read_bytes()[:-10])
    _, cause, remedy = doctor().finding("git.pending")
    path = repository / ".git" / "passhelper" / "pending"
    name = path.read_text().rstrip("\0")
    assert cause == (
        f"1 change waits for its commit; no copy is kept of {name}, so git loses it when it aborts or resets anything"
    )
    assert remedy == (
        "run: passhelper sync, or store a credential: either commits what is waiting; if the disk is full, make room "
        "first"
    )
    path.unlink()
    _, cause, remedy = doctor().finding("git.pending")
    assert cause == f"{kept} holds copies of what waited for its commit, and cannot be read"
    assert remedy == f"see whether all credentials are there, then: rm {kept}"
    git(repository, "config", "--unset", "commit.gpgsign")
    helper.store(SERVER, "alice", "newer")
    assert doctor().troubled() == set()


@pytest.mark.usefixtures("remote")
def test_a_transport_that_the_configuration_forbids(doctor: Doctor, repository: Path) -> None:
    git(repository, "config", "protocol.file.allow", "never")
    assert "transport 'file' not allowed" in doctor().finding("git.remote")[1]


def test_diverged(doctor: Doctor, helper: Helper, remote: Path, repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(remote), str(other)], check=True)
    for name, value in (("user.name", "o"), ("user.email", "o@example.test")):
        git(other, "config", name, value)
    git(other, "commit", "-q", "--allow-empty", "-m", "Theirs")
    git(other, "push", "-q")
    assert doctor().finding("git.remote")[:2] == ("warning", "the remote origin has commits that are not here")
    assert helper.store(SERVER, "alice", "new").code == 0
    report = doctor()
    diverged = ("failed", "the store and its remote origin have diverged", "run: passhelper sync")
    assert report.finding("git.remote") == diverged
    git(repository, "fetch", "-q")
    assert doctor().finding("git.remote") == diverged
    assert helper.get(SERVER).json["Secret"] == "new"  # no verb minds
    assert run([doctor.program, "sync"], helper.environ).code == 0
    assert doctor().code == 0


def test_not_pushed(doctor: Doctor, helper: Helper, remote: Path) -> None:
    helper.store(SERVER, "alice", "new")
    cause = "the store has commits that the remote origin does not have"
    assert doctor().finding("git.remote")[:2] == ("warning", cause)


def test_several_remotes(doctor: Doctor, repository: Path) -> None:
    for name in ("backup", "mirror"):
        git(repository, "remote", "add", name, "https://git.example/store.git")
    answer = doctor.run()
    assert "not checked   git.remote        the store has several remotes\n" in answer.text


def test_unreachable(doctor: Doctor, helper: Helper, remote: Path) -> None:
    remote.rename(remote.with_name("gone"))
    report = doctor()
    severity, cause, remedy = report.finding("git.remote")
    assert (severity, report.code) == ("unreachable", 6)
    assert cause.startswith("remote origin cannot be reached: ")
    assert remedy.startswith("look: git -C ")
    assert helper.store(SERVER, "alice", "new").code == 0


def test_remote_that_hangs(doctor: Doctor, helper: Helper, repository: Path) -> None:
    """A listening socket that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        git(repository, "remote", "add", "origin", f"http://127.0.0.1:{listening.getsockname()[1]}/store.git")
        report = doctor()
    assert report.finding("git.remote")[:2] == ("unreachable", "remote origin cannot be reached: no answer within 5 s")
    assert helper.store(SERVER, "alice", "new").code == 0


def test_what_is_secret_in_the_url_of_a_remote_is_not_shown(doctor: Doctor, repository: Path) -> None:
    """git itself hides a password, and not one with an @ in it, nor a token that is the user."""
    for secret in ("tok@en-canary", "user:to@ken-canary"):
        git(repository, "remote", "add", "origin", f"https://{secret}@127.0.0.1:1/store.git")
        report = doctor()
        assert "cannot be reached" in report.finding("git.remote")[1]
        assert "canary" not in report.answer.text + report.answer.err.decode()
        git(repository, "remote", "remove", "origin")


def test_recipients_that_nobody_accepted(doctor: Doctor, helper: Helper, repository: Path, keys: KeyRing) -> None:
    assert doctor().checks["git.pins"]["reason"] == "the recipients were never pinned; the first write pins them"
    helper.store(SERVER, "alice", "new")
    with (repository / ".gpg-id").open("a") as file:
        file.write(keys["bob"] + "\n")
    git(repository, "commit", "-q", "-a", "-m", "Add bob")
    report = doctor()
    cause = f"recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id)"
    assert report.finding("git.pins") == ("not accepted", cause, "run: passhelper recipients accept")
    assert report.code == 3  # and the entries have drifted
    assert helper.store(SERVER, "alice", "newer").text == f"{cause}; run: passhelper recipients accept\n"
    (repository / ".git" / "passhelper" / "trust.json").write_text("{")
    assert "is damaged" in doctor().finding("git.pins")[1]


def test_a_list_that_names_nobody_is_not_none(
    doctor: Doctor, helper: Helper, repository: Path, installed: Program
) -> None:
    """Without it the list above would count; ``store`` asks, so doctor does."""
    helper.store(SERVER, "alice", "new")
    (folder,) = (repository / FOLDER).iterdir()
    path = f"{FOLDER}/{folder.name}/.gpg-id"
    finding = ("not accepted", f"recipients changed: a list that names nobody ({path})",
               "run: passhelper recipients accept")  # fmt: skip
    (folder / ".gpg-id").write_text("# nobody\n")
    assert doctor().finding("git.pins") == finding
    assert run([installed.passhelper, "recipients", "accept", "--yes"], helper.environ).code == 0
    assert doctor().checks["git.pins"]["findings"] == []
    (folder / ".gpg-id").unlink()
    assert helper.store(SERVER, "alice", "newer").text == f"{finding[1]}; {finding[2]}\n"
    assert doctor().finding("git.pins") == finding


def test_repository_that_git_cannot_read(doctor: Doctor, repository: Path) -> None:
    (repository / ".git" / "HEAD").unlink()
    report = doctor()
    assert report.finding("git.program")[1] == f"{repository} is not a repository that git can read"
    assert "git.changes" in report.blocked_by("git.program")
    assert (repository / FOLDER).is_dir()


# A store in a folder of a larger repository


@pytest.fixture
def outer(healthy: dict[str, str], store: Path) -> Path:
    """The repository of a directory that the store lies in; it knows nothing yet."""
    folder = store.parent / "home files"
    (folder / "deep").mkdir(parents=True)
    store.rename(folder / "deep" / "store")
    healthy["PASSWORD_STORE_DIR"] = str(folder / "deep" / "store")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "t")
    git(folder, "config", "user.email", "t@example.test")
    (folder / "notes").write_text("one\n")
    git(folder, "add", "notes")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def typed(remedy: str, environ: dict[str, str]) -> None:
    answer = run(["sh", "-e", "-c", remedy], environ)
    assert answer.code == 0, answer


def test_a_larger_repository(doctor: Doctor, helper: Helper, outer: Path) -> None:
    git(outer, "add", ".")
    git(outer, "commit", "-q", "-m", "All")
    part = f"the store is a part of the git repository {outer}, to which passhelper commits nothing"
    report = doctor()
    assert (report.troubled(), report.checks["git.outer"]["notes"]) == (set(), [part])
    (outer / "notes").write_text("two\n")
    helper.store(SERVER, "alice", "new")
    helper.store("https://other.example", "alice", "new")
    severity, cause, remedy = doctor().finding("git.outer")
    assert (severity, cause) == ("warning", f"{part}; changed since its last commit: 2 files")
    by_hand, _, own = remedy.removeprefix("run: ").partition("; or give the store a repository of its own: ")
    typed(by_hand, doctor.environ)
    assert git(outer, "status", "--porcelain") == " M notes\n"
    assert doctor().troubled() == set()
    typed(own, doctor.environ)
    git(outer, "commit", "-q", "-m", "Let the store go")
    assert git(outer, "ls-files") == "notes\n"
    helper.store(SERVER, "alice", "newer")
    assert (
        git(outer / "deep" / "store", "log", "--format=%s") == "Store credential for https://registry.example (alice)\n"
    )
    assert doctor().checks["git.outer"]["status"] == "ok"


@pytest.mark.parametrize("known", ["nothing", "other passwords, and ours are ignored", "is not a repository"])
def test_a_larger_repository_that_does_not_know_our_entries(
    doctor: Doctor, helper: Helper, outer: Path, known: str
) -> None:
    if "other" in known:
        (outer / ".gitignore").write_text(f"{FOLDER}/\n")
        (outer / "deep" / "store" / "mail.gpg").write_bytes(b"x")
        git(outer, "add", ".")
        git(outer, "commit", "-q", "-m", "Other passwords")
    if known == "is not a repository":
        (outer / ".git" / "HEAD").unlink()
    helper.store(SERVER, "alice", "new")
    report = doctor()
    assert (report.troubled(), report.checks["git.outer"].get("notes", [])) == (set(), [])


@pytest.mark.parametrize("entry", ["mail", f"{FOLDER}/aHR0cHM6Ly9vdGhlci5leGFtcGxl/alice"])
def test_pass_commits_nothing_to_a_larger_repository(doctor: Doctor, outer: Path, entry: str) -> None:
    """What the README says of it."""
    require("pass")
    git(outer, "add", ".")
    git(outer, "commit", "-q", "-m", "All")
    insert = subprocess.run(
        ["pass", "insert", "-m", entry], input=b"x", env=doctor.environ, capture_output=True, check=False
    )
    assert insert.returncode == 0, insert.stderr
    assert git(outer, "status", "--porcelain", "-uall") == f"?? deep/store/{entry}.gpg\n"
