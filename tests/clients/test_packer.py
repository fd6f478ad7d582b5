"""Packer's docker builder and its docker-push, which run docker's own commands: one pull, and a push of each name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import require
from support.machines.registries import USERS
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.clients.callers import Client
    from support.machines.engines import Engine


@pytest.fixture
def build(
    client: Client, engine: Engine, store: Path, private_image: str, registry: str, docker_config: Path, tmp_path: Path,
    works_with: Callable[..., None],
) -> Callable[[dict[str, Any]], str]:  # fmt: skip
    """Runs a build that pulls the private image, tags what it made of it, and pushes that."""
    require("packer")
    client.environ |= {"DOCKER_HOST": engine.host, "CHECKPOINT_DISABLE": "1"}
    works_with("Packer", client("packer", "version").split()[1].lstrip("v"))

    def build(login: dict[str, Any]) -> str:
        builder = {"type": "docker", "image": private_image, "commit": True, **login}
        builder["run_command"] = ["-d", "-i", "--network", "none", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
        tag = {"type": "docker-tag", "repository": f"{registry}/team/packed", "tag": "1"}
        template = {"builders": [builder], "post-processors": [[tag, {"type": "docker-push", **login}]]}
        file = tmp_path / "template.json"
        file.write_text(json.dumps(template))
        said = client("packer", "build", "-color=false", str(file))
        assert json.loads(docker_config.read_text()).get("auths", {}) == {}
        return said

    return build


def test_login_by_packer(build: Callable[..., str], client: Client, registry: str, store: Path) -> None:
    """It logs in and out around each command; the logout also erases what was in the store before."""
    Vault(client.environ).store(registry, "bob", USERS["bob"])
    said = build({"login": True, "login_server": registry, "login_username": "alice", "login_password": USERS["alice"]})
    erase = [f"erase {server}" for server in (registry, registry, f"http://{registry}", f"https://{registry}")]
    store_get = [f"store {registry}", f"get {registry}"]
    assert client.short == [*store_get, *erase, *store_get, f"get {registry}", *erase]
    assert said.count("Login Succeeded") == 2
    assert Vault(client.environ).list() == {}


def test_login_before(build: Callable[..., str], client: Client, engine: Engine, registry: str, store: Path) -> None:
    vault = Vault(client.environ)
    vault.store(registry, "alice", USERS["alice"])
    build({})
    assert client.short == [f"get {registry}"] * 3
    assert vault.list() == {registry: "alice"}
    engine.remove_images(f"{registry}/*/*")
    client("docker", "pull", f"{registry}/team/packed:1")
