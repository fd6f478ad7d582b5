"""cosign (go-containerregistry): it asks as crane does; it has no logout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Helper
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")

_TREE = ("tree", "--allow-http-registry", "--allow-insecure-registry")


@pytest.fixture
def cosign(debian_client: Callable[[str], tuple[str, str]], works_with: Callable[..., None]) -> str:
    program, version = debian_client("cosign")
    works_with("cosign", version)
    return program


def test_login_and_use(
    client: Client, cosign: str, helper: Helper, docker_config: Path, registry: str, image: str, layout: Path
) -> None:
    name = f"{registry}/{image}"
    upload(layout, registry, image)
    assert "UNAUTHORIZED: authentication required" in client(cosign, *_TREE, f"{name}:1", code=1)
    assert client.short == [f"get {name} !", f"get {registry} !"]
    login = [cosign, "login", registry, "--username", "bob", "--password-stdin"]
    assert f"logged in via {docker_config}" in client(*login, stdin=USERS["bob"])
    assert client.short == [f"store {registry}"]
    assert json.loads(client.calls[0].stdin) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    assert "No Supply Chain Security Related Artifacts found" in client(cosign, *_TREE, f"{name}:1")
    assert client.short == [f"get {name} !", f"get {registry}"]
    assert json.loads(docker_config.read_text()) == {"auths": {registry: {}}, "credsStore": "pass"}
    assert helper.erase(registry).code == 0
    client(cosign, *_TREE, f"{name}:1", code=1)


def test_public(client: Client, cosign: str, docker_config: Path, open_registry: str, image: str, layout: Path) -> None:
    upload(layout, open_registry, image)
    client(cosign, *_TREE, f"{open_registry}/{image}:1")
    assert client.short == [f"get {open_registry}/{image} !", f"get {open_registry} !"]


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, cosign: str, docker_config: Path, registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = client(cosign, *_TREE, f"{registry}/team/app:1", code=1)
    assert "Error: error getting credentials - err: exit status 1, out: `" in said
    assert "\ndocker-credential-pass: " in said
    assert said.count(words) >= 2
