"""Directories of our own in a home whose owner lets his group write by default."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from passhelper.autorecord import Record
from passhelper.machine import userfile
from passhelper.store import readable
from passhelper.store.files import make_private
from passhelper.store.lock import StoreLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=[0o002, 0o000, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a directory": lambda folder: make_private(str(folder)),
    "a file of the user": lambda folder: userfile.replace(str(folder / "file"), b"", 0o600),
    "what can be read here": lambda folder: readable._save(str(folder / "rights"), b""),
    "a lock": lambda folder: os.close(StoreLock("", str(folder / "lock"))._open_file(str(folder / "lock"))),
    "the record of auto": lambda folder: Record({"XDG_STATE_HOME": str(folder)})._lock(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_parent_is_left_to_the_umask(umask: None, tmp_path: Path, name: str) -> None:
    """As ``~/.cache``, in which others would then replace what is ours."""
    folder = tmp_path / ".cache" / "passhelper"
    WRITERS[name](folder)
    for made in (folder, folder.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    WRITERS[name](folder)  # and once more, where it is there


def test_a_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As gpg takes ``GNUPGHOME=keys``: above it is the current directory, which nobody has to make."""
    monkeypatch.chdir(tmp_path)
    make_private(os.path.join("keys", "inner"))
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("keys", "keys/inner")] == [0o700, 0o700]
