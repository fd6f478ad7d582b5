"""Where the private directory of ``setup --ci`` goes, in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require

from passhelper.ci import homedir
from passhelper.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse(text: str) -> None:
    raise AssertionError(text)


def create(environ: dict[str, str], warn: Callable[[str], None]) -> homedir.Home:
    with homedir.create(environ, warn) as home:
        return home


@pytest.fixture
def runtime(short_tmp: Path, tmp_path: Path) -> Path:
    path = short_tmp / f"r{abs(hash(tmp_path)) % 1000000}"
    path.mkdir(mode=0o700)
    return path


def test_mark_survives_a_round_trip(runtime: Path) -> None:
    home = create({"XDG_RUNTIME_DIR": str(runtime)}, refuse)
    home.store, home.made_store, home.agent = "/a/store", True, 7
    home.save()
    assert homedir.load(home.path) == home
    home.erase()
    assert list(runtime.iterdir()) == []
    assert homedir.load(home.path) is None


def test_a_base_that_hands_on_its_group(runtime: Path) -> None:
    """A setgid bit comes from the directory above; whoever else may look in, is no matter of that bit."""
    runtime.chmod(0o2700)
    home = create({"XDG_RUNTIME_DIR": str(runtime)}, refuse)
    assert homedir.load(home.path) == home
    os.chmod(home.path, 0o2750)
    with pytest.raises(ConfigurationError, match="was not made by"):
        homedir.load(home.path)
    home.erase()
    assert list(runtime.iterdir()) == []


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
    home = create({"XDG_RUNTIME_DIR": value}, warnings.append)
    try:
        assert os.path.dirname(home.path) in ("/dev/shm", "/tmp")
    finally:
        home.erase()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_runtime_directory_of_somebody_else(runtime: Path) -> None:
    """As su keeps the variable: what is made there, its owner may take away."""
    os.chown(runtime, 65534, 65534)
    warnings: list[str] = []
    home = create({"XDG_RUNTIME_DIR": str(runtime)}, warnings.append)
    home.erase()
    assert not home.path.startswith(str(runtime))


def test_a_link_to_the_runtime_directory_is_resolved(runtime: Path, tmp_path: Path) -> None:
    """Its own path may be long; the sockets lie where it leads."""
    link = tmp_path / ("l" * 100)
    link.symlink_to(runtime)
    home = create({"XDG_RUNTIME_DIR": str(link)}, refuse)
    assert home.path.startswith(f"{runtime}/")
    home.erase()


def test_nowhere_may_a_program_run(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such mounts would keep the tests' own programs from running."""
    monkeypatch.setattr(homedir, "_may_run", lambda path: False)
    with pytest.raises(ConfigurationError) as caught:
        create({"XDG_RUNTIME_DIR": str(runtime)}, refuse)
    assert caught.value.cause == (
        "no temp directory lets programs run, so there is no place for docker-credential-pass"
    )
    assert caught.value.remedy == "set TMPDIR to a directory that is not mounted noexec"
    assert list(runtime.iterdir()) == []


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="setup --ci does not work on Windows; run: passhelper setup"):
        create({}, refuse)


def test_only_a_set_up_that_is_dead_counts_as_abandoned(runtime: Path) -> None:
    """Neither one that is under way, in this process or another, nor one that has come to its end."""
    environ = {"XDG_RUNTIME_DIR": str(runtime)}

    def abandoned() -> list[str]:
        with homedir.abandoned(environ) as left:
            return [home.path for home in left if home.path.startswith(str(runtime))]

    with homedir.create(environ, refuse) as home:
        assert abandoned() == []
    assert abandoned() == [home.path]
    with homedir.abandoned(environ) as left:  # one of two that sweep at the same time
        assert home in left
        assert abandoned() == []
    home.is_complete = True
    home.save()
    assert abandoned() == []
    home.erase()
    (runtime / "passhelper-ci-unmarked").mkdir(mode=0o700)
    (runtime / "passhelper-ci-file").write_text("")
    assert abandoned() == []


@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=1"])
def test_a_base_that_is_full_is_passed_over(runtime: Path, options: str) -> None:
    """As a container's /dev/shm of 64 MiB that something else has filled."""
    require("mount", "umount")
    command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "passhelper-test", str(runtime)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        home = create({"XDG_RUNTIME_DIR": str(runtime)}, lambda _: None)
        assert not home.path.startswith(str(runtime))
        assert list(runtime.iterdir()) == []
        home.erase()
    finally:
        subprocess.run(["umount", str(runtime)], check=True)
