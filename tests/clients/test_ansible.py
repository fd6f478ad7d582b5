"""Ansible's ``community.docker.docker_login``, which uses a copy of docker-py."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

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
def play(
    client: Client, engine: Engine, git_store: Path, registry: str, tmp_path: Path, works_with: Callable[..., None]
) -> Callable[..., list[bool]]:
    """Runs the module with one set of options after the other; says which of them have changed something."""
    require("ansible-playbook", "ansible-galaxy")
    config = tmp_path / "docker"
    config.mkdir()
    (config / "config.json").write_text('{"credsStore": "pass"}')
    client.environ |= {"ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_REMOTE_TEMP": str(tmp_path)}
    client.environ |= {"ANSIBLE_STDOUT_CALLBACK": "json"}
    found = client("ansible-galaxy", "collection", "list", "community.docker")
    works_with("Ansible community.docker.docker_login", re.findall(r"community\.docker\s+([\d.]+)", found)[0])

    def play(*options: dict[str, str]) -> list[bool]:
        common = {"registry_url": registry, "docker_host": engine.host, "config_path": f"{config}/config.json"}
        tasks = [{"community.docker.docker_login": {**common, **given}} for given in options]
        variables = {"ansible_python_interpreter": "/usr/bin/python3"}
        hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables}
        file = tmp_path / "play.json"
        file.write_text(json.dumps([{**hosts, "tasks": tasks}]))
        said = client("ansible-playbook", "-i", "localhost,", str(file))
        text = (config / "config.json").read_text()
        assert '"auth"' not in text
        assert not any(secret in text for secret in USERS.values())
        (result,) = json.loads(said[said.index("{") : said.rindex("}") + 1])["plays"]
        return [task["hosts"]["localhost"]["changed"] for task in result["tasks"]]

    return play


def test_present_and_absent_twice(play: Callable[..., list[bool]], client: Client, registry: str) -> None:
    alice, bob = ({"username": user, "password": secret} for user, secret in USERS.items())
    absent = {"state": "absent"}
    get, missing, store, erase = f"get {registry}", f"get {registry} !", f"store {registry}", f"erase {registry}"

    assert play(alice, alice, bob) == [True, False, True]
    assert client.short == [*[missing, missing, store], *[get, get], *[get, get, store]]
    assert Vault(client.environ).list() == {registry: "bob"}
    assert Vault(client.environ).get(registry) == ("bob", USERS["bob"])
    assert play(absent, absent) == [True, False]
    assert client.short == [*[get, erase], missing]
    assert Vault(client.environ).list() == {}
