"""The runners of a fleet: each has a clone of its own and stores, erases and syncs at random."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from check import Write, blob_of
from lab import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

SHARED = 12  # servers that all runners write to, so that they conflict
_PULLS = 10  # times a runner of `pass` tries to pull and push before it gives up
_LIMIT = 120.0  # seconds for one program; longer is a hang


@dataclass
class Tally:
    """What happened to one runner."""

    writes: list[Write] = field(default_factory=list)
    waiting: list[Write] = field(default_factory=list)  # stored, not yet synced
    refused: int = 0  # programs that failed
    blocked: bool = False  # cannot sync any more without a person
    killed: int = 0


class Runner:
    """One runner of a fleet.

    Args:
        number: which.
        clone: its store, cloned already.
        environ: with its keys, and ``PASSWORD_STORE_DIR`` set to the clone.
        seed: for its choices.
    """

    def __init__(self, number: int, clone: Path, environ: dict[str, str], seed: int) -> None:
        self.number = number
        self.clone = clone
        self.environ = environ
        self.tally = Tally()
        self._random = random.Random(f"{seed}-{number}")

    def work(self, stores: int, *, kill: bool) -> None:
        """Store some credentials, erase and sync in between, sync at the end.

        Args:
            stores: how many to store.
            kill: whether a sync and a store are killed half-way.
        """
        victims = set(self._random.sample(range(stores), 2)) if kill and stores > 1 else set()
        for count in range(stores):
            self._store(count, kill=count in victims)
            if self._random.random() < 0.15:
                self.erase(self._server())
            if count in victims:
                self._kill(self.sync_command(), "")
            if self._random.random() < 0.4:
                self._sync()
        self._sync()

    def _server(self) -> str:
        if self._random.random() < 0.5:
            return f"https://shared{self._random.randrange(SHARED)}.example"
        return f"https://runner{self.number}-{self._random.randrange(1000)}.example"

    def _store(self, count: int, *, kill: bool) -> None:
        server, user = self._server(), f"user{self._random.randrange(3)}"
        command, text = self.store_command(server, user, f"secret {self.number} {count}")
        if kill:
            self._kill(command, text)
            return
        if self.run(command, text) != 0:
            self.tally.refused += 1
            return
        path = f"{FOLDER}/{directory(server)}/{user}.gpg"
        self.tally.waiting.append(Write(self.number, path, blob_of(self.clone, path)))

    def _sync(self) -> None:
        if self.tally.blocked:
            return
        if self.sync():
            self.tally.writes += self.tally.waiting
            self.tally.waiting = []

    def run(self, command: list[str], text: str = "") -> int:
        """Run a program to its end; its exit status."""
        return subprocess.run(
            command, input=text.encode(), env=self.environ, cwd=self.clone, capture_output=True, check=False,
            timeout=_LIMIT,
        ).returncode  # fmt: skip

    def _kill(self, command: list[str], text: str) -> None:
        """Start a program and kill it, and all that it started, at some moment."""
        child = subprocess.Popen(
            command, env=self.environ, cwd=self.clone, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if child.stdin is not None:
            child.stdin.write(text.encode())
            child.stdin.close()
        time.sleep(self._random.random() * 0.3)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            self.tally.killed += 1
        child.wait()
        # passhelper removes no lock of git's, for it cannot know that nobody holds it. Whoever killed all of a runner's
        # programs does, and nobody else works in its clone.
        for lock in ("index.lock", "HEAD.lock", "config.lock"):
            (self.clone / ".git" / lock).unlink(missing_ok=True)
        for path in (self.clone / ".git" / "refs").rglob("*.lock"):
            path.unlink(missing_ok=True)

    def store_command(self, server: str, user: str, secret: str) -> tuple[list[str], str]:
        """Give the program that stores a credential, and its input."""
        raise NotImplementedError

    def sync_command(self) -> list[str]:
        """Give the program that syncs, for killing it."""
        raise NotImplementedError

    def erase(self, server: str) -> None:
        """Erase a credential."""
        raise NotImplementedError

    def sync(self) -> bool:
        """Sync; tell whether that worked."""
        raise NotImplementedError


class PasshelperRunner(Runner):
    """A runner that uses passhelper."""

    def __init__(self, number: int, clone: Path, environ: dict[str, str], seed: int, programs: Path) -> None:
        super().__init__(number, clone, environ, seed)
        self._helper = str(programs / "docker-credential-pass")
        self._passhelper = str(programs / "passhelper")

    def store_command(self, server: str, user: str, secret: str) -> tuple[list[str], str]:
        """Store through the helper's protocol."""
        return [self._helper, "store"], json.dumps({"ServerURL": server, "Username": user, "Secret": secret})

    def sync_command(self) -> list[str]:
        """Sync with one command."""
        return [self._passhelper, "sync"]

    def erase(self, server: str) -> None:
        """Erase through the helper's protocol."""
        self.run([self._helper, "erase"], server)

    def sync(self) -> bool:
        """Sync; drift (exit 3) is not a failure of a sync."""
        done = self.run(self.sync_command()) in (0, 3)
        self.tally.refused += not done
        return done


class PassRunner(Runner):
    """A runner that uses ``pass`` and a loop around git, as people do."""

    def store_command(self, server: str, user: str, secret: str) -> tuple[list[str], str]:
        """Store as Docker's own helper does."""
        return ["pass", "insert", "--multiline", "--force", f"{FOLDER}/{directory(server)}/{user}"], secret

    def sync_command(self) -> list[str]:
        """Pull, for killing it."""
        return ["git", "pull", "--quiet", "--rebase"]

    def erase(self, server: str) -> None:
        """Erase as Docker's own helper does."""
        if (self.clone / FOLDER / directory(server)).exists():
            self.run(["pass", "rm", "--recursive", "--force", f"{FOLDER}/{directory(server)}"])

    def sync(self) -> bool:
        """Pull and push until it works; a conflict ends it for good: nobody is there to resolve it."""
        for _ in range(_PULLS):
            if self.run(self.sync_command()) != 0:
                self.run(["git", "rebase", "--abort"])
                if self.run(self.sync_command()) != 0:
                    self.tally.blocked = True
                    return False
            if self.run(["git", "push", "--quiet"]) == 0:
                return True
        self.tally.refused += 1
        return False


def directory(server: str) -> str:
    """Name a server's directory as Docker's helper does."""
    return base64.urlsafe_b64encode(server.encode()).decode()
