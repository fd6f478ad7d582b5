"""Docker's command without an engine: it calls the helper itself. ``tests/engine`` has what needs an engine.

``tests/scenarios/test_docker_login.py`` follows one user through logins and logouts, with what they read and what the
store and its history hold; here is every call that the command makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Helper, dockers, require
from support.clients.callers import Client
from support.machines.registries import USERS, serve_registry, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")

HUB = "https://index.docker.io/v1/"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directories of both registries."""
    return {name: tmp_path_factory.mktemp(name) for name in ("registry", "open")}


@pytest.fixture(scope="module")
def registry(folders: dict[str, Path]) -> Iterator[str]:
    """It has a certificate: without an engine docker 28.5 speaks plain http to nobody, not even to this machine.

    ``newServiceConfig`` in docker/cli adds the loopback addresses only where other insecure registries are given, and
    its login without an engine gives none. Up to 28.2 it used the engine's own code, which always adds them.
    """
    yield from serve_registry(folders["registry"], password=True, tls=True)


@pytest.fixture(scope="module")
def open_registry(folders: dict[str, Path]) -> Iterator[str]:
    """A registry that wants no password."""
    yield from serve_registry(folders["open"], password=False, tls=True)


@pytest.fixture(params=dockers())
def docker(
    request: pytest.FixtureRequest, client: Client, docker_config: Path, works_with: Callable[..., None],
    folders: dict[str, Path], registry: str, open_registry: str, tmp_path: Path,
) -> Callable[..., str]:  # fmt: skip
    """Runs docker; its ``version`` is that of the command."""
    require("docker")
    trusted = tmp_path / "certificates.pem"
    trusted.write_text("".join((folder / "cert.pem").read_text() for folder in folders.values()))
    client.environ["SSL_CERT_FILE"] = str(trusted)
    client.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        return client(request.param, *arguments, stdin=stdin, code=code)

    said = run("version", "--format", "{{.Client.Version}}", code=1)  # it fails because it asks the engine too
    works_with("docker CLI without an engine", said.split()[0].partition("+")[0])
    return run


def test_login_and_logout(
    client: Client, docker: Callable[..., str], docker_config: Path, helper: Helper, registry: str
) -> None:
    for user in ("alice", "bob"):  # the second replaces the first
        docker("login", "-u", user, "--password-stdin", registry, stdin=USERS[user])
        assert client.short == [f"store {registry}"]
        (call,) = client.calls
        assert call.stdin.endswith("}\n")
        assert json.loads(call.stdin) == {"ServerURL": registry, "Username": user, "Secret": USERS[user]}
        assert helper.get(registry).json == json.loads(call.stdin)
    for typed in (f"{registry}/team/app", registry, registry):
        assert docker("logout", typed) == f"Removing login credentials for {registry}\n"
        assert client.short == [f"erase {name}" for name in (typed, registry, f"http://{registry}",
                                                             f"https://{registry}")]  # fmt: skip
        assert {call.out + call.err for call in client.calls} == {""}
    assert helper.list().json == {}
    assert json.loads(docker_config.read_text()) == {"auths": {}, "credsStore": "pass"}


def test_login_with_what_is_stored(
    client: Client, docker: Callable[..., str], helper: Helper, docker_config: Path, registry: str
) -> None:
    """Without ``-u`` it takes the stored credential and wants the engine to try it; 28 then stores it once more."""
    assert helper.store(registry, "alice", USERS["alice"]).code == 0
    said = docker("login", registry, code=1)
    assert "Authenticating with existing credentials" in said
    assert "Cannot connect to the Docker daemon" in said
    assert client.short in ([f"get {registry}"], [f"get {registry}", f"store {registry}"])
    assert helper.get(registry).json["Secret"] == USERS["alice"]


def test_logout_of_the_hub(client: Client, docker: Callable[..., str], helper: Helper) -> None:
    """The newer one asks for the token of a login in a browser first."""
    assert helper.store(HUB, "alice", "hub's own").code == 0
    for _ in range(2):
        assert docker("logout") == f"Removing login credentials for {HUB}\n"
        assert client.short in ([f"erase {HUB}"], [f"get {HUB}refresh-token !", f"erase {HUB}"])
    assert helper.list().json == {}


def test_manifest(
    client: Client, docker: Callable[..., str], helper: Helper, docker_config: Path, registry: str, open_registry: str,
    image: str, layout: Path, folders: dict[str, Path],
) -> None:  # fmt: skip
    """It asks again for each of its requests."""
    for address, folder in ((registry, folders["registry"]), (open_registry, folders["open"])):
        upload(layout, address, image, dockers=True, tls=folder)
    inspect = ("manifest", "inspect", "--insecure")
    assert "no basic auth credentials" in docker(*inspect, f"{registry}/{image}:1", code=1)
    assert set(client.short) == {f"get {registry} !"}
    assert helper.store(registry, "bob", USERS["bob"]).code == 0
    assert json.loads(docker(*inspect, f"{registry}/{image}:1"))["schemaVersion"] == 2
    assert set(client.short) == {f"get {registry}"}
    assert json.loads(docker(*inspect, f"{open_registry}/{image}:1"))["schemaVersion"] == 2
    assert set(client.short) == {f"get {open_registry} !"}


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, docker: Callable[..., str], registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    """What stdout says, docker keeps to itself: only stderr tells the user why."""
    words = spoil(registry, trouble)
    said = docker("manifest", "inspect", "--insecure", f"{registry}/team/app:1", code=1)
    assert said.splitlines()[-1].endswith("no basic auth credentials")
    assert said.count(words) == len(client.calls)
    assert words in docker("login", registry, code=1)
    assert client.short == [f"get {registry} !"]


def test_it_finds_the_helper_by_itself(
    client: Client, docker: Callable[..., str], docker_config: Path, helper: Helper, registry: str
) -> None:
    """With ``pass`` and ``docker-credential-pass`` on PATH it needs no setting, and writes one."""
    require("pass")
    docker_config.unlink()
    docker("login", "-u", "alice", "--password-stdin", registry, stdin=USERS["alice"])
    assert client.short == [f"store {registry}"]
    assert json.loads(docker_config.read_text()) == {"auths": {registry: {}}, "credsStore": "pass"}
    assert helper.get(registry).json["Secret"] == USERS["alice"]


def test_it_does_not_find_the_helper_without_pass(
    client: Client, docker: Callable[..., str], docker_config: Path, open_registry: str
) -> None:
    """Then it writes plain text, which is why ``passhelper setup`` always writes ``credsStore``."""
    docker_config.unlink()
    client.environ["PATH"] = client.environ["PATH"].partition(":")[0]
    said = docker("login", "-u", "carol", "--password-stdin", open_registry, stdin="nobody's")
    assert "WARNING! Your" in said
    assert client.short == []
    assert "auth" in json.loads(docker_config.read_text())["auths"][open_registry]
