"""container-structure-test, whose library of Docker's API asks the helper itself and drops what goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.machines.registries import USERS
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.clients.callers import Client
    from support.machines.engines import Engine

_TESTS = {"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": "shell", "path": "/bin/sh", "shouldExist": True}]}


def test_pull(
    client: Client, engine: Engine, store: Path, registry: str, docker_config: Path, tmp_path: Path,
    more_clients: Callable[[str], Path], works_with: Callable[..., None],
) -> None:  # fmt: skip
    client.environ["DOCKER_HOST"] = engine.host
    (tmp_path / "tests.json").write_text(json.dumps(_TESTS))
    program = str(more_clients("python/bin/container-structure-test"))
    works_with("container-structure-test", client(program, "version").strip().lstrip("v"))
    with engine.private_image(registry, "alice", USERS["alice"]) as image:
        command = [program, "test", "--no-color", "--pull", "--image", image, "--config", f"{tmp_path}/tests.json"]
        assert "no basic auth credentials" in client(*command, code=None)
        assert client.short == [f"get {registry} !"]
        Vault(client.environ).store(registry, "alice", USERS["alice"])
        assert "Passes:      1" in client(*command)
        assert client.short == [f"get {registry}"]
