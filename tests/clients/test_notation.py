"""notation (oras-go): login, list and logout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def notation(debian_client: Callable[[str], tuple[str, str]], works_with: Callable[..., None], client: Client) -> str:
    program, _ = debian_client("notation")
    said = re.search(r"^Version: +v([\d.]+)", client(program, "version"), re.MULTILINE)
    assert said
    works_with("notation", said[1])
    return program


def test_login_list_and_logout(
    client: Client, notation: str, docker_config: Path, registry: str, image: str, layout: Path
) -> None:
    upload(layout, registry, image)
    listing = [notation, "ls", "--insecure-registry", f"{registry}/{image}:1"]
    assert "basic credential not found" in client(*listing, code=1)
    assert client.short == [f"get {registry} !"]
    login = [notation, "login", "--insecure-registry", registry, "-u", "bob", "--password-stdin"]
    assert "response status code 401: unauthorized" in client(*login, stdin="wrong", code=1)
    assert client.short == []
    assert client(*login, stdin=USERS["bob"]) == "Login Succeeded\n"
    assert client.short == [f"store {registry}"]
    assert json.loads(client.calls[0].stdin) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    assert "has no associated signature" in client(*listing)
    assert client.short == [f"get {registry}"]
    for _ in range(2):
        assert client(notation, "logout", registry) == "Logout Succeeded\n"
        assert client.short == [f"erase {registry}"]
    client(*listing, code=1)
    assert json.loads(docker_config.read_text()) == {"credsStore": "pass"}


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, notation: str, docker_config: Path, registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = client(notation, "ls", "--insecure-registry", f"{registry}/team/app:1", code=1)
    assert "failed to resolve credential: " in said
    assert said.count(words) == 2
    assert client.short == [f"get {registry} !"]
