"""oras (oras-go): one look-up per command, and a login that asks for nothing before it stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def oras(debian_client: Callable[[str], tuple[str, str]], works_with: Callable[..., None], client: Client) -> str:
    program, _ = debian_client("oras")
    works_with("oras", client(program, "version").split()[1])
    return program


def test_login_push_and_logout(
    client: Client, oras: str, docker_config: Path, registry: str, image: str, layout: Path, tmp_path: Path
) -> None:
    name = f"{registry}/{image}:1"
    push = [oras, "cp", "--from-oci-layout", "--to-plain-http", f"{layout}:1", name]
    assert "basic credential not found" in client(*push, code=1)
    assert client.short == [f"get {registry} !"]

    def login(user: str, secret: str, code: int = 0) -> str:
        return client(oras, "login", "--plain-http", registry, "-u", user, "--password-stdin", stdin=secret, code=code)

    assert "unauthorized: authentication required" in login("alice", "wrong", code=1)
    assert client.short == []
    for user in ("alice", "bob"):
        assert login(user, USERS[user]) == "Login Succeeded\n"
        assert client.short == [f"store {registry}"]
        assert json.loads(client.calls[0].stdin) == {"ServerURL": registry, "Username": user, "Secret": USERS[user]}
        assert client.calls[0].stdin.endswith("}")
    client(*push)
    assert client.short == [f"get {registry}"]
    assert json.loads(client.calls[0].out)["Username"] == "bob"
    client(oras, "cp", "--from-plain-http", "--to-oci-layout", name, f"{tmp_path / 'pulled'}:1")
    assert client.short == [f"get {registry}"]
    assert (tmp_path / "pulled" / "index.json").exists()
    for _ in range(2):
        client(oras, "logout", registry)
        assert client.short == [f"erase {registry}"]
    assert "basic credential not found" in client(oras, "manifest", "fetch", "--plain-http", name, code=1)
    assert client.short == [f"get {registry} !"]
    assert json.loads(docker_config.read_text()) == {"credsStore": "pass"}


def test_public(client: Client, oras: str, docker_config: Path, open_registry: str, image: str, layout: Path) -> None:
    """It asks only when a registry wants a password."""
    upload(layout, open_registry, image)
    client(oras, "manifest", "fetch", "--plain-http", f"{open_registry}/{image}:1")
    assert client.short == []


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, oras: str, docker_config: Path, registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = client(oras, "manifest", "fetch", "--plain-http", f"{registry}/team/app:1", code=1)
    first, second = said.splitlines()[:2]
    assert "failed to resolve credential: " in first + second
    assert said.count(words) == 2
    assert client.short == [f"get {registry} !"]


def test_it_does_not_find_a_helper_by_itself(
    client: Client, oras: str, docker_config: Path, open_registry: str
) -> None:
    """Without ``credsStore`` it writes plain text, and never looks for us on PATH as docker does."""
    docker_config.write_text("{}")
    login = [oras, "login", "--plain-http", open_registry, "-u", "carol", "--password-stdin"]
    client(*login, stdin="nobody's")
    assert client.short == []
    assert "auth" in json.loads(docker_config.read_text())["auths"][open_registry]
