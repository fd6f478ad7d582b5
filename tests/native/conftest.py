"""Desktops for the tests of native stores; each ends with its test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import Once, Program, run
from support.machines.desktops import Desktop, desktop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bare_desktop() -> Iterator[Desktop]:
    """A session bus on which nothing offers the Secret Service."""
    with desktop() as made:
        yield made


@pytest.fixture
def gnome(bare_desktop: Desktop) -> Desktop:
    """A bus with gnome-keyring, its login keyring open and empty."""
    bare_desktop.keyring()
    return bare_desktop


@pytest.fixture
def keepass(bare_desktop: Desktop) -> Desktop:
    """A bus with KeePassXC, its database open and empty."""
    bare_desktop.keepassxc()
    return bare_desktop


@pytest.fixture(params=["gnome-keyring", "KeePassXC"])
def any_desktop(request: pytest.FixtureRequest, bare_desktop: Desktop) -> Desktop:
    """Either of them."""
    if request.param == "KeePassXC":
        bare_desktop.keepassxc()
    else:
        bare_desktop.keyring()
    return bare_desktop


@pytest.fixture(scope="session")
def linked(installed: Program, made_once: Once) -> dict[str, str]:
    """Programs that the installed ``passhelper link`` has made, by the backend's name."""
    names = ("secretservice", "keyring")

    def make(folder: Path) -> None:
        environ = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        for name in names:
            answer = run([installed.passhelper, "link", name, "--dir", str(folder)], environ)
            assert answer.code == 0, answer

    folder = made_once("linked", make)
    return {name: str(folder / f"docker-credential-{name}") for name in names}
