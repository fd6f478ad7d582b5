"""Where Docker finds credentials: the same answers as the real docker command, and what that cannot show."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import run
from support.programs import script

from passhelper import Credentials, CredentialsNotFoundError
from passhelper.dockerconfig import TOKEN_USER, Origin, credentials_for, origin_of
from passhelper.errors import ConfigurationError, DockerError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1:1"
HUB = "https://index.docker.io/v1/"
_DOCKERS_WORD = re.compile(rb"existing credentials\.\.\. \[Username: (\S+)\]")


def auth(username: str, secret: str = "x") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{secret}".encode()).decode()}


class Home:
    """A DOCKER_CONFIG, and helpers that answer with their own name, on PATH."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.environ = {"HOME": str(folder), "PATH": f"{self.bin}:/usr/bin:/bin", "DOCKER_CONFIG": str(folder / "d")}

    def configure(self, text: str | dict[str, Any] | None) -> None:
        path = Path(self.environ["DOCKER_CONFIG"], "config.json")
        path.parent.mkdir(exist_ok=True)
        if text is not None:
            path.write_text(text if isinstance(text, str) else json.dumps(text))

    def helper(self, name: str, *, known: bool = True) -> None:
        answer = '{"ServerURL":"%s","Username":"from-' + name + '","Secret":"x"}'
        miss = "echo credentials not found in native keychain; exit 1"
        get = f"""read -r server; printf '{answer}' "$server" """ if known else miss
        script(self.bin / f"docker-credential-{name}", f"[ $1 = get ] || exit 0\n{get}")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for name in ("one", "two"):
        home.helper(name)
    home.helper("empty", known=False)
    return home


