"""A machine on which everything works, for tests to break, and a doctor to look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Helper, Program
from support.worlds.doctors import SERVER, Doctor, git


@pytest.fixture
def healthy(environ: dict[str, str], store: Path, installed: Program, tmp_path: Path) -> dict[str, str]:
    """Our helper first on PATH, Docker configured for it, one entry in a store of alice's."""
    environ["PATH"] = f"{installed.folder}/bin:{environ['PATH']}"
    environ["DOCKER_CONFIG"] = str(tmp_path / "docker")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "pass"}\n')
    (store / ".gpg-id").chmod(0o600)
    assert Helper(installed.helper, environ).store(SERVER, "alice", "s3cret").code == 0
    return environ


@pytest.fixture
def doctor(installed: Program, healthy: dict[str, str]) -> Doctor:
    return Doctor(installed.passhelper, healthy)


@pytest.fixture
def helper(installed: Program, healthy: dict[str, str]) -> Helper:
    return Helper(installed.helper, healthy)


@pytest.fixture
def config(healthy: dict[str, str]) -> Path:
    return Path(healthy["DOCKER_CONFIG"]) / "config.json"


@pytest.fixture
def repository(healthy: dict[str, str], store: Path) -> Path:
    """The store as a git repository with an identity, everything committed and pinned."""
    git(store, "init", "-q", "-b", "main")
    git(store, "config", "user.name", "t")
    git(store, "config", "user.email", "t@example.test")
    git(store, "add", ".")
    git(store, "commit", "-q", "-m", "Begin")
    return store
