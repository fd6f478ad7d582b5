"""What ``passhelper docker show`` says of podman, buildah and skopeo is what skopeo does."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support import Helper, Program, require, run
from support.machines.new import Command

from passhelper.docker import containers

DROP_IN = ".config/containers/registries.conf.d/50-passhelper.conf"
AUTH = "run/containers/auth.json"  # below XDG_RUNTIME_DIR
SHARED = ".config/containers/auth.json"
DOCKER = ".docker/config.json"
PLAIN_LOGIN = "DOCKER_CONFIG is set and REGISTRY_AUTH_FILE is not: newer podman and skopeo (5.4, 1.18) then log in to "


def auths(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:canary".encode()).decode()}


# Files below the home directory; then, for a registry, the user that skopeo finds: a helper answers with its own
# name, a file's user is named after the file.
CASES: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "nothing": ({}, {}, {"q.io": ""}),
    "pass alone": ({DROP_IN: 'credential-helpers = ["pass"]', AUTH: {"auths": {"q.io": auths("runtime")}}},
                           {}, {"q.io": "pass", "r.io": "pass"}),
    "setup --containers": ({DROP_IN: 'credential-helpers = ["pass", "containers-auth.json"]',
                            AUTH: {"auths": {"q.io": auths("runtime"), "s.io/team": auths("runtime")}}},
                           {}, {"q.io": "pass", "r.io": "pass", "s.io/team": "pass"}),
    "a namespace": ({AUTH: {"auths": {"q.io/team": auths("runtime")}}}, {}, {"q.io/team": "runtime", "q.io": ""}),
    "files": ({AUTH: {"auths": {"q.io": auths("runtime")}},
               SHARED: {"auths": {"q.io": auths("shared"), "r.io": auths("shared")}},
               DOCKER: {"auths": {"s.io": auths("docker")}, "credsStore": "pass"}},
              {}, {"q.io": "runtime", "r.io": "shared", "s.io": "docker", "t.io": ""}),
    "a helper in a file": ({AUTH: {"credHelpers": {"q.io": "pass"}, "auths": {"q.io": auths("runtime")}}},
                           {}, {"q.io": "pass", "r.io": ""}),
    "Docker's credHelpers": ({DOCKER: {"credHelpers": {"q.io": "other"}}}, {}, {"q.io": "other"}),
    "files, then a helper": ({DROP_IN: 'credential-helpers = ["containers-auth.json", "pass"]',
                              SHARED: {"auths": {"q.io": auths("shared")}}}, {}, {"q.io": "shared", "r.io": "pass"}),
    "the last drop-in": ({".config/containers/registries.conf": 'credential-helpers = ["other"]',
                          DROP_IN: 'credential-helpers = ["pass"]',
                          ".config/containers/registries.conf.d/40-a.conf": 'credential-helpers = ["other"]',
                          ".config/containers/registries.conf.d/90-b.conf": "unqualified-search-registries = []",
                          ".config/containers/registries.conf.d/99-c": 'credential-helpers = ["other"]'},
                         {}, {"q.io": "pass"}),
    "one file": ({"one.json": {"credHelpers": {"q.io": "pass"}}, AUTH: {"auths": {"r.io": auths("runtime")}}},
                 {"REGISTRY_AUTH_FILE": "one.json"}, {"q.io": "pass", "r.io": ""}),
    "Docker Hub": ({SHARED: {"auths": {"https://index.docker.io/v1/": auths("shared")}}}, {}, {"docker.io": "shared"}),
}  # fmt: skip


@pytest.fixture
def home(environ: dict[str, str], tmp_path: Path) -> Path:
    """A home whose helpers "pass" and "other" answer with their own names as users."""
    path = Path(environ["HOME"])
    (tmp_path / "bin").mkdir()
    for name in ("pass", "other"):
        program = tmp_path / "bin" / f"docker-credential-{name}"
        program.write_text(f"""#!/bin/sh\necho '{{"ServerURL":"x","Username":"{name}","Secret":"s"}}'\n""")
        program.chmod(0o755)
    (path / "run").mkdir()
    environ["XDG_RUNTIME_DIR"] = str(path / "run")
    environ["PATH"] = f"{tmp_path / 'bin'}:{environ['PATH']}"
    return path


def put(home: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content if isinstance(content, str) else json.dumps(content))


def survey(passhelper: Command, **environ: str) -> dict[str, Any]:
    answer = passhelper("docker", "show", "--json", **environ)
    assert (answer.code, answer.err) == (0, b"")
    assert b"canary" not in answer.out
    found: dict[str, Any] = answer.json["data"]["containers"]
    return found


@pytest.mark.parametrize("name", CASES)
def test_as_skopeo_does(passhelper: Command, environ: dict[str, str], home: Path, name: str) -> None:
    require("skopeo")
    files, more, wanted = CASES[name]
    put(home, files)
    settings = {key: str(home / value) for key, value in more.items()}
    said = {route["server"]: route for route in survey(passhelper, **settings)["routes"]}
    for registry, user in wanted.items():
        asked = run(["skopeo", "login", "--get-login", registry], {**environ, **settings})
        assert asked.text.strip() == user
        assert asked.code == (0 if user else 1)
        route = said.get(registry, said["*"])
        if user in ("pass", "other"):
            assert route["helper"] == user
            assert Path(route["program"]).name == f"docker-credential-{user}"
            assert route["is_plain"] is False
        else:
            file = {"runtime": AUTH, "shared": SHARED, "docker": DOCKER}.get(user)
            assert route["source"] == (f"auths in {home / file}" if file else "none")
            assert (route["helper"], route["is_plain"]) == ("", bool(user))