# name: the file, the registry, who is expected, where from
FILES: dict[str, tuple[dict[str, Any] | None, str, str | None, tuple[str, str]]] = {
    "a helper for the server": (
        {"credHelpers": {HOST: "one"}, "credsStore": "two"}, HOST, "from-one", ("credHelpers", "one")),
    "a helper for another server": (
        {"credHelpers": {"other.example": "one"}, "credsStore": "two"}, HOST, "from-two", ("credsStore", "two")),
    "a helper before plain text": (
        {"credsStore": "two", "auths": {HOST: auth("plain")}}, HOST, "from-two", ("credsStore", "two")),
    "a helper that does not have it": (
        {"credsStore": "empty", "auths": {HOST: auth("plain")}}, HOST, None, ("credsStore", "empty")),
    "a server's helper that does not have it": (
        {"credHelpers": {HOST: "empty"}, "credsStore": "two"}, HOST, None, ("credHelpers", "empty")),
    "no helper for the server": (
        {"credHelpers": {HOST: ""}, "credsStore": "two", "auths": {HOST: auth("plain")}}, HOST, "plain", ("auths", "")),
    "plain text": ({"auths": {HOST: auth("plain")}}, HOST, "plain", ("auths", "")),
    "plain text under a URL": ({"auths": {f"http://{HOST}/v1/": auth("plain")}}, HOST, "plain", ("auths", "")),
    "plain text under both": (
        {"auths": {f"https://{HOST}": auth("url"), HOST: auth("plain")}}, HOST, "plain", ("auths", "")),
    "plain text of another port": ({"auths": {"127.0.0.1:2": auth("plain")}}, HOST, None, ("auths", "")),
    "two fields": ({"auths": {HOST: {"username": "plain", "password": "x"}}}, HOST, "plain", ("auths", "")),
    "only helpers for others": ({"credHelpers": {"other.example": "one"}}, HOST, None, ("auths", "")),
    "an empty entry": ({"auths": {HOST: {}}}, HOST, None, ("auths", "")),
    "Docker Hub": ({"auths": {HUB: auth("plain")}}, "docker.io", "plain", ("auths", "")),
    "Docker Hub's helper": ({"credHelpers": {HUB: "one"}}, "docker.io", "from-one", ("credHelpers", "one")),
    "Docker Hub's other name": ({"credHelpers": {"docker.io": "one"}}, "docker.io", None, ("auths", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_same_credential_as_the_docker_command(home: Home, name: str, docker: str) -> None:
    file, registry, username, (source, helper) = FILES[name]
    home.configure(file)
    server = HUB if registry == "docker.io" else registry
    assert origin_of(registry, home.environ) == Origin(server, source, helper)
    if username is None:
        with pytest.raises(CredentialsNotFoundError):
            credentials_for(registry, home.environ)
    else:
        assert credentials_for(registry, home.environ) == Credentials(server, username, "x")
    assert _docker(home, registry, docker) == username


@pytest.fixture(scope="session")
def docker(more_clients: Callable[[str], Path]) -> str:
    """A docker that says as whom it would log in: the one of Debian's stable release is too old for that."""
    path = "/usr/bin/docker"
    if os.path.exists(path) and _version(path) >= (28, 0):
        return path
    return str(more_clients("debian/usr/bin/docker"))


def _version(docker: str) -> tuple[int, int]:
    said = run([docker, "--version"], {}).text
    found = re.search(r"version (\d+)\.(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


def _docker(home: Home, registry: str, docker: str) -> str | None:
    """Whom the docker command would log in as; without a daemon it says so and gives up."""
    environ = {**home.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    arguments = [] if registry == "docker.io" else [registry]
    answer = run([docker, "login", *arguments], environ)
    found = _DOCKERS_WORD.search(answer.out + answer.err)
    assert found or answer.code != 0, answer  # it would have asked for a user
    return found[1].decode() if found else None


@pytest.mark.parametrize("has_pass", [True, False])
def test_docker_chooses_by_itself_where_nothing_is_configured(home: Home, has_pass: bool, docker: str) -> None:
    home.environ["PATH"] = str(home.bin)
    home.configure(None)
    for name in ("pass", "secretservice"):
        home.helper(name)
    if has_pass:
        script(home.bin / "pass", "exit 1")
    (home.bin / "sh").symlink_to("/bin/sh")
    chosen = "pass" if has_pass else "secretservice"
    assert origin_of(HOST, home.environ) == Origin(HOST, "automatic", chosen)
    assert credentials_for(HOST, home.environ).username == f"from-{chosen}" == _docker(home, HOST, docker)


def test_the_variable_comes_first(home: Home, docker: str) -> None:
    """Docker reads it since 28.3; with an older one the file decides, as `passhelper docker show` says."""
    home.configure({"credHelpers": {HOST: "one"}, "credsStore": "two"})
    home.environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: auth("given", "p:w")}})
    assert origin_of(HOST, home.environ) == Origin(HOST, "DOCKER_AUTH_CONFIG", "")
    assert credentials_for(f"https://{HOST}/v2/", home.environ) == Credentials(HOST, "given", "p:w")
    assert credentials_for("other.example", home.environ).username == "from-two"
    if _version(docker) >= (28, 3):
        assert _docker(home, HOST, docker) == "given"


def test_an_identity_token(home: Home) -> None:
    home.configure({"auths": {HOST: {"identitytoken": "refresh"}}})
    assert credentials_for(HOST, home.environ) == Credentials(HOST, TOKEN_USER, "refresh")


def test_the_process_environment_is_the_default(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in home.environ.items():
        monkeypatch.setenv(name, value)
    home.configure({"credsStore": "one"})
    assert origin_of(HOST).helper == "one"
    assert credentials_for(HOST).username == "from-one"


def test_what_cannot_be_found_out(home: Home) -> None:
    home.configure({"credsStore": "lost"})
    with pytest.raises(ConfigurationError, match=r"^docker-credential-lost is not on PATH; install it"):
        credentials_for(HOST, home.environ)
    home.configure("{")
    with pytest.raises(DockerError, match="is damaged"):
        origin_of(HOST, home.environ)
    home.configure({"auths": {HOST: {"auth": "!"}, "fine.example": auth("plain")}})
    with pytest.raises(DockerError, match=r"the entry for 127\.0\.0\.1:1 cannot be used: auth is not base64"):
        credentials_for(HOST, home.environ)
    assert credentials_for("fine.example", home.environ).username == "plain"  # one bad entry spoils no other
    with pytest.raises(InvalidRequestError):
        origin_of(" ", home.environ)
    with pytest.raises(DockerError, match=r"docker-credential-slow get gave no answer within 0\.3 seconds"):
        _slow(home)


def _slow(home: Home) -> Credentials:
    slow = Path(script(home.bin / "docker-credential-slow", "exec sleep 30"))
    assert slow.stat().st_mode & stat.S_IXUSR
    home.configure({"credsStore": "slow"})
    return credentials_for(HOST, home.environ, seconds=0.3)
