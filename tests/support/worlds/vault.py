"""The pass backend in this process: one store, one environment, and what it warned about."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from passhelper import Credentials, PassHelper
from support import FOLDER, tree

SERVER = "https://a.example"


class Vault:
    """The four verbs on a store.

    Args:
        environ: the environment of the verbs; tests change it in place.

    Attributes:
        path: the store.
        warnings: what the verbs warned about, one line each.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.path = Path(environ["PASSWORD_STORE_DIR"])
        self.warnings: list[str] = []
        self.helper = PassHelper(environ, self.warnings.append)

    def store(self, server: str = SERVER, username: str = "bob", secret: str = "s3cret") -> None:
        self.helper.store(Credentials(server, username, secret))

    def get(self, server: str = SERVER) -> tuple[str, str]:
        found = self.helper.get(server)
        assert found.server == server
        return found.username, found.secret

    def erase(self, server: str = SERVER) -> None:
        self.helper.erase(server)

    def directory(self, server: str = SERVER) -> Path:
        """Where Docker's own helper keeps a server."""
        return self.path / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()

    def entry(self, server: str = SERVER, file: str = "bob.gpg") -> Path:
        return self.directory(server) / file

    def put(self, ciphertext: bytes, server: str = SERVER, file: str = "bob.gpg") -> Path:
        """Write an entry as somebody else would."""
        path = self.entry(server, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ciphertext)
        return path

    @property
    def tree(self) -> dict[str, bytes]:
        """Everything in the store but git's own files."""
        return {name: data for name, data in tree(self.path).items() if name.split("/")[0] != ".git"}

    def git(self, *arguments: str, check: bool = True) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        environ = {**self.environ, "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environ, capture_output=True, check=check).stdout.decode()

    @property
    def status(self) -> str:
        return self.git("status", "--porcelain")

    @property
    def subjects(self) -> list[str]:
        return self.git("log", "--format=%s").splitlines()

    @property
    def pending(self) -> list[str]:
        path = self.path / ".git" / "passhelper" / "pending"
        return path.read_text().rstrip("\0").split("\0") if path.exists() else []

    def list(self) -> dict[str, str]:  # last, for it hides the type of its name
        return self.helper.list()
