"""The installed ``passhelper``, a machine where nothing is set up yet, and a real registry."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Answer, Program, require, run
from support.machines.jobs import Job, agents
from support.machines.new import Command, Machine
from support.machines.registries import serve_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def machine(installed: Program, short_tmp: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with an empty keyring and no store."""
    require("gpg", "git")
    keyring = Path(tempfile.mkdtemp(prefix="m", dir=short_tmp))
    keyring.rmdir()
    made = Machine(installed, tmp_path / "home", keyring)
    yield made
    if keyring.exists():
        made.stop()
        shutil.rmtree(keyring, ignore_errors=True)


@pytest.fixture
def passhelper(installed: Program, environ: dict[str, str]) -> Command:
    """Run the installed ``passhelper`` in this test's environment."""

    def command(*arguments: str, stdin: bytes | str = b"", **changes: str) -> Answer:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return run([installed.passhelper, *arguments], {**environ, **changes}, data)

    return command


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with password authentication on a free loopback port; its ``host:port``."""
    yield from serve_registry(tmp_path_factory.mktemp("registry"), password=True)


@pytest.fixture(scope="session")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that asks nobody for anything."""
    yield from serve_registry(tmp_path_factory.mktemp("open-registry"), password=False)


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A registry with passwords and a certificate of its own: its ``host:port``, and the certificate."""
    folder = tmp_path_factory.mktemp("tls-registry")
    for address in serve_registry(folder, password=True, tls=True):
        yield address, folder / "cert.pem"


@pytest.fixture
def make_job(installed: Program, short_tmp: Path) -> Iterator[Callable[..., Job]]:
    """Make jobs with a home, and with an empty XDG_RUNTIME_DIR unless told otherwise."""
    require("gpg", "git", "bash")
    made: list[Path] = []

    def make(*, runtime: bool = True) -> Job:
        place = Path(tempfile.mkdtemp(prefix="j", dir=short_tmp))
        place.chmod(0o755)
        made.append(place)
        for name in ("h", "r"):
            (place / name).mkdir(mode=0o700)
        return Job(installed, place / "h", place / "r" if runtime else None)

    yield make
    for place in made:
        for process in agents(str(place)):
            os.kill(process, signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)
