"""What Docker would run, in every broken way: what the doctor finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import GO_HELPER, Helper, Program, require_go_helper
from support.worlds.doctors import SERVER, Doctor, config_of


@pytest.fixture
def folder(doctor: Doctor, helper: Helper, tmp_path: Path) -> Path:
    """A directory before all others on PATH."""
    path = tmp_path / "first"
    path.mkdir()
    doctor.environ["PATH"] = helper.environ["PATH"] = f"{path}:{doctor.environ['PATH']}"
    return path


def program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "text", ["{", '"x"', "\ufeff{}", '{"credsStore": "pass"}}'], ids=["cut off", "no object", "BOM", "one } too many"]
)
def test_damaged_config(doctor: Doctor, config: Path, text: str) -> None:
    config.write_text(text)
    report = doctor()
    severity, cause, remedy = report.finding("docker.config")
    assert (severity, remedy) == ("failed", "repair it")
    assert cause.startswith(f"{config} is damaged, so Docker cannot read it: ")
    assert report.troubled() == {"docker.config"}
    assert report.blocked_by("docker.config") == {
        "docker.auths", "docker.launcher", "docker.helpers", "docker.automatic", "docker.routes",
    }  # fmt: skip


def test_plain_text(doctor: Doctor, config: Path) -> None:
    auths = {"a.example": {"auth": "Ym9iOmNhbmFyeQ=="}, "b.example": {"identitytoken": "canary"}, SERVER: {}}
    config_of(config, credsStore="pass", auths=auths)
    report = doctor()
    cause = f"{config} holds 2 credentials in plain text: a.example, b.example"
    assert report.finding("docker.auths") == ("failed", cause, "run: passhelper import --docker-config")
    assert b"canary" not in report.answer.out
    assert b"Ym9i" not in report.answer.out


def test_registry_tokens(doctor: Doctor, config: Path) -> None:
    config_of(config, credsStore="pass", auths={"a.example": {"registrytoken": "canary"}, SERVER: {}})
    report = doctor()
    cause = f"{config} holds registry tokens in plain text, which no helper can keep: a.example"
    assert report.finding("docker.auths") == ("failed", cause, "run: docker logout a.example")
    assert b"canary" not in report.answer.out


def test_missing_program(doctor: Doctor, config: Path) -> None:
    config_of(config, credsStore="gone", credHelpers={"a.example": "../evil"})
    found = doctor().checks["docker.helpers"]["findings"]
    remedy = "install it, or change the setting: passhelper setup"
    assert [(one["severity"], one["cause"], one["remedy"]) for one in found] == [
        ("failed", "credHelpers for a.example names ../evil, and docker-credential-../evil is not on PATH", remedy),
        ("failed", "credsStore names gone, and docker-credential-gone is not on PATH", remedy),
    ]


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_a_name_that_no_file_can_have(doctor: Doctor, config: Path, name: str) -> None:
    config_of(config, credsStore=name)
    assert doctor().finding("docker.helpers")[1].startswith("credsStore names ")


def test_what_has_lost_its_parent_ends_too(doctor: Doctor, config: Path, folder: Path) -> None:
    """It would stay after each run of doctor, and hold what the helper holds."""
    note = folder / "pid"
    program(folder / "docker-credential-left", f"#!/bin/sh\n(sleep 300 & echo $! > {note})\nexec sleep 60\n")
    config_of(config, credsStore="left")
    assert "does not answer" in doctor().finding("docker.helpers")[1]
    stat = Path(f"/proc/{note.read_text().strip()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_program_that_may_not_be_run(doctor: Doctor, config: Path, folder: Path) -> None:
    path = program(folder / "docker-credential-shut", "#!/bin/sh\n", 0o644)
    config_of(config, credsStore="shut")
    assert doctor().finding("docker.helpers")[1:] == (
        f"credsStore names shut, and {path} cannot be executed", f"run: chmod +x {path}",
    )  # fmt: skip
    path.unlink()
    path.symlink_to("/nowhere")
    assert "is a link that leads nowhere" in doctor().finding("docker.helpers")[1]


def test_failing_and_hanging_programs(doctor: Doctor, config: Path, folder: Path) -> None:
    """All are asked at the same time: two that hang meet each other."""
    hangs = (
        f"#!/bin/sh\necho $$ > {folder}/%s; until kill -0 $(cat {folder}/%s); do sleep 0.01; done 2> /dev/null\n"
        f"touch {folder}/met; exec sleep 600\n"
    )
    hanging = [program(folder / f"docker-credential-h{n}", hangs % (n, 3 - n)) for n in (1, 2)]
    failing = program(folder / "docker-credential-bad", "#!/bin/sh\necho canary\necho no bus >&2\nexit 1\n")
    gone = program(folder / "docker-credential-old", "#!/nowhere/python\n")
    program(folder / "docker-credential-good", "#!/bin/sh\necho '{}'\n")
    helpers = {"a.example": "h2", "b.example": "bad", "c.example": "good", "d.example": "old"}
    config_of(config, credsStore="h1", credHelpers=helpers)
    report = doctor()
    assert set(report.causes("docker.helpers")) == {
        *(f"{path} list does not answer within 5 s, and so docker waits for it" for path in hanging),
        f"{failing} list failed: no bus",
        f"cannot start {gone}: No such file or directory, its interpreter /nowhere/python is gone",
    }
    assert (folder / "met").exists()
    assert b"canary" not in report.answer.out
    assert report.blocked_by("docker.helpers") == {"docker.routes"}


def test_wsl(doctor: Doctor, config: Path, folder: Path) -> None:
    """As Docker Desktop leaves it: the program is one of Windows and does not start."""
    remedy = "WSL cannot start it from here: run: passhelper setup, or switch WSL's interop on"
    config_of(config, credsStore="desktop.exe")
    cause = "credsStore names desktop.exe, and docker-credential-desktop.exe is not on PATH"
    assert doctor().finding("docker.helpers") == ("failed", cause, remedy)
    path = program(folder / "docker-credential-desktop.exe", "MZ\0\0")
    assert doctor().finding("docker.helpers") == ("failed", f"cannot start {path}: Exec format error", remedy)


def test_another_helper_first_on_path(doctor: Doctor, folder: Path) -> None:
    require_go_helper()
    path = folder / "docker-credential-pass"
    path.symlink_to(GO_HELPER)
    report = doctor()
    severity, cause, remedy = report.finding("docker.launcher")
    assert severity == "failed"
    assert cause.startswith(f"{path} comes first on PATH and is another program (")
    assert remedy == "remove it, or put ours before it: passhelper setup --bin-dir DIR"
    assert report.blocked_by("docker.launcher") == {"docker.routes"}


def test_launcher_whose_python_is_gone(doctor: Doctor, folder: Path) -> None:
    path = program(folder / "docker-credential-pass", "#!/nowhere/bin/python3 -I\n")
    cause = f"cannot start {path}: No such file or directory, its interpreter /nowhere/bin/python3 is gone"
    assert doctor().finding("docker.launcher") == ("failed", cause, "run: passhelper setup")
    program(path, "#!/bin/sh\nexec /nowhere/bin/python3 -I\n")
    assert doctor().finding("docker.launcher")[1].startswith(f"{path} does not start: ")
    program(path, "#!/bin/sh\nexec sleep 60\n")
    assert doctor().finding("docker.launcher")[1] == f"{path} does not print its version within 5 s"


def test_no_launcher(doctor: Doctor, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "gpg", "gpgconf", "gpg-agent"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    report = doctor(PATH=str(folder))
    cause = "docker-credential-pass is not on PATH"
    assert report.finding("docker.launcher") == ("failed", cause, "run: passhelper setup")
    config.unlink()
    report = doctor(PATH=str(folder))
    assert report.finding("docker.launcher")[0] == "warning"
    cause = "nothing is configured, so docker login would write passwords in plain text"
    assert report.finding("docker.automatic") == ("warning", cause, "run: passhelper setup")


def test_docker_chooses(doctor: Doctor, config: Path, installed: Program, tmp_path: Path) -> None:
    config.unlink()
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "gpg", "gpgconf", "gpg-agent", "readlink", "dirname", "sed", "env"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    program(folder / "docker-credential-secretservice", "#!/bin/sh\necho '{}'\n")
    path = f"{installed.folder}/bin:{folder}"
    cause = "nothing is configured, so Docker chooses docker-credential-secretservice by itself"
    assert doctor(PATH=path).finding("docker.automatic") == ("warning", cause, "run: passhelper setup")
    program(folder / "pass", "#!/bin/sh\n")
    assert doctor(PATH=path).troubled() == set()


def test_routes(doctor: Doctor, config: Path, folder: Path, helper: Helper) -> None:
    other = program(folder / "docker-credential-good", "#!/bin/sh\necho '{}'\n")
    config_of(config, credsStore="pass", credHelpers={"a.example": "good"})
    report = doctor()
    assert report.checks["docker.routes"]["notes"] == [
        f"a.example: {other} (credHelpers)",
        f"every other registry: {helper.program} (credsStore)",
    ]
    assert helper.store("https://a.example", "bob", "s").code == 0
    cause = f"https://a.example is in the store, but Docker asks {other}"
    remedy = "run: passhelper setup --registry https://a.example"
    assert doctor().finding("docker.routes") == ("warning", cause, remedy)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            '{"auths": {"a.io": {"auth": "Y2FuYXJ5Og=="}, "b.io": {}}}',
            "DOCKER_AUTH_CONFIG is set, and docker from 28.3 on takes the credentials of a.io from there",
        ),
        ("{", "DOCKER_AUTH_CONFIG is damaged: "),
    ],
)
def test_a_variable_that_comes_before_the_store(doctor: Doctor, text: str, cause: str) -> None:
    answer = doctor(DOCKER_AUTH_CONFIG=text)
    found = [finding for finding in answer.checks["docker.routes"]["findings"] if finding["severity"] == "warning"]
    assert found[0]["cause"].startswith(cause)
    advice = "unset DOCKER_AUTH_CONFIG; to keep what it holds, run before: passhelper import --docker-auth-config"
    assert found[0]["remedy"] == advice
    causes = doctor(DOCKER_AUTH_CONFIG='{"auths": {"b.io": {}}}').causes("docker.routes")
    assert [cause for cause in causes if "DOCKER_AUTH_CONFIG" in cause] == []


def test_config_that_cannot_be_read(doctor: Doctor, config: Path) -> None:
    config.unlink()
    config.mkdir()
    assert doctor().finding("docker.config")[1].startswith(f"cannot read {config}: ")
    assert json.loads(doctor("--fix").answer.out)["data"]["repaired"] == []
