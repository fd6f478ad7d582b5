"""The installed ``passhelper``, a machine where nothing is set up yet, and a real registry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machines import Command, Machine
from registries import serve_registry
from support import Answer, Program, require, run

if TYPE_CHECKING:
    from collections.abc import Iterator


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
