"""podman as root, with its storage in a directory of the test; as another user, see test_rootless.py."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import require
from support.clients.callers import Client
from support.machines.registries import USERS, upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def podman(
    client: Client, works_with: Callable[..., None], drop_in: Path, short_tmp: Path, tmp_path: Path
) -> Iterator[Callable[..., str]]:
    """Runs podman, which wants short paths for what it does."""
    require("podman")
    if os.geteuid() != 0:
        pytest.skip("only root runs podman as root")
    (tmp_path / "run").mkdir()
    client.environ["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
    folder = tempfile.mkdtemp(prefix="p", dir=short_tmp)
    places = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    command = ["podman", *places, "--storage-driver=vfs", "--events-backend=none", "--cgroup-manager=cgroupfs"]
    works_with("podman (root)", client("podman", "--version").split()[2])

    def start(*arguments: str, stdin: str = "", code: int = 0) -> str:
        return client(*command, *arguments, stdin=stdin, code=code)

    yield start
    client(*command, "rmi", "--all", "--force")
    shutil.rmtree(folder)


def test_login_pull_push_and_logout(
    client: Client, podman: Callable[..., str], registry: str, image: str, layout: Path, tmp_path: Path
) -> None:
    upload(layout, registry, image)
    name = f"{registry}/{image}:1"
    pull = ("pull", "--tls-verify=false", name)
    assert "unauthorized: authentication required" in podman(*pull, code=125)
    assert client.short == [f"get {registry} !"]
    login = ("login", "--tls-verify=false", "-u", "bob", "--password-stdin", registry)
    assert "invalid username/password" in podman(*login, stdin="wrong", code=125)
    assert client.short == [f"get {registry} !"]
    assert podman(*login, stdin=USERS["bob"]) == "Login Succeeded!\n"
    assert client.short == [f"get {registry} !", f"store {registry}"]
    assert json.loads(client.calls[1].stdin) == {"ServerURL": registry, "Username": "bob", "Secret": USERS["bob"]}
    assert podman("login", "--get-login", registry) == "bob\n"
    podman(*pull)
    assert client.short == [f"get {registry}"]
    podman("push", "--tls-verify=false", name, f"{registry}/{image}:2")
    assert client.short == [f"get {registry}"]
    for _ in range(2):
        assert podman("logout", registry) == f"Removed login credentials for {registry}\n"
        assert client.short == [f"erase {registry}"]
    podman("pull", "--tls-verify=false", f"{registry}/{image}:2", code=125)
    assert list((tmp_path / "run").rglob("auth.json")) == []


def test_public(client: Client, podman: Callable[..., str], open_registry: str, image: str, layout: Path) -> None:
    upload(layout, open_registry, image)
    podman("pull", "--tls-verify=false", f"{open_registry}/{image}:1")
    assert client.short == [f"get {open_registry} !"]


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, podman: Callable[..., str], registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = podman("pull", "--tls-verify=false", f"{registry}/team/app:1", code=125)
    assert "getting username and password: 1 error occurred" in said
    assert said.count(words) == 2
    assert client.short == [f"get {registry} !"]
