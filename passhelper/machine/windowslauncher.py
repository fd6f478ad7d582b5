"""Programs for Windows, made as pip makes its own: a small starter, the interpreter's line, and the code as a zip file.

The starter is pip's (``t64.exe`` of distlib, which pip brings along); it runs the interpreter that the line names with
itself as the argument, and Python runs the ``__main__.py`` of the zip file at its end.
"""

from __future__ import annotations

import io
import os
import platform
import zipfile
from importlib.util import find_spec

from passhelper.errors import ConfigurationError

_STARTERS = {"amd64": "t64.exe", "arm64": "t64-arm.exe", "x86": "t32.exe"}
_MAIN = "__main__.py"
_MAX_SIZE = 1 << 20  # bytes of a launcher; pip's starters have about 100,000


def content(python: str, options: str, program: str) -> bytes:
    """Write a program, for an interpreter and its options as one word.

    Raises:
        ConfigurationError: pip's starter is not there.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_MAIN), program)  # without a date, so that the same is the same
    return _starter() + f'#!"{python}" {options}\r\n'.encode() + packed.getvalue()


def program_of(path: str) -> str:
    """Read what Python runs; empty if the file is not such a program."""
    try:
        if os.path.getsize(path) > _MAX_SIZE:
            return ""
        with zipfile.ZipFile(path) as archive:
            return archive.read(_MAIN).decode(errors="replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""


def _starter() -> bytes:
    machine = platform.machine().lower()
    name = _STARTERS.get(machine, _STARTERS["amd64"])
    spec = find_spec("pip")
    folder = os.path.dirname(spec.origin) if spec is not None and spec.origin is not None else ""
    try:
        with open(os.path.join(folder, "_vendor", "distlib", name), "rb") as file:
            return file.read(_MAX_SIZE)
    except OSError as error:
        raise ConfigurationError(
            "programs for Windows are made with a part of pip, which is not there", "run: python -m ensurepip"
        ) from error
