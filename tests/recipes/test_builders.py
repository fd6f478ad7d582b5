"""Packer and Vagrant with a real Docker engine: as their recipes run them, and with what these warn of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support import NOT_FOUND, Helper, require
from support.machines.engines import BUSYBOX
from support.machines.registries import USERS, serve_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.clients.callers import Client
    from support.machines.engines import Engine
    from support.project.recipes import Recipe

    Build = Callable[..., str]

USER = "alice"
_IDLE = 'CMD ["/bin/sh", "-c", "trap exit TERM; sleep 600 & wait"]'


@dataclass(frozen=True)
class Site:
    """A directory to work in, and around it docker with the helper and an engine.

    Attributes:
        registry: it wants a password, which the store has.
        base: an image that only the registry has.
        work: the directory.
    """

    registry: str
    base: str
    work: Path

    @property
    def logged_out(self) -> list[str]:
        """What ``docker logout`` asks of a helper."""
        return [f"erase {name}{self.registry}" for name in ("", "", "http://", "https://")]


@pytest.fixture
def site(client: Client, engine: Engine, store: Path, tmp_path: Path) -> Iterator[Site]:
    client.environ |= {
        "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(tmp_path / "docker"), "TMPDIR": str(tmp_path),
        "CHECKPOINT_DISABLE": "1", "VAGRANT_HOME": str(tmp_path / "vagrant"), "VAGRANT_CHECKPOINT_DISABLE": "1",
    }  # fmt: skip
    for name in ("docker", "registry", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "pass"}')
    for registry in serve_registry(tmp_path / "registry", password=True):
        made = Site(registry, f"{registry}/team/base:1", tmp_path / "work")
        engine.make_image(made.base, {"bin/sh": BUSYBOX, "tmp/sh": BUSYBOX}, _IDLE)
        client("docker", "login", "--username", USER, "--password-stdin", registry, stdin=USERS[USER])
        client("docker", "push", "--quiet", made.base)
        client("docker", "rmi", made.base)
        yield made
        of_it = ["--filter", f"reference={registry}/*/*"]
        left = engine.docker("images", "--quiet", *of_it).stdout.decode().split()
        engine.docker("rmi", "--force", *left, check=False)


# Packer


@pytest.fixture
def packer(recipe: Callable[[str], Recipe], client: Client, site: Site) -> Build:
    """The README's commands, on the recipe's template with more settings of its source."""
    require("packer")
    files = recipe("packer")
    script = files.take("README.md", "block 0")
    client.environ |= {"BASE": site.base, "REPOSITORY": f"{site.registry}/team/app"}

    def build(more: str = "", code: int | None = 0) -> str:
        template = (files.folder / "app.pkr.hcl").read_text()
        assert template.count("  commit = true\n") == 1
        (site.work / "app.pkr.hcl").write_text(template.replace("  commit = true\n", f"  commit = true\n{more}"))
        return client("sh", "-c", script, cwd=site.work, code=code)

    return build


def test_packer(packer: Build, client: Client, site: Site, helper: Helper) -> None:
    """It asks for the credential to pull and to push, and leaves it where it is."""
    packer()
    assert set(client.short) == {f"get {site.registry}"}
    assert len(client.short) >= 2
    assert helper.get(site.registry).json["Secret"] == USERS[USER]
    image = f"{site.registry}/team/app:1"
    client("docker", "rmi", image)
    made_by = client("docker", "run", "--rm", "--network=none", "--entrypoint=/bin/sh", image, "-c", "cat /made-by")
    assert "made by packer" in made_by.splitlines()


def test_packer_that_logs_in(packer: Build, client: Client, site: Site, helper: Helper) -> None:
    """Why the recipe does not: what was in the store before is gone, unless the helper writes nothing."""
    login = f'login = true\nlogin_server = "{site.registry}"\nlogin_username = "{USER}"\n'
    login += f"login_password = {json.dumps(USERS[USER])}\n"
    client.environ["PASSHELPER_IGNORE_WRITES"] = "1"
    packer(login)
    assert client.short[0] == f"store {site.registry}"
    assert [call for call in client.short if call.startswith("erase")] == site.logged_out
    assert helper.get(site.registry).json["Secret"] == USERS[USER]
    del client.environ["PASSHELPER_IGNORE_WRITES"]
    packer(login, None)  # its own docker-push comes after its logout
    assert helper.get(site.registry).out == NOT_FOUND


# Vagrant


@pytest.fixture
def vagrant(recipe: Callable[[str], Recipe], client: Client, site: Site) -> Build:
    """The README's commands, on the recipe's file with more settings of its provider."""
    require("vagrant")
    files = recipe("vagrant")
    script = files.take("README.md", "block 0")
    client.environ["IMAGE"] = site.base

    def up_and_down(more: str = "") -> str:
        text = (files.folder / "Vagrantfile").read_text()
        mark = "    docker.remains_running = true\n"
        assert text.count(mark) == 1
        (site.work / "Vagrantfile").write_text(text.replace(mark, mark + more))
        return client("sh", "-c", script, cwd=site.work, timeout=110)

    return up_and_down


def test_vagrant(vagrant: Build, client: Client, site: Site, helper: Helper, engine: Engine) -> None:
    """It asks for the credential once, and leaves it where it is."""
    said = vagrant()
    assert client.short == [f"get {site.registry}"]
    assert "Deleting the container..." in said
    assert helper.get(site.registry).json["Secret"] == USERS[USER]
    assert engine.docker("ps", "--all", "--quiet", "--filter", f"ancestor={site.base}").stdout == b""


def test_vagrant_that_logs_in(vagrant: Build, client: Client, site: Site, helper: Helper) -> None:
    """Why the recipe does not: what was in the store before is gone."""
    settings = {"auth_server": site.registry, "username": USER, "password": USERS[USER]}
    vagrant("".join(f"    docker.{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    assert client.short == [f"store {site.registry}", f"get {site.registry}", *site.logged_out]
    assert helper.get(site.registry).out == NOT_FOUND
