"""Compose, both majors: pull, build and push of private images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.clients.transcripts import Shell
    from support.worlds.vault import Vault

OTHER = "https://other.example"
REFUSED = "no basic auth credentials"
GET = ["get 127.0.0.1:PORT"]
_PROJECT = """\
version: "3.4"
services:
  app:
    image: {private}
  made:
    image: {registry}/team/made:1
    build: {{context: ., network: none}}
"""


@pytest.fixture
def docker(newest_docker: str) -> str:
    """Which one makes no difference: it starts the plug-in, and the classic builder."""
    return newest_docker


@pytest.fixture
def project(tmp_path: Path, registry: str, private: str) -> str:
    """Compose's options for a project with one image to pull and one to build."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f'FROM {private}\nRUN ["/bin/sh", "-c", "echo built > /made"]\n')
    (folder / "compose.yml").write_text(_PROJECT.format(private=private, registry=registry))
    return f"-p ph -f {folder}/compose.yml"


@pytest.fixture(params=["docker-compose", "docker compose"])
def compose(
    request: pytest.FixtureRequest,
    shell: Shell,
    config: Path,
    more_clients: Callable[[str], Path],
    works_with: Callable[..., None],
) -> str:
    """The first major is a program of its own, the second a plug-in; both build without BuildKit here."""
    shell.client.environ |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "1"}
    if request.param == "docker-compose":
        require("docker-compose")
        version = re.findall(r"docker-compose version ([\d.]+)", shell.client("docker-compose", "version"))[0]
    else:
        (config / "cli-plugins").mkdir()
        (config / "cli-plugins/docker-compose").symlink_to(
            more_clients("debian/usr/libexec/docker/cli-plugins/docker-compose")
        )
        version = shell.client("docker", "compose", "version", "--short").strip()
    works_with(request.param, version)
    return str(request.param)


def test_pull_build_push(shell: Shell, compose: str, project: str, registry: str, private: str, vault: Vault) -> None:
    user, password = vault.get(registry)
    vault.erase(registry)
    for verb, calls in (("pull app", ["get 127.0.0.1:PORT !"]), ("build made", ["list", f"get {OTHER}"])):
        assert REFUSED in shell(f"{compose} {project} {verb}", code=1)
        assert shell.calls == calls
    vault.store(registry, user, password)
    shell(f"{compose} {project} pull app")
    assert shell.calls == GET
    shell(f"docker rmi {private}")
    shell(f"{compose} {project} build made")
    assert shell.calls[0] == "list"
    assert sorted(set(shell.calls[1:])) == [*GET, f"get {OTHER}"]
    shell(f"{compose} {project} push made")
    assert shell.calls == GET
    vault.erase(registry)
    shell(f"docker rmi {registry}/team/made:1")
    assert REFUSED in shell(f"docker pull {registry}/team/made:1", code=1)
