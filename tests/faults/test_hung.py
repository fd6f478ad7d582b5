"""Programs that never end or fail: the verb ends in time, says why, and loses nothing."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Helper, require, run, tree
from support.processes import running
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://registry.example"


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_hung_gpg(helper: Helper, store: Path, bin_folder: Path) -> None:
    """``PASSHELPER_TIMEOUT`` ends gpg, for ``get`` and for ``store``."""
    assert helper.store(SERVER, "alice", "old").code == 0
    before = tree(store)
    hung = script(bin_folder, "gpg", "exec sleep 1000.25\n")
    answer = helper.get(SERVER, PASSHELPER_TIMEOUT="0.5")
    assert answer.code == 1
    assert answer.text.startswith("gpg did not answer within 0.5 s for ")
    answer = helper.store(SERVER, "bob", "new", PASSHELPER_TIMEOUT="0.5")
    assert (answer.code, answer.text) == (1, "gpg did not encrypt within 0.5 s; set PASSHELPER_TIMEOUT\n")
    assert tree(store) == before
    hung.unlink()
    assert helper.get(SERVER).json["Secret"] == "old"
    assert running("1000.25") == []


def test_gpg_that_ignores_term(helper: Helper, store: Path, bin_folder: Path) -> None:
    assert helper.store(SERVER, "alice", "old").code == 0
    script(bin_folder, "gpg", "trap '' TERM\nwhile :; do sleep 0.1; done\n")
    answer = helper.get(SERVER, PASSHELPER_TIMEOUT="0.2")
    assert answer.text.startswith("gpg did not answer within 0.2 s")
    assert running(str(bin_folder / "gpg")) == []


def test_hung_git(helper: Helper, git_store: Path, bin_folder: Path) -> None:
    """A git that hangs in the commit costs ten seconds and a warning; the next writer commits."""
    require("git")
    hung = script(
        bin_folder, "git", 'for word; do [ "$word" = commit ] && exec sleep 1000.5; done\nexec /usr/bin/git "$@"\n'
    )
    answer = helper.store(SERVER, "alice", "s")
    assert answer.code == 0
    assert answer.out == b""
    assert answer.err.startswith(b"docker-credential-pass: warning: changed but not committed")
    assert b"git did not finish within 10 s" in answer.err
    assert running("1000.5") == []
    assert helper.get(SERVER).json["Secret"] == "s"
    hung.unlink()
    assert helper.store("https://next.example", "bob", "s").code == 0
    assert_committed(helper, git_store, 2)


@pytest.mark.parametrize(
    "git",
    ["exit 1\n", "echo 'fatal: broken' >&2; exit 128\n", "kill -9 $$\n", None],
    ids=["silent failure", "loud failure", "killed", "not installed"],
)
def test_git_that_fails(
    helper: Helper, git_store: Path, bin_folder: Path, environ: dict[str, str], git: str | None
) -> None:
    """Whatever keeps git from committing: the credential is served, and the next writer commits it."""
    path = environ["PATH"]
    if git is None:
        for name in ("gpg", "readlink"):
            (bin_folder / name).symlink_to(f"/usr/bin/{name}")
        environ["PATH"] = str(bin_folder)
    else:
        script(bin_folder, "git", git)
    for number in range(3):
        answer = helper.store(f"https://{number}.example", "alice", "s")
        assert answer.code == 0
        assert answer.err.startswith(b"docker-credential-pass: warning: changed but not committed")
        assert answer.err.count(b"\n") == 1
        assert helper.get(f"https://{number}.example").json["Secret"] == "s"
    # One of them goes again before git ever saw it.
    assert helper.erase("https://1.example").code == 0
    environ["PATH"] = path
    (bin_folder / "git").unlink(missing_ok=True)
    answer = helper.store("https://next.example", "bob", "s")
    assert (answer.code, answer.err) == (0, b"")
    assert_committed(helper, git_store, 3)


def test_uncommitted_change_is_committed_by_a_repeat(helper: Helper, git_store: Path, bin_folder: Path) -> None:
    """Docker stores the same credential at each login; the first one that finds a working git commits it."""
    broken = script(bin_folder, "git", "exit 1\n")
    assert helper.store(SERVER, "alice", "s").err != b""
    broken.unlink()
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, answer.err) == (0, b"")
    assert_committed(helper, git_store, 1)


def test_entry_that_git_never_saw_is_erased(helper: Helper, git_store: Path, bin_folder: Path) -> None:
    """Such as the Go helper leaves where git has no identity."""
    broken = script(bin_folder, "git", "exit 1\n")
    assert helper.store(SERVER, "alice", "s").code == 0
    broken.unlink()
    answer = helper.erase(SERVER)
    assert (answer.code, answer.err) == (0, b"")
    assert_committed(helper, git_store, 0)


def test_index_lock_of_a_living_git(helper: Helper, git_store: Path) -> None:
    """Somebody's git holds the index for a second: the commit waits for it."""
    lock = git_store / ".git" / "index.lock"
    lock.touch()
    process = subprocess.Popen(["sh", "-c", f"sleep 1; rm {lock}"])
    answer = helper.store(SERVER, "alice", "s")
    process.wait()
    assert (answer.code, answer.err) == (0, b"")
    assert_committed(helper, git_store, 1)


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_lock_that_stays_is_nobodys_to_remove(helper: Helper, git_store: Path, name: str) -> None:
    """Each lock that a commit takes, however old it is: the change waits."""
    lock = git_store / ".git" / name
    lock.touch()
    past = time.time() - 7200
    os.utime(lock, (past, past))
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err.decode() == (
        "docker-credential-pass: warning: changed but not committed, the next change will commit it: another git is at "
        f"work in {git_store}; run: passhelper doctor, should {lock} stay\n"
    )
    assert lock.exists()
    lock.unlink()
    assert helper.store(SERVER, "alice", "s").err == b""
    assert_committed(helper, git_store, 1)


def test_a_commit_whose_editor_is_open(helper: Helper, git_store: Path, tmp_path: Path) -> None:
    """A person thinks about the message; nothing that we store meanwhile takes the index from under that git."""
    git = ["git", "-C", str(git_store), "-c", "user.name=t", "-c", "user.email=t@example.test"]
    (git_store / "note").write_text("x")
    assert run([*git, "add", "note"], helper.environ).code == 0
    assert run([*git, "commit", "-q", "-m", "First"], helper.environ).code == 0
    (git_store / "note").write_text("y")
    ready, done = tmp_path / "ready", tmp_path / "done"
    editor = f'f() {{ touch {ready}; until [ -e {done} ]; do sleep 0.05; done; echo A note > "$1"; }}; f'
    process = subprocess.Popen([*git, "commit", "-q", "-a"], env={**helper.environ, "GIT_EDITOR": editor})
    until(ready.exists)
    lock = git_store / ".git" / "index.lock"
    past = time.time() - 7200  # whatever its age
    os.utime(lock, (past, past))
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, lock.exists()) == (0, True)
    done.touch()
    assert process.wait() == 0
    assert helper.store(SERVER, "alice", "s").err == b""
    assert run([*git, "log", "--format=%s", "-2"], helper.environ).text.splitlines()[1] == "A note"
    assert_committed(helper, git_store, 1)


def assert_committed(helper: Helper, store: Path, entries: int) -> None:
    git = ["git", "-C", str(store)]
    assert run([*git, "status", "--porcelain"], helper.environ).out == b""
    assert len(run([*git, "ls-files", FOLDER], helper.environ).text.splitlines()) == entries
    assert not (store / ".git" / "passhelper" / "pending").exists()
