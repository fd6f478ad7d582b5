"""Builds whose base image is private: the classic builder, BuildKit in Docker 20.10, and buildx.

The classic builder asks ``list`` and then for every server in it, and drops all credentials when one ``get`` fails;
BuildKit and buildx ask for the one registry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import NOT_FOUND, require_go_helper
from vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import KeyRing, Program
    from transcripts import Shell

ALICE = "s3cret-Pw!"
OTHER, STRANGE = "https://other.example", "https://strange.example"
CLASSIC, BUILDKIT = {"DOCKER_BUILDKIT": "0"}, {"DOCKER_BUILDKIT": "1"}
REFUSED = "no basic auth credentials"


@pytest.fixture
def context(tmp_path: Path, private: str) -> Path:
    """What is built."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f'FROM {private}\nRUN ["/bin/sh", "-c", "echo built > /made"]\n')
    return folder


@pytest.fixture
def vault(shell: Shell, registry: str, git_store: Path) -> Vault:
    """A store with what the build needs, and a credential for another registry."""
    vault = Vault(shell.client.environ)
    vault.store(registry, "alice", ALICE)
    vault.store(OTHER, "o", "0ther")
    return vault


@pytest.fixture
def build(shell: Shell, registry: str, context: Path) -> Callable[..., str]:
    """Builds an image, with a few variables of the environment."""

    def build(settings: dict[str, str], command: str = "docker build", *, code: int = 0) -> str:
        shell.client.environ.update(settings)
        return shell(f"{command} --network none --tag {registry}/team/built:1 {context}", code=code)

    return build


def test_classic_build(shell: Shell, build: Callable[..., str], vault: Vault, docker_version: str) -> None:
    assert "Successfully tagged" in build(CLASSIC)
    assert shell.calls[0] == "list"
    assert sorted(shell.calls[1:]) == ["get 127.0.0.1:PORT", f"get {OTHER}"]


def test_classic_build_with_an_entry_for_others_beside_dockers_own_helper(
    shell: Shell,
    build: Callable[..., str],
    vault: Vault,
    registry: str,
    installed: Program,
    keys: KeyRing,
    docker_version: str,
) -> None:
    """``passhelper setup`` and other commands note what this machine can read; ``list`` then leaves out the rest."""
    go_helper = require_go_helper()
    vault.put(keys.encrypt(b"theirs\n", "stranger"), STRANGE)
    beside = Path(shell.client.environ["PATH"].partition(":")[0]).parent / "go"
    beside.mkdir()
    (beside / "docker-credential-pass").symlink_to(go_helper)

    shell(f"{installed.passhelper} unlock")
    assert json.loads(shell("docker-credential-pass list")) == {"127.0.0.1:PORT": "alice", OTHER: "o"}
    our_path = shell.client.environ["PATH"]
    shell.client.environ["PATH"] = f"{beside}:{our_path}"
    shell.note("# Docker's own helper first on PATH", "")
    assert json.loads(shell("docker-credential-pass list")) == {"127.0.0.1:PORT": "alice", OTHER: "o", STRANGE: "bob"}
    assert json.loads(shell("docker-credential-pass get", stdin=registry))["Secret"] == ALICE
    assert REFUSED in build(CLASSIC, code=1)
    assert shell.calls == []

    shell.client.environ["PATH"] = our_path
    shell.note("# ours again", "")
    assert "Successfully tagged" in build(CLASSIC)
    assert shell.calls[0] == "list"
    assert sorted(shell.calls[1:]) == ["get 127.0.0.1:PORT", f"get {OTHER}"]
    assert [call.code for call in shell.client.calls] == [0, 0, 0]


def test_classic_build_on_a_machine_that_has_not_been_set_up(
    shell: Shell, build: Callable[..., str], vault: Vault, keys: KeyRing, installed: Program
) -> None:
    """Until one of our commands has asked gpg, ``list`` names all; the failing ``get`` then says what to do."""
    vault.put(keys.encrypt(b"theirs\n", "stranger"), STRANGE)
    said = build(CLASSIC, code=1)
    assert REFUSED in said
    assert f"get {STRANGE} !" in shell.calls
    assert "no secret key for" in said
    shell(f"{installed.passhelper} unlock")
    assert "Successfully tagged" in build(CLASSIC)


@pytest.fixture(params=["docker build", "docker buildx build"])
def builder(
    request: pytest.FixtureRequest,
    shell: Shell,
    docker_version: str,
    more_clients: Callable[[str], Path],
    works_with: Callable[..., None],
) -> str:
    """The command that builds: 20.10 has BuildKit built in, later ones and ``buildx`` want the plug-in."""
    shell.client.environ |= {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    if request.param != "docker build" or not docker_version.startswith("20."):
        plugins = Path(shell.client.environ["DOCKER_CONFIG"], "cli-plugins")
        plugins.mkdir()
        (plugins / "docker-buildx").symlink_to(more_clients("debian/usr/libexec/docker/cli-plugins/docker-buildx"))
        works_with("docker buildx", shell.client("docker", "buildx", "version").split()[1])
    return str(request.param)


def test_buildkit_asks_for_the_one_registry(
    shell: Shell, build: Callable[..., str], builder: str, vault: Vault, keys: KeyRing
) -> None:
    vault.put(keys.encrypt(b"theirs\n", "stranger"), STRANGE)
    said = build({}, builder)
    assert "sharing credentials for 127.0.0.1:PORT" in said
    assert "naming to 127.0.0.1:PORT/team/built:1" in said
    assert shell.calls == ["get 127.0.0.1:PORT"]


def test_buildkit_carries_on_without_a_credential(
    shell: Shell, build: Callable[..., str], builder: str, registry: str
) -> None:
    """BuildKit in 20.10 takes any other text than this one for a failure of its own."""
    said = build({}, builder, code=1)
    assert "401 Unauthorized" in said
    assert {(call.short, call.out.encode(), call.err) for call in shell.client.calls} == {
        (f"get {registry} !", NOT_FOUND, "")}  # fmt: skip
    assert "panic" not in said


def test_buildkit_says_why_a_credential_cannot_be_read(
    shell: Shell, build: Callable[..., str], builder: str, registry: str, store: Path, keys: KeyRing
) -> None:
    Vault(shell.client.environ).put(keys.encrypt(b"theirs\n", "stranger"), registry)
    said = build({}, builder, code=1)
    assert set(shell.calls) == {"get 127.0.0.1:PORT !"}
    cause = shell.client.calls[0].out.strip()
    assert cause.startswith("no secret key for docker-credential-helpers/")
    assert f"error getting credentials - err: exit status 1, out: `{cause}`" in said
    assert f"docker-credential-pass: {cause}" in said
    assert "panic" not in said
