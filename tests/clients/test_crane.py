"""crane (go-containerregistry): it asks for the repository first, then for the registry; cosign and syft do too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def crane(debian_client: Callable[[str], tuple[str, str]], works_with: Callable[..., None]) -> str:
    program, version = debian_client("crane")
    works_with("crane", version)
    return program


def test_login_push_and_logout(
    client: Client, crane: str, docker_config: Path, registry: str, image: str, layout: Path
) -> None:
    name = f"{registry}/{image}"
    missed = [f"get {name} !", f"get {registry} !"]
    push = [crane, "push", "--insecure", str(layout), f"{name}:1"]
    digest = [crane, "digest", "--insecure", f"{name}:1"]
    assert "unexpected status code 401 Unauthorized" in client(*push, code=1)
    assert client.short == missed
    for user in ("bob", "alice"):
        login = [crane, "auth", "login", registry, "--username", user, "--password-stdin"]
        assert f"logged in via {docker_config}" in client(*login, stdin=USERS[user])
        assert client.short == [f"store {registry}"]
        (call,) = client.calls
        assert json.loads(call.stdin) == {"ServerURL": registry, "Username": user, "Secret": USERS[user]}
        assert call.stdin.endswith("}\n")
        found = json.loads(client(crane, "auth", "get", registry))
        assert found == {"Username": user, "Secret": USERS[user]}
    client(*push)
    assert client.short == [f"get {name} !", f"get {registry}"]
    assert client(*digest).startswith("sha256:")
    assert client.short == [f"get {name} !", f"get {registry}"]
    for _ in range(2):  # with a helper that fails for what is not there, the second ends with exit status 1
        assert "logged out" in client(crane, "auth", "logout", registry)
        assert client.short == [f"erase {registry}"]
    assert "UNAUTHORIZED: authentication required" in client(*digest, code=1)
    assert client.short == missed * 2  # HEAD, then GET
    assert json.loads(docker_config.read_text()) == {"auths": {}, "credsStore": "pass"}


def test_public(client: Client, crane: str, docker_config: Path, open_registry: str, image: str, layout: Path) -> None:
    upload(layout, open_registry, image)
    assert client(crane, "digest", "--insecure", f"{open_registry}/{image}:1").startswith("sha256:")
    assert client.short == [f"get {open_registry}/{image} !", f"get {open_registry} !"]


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, crane: str, docker_config: Path, registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    """On the terminal and in crane's own message."""
    words = spoil(registry, trouble)
    said = client(crane, "digest", "--insecure", f"{registry}/team/app:1", code=1)
    assert "Error: error getting credentials - err: exit status 1, out: `" in said
    assert said.count(words) == 4  # HEAD, then GET, each in both places
