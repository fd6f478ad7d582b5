"""docker-py with an engine: pull and build of a private image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.machines.registries import USERS
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.clients.callers import Client
    from support.machines.engines import Engine

OTHER = "https://other.example"
_PULL = "import docker, sys; print(docker.from_env().images.pull(sys.argv[1]).tags)"
_BUILD = """\
import docker, sys
image, log = docker.from_env().images.build(path=sys.argv[1], tag=sys.argv[2], network_mode="none", rm=True)
print(image.tags)
"""


@pytest.fixture
def python(
    client: Client, engine: Engine, store: Path, docker_config: Path, more_clients: Callable[[str], Path],
    works_with: Callable[..., None],
) -> str:  # fmt: skip
    """An interpreter with docker-py, which uses the helper."""
    client.environ["DOCKER_HOST"] = engine.host
    python = str(more_clients("python/bin/python"))
    works_with("docker-py", client(python, "-c", "import docker; print(docker.__version__)").strip())
    return python


def test_pull(client: Client, python: str, registry: str, private_image: str) -> None:
    said = client(python, "-c", _PULL, private_image, code=1)
    assert "no basic auth credentials" in said
    assert client.short == [f"get {registry} !"]
    Vault(client.environ).store(registry, "alice", USERS["alice"])
    assert client(python, "-c", _PULL, private_image) == f"['{private_image}']\n"
    assert client.short == [f"get {registry}"]


def test_build(client: Client, python: str, registry: str, private_image: str, tmp_path: Path) -> None:
    """As the classic builder: ``list``, and then ``get`` of every server in it."""
    vault = Vault(client.environ)
    vault.store(registry, "alice", USERS["alice"])
    vault.store(OTHER, "o", "0ther")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f'FROM {private_image}\nRUN ["/bin/sh", "-c", "echo built > /made"]\n')
    said = client(python, "-c", _BUILD, str(context), f"{registry}/team/built:1")
    assert said == f"['{registry}/team/built:1']\n"
    assert client.short == ["list", f"get {registry}", f"get {OTHER}"]
