"""A real engine, and on it a registry in a container, which pytest-docker starts once for each worker.

Nothing can be pulled, so the registry's image is made from this machine's ``docker-registry``. All workers share the
engine; the names of what a worker makes there hold its registry's port or its project.
"""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import dockers, require
from support.clients.transcripts import Shell
from support.machines.registries import USERS, configure_registry, free_address
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_docker.plugin import Services
    from support.clients.callers import Client
    from support.machines.engines import Engine

DOCKERS = dockers()
_TAGS = itertools.count(1)  # what another test has pushed would not be pushed again
_COMPOSE = """\
version: "2.4"
services:
  registry:
    image: {image}
    network_mode: host
    volumes: ["{folder}:{folder}"]
    command: [serve, "{folder}/config.yml"]
"""


@pytest.fixture(scope="session")
def registry_address() -> str:
    """The ``host:port`` of this worker's registry."""
    return free_address()


@pytest.fixture(scope="session")
def docker_compose_command(engine: Engine) -> str:
    """Debian's docker-compose, which does not see the caller's environment."""
    require("docker-compose")
    return f"env -i PATH=/usr/bin:/bin HOME={engine.folder} docker-compose --host {engine.host}"


@pytest.fixture(scope="session")
def docker_compose_file(
    engine: Engine, short_tmp: Path, registry_address: str, docker_compose_project_name: str
) -> Iterator[str]:
    """The registry's container; once it is down, nothing of it and of this worker's images is left."""
    require("docker-registry")
    folder = short_tmp / "registry"
    folder.mkdir()
    configure_registry(folder, registry_address, password=True)
    image = f"{docker_compose_project_name}/registry:1"
    programs = {"bin/docker-registry": "/usr/bin/docker-registry"}
    engine.make_image(image, programs, 'ENTRYPOINT ["/bin/docker-registry"]')
    file = folder / "compose.yml"
    file.write_text(_COMPOSE.format(image=image, folder=folder))
    yield str(file)
    engine.remove_images(image)
    assert engine.left_by(docker_compose_project_name, registry_address, docker_compose_project_name) == []


@pytest.fixture(scope="session")
def docker_setup() -> str:
    return "up -d"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    return "down -v --timeout 1"


@pytest.fixture(scope="session")
def registry(docker_services: Services, registry_address: str) -> str:
    """The ``host:port`` of a registry with passwords for :data:`support.machines.registries.USERS`, in a container."""

    def answers() -> bool:
        try:
            urllib.request.urlopen(f"http://{registry_address}/v2/", timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 401
        except OSError:
            pass
        return False

    docker_services.wait_until_responsive(answers, timeout=20, pause=0.05)
    return registry_address


@pytest.fixture
def image(engine: Engine, registry: str) -> Iterator[str]:
    """The name of an image with a shell, which is on the engine and not in the registry."""
    name = f"{registry}/team/app:{next(_TAGS)}"
    engine.make_shell_image(name)
    yield name
    engine.remove_images(f"{registry}/*/*")


@pytest.fixture(scope="session")
def pushed(engine: Engine, registry: str) -> Iterator[str]:
    """The name of an image with a shell, which is in the registry."""
    with engine.private_image(registry, "alice", USERS["alice"]) as name:
        yield name


@pytest.fixture
def private(engine: Engine, registry: str, pushed: str) -> Iterator[str]:
    """The same, which is not on the engine."""
    engine.remove_images(f"{registry}/*/*")
    yield pushed
    engine.remove_images(f"{registry}/*/*")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Docker's configuration directory, which names the helper."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "pass"}\n')
    return folder


@pytest.fixture
def oldest_docker() -> str:
    """Debian's ``docker``."""
    return DOCKERS[0]


@pytest.fixture
def newest_docker() -> str:
    """The newest ``docker``, which may be the only one."""
    return DOCKERS[-1]


@pytest.fixture(params=DOCKERS)
def docker(request: pytest.FixtureRequest) -> str:
    """Each ``docker``."""
    return str(request.param)


@pytest.fixture
def shell(docker: str, client: Client, engine: Engine, registry: str, config: Path, git_store: Path) -> Iterator[Shell]:
    """A shell whose ``docker`` is one of them, with an engine, the helper and an empty store."""
    require("docker")
    first_on_path = Path(client.environ["PATH"].partition(":")[0])
    (first_on_path / "docker").symlink_to(docker)
    client.environ |= {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config)}
    shell = Shell(client, {registry: "127.0.0.1:PORT"})
    yield shell
    for path in config.rglob("*"):
        if path.is_file() and not path.is_symlink():  # a link is a plug-in
            text = path.read_text()
            assert '"auth"' not in text, path
            assert not any(secret in text for secret in USERS.values()), path
    print(f"\n{shell.transcript}")  # noqa: T201 - what --capture=no is for


@pytest.fixture
def docker_version(shell: Shell, works_with: Callable[..., None]) -> str:
    """The version of the shell's ``docker``, which gets its row in the README."""
    version = shell.client("docker", "--version").split()[2].rstrip(",").partition("+")[0]
    works_with("docker (CLI)", version)
    return version


@pytest.fixture
def vault(shell: Shell, registry: str) -> Vault:
    """A store with the credential for the registry, and one for another."""
    vault = Vault(shell.client.environ)
    vault.store(registry, "alice", USERS["alice"])
    vault.store("https://other.example", "o", "0ther")
    return vault


@pytest.fixture
def build(shell: Shell, registry: str, private: str, tmp_path: Path) -> Callable[..., str]:
    """Builds an image on the private one with a command; returns what that printed."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f'FROM {private}\nRUN ["/bin/sh", "-c", "echo built > /made"]\n')

    def build(command: str, *, code: int = 0) -> str:
        return shell(f"{command} --network none --tag {registry}/team/built:1 {context}", code=code)

    return build
