"""The installed programs, how to run one, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping


GO_HELPER = "/usr/bin/docker-credential-pass"


# Debian 12 has pip 23.0.1, which does not run on a Python that came after it.
OLD_PIP = "pip==23.0.1" if sys.version_info < (3, 12) else "pip==23.3.2"


NOT_FOUND = b"credentials not found in native keychain\n"


@dataclass(frozen=True)
class Program:
    """An installation of the wheel."""

    folder: Path

    @property
    def helper(self) -> str:
        return str(self.folder / "bin" / "docker-credential-pass")

    @property
    def passhelper(self) -> str:
        return str(self.folder / "bin" / "passhelper")

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @classmethod
    def install(cls, wheel: Path, folder: Path, *, libraries: Path, pip: str = "") -> Program:
        """Install the wheel without its libraries, which are found where this interpreter has them.

        Args:
            wheel: what to install.
            folder: the virtual environment to make.
            libraries: site-packages that hold click, GitPython and the rest.
            pip: a requirement such as ``pip==23.0.1``, where the interpreter's own pip is not wanted.
        """
        bare = ["--without-pip"] if pip else []
        subprocess.run([sys.executable, "-m", "venv", *bare, str(folder)], check=True, capture_output=True)
        program = cls(folder)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        if pip:
            into = [sys.executable, "-m", "pip", "--python", program.python, "install", "-q", pip]
            subprocess.run(into, check=True, env=environ, capture_output=True)
        command = [program.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(command, check=True, env=environ, capture_output=True)
        site = next((folder / "lib").glob("python*/site-packages"))
        # After the wheel's own packages, so that an editable install beside the libraries stays hidden.
        (site / "libraries.pth").write_text(f"{libraries}\n")
        return program


@dataclass
class Answer:
    """What a program said."""

    code: int
    out: bytes
    err: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out.decode()


def run(
    command: list[str], environ: Mapping[str, str], stdin: bytes = b"", timeout: float = LIMIT, **options: Any
) -> Answer:
    """Run a program without a terminal and collect what it says."""
    done = subprocess.run(
        command, env=dict(environ), input=stdin, capture_output=True, timeout=timeout, check=False,
        start_new_session=True, **options,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


class Helper:
    """A docker-credential-* program in one environment."""

    def __init__(self, program: str, environ: dict[str, str]) -> None:
        self.program = program
        self.environ = environ

    def __call__(self, verb: str, stdin: bytes | str = b"", **environ: str) -> Answer:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return run([self.program, verb], {**self.environ, **environ}, data)

    def store(self, server: str, username: str, secret: str, **environ: str) -> Answer:
        request = {"ServerURL": server, "Username": username, "Secret": secret}
        return self("store", json.dumps(request), **environ)

    def get(self, server: str, **environ: str) -> Answer:
        return self("get", server, **environ)

    def erase(self, server: str, **environ: str) -> Answer:
        return self("erase", server, **environ)

    def list(self, **environ: str) -> Answer:
        return self("list", **environ)


def script(path: Path, text: str) -> str:
    """Make a program for sh(1)."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)
