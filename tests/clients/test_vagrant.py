"""Vagrant's docker provider, which runs docker's own commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support import require
from support.machines.engines import Engine
from support.machines.registries import USERS
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.clients.callers import Client

_MACHINE = """\
Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider "docker" do |d|
    d.image = {image!r}
    d.cmd = ["/bin/true"]
    d.create_args = ["--network", "none"]
    d.remains_running = false
    {login}
  end
end
"""


@pytest.fixture(scope="module")
def engine(engine: Engine, short_tmp: Path) -> Iterator[Engine]:
    """An engine of its own: Vagrant inspects every container, and fails where another test removes one meanwhile."""
    own = Engine.start(short_tmp / "vagrant")
    yield own
    own.stop()
    shutil.rmtree(own.folder)


@pytest.fixture
def up(
    client: Client,
    engine: Engine,
    store: Path,
    registry: str,
    docker_config: Path,
    tmp_path: Path,
    works_with: Callable[..., None],
) -> Iterator[Callable[[str], str]]:
    """Brings a machine up from the private image, with some words on how to log in."""
    require("vagrant")
    client.environ |= {"DOCKER_HOST": engine.host, "VAGRANT_CHECKPOINT_DISABLE": "1"}
    works_with("Vagrant", client("vagrant", "--version").split()[1])
    machine = tmp_path / "machine"
    machine.mkdir()
    with engine.private_image(registry, "alice", USERS["alice"]) as image:

        def up(login: str) -> str:
            (machine / "Vagrantfile").write_text(_MACHINE.format(image=image, login=login))
            return client("vagrant", "up", "--provider", "docker", cwd=machine)

        yield up
        client("vagrant", "destroy", "--force", cwd=machine)
        assert client.short == []
    assert '"auth"' not in docker_config.read_text()


def test_login_by_vagrant(up: Callable[..., str], client: Client, registry: str) -> None:
    """It logs in and out around the start; the logout also erases what was in the store before."""
    Vault(client.environ).store(registry, "bob", USERS["bob"])
    up(f'd.username, d.password, d.auth_server = "alice", "{USERS["alice"]}", "{registry}"')
    erase = [f"erase {server}" for server in (registry, registry, f"http://{registry}", f"https://{registry}")]
    assert client.short == [f"store {registry}", f"get {registry}", *erase]
    assert Vault(client.environ).list() == {}


def test_login_before(up: Callable[..., str], client: Client, registry: str) -> None:
    Vault(client.environ).store(registry, "alice", USERS["alice"])
    up("")
    assert client.short == [f"get {registry}"]
    assert Vault(client.environ).list() == {registry: "alice"}
