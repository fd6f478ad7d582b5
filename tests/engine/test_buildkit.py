"""BuildKit, as Docker 20.10 has it built in and as ``buildx`` brings it: it asks for the one registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import KeyRing
    from support.clients.transcripts import Shell
    from support.worlds.vault import Vault

BUILT_IN, PLUG_IN = "docker build", "docker buildx build"


@pytest.fixture(params=[BUILT_IN, PLUG_IN])
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def docker(command: str, oldest_docker: str, newest_docker: str) -> str:
    return oldest_docker if command == BUILT_IN else newest_docker


@pytest.fixture
def builder(
    command: str,
    shell: Shell,
    docker_version: str,
    config: Path,
    more_clients: Callable[[str], Path],
    works_with: Callable[..., None],
) -> str:
    """The command that builds; a Docker that has no BuildKit any more takes the plug-in for it."""
    shell.client.environ |= {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    if command == PLUG_IN or not docker_version.startswith("20."):
        (config / "cli-plugins").mkdir()
        plugin = more_clients("debian/usr/libexec/docker/cli-plugins/docker-buildx")
        (config / "cli-plugins" / plugin.name).symlink_to(plugin)
        works_with("docker buildx", shell.client("docker", "buildx", "version").split()[1])
    return command


def test_an_entry_for_others(
    shell: Shell, build: Callable[..., str], builder: str, vault: Vault, keys: KeyRing
) -> None:
    vault.put(keys.encrypt(b"theirs\n", "stranger"))
    said = build(builder)
    assert "sharing credentials for 127.0.0.1:PORT" in said
    assert "naming to 127.0.0.1:PORT/team/built:1" in said
    assert shell.calls == ["get 127.0.0.1:PORT"]


def test_no_credential(shell: Shell, build: Callable[..., str], builder: str, vault: Vault, registry: str) -> None:
    """It carries on without one, as it does after this text only."""
    vault.erase(registry)
    said = build(builder, code=1)
    assert "401 Unauthorized" in said
    assert set(shell.calls) == {"get 127.0.0.1:PORT !"}
    assert {(call.out.encode(), call.err) for call in shell.client.calls} == {(NOT_FOUND, "")}
    assert "panic" not in said


def test_a_credential_that_cannot_be_read(
    shell: Shell, build: Callable[..., str], builder: str, vault: Vault, registry: str, keys: KeyRing
) -> None:
    """It says why: once from the helper itself, and once in what the engine answers."""
    vault.put(keys.encrypt(b"theirs\n", "stranger"), registry, "alice.gpg")
    said = build(builder, code=1)
    assert set(shell.calls) == {"get 127.0.0.1:PORT !"}
    cause = shell.client.calls[0].out.strip()
    assert cause.startswith("no secret key for docker-credential-helpers/")
    assert f"error getting credentials - err: exit status 1, out: `{cause}`" in said
    assert f"docker-credential-pass: {cause}" in said
    assert "panic" not in said
