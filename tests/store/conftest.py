"""Stores to work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import children
from support.worlds.vault import Vault


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """No verb returns before the programs that it started have ended."""
    before = children()
    yield
    assert children() <= before


@pytest.fixture
def vault(store: Path, environ: dict[str, str]) -> Vault:
    """A store without git, readable by alice."""
    return Vault(environ)


@pytest.fixture
def git_vault(git_store: Path, environ: dict[str, str]) -> Vault:
    """A git store, readable by alice."""
    return Vault(environ)
