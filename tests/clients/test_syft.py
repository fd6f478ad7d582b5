"""syft (go-containerregistry): it asks as crane does; with ``credHelpers`` alone, for the registry only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Helper
from support.clients.callers import Client
from support.machines.registries import upload

pytestmark = pytest.mark.usefixtures("store", "nothing_left")


@pytest.fixture
def scan(
    more_clients: Callable[[str], Path], works_with: Callable[..., None], client: Client, docker_config: Path
) -> Callable[..., str]:
    """Scans an image of a registry."""
    program = str(more_clients("python/bin/syft"))
    client.environ |= {"SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    works_with("syft", client(program, "--version").split()[1])

    def run(name: str, code: int = 0) -> str:
        return client(program, "scan", "-o", "syft-table", f"registry:{name}:1", code=code)

    return run


def test_scan(
    client: Client, scan: Callable[..., str], helper: Helper, docker_config: Path, registry: str, image: str,
    layout: Path,
) -> None:  # fmt: skip
    name = f"{registry}/{image}"
    upload(layout, registry, image)
    assert "UNAUTHORIZED: authentication required" in scan(name, code=1)
    assert client.short == [f"get {name} !", f"get {registry} !"]
    assert helper.store(registry, "bob", "b0b's p%ss: wörd").code == 0
    assert "No packages discovered" in scan(name)
    assert client.short == [f"get {name} !", f"get {registry}"]
    docker_config.write_text(json.dumps({"credHelpers": {registry: "pass"}}))
    scan(name)
    assert client.short == [f"get {registry}"]
    docker_config.write_text("{}")
    scan(name, code=1)
    assert client.short == []


def test_public(client: Client, scan: Callable[..., str], open_registry: str, image: str, layout: Path) -> None:
    upload(layout, open_registry, image)
    assert "No packages discovered" in scan(f"{open_registry}/{image}")
    assert client.short == [f"get {open_registry}/{image} !", f"get {open_registry} !"]


@pytest.mark.parametrize("trouble", ["locked", "foreign", "broken"])
def test_entry_that_cannot_be_read(
    client: Client, scan: Callable[..., str], registry: str, spoil: Callable[[str, str], str], trouble: str
) -> None:
    words = spoil(registry, trouble)
    said = scan(f"{registry}/team/app", code=1)
    assert "error getting credentials - err: exit status 1, out: `" in said
    assert said.count(words) == 2
    assert client.short == [f"get {registry}/team/app !", f"get {registry} !"]
