"""testcontainers-python, which pulls through docker-py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.machines.registries import USERS
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.clients.callers import Client
    from support.machines.engines import Engine

_RUN = """\
import sys
from testcontainers.core.container import DockerContainer
described = DockerContainer(sys.argv[1]).with_command(["sh", "-c", "echo hello"]).with_kwargs(network_mode="none")
with described as container:
    container.get_wrapped_container().wait()
    print(container.get_logs()[0].decode())
"""


def test_a_container_of_a_private_image(
    client: Client, engine: Engine, store: Path, registry: str, docker_config: Path,
    more_clients: Callable[[str], Path], works_with: Callable[..., None],
) -> None:  # fmt: skip
    client.environ["DOCKER_HOST"] = engine.host
    client.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image cannot be pulled
    python = str(more_clients("python/bin/python"))
    version = "import importlib.metadata as m; print(m.version('testcontainers'))"
    works_with("testcontainers-python", client(python, "-c", version).strip())
    with engine.private_image(registry, "alice", USERS["alice"]) as image:
        assert "no basic auth credentials" in client(python, "-c", _RUN, image, code=1)
        assert set(client.short) == {f"get {registry} !"}
        Vault(client.environ).store(registry, "alice", USERS["alice"])
        assert "hello" in client(python, "-c", _RUN, image)
        assert client.short == [f"get {registry}"]
    assert engine.docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}").stdout == b""
