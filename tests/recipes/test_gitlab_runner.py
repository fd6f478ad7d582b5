"""GitLab Runner's host, without the Runner: set up, and then asked as docker/cli's library in the Runner asks."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from support import NOT_FOUND, Answer, require
from support.project.recipes import CONTRIB, check_drop_in, environment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program
    from support.machines.runners import Member, View
    from support.project.recipes import Recipe

FOLDER = CONTRIB / "gitlab-runner"
USER = "gitlab-runner"
HUB = "https://index.docker.io/v1/"
LINE = re.compile(r"^ *(?:# )?(environment = .*)$", re.MULTILINE)


class Runner:
    """What a unit with ``User=`` runs: that user, the drop-in's environment, nothing else."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.environ = {"LANG": "C.UTF-8", "INVOCATION_ID": "0" * 32, **environment(FOLDER / "passhelper.conf")}

    def __call__(self, verb: str, stdin: str) -> Answer:
        return self._view([f"docker-credential-{self._helper}", verb], self.environ, stdin.encode(), user=USER)

    _helper = "pass"

    def credentials(self, auth_config: str) -> dict[str, tuple[str, str]] | None:
        """What a DOCKER_AUTH_CONFIG is worth; None where a failing call makes the Runner drop it."""
        config = json.loads(auth_config)
        self._helper = config.get("credsStore", "pass")
        listed = self("list", "unused").json if "credsStore" in config else config["credHelpers"]
        found = {server: self("get", server) for server in listed}
        if any(answer.code for answer in found.values()):
            return None
        return {server: (answer.json["Username"], answer.json["Secret"]) for server, answer in found.items()}


def test_the_runner(recipe: Callable[[str], Recipe], view: View, member: Member, installed: Program) -> None:
    """What the README does as root for another user, and then what that user's Runner gets."""
    script = recipe("gitlab-runner").take("README.md", "block 0")
    member.store(HUB, "hubuser", "hub's secret")
    member.store("registry.example:5000", "team", 'pä"ss')
    member.store("prod.example", "root", "not for runners", "alice", "bob")
    path = f"{installed.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    host = {"PATH": path, "STORE_URL": str(member.remote), "PASSHELPER_NONINTERACTIVE": "1", "RUNNER_USER": USER}
    assert view(["useradd", "--system", USER], host).code == 0
    # The interpreter that the tests run with may lie in root's home.
    assert view(["chmod", "a+x", "/root"], host).code == 0
    # The remote is a directory of somebody else here, which git reads for nobody who does not say so.
    assert view(["git", "config", "--system", "safe.directory", "*"], host).code == 0
    set_up = ["sh", "-c", f"cd {FOLDER} && {script}"]
    first = view(set_up, host)
    assert first.code == 3, first
    member.let_in(view.outside(re.findall(r"the file (\S+),", first.text)[0]))
    second = view(set_up, host)
    assert second.code == 0, second

    runner = Runner(view)
    helpers, store = (json_of(line) for line in LINE.findall((FOLDER / "config.toml").read_text()))
    assert runner.credentials(helpers) == {"registry.example:5000": ("team", 'pä"ss')}
    both = {HUB: ("hubuser", "hub's secret"), "registry.example:5000": ("team", 'pä"ss')}
    assert runner.credentials(store) == both
    # Without what set-up has written down, the Runner would lose both.
    everything = {**runner.environ, "HOME": "/nonexistent"}
    assert sorted(view(["docker-credential-pass", "list"], everything, user=USER).json) == [
        HUB,
        "prod.example",
        "registry.example:5000",
    ]
    refused = runner("get", "prod.example")
    assert (refused.code, refused.out == NOT_FOUND) == (1, False)
    assert runner("get", "unknown.example").out == NOT_FOUND
    # Nobody else reads the key; what git and passhelper have made is the user's own.
    assert view(["find", "/var/lib/passhelper", "!", "-user", USER], host).out == b""
    assert view(["ls", "/var/lib/passhelper"], host, user="nobody").code != 0


def json_of(line: str) -> str:
    """Take the value of DOCKER_AUTH_CONFIG out of a line of the Runner's configuration."""
    (setting,) = tomllib.loads(line)["environment"]
    name, _, value = str(setting).partition("=")
    assert name == "DOCKER_AUTH_CONFIG"
    return value


def test_the_files_are_read(tmp_path: Path) -> None:
    document = tomllib.loads((FOLDER / "config.toml").read_text())
    assert [list(runner) for runner in document["runners"]] == [["name", "executor", "environment"]]
    require("systemd-analyze")
    check_drop_in(FOLDER / "passhelper.conf", "gitlab-runner", tmp_path)
