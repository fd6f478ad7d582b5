"""A writer that is killed leaves the old credential or the new one, and the next writer leaves no trace of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, GO_HELPER, Helper, run
from support.faults.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "https://registry.example"
OTHER = "https://other.example"
OLD = {"ServerURL": SERVER, "Username": "old-user", "Secret": "old-secret"}
NEW = {"ServerURL": SERVER, "Username": "new-user", "Secret": "new-secret"}
REQUEST = json.dumps(NEW).encode()

# Every system call with which `store` changes something, as its own process makes them.
CHANGES = ("mkdir", "openat", "write", "fsync", "rename", "unlink", "rmdir")


@pytest.fixture(params=["git", "no git"])
def any_store(request: pytest.FixtureRequest) -> Path:
    """A store with git and one without, both holding the old credential."""
    path: Path = request.getfixturevalue("git_store" if request.param == "git" else "store")
    helper: Helper = request.getfixturevalue("helper")
    assert helper.store(*OLD.values()).code == 0
    return path


def moments(helper: Helper) -> Iterator[tuple[str, int]]:
    """Count the calls of one whole ``store`` from the moment it opens the store to lock it: the moments to die.

    strace's SIGKILL takes the place of the call, so each moment is also the one after the call before it.
    """
    seen = trace([helper.program, "store"], helper.environ, REQUEST, calls=",".join(CHANGES), options=())
    assert seen.answer.code == 0
    total = dict.fromkeys(CHANGES, 0)
    counted = []
    for line in seen.lines:
        call = line.split()[1].partition("(")[0]
        total[call] += 1
        counted.append((call, total[call], line))
    first = next(at for at, (_, _, line) in enumerate(counted) if "O_DIRECTORY" in line and '/store"' in line)
    assert first
    for call, number, line in counted[first:]:
        if call != "openat" or "O_CREAT" in line:
            yield call, number


def test_killed_at_every_change(helper: Helper, any_store: Path) -> None:
    """Die in the place of each call that changes the disk, from the moment the lock is taken."""
    points = list(moments(helper))
    assert len(points) >= 8, points
    for call, number in points:
        reset(helper)
        options = ("-e", f"inject={call}:signal=SIGKILL:when={number}")
        died = trace([helper.program, "store"], helper.environ, REQUEST, calls=call, options=options)
        assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL), (call, number, died.answer)
        check(helper, any_store, f"{call} {number}")


def test_killed_before_the_commit(helper: Helper, git_store: Path) -> None:
    """The new secret is in place and not committed; storing it again, which changes nothing, commits it."""
    new = {**OLD, "Secret": "changed"}
    request = json.dumps(new).encode()
    reset(helper)
    seen = trace([helper.program, "store"], helper.environ, request, calls="rename,fsync", options=())
    names = [line.split()[1].partition("(")[0] for line in seen.lines]
    placed = next(at for at, line in enumerate(seen.lines) if f"{FOLDER}/" in line)
    reset(helper)
    options = ("-e", f"inject=fsync:signal=SIGKILL:when={names[:placed].count('fsync') + 1}")
    died = trace([helper.program, "store"], helper.environ, request, calls="fsync", options=options)
    assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert helper.get(SERVER).json == new
    assert run(["git", "-C", str(git_store), "status", "--porcelain"], helper.environ).out != b""
    answer = helper.store(*new.values())
    assert (answer.code, answer.err) == (0, b"")
    assert_tidy(helper, git_store)
    assert helper.get(SERVER).json == new


@pytest.mark.parametrize(
    ("waiting", "again"), [(True, True), (True, False), (False, True)],
    ids=["stored again", "left alone", "stored again, and nothing waited"],
)  # fmt: skip
def test_killed_before_the_copy_of_what_waits(helper: Helper, git_store: Path, waiting: bool, again: bool) -> None:
    """In the middle of somebody's merge: what ``store`` has called done is there, however the merge ends."""
    git = ["git", "-C", str(git_store), "-c", "user.name=t", "-c", "user.email=t@example.test"]
    first, second = ({**OLD, "Secret": secret} for secret in ("first", "second"))
    request = json.dumps(second).encode()
    assert helper.store(*OLD.values()).code == 0
    run([*git, "branch", "other"], helper.environ)
    for branch in ("other", "main"):
        run([*git, "checkout", "-q", branch], helper.environ)
        (git_store / "note").write_text(branch)
        run([*git, "add", "note"], helper.environ)
        assert run([*git, "commit", "-q", "-m", branch], helper.environ).code == 0
    assert run([*git, "merge", "other"], helper.environ).code == 1
    if waiting:
        assert helper.store(*first.values()).code == 0
    seen = trace([helper.program, "store"], helper.environ, request, calls="rename,fsync", options=())
    names = [line.split()[1].partition("(")[0] for line in seen.lines]
    placed = next(at for at, line in enumerate(seen.lines) if f"{FOLDER}/" in line)
    if waiting:
        assert helper.store(*first.values()).code == 0
    else:  # as if it had never been
        run([*git, "checkout", "-q", "HEAD", "--", FOLDER], helper.environ)
        for name in ("kept", "pending"):
            (git_store / ".git" / "passhelper" / name).unlink()
    options = ("-e", f"inject=fsync:signal=SIGKILL:when={names[:placed].count('fsync') + 1}")
    died = trace([helper.program, "store"], helper.environ, request, calls="fsync", options=options)
    assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert helper.get(SERVER).json == second
    if again:
        assert helper.store(*second.values()).code == 0
    assert run([*git, "reset", "-q", "--hard"], helper.environ).code == 0
    assert helper.store(OTHER, "other", "s").code == 0
    assert helper.get(SERVER).json == (second if again else first)
    assert_tidy(helper, git_store)


