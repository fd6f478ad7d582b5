"""Where the private directory of ``setup --ci`` goes, in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from passhelper.errors import ConfigurationError
from passhelper.machine import cihome


def refuse(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def runtime(short_tmp: Path, tmp_path: Path) -> Path:
    path = short_tmp / f"r{abs(hash(tmp_path)) % 1000000}"
    path.mkdir(mode=0o700)
    return path


def test_mark_survives_a_round_trip(runtime: Path) -> None:
    home = cihome.create({"XDG_RUNTIME_DIR": str(runtime)}, refuse)
    home.store, home.made_store, home.agent = "/a/store", True, 7
    home.save()
    assert cihome.load(home.path) == home
    home.erase()
    assert list(runtime.iterdir()) == []
    assert cihome.load(home.path) is None


@pytest.mark.parametrize("harm", ["relative", "others may write", "missing", "a file"])
def test_runtime_directories_that_are_passed_over(runtime: Path, harm: str) -> None:
    value = str(runtime)
    if harm == "relative":
        value = os.path.relpath(runtime)
    elif harm == "others may write":
        runtime.chmod(0o777)
    elif harm == "missing":
        runtime.rmdir()
    else:
        runtime.rmdir()
        runtime.write_text("")
    warnings: list[str] = []
    home = cihome.create({"XDG_RUNTIME_DIR": value}, warnings.append)
    try:
        assert os.path.dirname(home.path) in ("/dev/shm", "/tmp")
    finally:
        home.erase()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_directory_of_somebody_else(runtime: Path) -> None:
    """As su keeps the variable: what is made there, its owner may take away."""
    os.chown(runtime, 65534, 65534)
    warnings: list[str] = []
    home = cihome.create({"XDG_RUNTIME_DIR": str(runtime)}, warnings.append)
    home.erase()
    assert not home.path.startswith(str(runtime))


def test_a_link_to_the_runtime_directory_is_resolved(runtime: Path, tmp_path: Path) -> None:
    """Its own path may be long; the sockets lie where it leads."""
    link = tmp_path / ("l" * 100)
    link.symlink_to(runtime)
    home = cihome.create({"XDG_RUNTIME_DIR": str(link)}, refuse)
    assert home.path.startswith(f"{runtime}/")
    home.erase()


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="setup --ci does not work on Windows; run: passhelper setup"):
        cihome.create({}, refuse)
