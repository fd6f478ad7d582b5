"""The podman unit: what it starts is started, with its own environment, and pulls from a registry with a password."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Answer, Helper, Program, require, run
from support.clients.callers import Recorder
from support.machines.runners import TEAM, Site
from support.project.recipes import CONTRIB, command, environment, unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.project.recipes import Recipe

UNIT = CONTRIB / "podman" / "app.service"
# No network, and none of the limits that podman would raise, which not every root may do.
_CONTAINERS = """\
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
"""
_STORAGE = '[storage]\ndriver = "vfs"\ngraphroot = "{0}/graph"\nrunroot = "{0}/run"\n'


class Podman:
    """podman with a storage of its own."""

    def __init__(self, folder: Path, site: Site) -> None:
        (folder / "containers.conf").write_text(_CONTAINERS)
        (folder / "storage.conf").write_text(_STORAGE.format(folder))
        self.environ = {
            "CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "SSL_CERT_FILE": site.environ(folder)["SSL_CERT_FILE"],
        }  # fmt: skip

    def __call__(self, *words: str, stdin: bytes = b"") -> Answer:
        return run(["podman", *words], {**self.environ, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}, stdin)


@pytest.fixture
def podman(short_tmp: Path, site: Site) -> Iterator[Podman]:
    """With an image in the registry that runs until it is stopped."""
    require("podman", "busybox")
    if os.geteuid() != 0:
        pytest.skip("podman without root needs more than its program")
    folder = Path(tempfile.mkdtemp(prefix="p", dir=short_tmp))
    made = Podman(folder, site)
    packed = run(["tar", "-C", "/bin", "-c", "busybox"], {"PATH": "/bin"}).out
    run_it = ["--change", 'CMD ["/busybox", "sh", "-c", "trap exit TERM; /busybox sleep 600 & wait"]']
    steps = [made("import", *run_it, "-", "localhost/app", stdin=packed),
             made("push", "--creds", ":".join(TEAM), "localhost/app", f"{site.registry}/team/app:latest"),
             made("rmi", "--all", "--force")]  # fmt: skip
    assert [step.code for step in steps] == [0, 0, 0], steps
    yield made
    made("rm", "--all", "--force", "--time", "0")
    shutil.rmtree(folder, ignore_errors=True)


def test_the_unit(
    recipe: Callable[[str], Recipe], podman: Podman, site: Site, helper: Helper, store: Path, installed: Program
) -> None:
    files = recipe("podman")
    home = Path(helper.environ["HOME"])
    (home / ".local").mkdir()
    ours = Recorder(home / ".local" / "bin", installed.helper)  # Debian's Go helper may be on PATH too
    settings = environment(UNIT, str(home))
    (server,) = json.loads((files.folder / "auth.json").read_text())["credHelpers"]
    assert settings["IMAGE"].startswith(f"{server}/")
    settings["IMAGE"] = settings["IMAGE"].replace(server, site.registry)
    own = {name: helper.environ[name] for name in ("HOME", "GNUPGHOME", "PASSWORD_STORE_DIR")}
    environ = {**podman.environ, **own, "XDG_RUNTIME_DIR": str(home), **settings}

    def systemd(wanted: str) -> list[int]:
        """Run the commands of one setting, in their order."""
        lines = [
            files.take(UNIT.name, f"{key} {number}") for number, (key, _) in enumerate(unit(UNIT)) if key == wanted
        ]
        return [run(command(line, environ), environ).code for line in lines]

    def names(*options: str) -> str:
        return podman("ps", "--format", "{{.Names}} {{.Image}}", *options).text

    auth = home / ".config" / "containers" / "auth.json"
    auth.parent.mkdir(parents=True)
    auth.write_text("{}")
    assert helper.store(site.registry, *TEAM).code == 0
    assert systemd("ExecStartPre") == [125]
    auth.write_text((files.folder / "auth.json").read_text().replace(server, site.registry))
    assert systemd("ExecStartPre") == [0]
    assert [call.short for call in ours.take()] == [f"get {site.registry}"]
    assert systemd("ExecStart") == [0]
    assert names() == f"app {settings['IMAGE']}\n"
    assert systemd("ExecStart") == [0]  # a restart after a crash, which left the container
    assert systemd("ExecStop") == [0]
    assert systemd("ExecStopPost") == [0]
    assert names("--all") == ""
    assert TEAM[1] not in auth.read_text()


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    require("systemd-analyze", "podman")
    shutil.copy(UNIT, tmp_path)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    answer = run(["systemd-analyze", "--user", "--man=no", "verify", UNIT.name], environ, cwd=tmp_path)
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")


def test_the_quadlet_says_what_the_unit_says(tmp_path: Path) -> None:
    """It cannot be run here, so at least it does not drift away from what is."""
    readme = (UNIT.parent / "README.md").read_text()
    (tmp_path / "app.container").write_text(readme.partition("```ini\n")[2].partition("```")[0])
    quadlet = dict(unit(tmp_path / "app.container"))
    theirs = environment(tmp_path / "app.container")
    assert {**theirs, "IMAGE": quadlet["Image"]} == environment(UNIT)
    assert quadlet["WantedBy"] == dict(unit(UNIT))["WantedBy"]
