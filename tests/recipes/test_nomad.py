"""Nomad's docker driver, without Nomad: its one call to the helper, made as drivers/docker/utils.go makes it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions
from support import require
from support.project.recipes import CONTRIB, check_drop_in, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program
    from support.machines.runners import Member, View
    from support.project.recipes import Recipe

FOLDER = CONTRIB / "nomad"
# What systemd gives a service of the system's besides.
SYSTEMD = {"LANG": "C.UTF-8", "INVOCATION_ID": "0" * 32, "SYSTEMD_EXEC_PID": "1"}


class DriverError(Exception):
    """What the driver makes a task fail with, unless the task has ``auth_soft_fail``."""


class Driver:
    """The driver's authFromHelper, in an agent under systemd."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.environ = {**SYSTEMD, **environment(FOLDER / "passhelper.conf")}

    def auth(self, repo: str, registry: str) -> tuple[str, str] | None:
        helper = "docker-credential-" + config("docker.hcl")["plugin"][0]["docker"]["config"][0]["auth"][0]["helper"]
        answer = self._view([helper, "get"], self.environ, registry.encode())  # no line end, nothing else
        if answer.code != 0:
            message = f'{helper} with input "{repo}" failed with stderr: {answer.err.decode()}'
            raise DriverError(message)
        found = json.loads(answer.out)  # into a map[string]string: a value of another type is an error
        assert all(isinstance(value, str) for value in found.values())
        user, secret = found.get("Username", ""), found.get("Secret", "")
        return (user, secret) if user or secret else None


def config(name: str) -> dict[str, Any]:
    """Read a file of HCL."""
    options = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    return hcl2.loads((FOLDER / name).read_text(), serialization_options=options)


def test_the_agent(recipe: Callable[[str], Recipe], view: View, member: Member, installed: Program) -> None:
    """What the README does as root, and then what the driver gets and a task shows."""
    script = recipe("nomad").take("README.md", "block 0")
    member.store("https://index.docker.io/v1/", "hubuser", "hub's secret")
    member.store("registry.example:5000", "team", 'pä"ss')
    path = f"{installed.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    host = {"PATH": path, "STORE_URL": str(member.remote), "PASSHELPER_NONINTERACTIVE": "1"}
    set_up = ["sh", "-c", f"cd {FOLDER} && {script}"]
    first = view(set_up, host)
    assert first.code == 3, first
    member.let_in(view.outside(re.findall(r"the file (\S+),", first.text)[0]))
    second = view(set_up, host)
    assert second.code == 0, second
    for name, place in (("docker.hcl", "nomad.d"), ("passhelper.conf", "systemd/system/nomad.service.d")):
        assert view.outside(f"/etc/{place}/{name}").read_bytes() == (FOLDER / name).read_bytes()

    driver = Driver(view)
    assert driver.auth("library/nginx", "docker.io") == ("hubuser", "hub's secret")
    assert driver.auth("registry.example:5000/team/app", "registry.example:5000") == ("team", 'pä"ss')
    with pytest.raises(DriverError, match=r'^docker-credential-pass with input "quay.example/a" failed with stderr: $'):
        driver.auth("quay.example/a", "quay.example")  # the case for auth_soft_fail
    view(["rm", "-r", f"{driver.environ['GNUPGHOME']}/private-keys-v1.d"], host)
    with pytest.raises(DriverError, match=r"failed with stderr: .*no secret key for .*; ask a team member to run: "):
        driver.auth("library/nginx", "docker.io")


def test_the_files_are_what_nomad_reads(tmp_path: Path) -> None:
    """By Nomad's documentation: no parser of its own can be had."""
    assert config("docker.hcl") == {"plugin": [{"docker": {"config": [{"auth": [{"helper": "pass"}]}]}}]}
    (job,) = config("example.nomad.hcl")["job"]
    (group,) = job["example"]["group"]
    tasks = {name: body for task in group["app"]["task"] for name, body in task.items()}
    assert [task["driver"] for task in tasks.values()] == ["docker", "docker"]
    assert {name: task["config"][0].get("auth_soft_fail", False) for name, task in tasks.items()} == {
        "private": False, "public": True,
    }  # fmt: skip
    assert not any("auth" in task["config"][0] for task in tasks.values())
    require("systemd-analyze")
    check_drop_in(FOLDER / "passhelper.conf", "nomad", tmp_path)
