"""Git repositories in every state: what the doctor finds, and what the verb says."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from doctors import SERVER, Doctor, git
from support import FOLDER, Helper, KeyRing, run


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
    assert (severity, cause.startswith(f"{lock} is there since ")) == ("warning", True)
    assert cause.endswith(f"; no git of this machine that can be seen runs in {repository}")
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
    assert report.finding("git.pending")[1] == "1 changes wait for their commit"
    assert report.finding("git.changes")[1].startswith("1 files of the store are not committed as they are, such as ")
    git(repository, "config", "--unset", "commit.gpgsign")
    helper.store(SERVER, "alice", "newer")
    assert doctor().troubled() == set()


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
    assert doctor().finding("git.remote")[:2] == ("warning", "the store has commits that the remote origin has not")


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
    assert report.answer.seconds < 15
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
    assert doctor().checks["git.pins"]["reason"] == "the recipients were never pinned; the first write does"
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


def test_repository_that_git_cannot_read(doctor: Doctor, repository: Path) -> None:
    (repository / ".git" / "HEAD").unlink()
    report = doctor()
    assert report.finding("git.program")[1].startswith(f"git cannot read {repository}: ")
    assert "git.changes" in report.blocked_by("git.program")
    assert (repository / FOLDER).is_dir()
