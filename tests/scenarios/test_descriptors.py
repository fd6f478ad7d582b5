"""What programs get of the descriptors that our caller has left open, the one of a passphrase among them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import PASSPHRASE, Helper, KeyRing, Program, require, run
from support.programs import script

if TYPE_CHECKING:
    from support import Answer

SERVER = "https://registry.example"
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux tells")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def looked(tmp_path: Path, environ: dict[str, str]) -> Path:
    """Every gpg, git, ssh and other helper writes down, in a file of its name, what is open in it."""
    folder, log = tmp_path / "bin", tmp_path / "looked"
    folder.mkdir()
    log.mkdir()
    for name in ("gpg", "git", "ssh", "docker-credential-odd"):
        look = f'for each in /proc/$$/fd/*; do readlink "$each"; done >> {log}/{name}'
        script(folder / name, f'{look}\n[ -x /usr/bin/{name} ] || exit 1\nexec /usr/bin/{name} "$@"')
    environ["PATH"] = f"{folder}:{environ['PATH']}"
    return log


def holding(secret: Path, command: list[str], environ: dict[str, str], stdin: str = "") -> Answer:
    """Run a program as a shell does with ``9< FILE``."""
    code = f'exec "$@" 9< {secret}'
    return run(["/bin/sh", "-c", code, "sh", *command], environ, stdin.encode())


def leaked(looked: Path, secret: Path) -> dict[str, bool]:
    return {path.name: str(secret) in path.read_text().splitlines() for path in looked.iterdir()}


def test_verbs(
    helper: Helper, git_store: Path, own_keys: KeyRing, looked: Path, secret: Path
) -> None:  # fmt: skip
    require("git")
    environ = {**helper.environ, "GNUPGHOME": str(own_keys.home), "PASSHELPER_PASSPHRASE_FD": "9"}
    (git_store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    request = f'{{"ServerURL":"{SERVER}","Username":"u","Secret":"s"}}'
    answer = holding(secret, [helper.program, "store"], environ, request)
    assert (answer.code, answer.err) == (0, b"")
    answer = holding(secret, [helper.program, "get"], environ, SERVER)
    assert answer.json["Secret"] == "s"  # it was read, and given to gpg through a pipe
    assert leaked(looked, secret) == {"gpg": False, "git": False}


def test_commands(
    helper: Helper, installed: Program, git_store: Path, looked: Path, secret: Path
) -> None:  # fmt: skip
    """Through python-gnupg, GitPython, a git that asks ssh, and another helper."""
    require("git")
    assert helper.store(SERVER, "alice", "s").code == 0
    remote = ["git", "-C", str(git_store), "remote", "add", "origin", "ssh://host.invalid/x"]
    assert run(remote, helper.environ).code == 0
    for path in looked.iterdir():
        path.unlink()
    for arguments, code in (
        (["recipients", "check"], 0), (["log"], 0), (["sync"], 6), (["import", "--from", "odd"], 1),
    ):  # fmt: skip
        assert holding(secret, [installed.passhelper, *arguments], helper.environ).code == code
    assert leaked(looked, secret) == dict.fromkeys(("gpg", "git", "ssh", "docker-credential-odd"), False)
