"""Where programs go that fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.worlds.vault import Vault


@pytest.fixture
def bin_folder(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A directory that comes first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    environ["PATH"] = f"{folder}:{environ['PATH']}"
    return folder


@pytest.fixture(params=["plain", "git"])
def vault(request: pytest.FixtureRequest, environ: dict[str, str]) -> Vault:
    """A store without git and one with it, readable by alice."""
    request.getfixturevalue("git_store" if request.param == "git" else "store")
    return Vault(environ)
