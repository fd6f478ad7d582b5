"""What every benchmark starts from: a directory with a home, a keyring of throw-away keys, and stores in git."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = "docker-credential-helpers"
_KEY = """\
%no-protection
Key-Type: eddsa
Key-Curve: ed25519
Key-Usage: sign
Subkey-Type: ecdh
Subkey-Curve: cv25519
Subkey-Usage: encrypt
Name-Email: {name}@example.test
Expire-Date: 0
%commit
"""


class Lab:
    """One directory; whoever makes it removes it after :meth:`end`.

    Args:
        folder: the directory, with a short path: gpg-agent has its socket in it.

    Attributes:
        environ: of everything that runs there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "HOME": str(folder),
            "GNUPGHOME": str(folder / "g"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PASSHELPER_NONINTERACTIVE": "1",
        }
        (folder / "g").mkdir(mode=0o700)

    def do(self, *command: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> bytes:
        """Run a program that must succeed; return what it prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return subprocess.run(
            command, input=stdin, env=dict(environ or self.environ), check=True, capture_output=True
        ).stdout

    def gpg(self, *arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> bytes:
        """Run gpg."""
        return self.do("gpg", "--batch", "--quiet", *arguments, stdin=stdin, environ=environ)

    def generate(self, name: str, environ: Mapping[str, str] | None = None) -> str:
        """Make a key without a passphrase for ``NAME@example.test``; return its fingerprint."""
        self.gpg("--gen-key", stdin=_KEY.format(name=name).encode(), environ=environ)
        listing = self.gpg("--with-colons", "--list-keys", f"{name}@example.test", environ=environ).decode()
        return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))

    def begin_store(self, name: str, *keys: str) -> Path:
        """Make a store without entries that these keys read."""
        path = self.folder / name
        path.mkdir(mode=0o700)
        (path / ".gpg-id").write_text("".join(f"{key}\n" for key in keys))
        return path

    def commit(self, path: Path) -> None:
        """Make a store a git repository, and commit what is there."""
        for words in ("init -q -b main", "config user.name bench", "config user.email bench@example.test", "add .",
                      "commit -q -m Begin"):  # fmt: skip
            self.do("git", "-C", str(path), *words.split())

    def end(self, *more: Mapping[str, str]) -> None:
        """Stop the agents of this environment and of others."""
        for environ in (self.environ, *more):
            subprocess.run(["gpgconf", "--kill", "all"], env=dict(environ), check=False, capture_output=True)
