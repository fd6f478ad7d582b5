"""Files of the user that cannot be replaced: why, and what helps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require

from passhelper.errors import ConfigurationError
from passhelper.machine import userfile

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file that is mounted by itself, as in a container that was given one file."""
    require("mount", "umount")
    source, target = tmp_path / "source", tmp_path / "config.json"
    source.write_text("{}")
    target.write_text("")
    if subprocess.run(["mount", "--bind", str(source), str(target)], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_a_file_that_is_mounted_by_itself(mounted: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        userfile.replace(str(mounted), b"new", 0o600)
    assert caught.value.cause == f"cannot write {mounted}: it is mounted by itself"
    assert caught.value.remedy == "unmount it, or mount the directory that it is in instead"
    assert userfile.read(str(mounted)) == b"{}"
    assert list(mounted.parent.glob(".config*")) == []
    subprocess.run(["umount", str(mounted)], check=True)  # as it says
    userfile.replace(str(mounted), b"new", 0o600)
    assert mounted.read_text() == "new"
    subprocess.run(["mount", "--bind", str(mounted), str(mounted)], check=True)


def test_a_read_only_file_system(mounted: Path) -> None:
    folder = mounted.parent / "folder"
    folder.mkdir()
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        with pytest.raises(ConfigurationError) as caught:
            userfile.replace(str(folder / "config.json"), b"new", 0o600)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert caught.value.cause == f"cannot write {folder}/config.json: Read-only file system"
    assert caught.value.remedy == "mount its file system writable, or choose another place"


def test_an_interrupt_right_after_the_file_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays an interrupt: taken for a failure, whoever has moved something out of the file would take it back."""
    target, real = tmp_path / "config.json", os.replace

    def replace(old: str, new: str) -> None:
        real(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        userfile.replace(str(target), b"{}", 0o600)
    assert target.read_bytes() == b"{}"
