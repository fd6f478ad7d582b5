"""A real ``docker login`` at a real registry, through the installed helper.

The test keeps a transcript of commands and what they said, and asserts on it. To read it::

    python -m pytest tests/scenarios/test_docker_login.py --capture=no
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Helper, dockers, require, run
from support.machines.registries import serve_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = {"alice": "s3cret-Pw!", "bob": "b0b's p%ss: word"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the registry's files are."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[str]:
    """A registry with passwords and a certificate (see ``tests/clients/test_docker_cli.py``); its ``host:port``."""
    require("docker")
    yield from serve_registry(folder, password=True, users=USERS, tls=True)


class Shell:
    """Runs docker commands and keeps the transcript."""

    def __init__(self, environ: dict[str, str], registry: str) -> None:
        self.environ = environ
        self._registry = registry
        self.transcript = ""

    def __call__(self, command: str, password: str = "") -> str:
        """Run one docker command; return what it printed on both streams, without its log lines.

        Those (``time="..." level=info``) only tell that it tried HTTPS first.
        """
        answer = run(command.split(), self.environ, password.encode())
        lines = (answer.out + answer.err).decode().splitlines(keepends=True)
        said = "".join(line for line in lines if not line.startswith('time="'))
        said = said.replace(self._registry, "127.0.0.1:PORT")
        shown = command.replace(self._registry, "127.0.0.1:PORT")
        if password:
            shown = f"printf %s {password!r} | {shown}"
        self.transcript += f"$ {shown}\n{said}"
        if answer.code:
            self.transcript += f"[exit status {answer.code}]\n"
        return said

    def note(self, command: str, text: str) -> None:
        text = text.replace(self._registry, "127.0.0.1:PORT")
        self.transcript += f"$ {command}\n{text}\n"


@pytest.fixture(params=dockers())
def shell(
    request: pytest.FixtureRequest, helper: Helper, environ: dict[str, str], registry: str, folder: Path, tmp_path: Path
) -> Iterator[Shell]:
    """A shell with docker, our helper first on PATH, and no engine."""
    config = tmp_path / "docker"
    config.mkdir()
    (config / "config.json").write_text('{"credsStore": "pass"}\n')
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").symlink_to(request.param)
    environ["PATH"] = f"{programs}:{Path(helper.program).parent}:{environ['PATH']}"
    environ["DOCKER_CONFIG"] = str(config)
    environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    environ["SSL_CERT_FILE"] = str(folder / "cert.pem")
    shell = Shell(environ, registry)
    yield shell
    print(f"\n{shell.transcript}")  # noqa: T201 - what --capture=no is for


def test_login_and_logout(shell: Shell, helper: Helper, git_store: Path, registry: str) -> None:
    config = Path(shell.environ["DOCKER_CONFIG"], "config.json")

    def show(server_has: dict[str, str] | None) -> None:
        """Note what Docker's configuration and the store hold, and check it."""
        text = config.read_text()
        shell.note("cat $DOCKER_CONFIG/config.json", text.strip())
        assert "auth" not in {key for value in json.loads(text).get("auths", {}).values() for key in value}
        listed = helper.list()
        shell.note("docker-credential-pass list", listed.text.strip())
        found = helper.get(registry)
        if server_has is None:
            assert (listed.json, found.code) == ({}, 1)
        else:
            assert listed.json == {registry: server_has["Username"]}
            assert found.json == {"ServerURL": registry, **server_has}
        for password in USERS.values():
            assert password not in text

    alice = {"Username": "alice", "Secret": USERS["alice"]}
    bob = {"Username": "bob", "Secret": USERS["bob"]}
    assert "Login Succeeded" in shell(f"docker login -u alice --password-stdin {registry}", USERS["alice"])
    show(alice)
    refused = shell(f"docker login -u alice --password-stdin {registry}", "wrong")
    assert "Login Succeeded" not in refused
    show(alice)
    assert "Login Succeeded" in shell(f"docker login -u bob --password-stdin {registry}", USERS["bob"])
    show(bob)
    assert len(list((git_store / FOLDER).rglob("*.gpg"))) == 1
    for _ in range(2):
        said = shell(f"docker logout {registry}")
        assert said == "Removing login credentials for 127.0.0.1:PORT\n"
    show(None)
    log = run(["git", "-C", str(git_store), "log", "--format=%s", "--reverse"], shell.environ).text
    shell.note("git log --format=%s --reverse", log.strip())
    assert [line.split(" for ")[0] for line in log.splitlines()] == [
        "Begin", "Store credential", "Store credential", "Erase credential"]  # fmt: skip
    assert shell.transcript.count("[exit status") == 1
    assert "WARNING" not in shell.transcript
    assert "warning" not in shell.transcript


def test_docker_hub_logout_prints_no_warning(shell: Shell, store: Path) -> None:
    """Docker warns when erasing the Hub's entry fails, which it does with the Go helper on the second logout."""
    said = [shell("docker logout"), shell("docker logout")]
    assert said == ["Removing login credentials for https://index.docker.io/v1/\n"] * 2


def test_helper_failure_reaches_the_user(shell: Shell, helper: Helper, store: Path, registry: str) -> None:
    """Docker shows what the helper says when the credential cannot be kept."""
    (store / ".gpg-id").unlink()
    said = shell(f"docker login -u alice --password-stdin {registry}", USERS["alice"])
    assert f"password store not initialised at {store}; run: passhelper setup" in said
    assert "Error saving credentials" in said
    assert "auth" not in json.loads(Path(shell.environ["DOCKER_CONFIG"], "config.json").read_text()).get("auths", {})
