"""A user's machine on which nothing is set up yet."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from support import OWN_GIT, Answer, KeyRing, Program, run

if TYPE_CHECKING:
    from pathlib import Path

Command = Callable[..., Answer]


class Machine:
    """A user's machine: a home, a keyring of its own, ``~/.local/bin`` on PATH, and passhelper installed.

    Attributes:
        home: the home directory.
        environ: what its programs see.
        ring: its keyring, to be filled by a test.
    """

    def __init__(self, installed: Program, home: Path, keyring: Path) -> None:
        self._installed = installed
        self.home = home
        self.store = home / ".password-store"
        self.bin = home / ".local" / "bin"
        self.launcher = self.bin / "docker-credential-pass"
        self.config = home / ".docker" / "config.json"
        self.ring = KeyRing(keyring, {})
        self.environ = {
            "HOME": str(home),
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "GNUPGHOME": str(keyring),
            "PASSHELPER_NONINTERACTIVE": "1",
            **OWN_GIT,
        }

    def __call__(self, *arguments: str, stdin: bytes | str = b"", **environ: str) -> Answer:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return run([self._installed.passhelper, *arguments], {**self.environ, **environ}, data)

    @property
    def passhelper(self) -> str:
        return self._installed.passhelper

    def adopt(self, keys: KeyRing, *names: str, secret: bool = True) -> None:
        """Import some of the run's keys; a keyring that another test has made like this is copied."""
        cache = keys.home.parent / f"adopted-{'-'.join(names)}"
        fresh = secret and not self.ring.home.exists()
        if fresh and cache.exists():
            self.ring = KeyRing(cache, {}).copy(self.ring.home)
        else:
            self._import(keys, names, secret=secret)
        if fresh and not cache.exists():
            shutil.copytree(self.ring.home, cache, ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))

    def _import(self, keys: KeyRing, names: tuple[str, ...], *, secret: bool) -> None:
        self.ring.home.mkdir(mode=0o700, exist_ok=True)
        kind = "--export-secret-keys" if secret else "--export"
        wanted = [keys[name] for name in names]
        data = keys.gpg("--pinentry-mode", "loopback", "--passphrase", "", kind, *wanted).stdout
        assert data
        self.ring.gpg("--import", stdin=data)

    def protect_quickly(self) -> None:
        """Keep the agent from spending a second on each passphrase."""
        self.ring.home.mkdir(mode=0o700)
        (self.ring.home / "gpg-agent.conf").write_text("s2k-count 65536\n")

    def launch_agent(self) -> None:
        """Start its agent before anything needs it."""
        subprocess.run(["gpgconf", "--launch", "gpg-agent"], env=self.ring.environ, check=True)

    def stop(self) -> None:
        """End its agent."""
        if (self.ring.home / "S.gpg-agent").exists():
            self.ring.stop_agent()

    def secret_keys(self) -> list[str]:
        """List the fingerprints of the primary secret keys."""
        listing = self.ring.gpg("--with-colons", "--list-secret-keys").stdout.decode().splitlines()
        return [listing[at + 1].split(":")[9] for at, line in enumerate(listing) if line.startswith("sec")]

    def helper(self, verb: str, stdin: str = "") -> Answer:
        """Run what Docker would run."""
        program = shutil.which("docker-credential-pass", path=self.environ["PATH"])
        assert program
        return run([program, verb], self.environ, stdin.encode())
