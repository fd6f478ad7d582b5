"""What the clients meet: registries, a tiny image, a store that cannot be read; and what none of them may leave."""

from __future__ import annotations

import base64
import gzip
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, KeyRing, require
from support.machines.jobs import agents
from support.machines.registries import USERS, write_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.clients.callers import Client
    from support.machines.engines import Engine

# What stops a `get`, and the words in which everybody who asks is told.
TROUBLES = {
    "locked": "is locked; run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE",
    "foreign": "; ask a team member to run: passhelper recipients add",
    "broken": " is not an entry: it is truncated; restore it from git, or erase it and store it again",
}


@pytest.fixture
def image() -> str:
    """The name of an image that no other test uses, without its registry."""
    return f"team/app-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def private_image(engine: Engine, registry: str) -> Iterator[str]:
    """The name of an image with a shell, which is in the registry and not on the engine."""
    with engine.private_image(registry, "alice", USERS["alice"]) as name:
        yield name


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout with one image of a few bytes, tagged ``1``."""
    return write_image(tmp_path / "layout")


@pytest.fixture
def docker_config(client: Client, tmp_path: Path) -> Path:
    """Docker's configuration with our helper for every registry; its ``config.json``."""
    folder = tmp_path / "docker"
    folder.mkdir()
    file = folder / "config.json"
    file.write_text('{"credsStore": "pass"}')
    client.environ["DOCKER_CONFIG"] = str(folder)
    return file


@pytest.fixture
def drop_in(client: Client) -> Path:
    """What ``passhelper setup --containers`` writes: podman, skopeo and buildah ask us for every registry."""
    file = Path(client.environ["HOME"], ".config/containers/registries.conf.d/50-passhelper.conf")
    file.parent.mkdir(parents=True)
    file.write_text('credential-helpers = ["pass"]\n')
    return file


@pytest.fixture
def spoil(store: Path, keys: KeyRing) -> Callable[[str, str], str]:
    """Puts an entry for a server into the store that cannot be read; gives the words for :data:`TROUBLES`."""
    require("gpg")

    def put(server: str, trouble: str) -> str:
        place = store / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()
        place.mkdir(parents=True, exist_ok=True)
        recipient = {"locked": "locked", "foreign": "stranger", "broken": "alice"}[trouble]
        data = keys.encrypt(b"never seen", recipient)
        (place / "alice.gpg").write_bytes(data[:-9] if trouble == "broken" else data)
        return TROUBLES[trouble]

    return put


@pytest.fixture(scope="session")
def no_plain_text() -> Callable[[Path], None]:
    """Looks for the passwords of :data:`USERS` in every file below a directory, as clients would write them."""

    def look(folder: Path) -> None:
        words = [
            word
            for user, secret in USERS.items()
            for word in (secret.encode(), base64.b64encode(f"{user}:{secret}".encode()))
        ]
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                assert [word for word in words if word in data] == [], file

    return look


@pytest.fixture
def nothing_left(client: Client, tmp_path: Path, no_plain_text: Callable[[Path], None]) -> Iterator[None]:
    """A client leaves no password in a file of its user, no temporary file, and no agent of gpg."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    client.environ["TMPDIR"] = str(folder)
    yield
    assert list(folder.iterdir()) == []
    assert agents(str(tmp_path)) == []
    no_plain_text(tmp_path)


@pytest.fixture(scope="session")
def debian_client(more_clients: Callable[[str], Path]) -> Callable[[str], tuple[str, str]]:
    """Finds a program that ``.ci/clients`` has unpacked, and the upstream version of its package.

    Some of these say of themselves only that they were built by somebody.
    """

    def find(name: str) -> tuple[str, str]:
        program = more_clients(f"debian/usr/bin/{name}")
        changes = program.parent.parent / "share" / "doc" / name / "changelog.Debian.gz"
        said = re.match(r"\S+ \((?:\d+:)?([^-+~)]+)", gzip.decompress(changes.read_bytes()).decode())
        assert said
        return str(program), said[1]

    return find
