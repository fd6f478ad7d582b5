"""buildah as root: a build whose base image needs a credential, and a push; it runs nothing but in a chroot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import require
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def buildah(
    client: Client, works_with: Callable[..., None], registry: str, open_registry: str, tmp_path: Path
) -> Iterator[Callable[..., str]]:
    """Runs buildah, with an authentication file that names us for both registries."""
    require("buildah")
    if os.geteuid() != 0:
        pytest.skip("only root runs buildah as root")
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"credHelpers": {registry: "pass", open_registry: "pass"}}))
    client.environ |= {"REGISTRY_AUTH_FILE": str(file), "BUILDAH_ISOLATION": "chroot"}
    places = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "runroot"), "--storage-driver=vfs"]
    works_with("buildah (root)", client("buildah", "--version").split()[2])

    def start(*arguments: str, stdin: str = "", code: int = 0) -> str:
        return client("buildah", *places, *arguments, stdin=stdin, code=code)

    yield start
    client("buildah", *places, "rmi", "--all", "--force")
    assert set(json.loads(file.read_text())) <= {"credHelpers", "auths"}
    assert json.loads(file.read_text()).get("auths", {}) == {}


def build(buildah: Callable[..., str], folder: Path, base: str, code: int = 0) -> str:
    (folder / "Containerfile").write_text(f"FROM {base}\nCOPY Containerfile /\n")
    return buildah("build", "--tls-verify=false", "--pull-always", "-t", "built", str(folder), code=code)


def test_login_build_push_and_logout(
    client: Client, buildah: Callable[..., str], registry: str, image: str, layout: Path, tmp_path: Path
) -> None:
    upload(layout, registry, image)
    name = f"{registry}/{image}:1"
    (tmp_path / "context").mkdir()
    assert "unauthorized: authentication required" in build(buildah, tmp_path / "context", name, code=125)
    assert client.short == [f"get {registry} !"]
    login = ("login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry)
    assert buildah(*login, stdin=USERS["bob"]) == "Login Succeeded!\n"
    assert client.short == [f"get {registry} !", f"store {registry}"]
    assert json.loads(client.calls[1].stdin) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    assert "Successfully tagged localhost/built" in build(buildah, tmp_path / "context", name)
    assert client.short == [f"get {registry}"]
    buildah("push", "--tls-verify=false", "built", f"docker://{registry}/{image}:2")
    assert client.short == [f"get {registry}"]
    for _ in range(2):
        assert buildah("logout", registry) == f"Removed login credentials for {registry}\n"
        assert client.short == [f"erase {registry}"]
    build(buildah, tmp_path / "context", name, code=125)


def test_public(
    client: Client, buildah: Callable[..., str], open_registry: str, image: str, layout: Path, tmp_path: Path
) -> None:
    upload(layout, open_registry, image)
    (tmp_path / "context").mkdir()
    build(buildah, tmp_path / "context", f"{open_registry}/{image}:1")
    assert client.short == [f"get {open_registry} !"]


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, buildah: Callable[..., str], registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = buildah("pull", "--tls-verify=false", f"{registry}/team/app:1", code=125)
    assert "getting username and password: 1 error occurred" in said
    assert said.count(words) == 2
    assert client.short == [f"get {registry} !"]
