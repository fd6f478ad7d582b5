"""A remote that is away, hangs or refuses: automatic sync costs seconds at most and never a verb's exit code."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import NOT_FOUND, Answer, Helper, require
from support.machines.jobs import git
from support.processes import running

SERVER, OTHER = "https://registry.example", "https://other.example"
WARNING = (
    b"docker-credential-pass: warning: changed here but not pushed, the next change or passhelper sync pushes it: "
)
LIMIT = "0.7"


@pytest.fixture
def shared(git_store: Path, helper: Helper, tmp_path: Path) -> Path:
    """A store that pushes and pulls by itself; returns its remote."""
    require("git")
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(remote)], check=True)
    git(git_store, "remote", "add", "origin", str(remote))
    git(git_store, "config", "passhelper.sharedErase", "true")
    git(git_store, "config", "passhelper.sync", "push,pull")
    assert helper.store(SERVER, "alice", "s").code == 0
    assert head(git_store) == head(remote)
    return remote


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def head(repository: Path) -> str:
    return git(repository, "rev-parse", "main")


def works(helper: Helper, store: Path) -> list[Answer]:
    """Every verb that talks to the remote, and what it must answer whatever becomes of that."""
    answers = [helper.store(SERVER, "alice", "changed"), helper.get(OTHER), helper.get(SERVER), helper.list(),
               helper.erase(SERVER), helper.get(SERVER)]  # fmt: skip
    stored, missed, found, listed, erased, gone = answers
    assert (stored.code, stored.out) == (erased.code, erased.out) == (0, b"")
    assert (missed.code, missed.out, missed.err) == (gone.code, gone.out, gone.err) == (1, NOT_FOUND, b"")
    assert found.json["Secret"] == "changed"
    assert listed.json == {SERVER: "alice"}
    assert found.err == listed.err == b""
    assert git(store, "status", "--porcelain") == ""
    for written in (stored, erased):
        assert written.err.startswith(WARNING)
        assert written.err.count(b"\n") == 1
    return answers


@pytest.mark.parametrize(
    "url", ["/nonexistent/x.git", "git://127.0.0.1:9/x", "http://127.0.0.1:9/x", "ext::false", "x y"]
)
def test_a_dead_remote(helper: Helper, git_store: Path, shared: Path, url: str) -> None:
    git(git_store, "remote", "set-url", "origin", url)
    works(helper, git_store)
    git(git_store, "remote", "set-url", "origin", str(shared))
    assert helper.store(OTHER, "alice", "s").err == b""
    assert head(git_store) == head(shared)


@pytest.mark.parametrize("scheme", ["git", "http", "ssh"])
def test_a_hanging_remote(helper: Helper, git_store: Path, shared: Path, silent: str, scheme: str) -> None:
    if scheme == "ssh":
        require("ssh")
    url = f"{scheme}://{silent}/x.git"
    git(git_store, "remote", "set-url", "origin", url)
    helper.environ["PASSHELPER_SYNC_TIMEOUT"] = LIMIT
    stored, *_ = works(helper, git_store)
    assert f"no answer from origin within {LIMIT} s".encode() in stored.err
    assert running(silent) == []
    git(git_store, "remote", "set-url", "origin", str(shared))
    assert helper.store(OTHER, "alice", "s").err == b""
    assert head(git_store) == head(shared)


def test_a_remote_that_refuses(helper: Helper, git_store: Path, shared: Path) -> None:
    hook = shared / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no push today >&2\nexit 1\n")
    hook.chmod(0o755)
    before = head(shared)
    stored, *_ = works(helper, git_store)
    assert b"pre-receive hook declined (the server says: no push today)\n" in stored.err
    assert head(shared) == before
    hook.unlink()
    assert helper.store(OTHER, "alice", "s").code == 0
    assert head(git_store) == head(shared)


def test_a_disk_that_takes_no_notes(helper: Helper, git_store: Path, shared: Path) -> None:
    """The notes about the remote cannot be written: a file stands where one would go."""
    state = git_store / ".git" / "passhelper"
    (state / "asked").unlink(missing_ok=True)
    for name in ("asked", "unpushed"):
        (state / name).mkdir()
    answer = helper.store(SERVER, "alice", "changed")
    assert (answer.code, answer.out) == (0, b"")
    answer = helper.get(OTHER)
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")
    assert helper.get(SERVER).json["Secret"] == "changed"


def test_nothing_of_the_remote_runs_or_prints_here(helper: Helper, git_store: Path, shared: Path) -> None:
    """What the server says while it takes the push stays out of Docker's way."""
    hook = shared / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho welcome\necho to the server >&2\n")
    hook.chmod(0o755)
    answer = helper.store(OTHER, "alice", "s")
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    assert head(git_store) == head(shared)