def test_setup_shuts_nobody_out(passhelper: Command, environ: dict[str, str], home: Path) -> None:
    """What ``pass`` does not have, podman and the others find where it was: for a host and for a namespace of one."""
    require("podman", "buildah", "skopeo")
    program = home.parent / "bin" / "docker-credential-pass"
    program.write_text('#!/bin/sh\ncat > /dev/null\necho "credentials not found in native keychain"\nexit 1\n')
    put(home, {AUTH: {"auths": {"q.io": auths("host"), "q.io/team": auths("namespace")}}})
    containers.use_pass(environ)
    for client in ("podman", "buildah", "skopeo"):
        for name, user in (("q.io", "host"), ("q.io/team", "namespace"), ("q.io/team/app", "namespace"), ("r.io", "")):
            assert run([client, "login", "--get-login", name], environ).text.strip() == user, client
    said = {route["server"]: route for route in survey(passhelper)["routes"]}
    beside = f"the plain text in {home / AUTH} counts where it has none"
    assert said["q.io"]["trouble"] == beside
    assert said["q.io/team"]["trouble"] == f"it is asked for q.io; {beside}"
    put(home, {DROP_IN: 'credential-helpers = ["pass"]'})
    said = {route["server"]: route for route in survey(passhelper)["routes"]}
    assert said["q.io/team"]["trouble"] == f"it is asked for q.io; the plain text in {home / AUTH} is not used"
    assert run(["skopeo", "login", "--get-login", "q.io/team"], environ).code == 1


def test_the_table(passhelper: Command, installed: Program, environ: dict[str, str], home: Path) -> None:
    require("skopeo")
    put(home, {AUTH: {"credHelpers": {"q.io": "pass", "r.io": "gone"}, "auths": {"s.io": auths("runtime")}}})
    (home.parent / "bin" / "docker-credential-pass").unlink()
    (home.parent / "bin" / "docker-credential-pass").symlink_to(installed.helper)
    answer = passhelper("docker", "show")
    assert "podman, buildah and skopeo: containers-auth.json (the default)\n" in answer.err.decode()
    rows = [" ".join(line.split()) for line in answer.text.splitlines()[-5:]]
    program = home.parent / "bin" / "docker-credential-pass"
    assert rows == [
        "REGISTRY HELPER PROGRAM WHY",
        f"q.io pass {program} (passhelper) credHelpers in {home / AUTH}",
        f"r.io gone - credHelpers in {home / AUTH}; docker-credential-gone is not on PATH",
        f"s.io - - auths in {home / AUTH}; secret in plain text",
        f"* - - nothing serves it; podman login would write plain text into {home / AUTH}",
    ]
    put(home, {DROP_IN: 'credential-helpers = ["pass"]'})
    answer = passhelper("docker", "show", PATH=f"{program.parent}")
    assert f"podman, buildah and skopeo: pass (credential-helpers in {home / DROP_IN})\n" in answer.err.decode()


def test_skopeo_logs_in_where_the_table_says(
    passhelper: Command, helper: Helper, store: Path, environ: dict[str, str], home: Path, registry: str
) -> None:
    """Through the helper with the drop-in; in plain text without it."""
    require("skopeo")
    login = ["skopeo", "login", "--tls-verify=false", "--username=alice", "--password-stdin", registry]
    environ["PATH"] = f"{Path(helper.program).parent}:{environ['PATH']}"
    said = survey(passhelper)["routes"][-1]
    assert said["trouble"] == f"podman login would write plain text into {home / AUTH}"
    assert run(login, environ, b"s3cret-Pw!").code == 0
    assert registry in json.loads((home / AUTH).read_text())["auths"]
    (home / AUTH).unlink()
    containers.use_pass(environ)
    said = survey(passhelper)["routes"][-1]
    assert (said["helper"], said["is_passhelper"], said["trouble"]) == ("pass", True, "")
    assert run(login, environ, b"s3cret-Pw!").code == 0
    assert not (home / AUTH).exists()
    assert helper.get(registry).json["Username"] == "alice"


def test_a_helper_that_hangs_is_asked_once(passhelper: Command, environ: dict[str, str], home: Path) -> None:
    put(home, {AUTH: {"credHelpers": {f"{number}.io": "slow" for number in range(9)}}})
    program = home.parent / "bin" / "docker-credential-slow"
    program.write_text(f"#!/bin/sh\necho asked >> {home}/asked\nexec sleep 60\n")
    program.chmod(0o755)
    assert [route["is_passhelper"] for route in survey(passhelper)["routes"]] == [False] * 10
    assert (home / "asked").read_text() == "asked\n"


def test_warnings(passhelper: Command, environ: dict[str, str], home: Path, tmp_path: Path) -> None:
    folder = {"DOCKER_CONFIG": str(tmp_path)}
    (warning,) = survey(passhelper, **folder)["warnings"]
    assert warning == (
        f"{PLAIN_LOGIN}config.json there, in plain text, and ask no helper; set REGISTRY_AUTH_FILE, or unset "
        "DOCKER_CONFIG for them"
    )
    assert survey(passhelper, **folder, REGISTRY_AUTH_FILE=str(home / "auth.json"))["warnings"] == []
    put(home, {DROP_IN: "credential-helpers = [", SHARED: '{"auths": ['})
    found = survey(passhelper)
    assert found["routes"] == []
    assert found["warnings"][0].startswith(f"{home / DROP_IN} is damaged, so podman and skopeo stop there: ")
    assert found["warnings"][1].startswith(f"{home / SHARED} is damaged")
    answer = passhelper("docker", "show")
    assert answer.code == 0
    if os.path.exists("/usr/bin/skopeo"):
        assert f"warning: {home / DROP_IN} is damaged" in answer.err.decode()
