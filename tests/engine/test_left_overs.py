"""What the engine, its containers and the tests of it leave behind: nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_docker.plugin import get_docker_services
from support.machines import engines
from support.machines.engines import Engine, NoEngineError
from support.processes import running
from support.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT = "sh -c 'read line'"
_COMPOSE = """\
version: "2.4"
services:
  waiting:
    image: {image}
    network_mode: none
    stdin_open: true
    command: {command}
    volumes: ["named:/named"]
volumes: {{named: {{}}}}
"""


def _traces(word: str, folder: Path) -> dict[str, list[str]]:
    """The processes, mounts and files that have a word in their name."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "processes": running(word),
        "mounts": [line for line in mounts if word in line],
        "files": [str(path) for path in folder.rglob("*") if word in str(path)],
    }


def _left(word: str, folder: Path) -> dict[str, list[str]]:
    """The same where there is anything, after the longest wait: a container's monitor ends after the container."""
    end = time.monotonic() + LIMIT
    while any((found := _traces(word, folder)).values()) and time.monotonic() < end:
        time.sleep(0.05)
    return {kind: names for kind, names in found.items() if names}


def test_a_container(
    engine: Engine, docker_compose_command: str, docker_compose_project_name: str, image: str, tmp_path: Path
) -> None:
    project = f"{docker_compose_project_name}left"
    file = tmp_path / "compose.yml"
    file.write_text(_COMPOSE.format(image=image, command=_WAIT))
    with get_docker_services(docker_compose_command, str(file), project, "up -d", "down -v --timeout 0"):
        (container,) = engine.docker(
            "ps", "--quiet", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}"
        ).stdout.split()
        network = engine.docker("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", container.decode()).stdout
        before = _traces(container.decode(), engine.folder)
        assert before["processes"]
        assert before["files"]
        network_file = Path(network.decode().strip()).name
        assert _traces(network_file, engine.folder)["mounts"]
        assert {line.split()[0] for line in engine.left_by(project)} == {"container", "volume"}
    assert _left(container.decode(), engine.folder) == {}
    assert not _traces(network_file, engine.folder)["mounts"]  # Docker removes the empty mount point a minute later
    assert engine.left_by(project) == []


@pytest.fixture
def folder(engine: Engine, short_tmp: Path) -> Iterator[Path]:
    """Where an engine of its own goes; there is one here, so another starts too."""
    folder = short_tmp / "own-engine"
    yield folder
    Engine(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_the_engine(folder: Path) -> None:
    program = [sys.executable, engines.__file__]
    assert subprocess.run([*program, "start", str(folder)], check=False).returncode == 0
    engine = Engine(folder)
    engine.make_shell_image("own:1")
    wait = ["run", "--detach", "--interactive", "--network", "none", "--stop-timeout", "0"]
    engine.docker(*wait, "own:1", "sh", "-c", "read line")
    before = _traces(str(folder), folder)
    assert len(before["processes"]) >= 3  # the engine, its containerd, and the container's monitor
    assert before["mounts"]
    subprocess.run([*program, "stop", str(folder)], check=True)
    assert _left(str(folder), folder.parent) == {}


def test_an_engine_that_does_not_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_OPTIONS", (*engines._OPTIONS, "--storage-driver=no-such-driver"))
    with pytest.raises(NoEngineError, match="failed to start daemon: error initializing graphdriver"):
        Engine.start(folder)
    shutil.rmtree(folder)
    assert _left(str(folder), folder.parent) == {}
