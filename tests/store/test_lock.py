"""One writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import descriptors
from support.waiting import LIMIT, until
from support.worlds.vault import Vault

from passhelper.errors import StoreBusyError, StoreError
from passhelper.store import lock as module
from passhelper.store.lock import StoreLock
from passhelper.store.transaction import Transaction

HOLD = """
import fcntl, os, sys
number = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(number, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    return path


def lock(root: Path, *, shared: bool = False, timeout: float = 0.1) -> StoreLock:
    return StoreLock(str(root), str(root.parent / "cache" / "lock"), shared=shared, timeout=timeout)


class Holder:
    """Another process that holds the lock."""

    def __init__(self, path: Path, kind: str = "exclusive") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout
        self.process.stdout.readline()

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def holder(root: Path) -> Iterator[Holder]:
    found = Holder(root)
    yield found
    found.end()


def test_a_second_writer_is_told_who_writes(root: Path, holder: Holder) -> None:
    with pytest.raises(StoreBusyError) as caught, lock(root):
        pass
    assert (
        re.fullmatch(
            rf"store is busy: \S.* \(pid {holder.process.pid}\); try again when it has finished", str(caught.value)
        )
        or str(caught.value) == "store is busy: another program is writing; try again when it has finished"
    )


def test_the_holder_is_named_by_its_program_without_its_arguments(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "my-writer.py"
    program.write_text(HOLD)
    process = subprocess.Popen(
        [sys.executable, str(program), str(root), "s3cret-argument"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    try:
        assert module._command(str(process.pid)) == "my-writer.py"
    finally:
        process.communicate()
    assert module._command(str(process.pid)) == "another program"


def test_a_writer_waits_for_the_other(root: Path, holder: Holder) -> None:
    timer = threading.Timer(0.2, holder.end)
    timer.start()
    with lock(root, timeout=LIMIT):
        until(lambda: holder.process.poll() is not None)
        timer.join()


def test_readers_share_and_exclude_a_writer(root: Path) -> None:
    reader = Holder(root, "shared")
    try:
        with lock(root, shared=True):
            pass
        with pytest.raises(StoreBusyError), lock(root):
            pass
    finally:
        reader.end()


def test_the_lock_goes_with_the_block_and_with_an_exception(root: Path) -> None:
    before = descriptors()
    with lock(root):
        assert subprocess.run([sys.executable, "-c", TRY, str(root)], check=False).returncode == 1
    assert subprocess.run([sys.executable, "-c", TRY, str(root)], check=False).returncode == 0
    with pytest.raises(KeyError), lock(root):
        raise KeyError
    assert subprocess.run([sys.executable, "-c", TRY, str(root)], check=False).returncode == 0
    assert descriptors() == before
    assert list(root.iterdir()) == []


TRY = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def test_no_child_inherits_the_lock(root: Path) -> None:
    with lock(root) as held:
        assert not os.get_inheritable(held._descriptor)


def test_a_missing_store_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), lock(tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize("code", [errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP])
def test_where_a_directory_cannot_be_locked_a_file_is(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """As on NFS and SMB, which no test machine has: the first flock is refused."""
    real = fcntl.flock

    def flock(number: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{number}"):
            raise OSError(code, os.strerror(code))
        real(number, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    before = descriptors()
    path = root.parent / "cache" / "lock"
    with lock(root):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(StoreBusyError), lock(root):
            pass
    with lock(root):
        pass
    assert descriptors() == before


def test_where_nothing_can_be_locked_that_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError) as caught, lock(root):
        pass
    assert (
        str(caught.value)
        == f"the file system cannot lock {root.parent}/cache/lock; keep the store on another file system"
    )


def test_a_lock_file_that_cannot_be_opened_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no")

    monkeypatch.setattr(fcntl, "flock", flock)
    (root.parent / "cache" / "lock").mkdir(parents=True)
    before = descriptors()
    with pytest.raises(IsADirectoryError) as caught, lock(root):
        pass
    assert caught.value.filename == f"{root.parent}/cache/lock"
    assert descriptors() == before


def test_an_unexpected_error_is_not_hidden(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(number: int, how: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(fcntl, "flock", flock)
    before = descriptors()
    with pytest.raises(OSError, match="no"), lock(root):
        pass
    assert descriptors() == before


# In the store


def test_readers_and_a_miss_never_wait_for_a_writer(vault: Vault) -> None:
    vault.store()
    holder = Holder(vault.path)
    try:
        assert vault.get() == ("bob", "s3cret")
        assert vault.list() == {"https://a.example": "bob"}
        vault.erase("https://absent.example")
    finally:
        holder.end()


@pytest.mark.parametrize("kind", ["plain", "git"])
def test_a_writer_that_cannot_get_the_lock_changes_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    vault: Vault = request.getfixturevalue("vault" if kind == "plain" else "git_vault")
    vault.store()
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0.1,))
    before = vault.tree
    holder = Holder(vault.path)
    try:
        with pytest.raises(StoreBusyError, match=r"^store is busy: .*; try again when it has finished$"):
            vault.store(secret="other")
        with pytest.raises(StoreBusyError):
            vault.store("https://new.example")
        with pytest.raises(StoreBusyError):
            vault.erase()
    finally:
        holder.end()
    assert vault.tree == before
    vault.erase()


def test_the_default_is_ten_seconds() -> None:
    assert module.TIMEOUT == 10.0
