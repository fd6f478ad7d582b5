"""Run programs of the machine for a bounded time, and ask gpg where its directories are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.store.child import finish
from passhelper.store.programs import clean_environ, find_program
from passhelper.store.rootless import start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.child import Child


def run(argv: list[str], environ: Mapping[str, str], seconds: float) -> Child:
    """Run a program with exactly this environment, and wait for its end.

    Raises:
        PasshelperError: it cannot be started.
    """
    child = start(argv, environ)
    finish([child], seconds)
    return child


def gpg_directory(name: str, environ: Mapping[str, str], seconds: float) -> str:
    """Ask gpgconf for one of gpg's directories; empty if it is missing or does not say."""
    program = find_program(("gpgconf",), environ)
    if program is None:
        return ""
    child = run([program, "--list-dirs", name], clean_environ(environ), seconds)
    told = os.fsdecode(bytes(child.stdout).rstrip(b"\r\n")) if child.returncode == 0 else ""
    return told.replace("%3a", ":").replace("%25", "%")
