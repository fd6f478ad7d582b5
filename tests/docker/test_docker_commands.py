"""``passhelper docker``: what Docker will do, said as it is; and edits that touch nothing else."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from support import Helper, Program, require, run
from support.machines.new import Command

AUTH = "YWxpY2U6Y2FuYXJ5"  # alice:canary
NONE = "nothing serves it: docker login would write plain text"


@pytest.fixture
def config(environ: dict[str, str], tmp_path: Path) -> Path:
    """Docker's configuration file, which is not there yet; PATH holds nothing but what a test puts there."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    environ["DOCKER_CONFIG"] = str(folder)
    environ["PATH"] = str(tmp_path / "bin")
    return folder / "config.json"


def program(environ: dict[str, str], name: str, text: str = "exit 1") -> str:
    path = Path(environ["PATH"], name)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def ours(environ: dict[str, str], installed: Program) -> str:
    path = Path(environ["PATH"], "docker-credential-pass")
    path.symlink_to(installed.helper)
    return str(path)


def shown(passhelper: Command, **environ: str) -> dict[str, dict[str, Any]]:
    answer = passhelper("docker", "show", "--json", **environ)
    assert (answer.code, answer.err) == (0, b"")
    return {route["server"]: route for route in answer.json["data"]["routes"]}


def test_show_json(passhelper: Command, installed: Program, environ: dict[str, str], config: Path) -> None:
    path = ours(environ, installed)
    config.write_text('{"credsStore": "pass"}')
    route = {"server": "*", "helper": "pass", "program": path, "source": "credsStore", "is_passhelper": True,
             "is_plain": False, "trouble": ""}  # fmt: skip
    document = passhelper("docker", "show", "--json").json
    containers = document["data"].pop("containers")
    assert document == {"version": 1, "command": "docker show", "data": {"file": str(config), "routes": [route]}}
    assert list(containers) == ["helpers", "source", "files", "routes", "warnings"]
    assert [list(one) for one in containers["routes"]] == [list(route)]


def test_every_source(passhelper: Command, installed: Program, environ: dict[str, str], config: Path) -> None:
    path = ours(environ, installed)
    desktop = program(environ, "docker-credential-desktop")
    config.write_text(json.dumps({
        "auths": {"a.io": {"auth": AUTH}, "b.io": {}, "c.io": {"auth": AUTH}, "e.io": {"identitytoken": "canary"}},
        "credHelpers": {"c.io": "pass", "d.io": "gone", "e.io": ""},
        "credsStore": "desktop",
    }))  # fmt: skip
    variable = json.dumps({"auths": {"f.io": {"auth": AUTH}, "b.io": {}}})
    found = shown(passhelper, DOCKER_AUTH_CONFIG=variable)
    assert {server: (one["source"], one["helper"], one["program"]) for server, one in found.items()} == {
        "a.io": ("credsStore", "desktop", desktop),
        "b.io": ("credsStore", "desktop", desktop),
        "c.io": ("credHelpers", "pass", path),
        "d.io": ("credHelpers", "gone", ""),
        "e.io": ("auths", "", ""),
        "f.io": ("DOCKER_AUTH_CONFIG", "desktop", desktop),
        "*": ("credsStore", "desktop", desktop),
    }
    assert {server: one["trouble"] for server, one in found.items() if one["trouble"]} == {
        "a.io": "plain text left over, which docker does not use",
        "c.io": "plain text left over, which docker does not use",
        "d.io": "docker-credential-gone is not on PATH",
        "e.io": "secret in plain text",
        "f.io": "docker before 28.3 does not read it",
    }
    assert [server for server, one in found.items() if one["is_passhelper"]] == ["c.io"]
    answer = passhelper("docker", "show", DOCKER_AUTH_CONFIG=variable)
    assert answer.err.decode() == f"configuration: {config}\n"
    rows = [line.split() for line in answer.text.splitlines()]
    assert rows[0] == ["REGISTRY", "HELPER", "PROGRAM", "WHY"]
    assert rows[3][:6] == ["c.io", "pass", path, "(passhelper)", "credHelpers;", "plain"]
    assert rows[5] == ["e.io", "-", "-", "plain", "text", "in", "auths"]
    assert b"canary" not in answer.out
    assert AUTH.encode() not in answer.out


