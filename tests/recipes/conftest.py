"""What the recipes meet: a registry with an image, a team's store with its credential, and a wheel to install."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import KeyRing, Program, require, run
from support.machines.jobs import BARE_PATH, agents
from support.machines.registries import serve_registry
from support.machines.runners import USERS, Member, Site, View
from support.project.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def site(keys: KeyRing, wheel: Path, short_tmp: Path) -> Iterator[Site]:
    """One registry, store and package index for all recipes of a module; every user may read it."""
    require("docker", "gpg", "git", "bash")
    folder = Path(tempfile.mkdtemp(prefix="site-", dir=short_tmp))
    folder.chmod(0o755)
    (folder / "registry").mkdir()
    # The recipes say python3; here that is the interpreter that the tests run with, whatever PATH finds first.
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys._base_executable} "$@"\n')  # type: ignore[attr-defined]
    python.chmod(0o755)
    libraries = Path(sysconfig.get_path("purelib"))
    for address in serve_registry(folder / "registry", password=True, users=USERS, tls=True):
        yield Site(keys, wheel, libraries, address, folder)


@pytest.fixture
def place(short_tmp: Path) -> Iterator[Path]:
    """A short directory for one job; no agent of its own outlives it."""
    path = Path(tempfile.mkdtemp(prefix="r", dir=short_tmp))
    path.chmod(0o755)
    yield path
    for process in agents(str(path)):
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def recipe() -> Iterator[Callable[[str], Recipe]]:
    """Open recipes; a test that does not run all of their shell fails."""
    opened: list[Recipe] = []

    def open_(name: str) -> Recipe:
        opened.append(Recipe(name))
        return opened[-1]

    yield open_
    for one in opened:
        assert one.left == []


@pytest.fixture
def view(place: Path) -> Iterator[View]:
    """This machine as a recipe for its root may change it; see :class:`support.machines.runners.View`."""
    require("unshare", "nsenter", "setpriv")
    if os.geteuid() != 0 or run(["unshare", "--mount", "--pid", "--fork", "true"], {"PATH": BARE_PATH}).code != 0:
        pytest.skip("no mount namespace can be made here")
    with View(place) as made:
        yield made


@pytest.fixture
def member(installed: Program, environ: dict[str, str], own_keys: KeyRing, git_store: Path, place: Path) -> Member:
    """Somebody whose store is at a remote that every user may read, and who lets others in."""
    environ["GNUPGHOME"] = str(own_keys.home)
    return Member(installed, environ, own_keys, git_store, place / "remote.git")
