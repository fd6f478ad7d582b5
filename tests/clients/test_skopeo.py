"""skopeo: it does not look at ``credsStore``, so ``passhelper setup --containers`` or ``credHelpers`` must name us."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Helper, Program, require, run
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def skopeo(client: Client, works_with: Callable[..., None], tmp_path: Path) -> Callable[..., str]:
    """Runs skopeo as a user who has a runtime directory, in which it would keep plain text."""
    require("skopeo")
    (tmp_path / "run").mkdir()
    client.environ["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
    works_with("skopeo", client("skopeo", "--version").split()[2])

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        return client("skopeo", "--insecure-policy", *arguments, stdin=stdin, code=code)

    return run


def test_after_setup(
    client: Client, skopeo: Callable[..., str], installed: Program, registry: str, image: str, layout: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = Path(installed.helper).parent  # not the helper that notes its calls: set-up makes some of its own
    setup = [installed.passhelper, "setup", "--containers", "--no-docker"]
    answer = run(setup, {**client.environ, "PATH": f"{folder}:{client.environ['PATH']}"})
    assert answer.code == 0, answer.err
    name = f"docker://{registry}/{image}:1"
    push = ("copy", "--dest-tls-verify=false", f"oci:{layout}:1", name)
    assert "unauthorized: authentication required" in skopeo(*push, code=1)
    assert client.short == [f"get {registry} !"]
    login = ("login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry)
    assert "invalid username/password" in skopeo(*login, stdin="wrong", code=1)
    assert client.short == [f"get {registry} !"]
    assert skopeo(*login, stdin=USERS["bob"]) == "Login Succeeded!\n"
    assert client.short == [f"get {registry} !", f"store {registry}"]
    assert client.calls[1].stdin.endswith("}\n")
    assert json.loads(client.calls[1].stdin) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    assert skopeo("login", "--get-login", registry) == "bob\n"
    skopeo(*push)
    assert client.short == [f"get {registry}"]
    skopeo("copy", "--src-tls-verify=false", name, f"oci:{tmp_path / 'pulled'}:1")
    assert set(client.short) == {f"get {registry}"}
    for _ in range(2):
        assert skopeo("logout", registry) == f"Removed login credentials for {registry}\n"
        assert client.short == [f"erase {registry}"]
    skopeo(*push, code=1)
    # A logout goes through every helper, and the files are one of them.
    assert [json.loads(file.read_text()) for file in (tmp_path / "run").rglob("*.json")] == [{"auths": {}}]
    assert not Path(client.environ["HOME"], ".docker").exists()


def test_logout_of_all(
    client: Client, skopeo: Callable[..., str], drop_in: Path, helper: Helper, spoil: Callable[[str, str], str]
) -> None:
    """Also of what nobody can unlock now: neither ``list`` nor ``erase`` needs a key."""
    assert helper.store("a.example", "u", "s").code == 0
    spoil("b.example", "locked")
    for erased in (["erase a.example", "erase b.example"], []):
        assert skopeo("logout", "--all") == "Removed login credentials for all registries\n"
        assert client.short[0] == "list"
        assert sorted(client.short[1:]) == erased


def test_docker_hub(client: Client, skopeo: Callable[..., str], drop_in: Path, helper: Helper) -> None:
    """It calls the Hub ``docker.io``; what ``docker login`` has stored is found under that name too."""
    assert helper.store("https://index.docker.io/v1/", "alice", "hub's own").code == 0
    assert skopeo("login", "--get-login", "docker.io") == "alice\n"
    assert client.short == ["get docker.io"]


def test_login_to_a_part_of_a_registry(
    client: Client, skopeo: Callable[..., str], drop_in: Path, registry: str
) -> None:
    """It refuses to keep such a credential anywhere but in plain text."""
    login = ("login", "--tls-verify=false", "-u", "alice", "--password-stdin", f"{registry}/team")
    assert "namespaced key is not supported for credential helper pass" in skopeo(*login, stdin="s3cret-Pw!", code=1)
    assert client.short == [f"get {registry} !"]


def test_file_that_names_the_helper(
    client: Client, skopeo: Callable[..., str], helper: Helper, registry: str, tmp_path: Path
) -> None:
    """A ``logout --all`` takes our name out of the file: the next login there is in plain text."""
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"credHelpers": {registry: "pass"}}))
    login = ("login", "--authfile", str(file), "--tls-verify=false", "-u", "alice", "--password-stdin", registry)
    skopeo(*login, stdin=USERS["alice"])
    assert client.short == [f"get {registry} !", f"store {registry}"]
    skopeo("logout", "--authfile", str(file), registry)
    assert json.loads(file.read_text())["credHelpers"] == {registry: "pass"}
    skopeo("logout", "--authfile", str(file), "--all")
    assert client.short == [f"erase {registry}"]
    assert json.loads(file.read_text()) == {"auths": {}}


def test_public(
    client: Client, skopeo: Callable[..., str], drop_in: Path, open_registry: str, image: str, layout: Path
) -> None:
    upload(layout, open_registry, image)
    skopeo("inspect", "--tls-verify=false", f"docker://{open_registry}/{image}:1")
    assert set(client.short) == {f"get {open_registry} !"}


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, skopeo: Callable[..., str], drop_in: Path, registry: str, spoil: Callable[[str, str], str],
    trouble: str,
) -> None:  # fmt: skip
    words = spoil(registry, trouble)
    said = skopeo("inspect", "--tls-verify=false", f"docker://{registry}/team/app:1", code=1)
    assert "getting username and password: 1 error occurred" in said
    assert said.count(words) == 2
    login = ("login", "--tls-verify=false", "-u", "alice", "--password-stdin", registry)
    assert skopeo(*login, stdin=USERS["alice"], code=1).count(words) == 2
    assert client.short == [f"get {registry} !"]  # so it is erased before one can log in again
    skopeo("logout", registry)
    skopeo(*login, stdin=USERS["alice"])
