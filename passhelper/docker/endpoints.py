"""Find the source and the target of an import by their names.

Docker knows helpers by the name of a program; this installation has backends. For the source the
program on PATH comes first, because Docker would ask that. For the target a backend of ours comes first, because it
removes other users of the server.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.backends import get_helper
from passhelper.client import PREFIX, ProgramHelper, short_name
from passhelper.docker.config import HELPER
from passhelper.errors import ConfigurationError, UnknownBackendError
from passhelper.machine import launcher
from passhelper.store.helper import PROGRAM, PassHelper
from passhelper.store.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passhelper.credentials import Helper

_SECONDS = 5.0  # for a program that is asked for its version


def source(name: str, to: str, environ: Mapping[str, str], seconds: float) -> Helper:
    """Find the helper that credentials come from, which may not be the one that they go to.

    Raises:
        ConfigurationError: there is none of this name, or both names mean the same one.
    """
    short, other = short_name(name), short_name(to)
    program = find_program((PREFIX + short,), environ)
    if program is not None and os.path.basename(program) == PROGRAM and other == HELPER:
        if launcher.is_ours(program, environ, _SECONDS):
            raise ConfigurationError(
                f"{program} is passhelper itself, and reads the same store", "name another helper, or another --to"
            )
        return ProgramHelper(program, environ, seconds)
    if short == other:
        raise ConfigurationError(f"{short} is where the credentials are already", "name another helper with --to")
    if program is not None:
        return ProgramHelper(program, environ, seconds)
    return _backend(short, environ) or ProgramHelper.find(short, environ, seconds)  # whose error says what is missing


def target(name: str, environ: Mapping[str, str], warn: Callable[[str], None], seconds: float) -> Helper:
    """Find the helper that credentials go to.

    Raises:
        ConfigurationError: there is none of this name.
    """
    short = short_name(name)
    if short == HELPER:
        return PassHelper(dict(environ), warn, shared_erase=True)  # it may have to undo what it has stored
    return _backend(short, environ) or ProgramHelper.find(short, environ, seconds)


def _backend(name: str, environ: Mapping[str, str]) -> Helper | None:
    """Make a backend of this installation that can be used here; None if there is none of this name.

    Raises:
        ConfigurationError: there is one, and it cannot be used.
    """
    if name == HELPER:
        return PassHelper(dict(environ))
    try:
        helper = get_helper(name)
    except UnknownBackendError:
        return None
    reason = helper.unavailable()
    if reason:
        raise ConfigurationError(f"the backend {name} cannot be used here: {reason}", "choose another one")
    return helper