def test_killed_while_erasing(helper: Helper, any_store: Path) -> None:
    seen = trace([helper.program, "erase"], helper.environ, SERVER.encode(), calls="unlink,rmdir", options=())
    assert seen.answer.code == 0
    calls = [line.split()[1].partition("(")[0] for line in seen.lines]
    for call in ("unlink", "rmdir"):
        for number in range(1, calls.count(call) + 1):
            reset(helper)
            options = ("-e", f"inject={call}:signal=SIGKILL:when={number}")
            died = trace([helper.program, "erase"], helper.environ, SERVER.encode(), calls=call, options=options)
            assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
            answer = helper.get(SERVER)
            assert answer.code == 1 or answer.json == OLD
            assert helper.store(OTHER, "other", "s").code == 0
            assert_tidy(helper, any_store)


@pytest.mark.parametrize("everything", [False, True], ids=["the helper", "the helper, gpg and git"])
def test_killed_at_random_moments(helper: Helper, any_store: Path, everything: bool) -> None:
    begin = time.monotonic()
    assert helper.store(*NEW.values()).code == 0
    whole = time.monotonic() - begin
    reached = set()
    chance = random.Random(20240101)
    for _ in range(10):
        reset(helper)
        process = subprocess.Popen(
            [helper.program, "store"], env=helper.environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(REQUEST)
        process.stdin.close()
        time.sleep(chance.uniform(0.2, 1.1) * whole)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everything else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        if everything:
            forget_git_locks(any_store)
        reached.add(check(helper, any_store, "random"))
    assert reached <= {"old-user", "new-user"}


def reset(helper: Helper) -> None:
    """Put the old credential back, and only that."""
    answer = helper.store(*OLD.values())
    assert answer.code == 0, answer
    assert helper.erase(OTHER).code == 0
    assert helper.get(SERVER).json == OLD


def check(helper: Helper, store: Path, where: str) -> str:
    """Find the old or the new credential; then store another one and find nothing left over."""
    answer = helper.get(SERVER)
    assert answer.code == 0, (where, answer)
    assert answer.json in (OLD, NEW), where
    answer = helper.store(OTHER, "other", "s")
    assert answer.code == 0, (where, answer)
    assert_tidy(helper, store, where)
    found: str = helper.get(SERVER).json["Username"]
    return found


def assert_tidy(helper: Helper, store: Path, where: str = "") -> None:
    """No temporary file, no empty directory, nothing uncommitted, and the Go helper can list."""
    for path in store.rglob("*"):
        assert ".passhelper-" not in path.name, (where, path)
        if ".git" not in path.parts:
            assert not path.is_dir() or any(path.iterdir()), (where, path)
    if (store / ".git").exists():
        status = run(["git", "-C", str(store), "status", "--porcelain"], helper.environ)
        assert (status.code, status.out) == (0, b""), (where, status)
        assert not (store / ".git" / "passhelper" / "pending").exists(), where
        assert run(["git", "-C", str(store), "fsck", "--strict"], helper.environ).code == 0
    if os.path.exists(GO_HELPER):
        listed = run([GO_HELPER, "list"], helper.environ)
        assert listed.code == 0, (where, listed)
        assert set(listed.json) <= {SERVER, OTHER}


def forget_git_locks(store: Path) -> None:
    """Remove the locks of a git that was killed, as a person does who knows that."""
    for lock in (store / ".git").rglob("*.lock") if (store / ".git").exists() else ():
        lock.unlink()