AUTOMATIC = {
    "nothing on PATH": ([], "", ""),
    "pass without its helper": (["pass"], "", ""),
    "the helper without pass": (["docker-credential-pass"], "", ""),
    "pass and its helper": (["pass", "docker-credential-pass", "docker-credential-secretservice"], "", "pass"),
    "the Secret Service's": (["docker-credential-secretservice", "docker-credential-pass"], "", "secretservice"),
    "something is configured": (["pass", "docker-credential-pass"], '{"credHelpers": {"x.io": "y"}}', ""),
    "somebody has logged in": (["pass", "docker-credential-pass"], '{"auths": {"x.io": {}}}', ""),
    "an empty credsStore": (["pass", "docker-credential-pass"], '{"credsStore": "", "auths": {}}', "pass"),
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_dockers_own_choice(passhelper: Command, environ: dict[str, str], config: Path, name: str) -> None:
    programs, text, helper = AUTOMATIC[name]
    for one in programs:
        program(environ, one)
    if text:
        config.write_text(text)
    route = shown(passhelper)["*"]
    assert (route["source"], route["helper"]) == ("automatic" if helper else "none", helper)
    answer = passhelper("docker", "show")
    assert answer.text.splitlines()[-1].endswith("docker's own choice, by what is on PATH" if helper else NONE)
    assert answer.err.decode() == f"configuration: {config}{'' if text else ' (not there)'}\n"


@pytest.mark.parametrize("name", AUTOMATIC)
def test_docker_itself_chooses_so(passhelper: Command, environ: dict[str, str], config: Path, name: str) -> None:
    """Docker runs the helper that we name, and no other, when it is asked to log out of a registry."""
    require("docker")
    programs, text, helper = AUTOMATIC[name]
    for one in programs:
        program(environ, one, f"/bin/cat >/dev/null; echo {one} >>{config.parent}/ran; exit 1")
    config.write_text(text or "{}")
    run(["/usr/bin/env", "/bin/sh", "-c", "exec $(PATH=/usr/local/bin:/usr/bin:/bin command -v docker) logout q.io"],
        environ)  # fmt: skip
    ran = config.parent / "ran"
    wanted = {f"docker-credential-{helper}"} if helper else set()
    assert set(ran.read_text().split() if ran.exists() else []) == wanted


def test_the_variable_comes_first_for_docker_itself(
    passhelper: Command, helper: Helper, store: Path, environ: dict[str, str], registry: str, tmp_path: Path
) -> None:
    require("docker")
    environ["PATH"] = f"{Path(helper.program).parent}:{environ['PATH']}"
    environ["DOCKER_CONFIG"] = str(tmp_path)
    Path(tmp_path, "config.json").write_text('{"credsStore": "pass"}')
    helper.store(registry, "alice", "s3cret-Pw!")
    inspect = ["/usr/bin/env", "docker", "manifest", "inspect", "--insecure", f"{registry}/a/b:1"]
    assert b"unauthorized" not in run(inspect, environ).err
    wrong = json.dumps({"auths": {registry: {"auth": AUTH}}})
    version = run(["/usr/bin/env", "docker", "--version"], environ).text.split()[2].rstrip(",").split(".")
    reads_it = tuple(map(int, version[:2])) >= (28, 3)
    assert (b"unauthorized" in run(inspect, {**environ, "DOCKER_AUTH_CONFIG": wrong}).err) is reads_it
    assert shown(passhelper, DOCKER_AUTH_CONFIG=wrong)[registry]["source"] == "DOCKER_AUTH_CONFIG"


def test_an_empty_name_in_cred_helpers_means_the_file(
    passhelper: Command, installed: Program, environ: dict[str, str], config: Path
) -> None:
    ours(environ, installed)
    config.write_text('{"credsStore": "pass", "credHelpers": {"q.io": ""}}')
    assert shown(passhelper)["q.io"]["source"] == "none"


def test_a_program_that_hangs(passhelper: Command, environ: dict[str, str], config: Path) -> None:
    program(environ, "docker-credential-pass", "exec /bin/sleep 600")
    config.write_text('{"credsStore": "pass"}')
    answer = passhelper("docker", "show", "--json")
    assert answer.json["data"]["routes"][0]["is_passhelper"] is False


@pytest.mark.parametrize("text", ['{"auths": [', '{"auths": []}', '{"auths": {"a": 1}}', "\ufeff{}"])
def test_damaged(passhelper: Command, config: Path, text: str) -> None:
    config.write_text(text)
    for command in (("show",), ("show", "--json")):
        answer = passhelper("docker", *command)
        assert (answer.code, answer.out) == (1, b"")
        assert answer.err.decode().startswith(f"error: {config} is damaged")
    if not text.endswith("}}"):
        return
    assert passhelper("docker", "enable").code == 1


@pytest.mark.parametrize("command", ["enable", "disable"])
def test_a_damaged_file_is_not_edited(passhelper: Command, config: Path, command: str) -> None:
    config.write_text('{"credsStore": "pass",}')
    answer = passhelper("docker", command)
    assert (answer.code, answer.out) == (1, b"")
    lines = answer.err.decode().splitlines()
    assert lines[0].startswith(f"error: {config} is damaged, so it is left as it is: ")
    assert lines[1] == "hint: repair it"
    assert config.read_text() == '{"credsStore": "pass",}'


def test_enable(passhelper: Command, installed: Program, environ: dict[str, str], config: Path) -> None:
    ours(environ, installed)
    config.write_bytes(b'{\r\n    "z": 1e5,\r\n    "credsStore": "desktop",\r\n    "a": [ 1,2 ]\r\n}\r\n')
    config.chmod(0o644)
    answer = passhelper("docker", "enable")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text == f'set credsStore (was "desktop") to pass in {config}\n'
    assert config.read_bytes() == b'{\r\n    "z": 1e5,\r\n    "credsStore": "pass",\r\n    "a": [ 1,2 ]\r\n}\r\n'
    assert stat.S_IMODE(config.stat().st_mode) == 0o644
    assert passhelper("docker", "enable").text == f"{config} names pass already\n"


def test_enable_and_disable_for_some(
    passhelper: Command, installed: Program, environ: dict[str, str], config: Path
) -> None:
    ours(environ, installed)
    config.write_text('{\n  "credHelpers": {\n    "gcr.io": "gcloud"\n  }\n}\n')
    before = config.read_text()
    answer = passhelper("docker", "enable", "--registry", "q.io", "--registry", "https://r.io/v2/")
    assert answer.text == f"set credHelpers for q.io, credHelpers for r.io to pass in {config}\n"
    assert json.loads(config.read_text())["credHelpers"] == {"gcr.io": "gcloud", "q.io": "pass", "r.io": "pass"}
    answer = passhelper("docker", "disable", "--registry", "r.io", "--registry", "gcr.io")
    assert (answer.text, answer.err) == (f"removed credHelpers for r.io from {config}\n", b"")
    answer = passhelper("docker", "disable")
    assert answer.text == f"removed credHelpers for q.io from {config}\n"
    assert config.read_text() == before
    assert passhelper("docker", "disable").text == f"{config} does not name pass there\n"


REMOVED = {
    "the only one": ('{\n\t"credsStore": "pass"\n}\n', "{}\n"),
    "the first": ('{"credsStore":"pass","a":1}', '{"a":1}'),
    "the last": ('{\n  "a": 1,\n  "credsStore": "pass"\n}', '{\n  "a": 1\n}'),
    "in the middle": ('{"a":1, "CREDSSTORE" : "pass" , "b":2}', '{"a":1 , "b":2}'),
    "both": ('{"credHelpers":{"q.io":"pass"},"a":1,"credsStore":"pass"}', '{"a":1}'),
    "some": ('{"credHelpers": {"q.io": "pass", "r.io": "x"}}', '{"credHelpers": {"r.io": "x"}}'),
    "two of one name": ('{"credsStore":"x","a":1,"credsstore":"pass"}', '{"a":1}'),
}


@pytest.mark.parametrize("name", REMOVED)
def test_disable(passhelper: Command, config: Path, name: str) -> None:
    before, after = REMOVED[name]
    config.write_text(before)
    assert passhelper("docker", "disable").code == 0
    assert config.read_text() == after
    json.loads(after)


def test_disable_leaves_other_helpers(passhelper: Command, config: Path) -> None:
    text = '{"credsStore":"desktop","credHelpers":{"q.io":"x"}}'
    config.write_text(text)
    assert passhelper("docker", "disable").code == 0
    assert config.read_text() == text
    config.write_text('{"credHelpers": "pass"}')
    answer = passhelper("docker", "disable")
    assert answer.err.decode() == (
        f"error: {config}: credHelpers is not an object, so it is left as it is\nhint: repair it\n"
    )


def test_disable_says_what_docker_does_then(
    passhelper: Command, installed: Program, environ: dict[str, str], config: Path
) -> None:
    ours(environ, installed)
    program(environ, "pass")
    config.write_text('{"credsStore": "pass"}')
    answer = passhelper("docker", "disable", "--registry", "q.io")
    assert answer.err == b"warning: q.io is still served by pass, through credsStore\n"
    answer = passhelper("docker", "disable")
    assert answer.err.decode() == (
        "warning: docker now chooses a helper for registries that it does not name by itself: pass; it does so while "
        "docker-credential-pass is on PATH and the file has no auths, credsStore or credHelpers\n"
    )


def test_enable_says_what_keeps_it_from_working(
    passhelper: Command, installed: Program, environ: dict[str, str], config: Path
) -> None:
    answer = passhelper("docker", "enable")
    assert answer.code == 0
    assert answer.err == b"warning: docker-credential-pass is not on PATH; run: passhelper setup\n"
    ours(environ, installed)
    variable = json.dumps({"auths": {"q.io": {"auth": AUTH}}})
    answer = passhelper("docker", "enable", "--registry", "q.io", DOCKER_AUTH_CONFIG=variable)
    assert answer.err == b"warning: DOCKER_AUTH_CONFIG is set and comes first for q.io; unset it\n"


def test_a_link_stays_one(passhelper: Command, config: Path, tmp_path: Path) -> None:
    target = tmp_path / "docker.json"
    target.write_text("{}")
    config.symlink_to(target)
    passhelper("docker", "enable")
    assert json.loads(target.read_text()) == {"credsStore": "pass"}
    passhelper("docker", "disable")
    assert (config.is_symlink(), json.loads(target.read_text())) == (True, {})


@pytest.mark.parametrize("command", [("show",), ("enable",), ("disable",), ("enable", "--registry", "")])
def test_without_stdin_and_terminal(
    installed: Program, environ: dict[str, str], config: Path, command: tuple[str, ...]
) -> None:
    closed = ["/bin/sh", "-c", 'exec "$0" "$@" <&-', installed.passhelper, "docker", *command]
    assert run(closed, environ, timeout=20).code == (1 if "" in command else 0)


@pytest.mark.parametrize("command", ["show", "enable", "disable"])
def test_help_has_an_example(passhelper: Command, command: str) -> None:
    assert f"passhelper docker {command}" in passhelper("docker", command, "--help").text.partition("Example")[2]
