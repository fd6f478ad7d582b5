"""Hand a runner's settings to the steps that follow: the shell, GitHub's later steps, a dotenv file.

They are only names of directories; no key and no passphrase is among them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError
from passhelper.machine import paths
from passhelper.oserrors import remedy
from passhelper.shellwords import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


def shell_lines(settings: Mapping[str, str]) -> list[str]:
    """Write settings for ``eval`` of any POSIX shell."""
    return [f"export {name}={quoted(value)}" for name, value in settings.items()]


def check(settings: Mapping[str, str]) -> None:
    """Refuse values that would mean something else in a file of lines.

    Raises:
        ConfigurationError: one has a control character.
    """
    for name, value in settings.items():
        if any(char < " " or char == "\x7f" for char in value):
            raise ConfigurationError(f"{name} would hold a control character", f"check {name}")


def append(environ: Mapping[str, str], settings: Mapping[str, str], folder: str, env_file: str) -> list[str]:
    """Append settings to the files that later steps read, and return these files.

    Args:
        environ: where ``GITHUB_ENV`` and ``GITHUB_PATH`` come from.
        settings: by name.
        folder: the directory that ``PATH`` begins with.
        env_file: a dotenv file of the user's choice, empty for none.

    Raises:
        ConfigurationError: one cannot be written.
    """
    path_file = environ.get("GITHUB_PATH", "")
    lines = {name: f"{name}={value}\n" for name, value in settings.items()}
    # GitHub puts its directories before those of PATH, so that file counts where there is one.
    github = [line for name, line in lines.items() if not (path_file and name == "PATH")]
    texts = [(environ.get("GITHUB_ENV", ""), github), (path_file, [f"{folder}\n"]), (env_file, list(lines.values()))]
    for path, text in texts:
        if path:
            _append(path, "".join(text))
    return [path for path, _ in texts if path]


def _append(path: str, text: str) -> None:
    try:
        target = paths.resolve(os.path.abspath(path))
        with open(os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode(errors="surrogateescape"))
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", remedy(error)) from error
