"""The classic builder, which asks ``list`` and then for every server in it, and drops all when one ``get`` fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require_go_helper
from support.machines.registries import USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import KeyRing, Program
    from support.clients.transcripts import Shell
    from support.worlds.vault import Vault

OTHER, STRANGE = "https://other.example", "https://strange.example"
REFUSED = "no basic auth credentials"


@pytest.fixture
def shared(vault: Vault, shell: Shell, keys: KeyRing) -> Vault:
    """A store that also holds a credential that this machine cannot decrypt; docker builds without BuildKit."""
    vault.put(keys.encrypt(b"theirs\n", "stranger"), STRANGE)
    shell.client.environ["DOCKER_BUILDKIT"] = "0"
    return vault


def test_an_entry_for_others_beside_dockers_own_helper(
    shell: Shell, build: Callable[..., str], shared: Vault, registry: str, installed: Program, docker_version: str
) -> None:
    """``passhelper setup`` and other commands note what this machine can read; ``list`` then leaves out the rest."""
    beside = Path(shell.client.environ["HOME"], "go")
    beside.mkdir()
    (beside / "docker-credential-pass").symlink_to(require_go_helper())
    with_ours = shell.client.environ["PATH"]

    shell.note("# Docker's own helper", "")
    shell.client.environ["PATH"] = f"{beside}:{with_ours}"
    listed = json.loads(shell("docker-credential-pass list"))
    assert listed == {"127.0.0.1:PORT": "alice", OTHER: "o", STRANGE: "bob"}
    assert json.loads(shell("docker-credential-pass get", stdin=registry))["Secret"] == USERS["alice"]
    assert REFUSED in build("docker build", code=1)

    shell.note("# passhelper's", "")
    shell.client.environ["PATH"] = with_ours
    shell(f"{installed.passhelper} unlock")
    assert json.loads(shell("docker-credential-pass list")) == {"127.0.0.1:PORT": "alice", OTHER: "o"}
    assert "Successfully tagged" in build("docker build")
    assert shell.calls[0] == "list"
    assert sorted(shell.calls[1:]) == ["get 127.0.0.1:PORT", f"get {OTHER}"]


def test_a_machine_that_has_not_been_set_up(shell: Shell, build: Callable[..., str], shared: Vault) -> None:
    """There ``list`` names all at first. The ``get`` that fails says what to do, and what to leave out from now on."""
    said = build("docker build", code=1)
    assert REFUSED in said
    assert f"get {STRANGE} !" in shell.calls
    assert "docker-credential-pass: no secret key for docker-credential-helpers/" in said
    assert "; ask a team member to run: passhelper recipients add" in said
    assert "Successfully tagged" in build("docker build")
    assert sorted(shell.calls) == ["get 127.0.0.1:PORT", f"get {OTHER}", "list"]
