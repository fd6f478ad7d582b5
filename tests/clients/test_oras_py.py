"""oras-py at a real registry: it finds the password through us, and shows of a failure what stands on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.machines.registries import USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Helper
    from support.clients.callers import Client

_PUSH_AND_PULL = """\
import oras.client, oras.version, os, sys
client = oras.client.OrasClient(insecure=True, auth_backend="basic")
os.chdir(sys.argv[1])
client.push(target=sys.argv[2], files=["file.txt"], disable_path_validation=True)
print(client.pull(target=sys.argv[2], outdir="pulled"))
"""
# Only the look-up: a refused request is tried again for minutes.
_LOOK_UP = """\
import oras.client, sys
client = oras.client.OrasClient(insecure=True, auth_backend="basic")
client.auth.load_configs(client.get_container(sys.argv[1]))
print(getattr(client.auth, "_basic_auth", None))
"""


@pytest.fixture
def python(
    client: Client, store: Path, more_clients: Callable[[str], Path], works_with: Callable[..., None]
) -> tuple[str, str]:
    """Python with oras-py, which reads ``~/.docker/config.json`` and nothing else."""
    program = str(more_clients("python/bin/python"))
    config = Path(client.environ["HOME"], ".docker", "config.json")
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "pass"}))
    works_with("oras-py", client(program, "-c", "import oras.version; print(oras.version.__version__)").strip())
    return program, "-c"


def test_push_and_pull(python: tuple[str, str], client: Client, helper: Helper, registry: str, tmp_path: Path) -> None:
    helper.store(registry, "bob", USERS["bob"])
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "file.txt").write_text("content of the artifact")
    said = client(*python, _PUSH_AND_PULL, str(folder), f"{registry}/team/app:1")
    assert set(client.short) == {f"get {registry}"}
    assert "failed" not in said
    assert (folder / "pulled" / "file.txt").read_text() == "content of the artifact"


def test_a_miss_warns_of_nothing_in_particular(python: tuple[str, str], client: Client) -> None:
    """It asks for ``localhost`` too, and warns of a miss as of a failure; what it would quote is empty."""
    said = client(*python, _LOOK_UP, "127.0.0.1:5000/team/app:1")
    assert client.short == ["get 127.0.0.1:5000 !", "get localhost:5000 !"]
    assert said.splitlines() == ["None", *["Credential helper 'docker-credential-pass' failed: "] * 2]


def test_a_failure_is_quoted_from_stderr(python: tuple[str, str], client: Client, helper: Helper) -> None:
    helper.store("r.example", "alice", "x")
    client.environ["PASSHELPER_GPG"] = "/nowhere/gpg"
    said = client(*python, _LOOK_UP, "r.example/team/app:1")
    [call] = client.calls
    assert (call.verb, call.code) == ("get", 1)
    assert call.err.startswith("docker-credential-pass: ")
    assert "/nowhere/gpg" in call.err
    assert said.splitlines() == ["None", f"Credential helper 'docker-credential-pass' failed: {call.err.strip()}"]
