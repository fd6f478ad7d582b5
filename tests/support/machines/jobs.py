"""CI jobs: a bare environment, the installed passhelper, and what is left when they are over."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support import OWN_GIT, PASSPHRASE, Answer, KeyRing, Program, require, run

if TYPE_CHECKING:
    from collections.abc import Sequence

BARE_PATH = "/usr/local/bin:/usr/bin:/bin"


def secret_key(keys: KeyRing, *names: str, armor: bool = True) -> bytes:
    """Export secret keys as a person would for a CI secret."""
    fingerprints = [keys[name] for name in names]
    words = ["--pinentry-mode", "loopback", "--passphrase", PASSPHRASE if "locked" in names else ""]
    return keys.gpg(*words, *(["--armor"] if armor else []), "--export-secret-keys", *fingerprints).stdout


def for_user(installed: Program, user: list[str], folder: Path) -> str:
    """Find a directory with a ``passhelper`` that another user can start; it may be made.

    Args:
        installed: the wheel's programs.
        user: what a command begins with that runs as that user.
        folder: where to make a directory ``bin``, if need be.
    """
    if run([*user, "sh", "-c", f"{installed.python} -c ''"], {"PATH": BARE_PATH}).code == 0:
        return f"{installed.folder}/bin"
    # This interpreter is in a home that only its owner may enter: the same wheel, started by the system's.
    require("python3")
    site = next((installed.folder / "lib").glob("python*/site-packages"))
    program = folder / "bin" / "passhelper"
    program.parent.mkdir()
    paths = [str(site), (site / "libraries.pth").read_text().strip()]
    program.write_text(
        f"#!/usr/bin/python3 -I\nimport sys\nsys.path += {paths!r}\nfrom passhelper.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    return str(program.parent)


class Job:
    """One job of a runner: nothing in its environment but what a test puts there.

    Args:
        installed: the wheel's programs.
        home: a fresh home directory.
        runtime: its ``XDG_RUNTIME_DIR``; None for none.
    """

    def __init__(self, installed: Program, home: Path, runtime: Path | None) -> None:
        self.home = home
        self.runtime = runtime
        self.user: list[str] = []
        self.environ = {"HOME": str(home), "PATH": f"{installed.folder}/bin:{BARE_PATH}", **OWN_GIT}
        if runtime is not None:
            self.environ["XDG_RUNTIME_DIR"] = str(runtime)
        self.passhelper = installed.passhelper

    def give(self, key: bytes, passphrase: str = "") -> None:
        """Give it a secret key as base64 in a variable and, where needed, a passphrase in a file."""
        self.environ["PASSHELPER_GPG_KEY"] = base64.b64encode(key).decode()
        if passphrase:
            file = self.home / "passphrase"
            file.write_text(passphrase + "\n")
            file.chmod(0o600)
            self.environ["PASSHELPER_PASSPHRASE_FILE"] = str(file)

    def shell(self, script: str, *, options: str = "-eu", wrapper: Sequence[str] = (), timeout: float = 60) -> Answer:
        """Run a script as its user, without a terminal."""
        command = [*wrapper, *self.user, "bash", options, "-c", script]
        return run(command, self.environ, timeout=timeout, cwd=self.home)

    def set_up(self, *options: str, **changes: str) -> Answer:
        """Run ``passhelper setup --ci``."""
        return run([*self.user, self.passhelper, "setup", "--ci", *options], {**self.environ, **changes})

    def adopt(self, exports: str) -> dict[str, str]:
        """Take over what set-up printed, as ``eval`` does; returns the settings."""
        words = shlex.split(exports)
        assert words[::2] == ["export"] * (len(words) // 2)
        settings = dict(word.split("=", 1) for word in words[1::2])
        self.environ.update(settings)
        return settings

    def tear_down(self, *options: str) -> Answer:
        return run([*self.user, self.passhelper, "teardown", *options], self.environ)

    @property
    def left(self) -> list[str]:
        """What lies in its runtime directory."""
        assert self.runtime is not None
        return sorted(os.listdir(self.runtime))


def agents(folder: str) -> list[int]:
    """The gpg-agents whose home is below a folder; those that nobody has collected do not count."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"gpg-agent") and any(word.startswith(os.fsencode(folder)) for word in words):
                found.append(int(process.name))
    return found


def git(folder: Path, *arguments: str) -> str:
    """Run git as a member of the team."""
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.test", *arguments]
    environ = {"PATH": BARE_PATH, "HOME": str(folder), **OWN_GIT}
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()
