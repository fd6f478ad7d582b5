"""Put ``docker-credential-pass`` where Docker finds it: on PATH, outside virtual environments.

Docker starts a helper with whatever environment its caller has, so the launcher's first line starts
Python with ``-I`` (nothing from ``PYTHONPATH`` or the current directory) and ``-S`` (no ``site``, which
costs a third of the start-up time); it then adds the one directory that holds this package.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper import errors
from passhelper.errors import ConfigurationError, PasshelperError
from passhelper.machine import userfile, windowslauncher
from passhelper.settings import home_directory
from passhelper.shellwords import quoted
from passhelper.store.child import finish
from passhelper.store.helper import PROGRAM
from passhelper.store.programs import clean_environ, find_program
from passhelper.store.rootless import start

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SHEBANG = 127  # bytes: BINPRM_BUF_SIZE of Linux before 5.1, without its NUL
_OPTIONS = "-ISXutf8"  # one word: the kernel passes all that follows the program as one argument
# This and _PROGRAM are as in passhelper/launch/docker-credential-pass, which says why.
# An interrupt while Python imports is an end without a traceback; protocol.catch_signals takes it from there.
INTERRUPTIBLE = """\
import _signal

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
"""
_PROGRAM = """\
{interruptible}import gc
import sys

gc.disable()
sys.path.insert(0, {packages!r})
import passhelper

sys.path.append(sys.path.pop(0))
from passhelper.store.helper import main

main({arguments})
"""
_SECONDS = 20.0  # for a program that is asked for its version


@dataclass(frozen=True)
class Launcher:
    """Where ``docker-credential-pass`` is.

    Attributes:
        path: the program.
        changed: whether it was written now.
        note: what the user should know about it, empty for nothing.
    """

    path: str
    changed: bool
    note: str = ""


def find(environ: Mapping[str, str]) -> str | None:
    """Find the ``docker-credential-pass`` that Docker would run."""
    return find_program((PROGRAM,), environ)


def is_ours(program: str, environ: Mapping[str, str], seconds: float = _SECONDS) -> bool:
    """Return whether a program is a helper of passhelper's, and works."""
    try:
        child = start([program, "version"], clean_environ(environ))
    except PasshelperError:
        return False  # its interpreter is gone
    finish([child], seconds)
    return child.returncode == 0 and child.stdout.startswith(os.fsencode(f"{os.path.basename(program)} (passhelper) "))


def content(python: str, packages: str, program: str = PROGRAM, store: str = "") -> str:
    """Write the launcher.

    Args:
        python: the interpreter.
        packages: the directory that holds the package ``passhelper``.
        program: its name.
        store: the store, if it is for one alone.
    """
    arguments = f"{program!r}, {store!r}" if store else ""
    text = _PROGRAM.format(packages=packages, interruptible=INTERRUPTIBLE, arguments=arguments)
    return script(python, _OPTIONS, mark(program), text)


def script(python: str, options: str, marked: str, program: str) -> str:
    """Write a program for Python that starts from any place.

    Args:
        python: the interpreter's path.
        options: its options, as one word.
        marked: from :func:`mark`.
        program: what Python runs.
    """
    first = f"#!{python} {options}"
    if not any(char.isspace() for char in python) and len(os.fsencode(first)) <= MAX_SHEBANG:
        return f"{first}\n{marked}\n{program}"
    # The kernel splits the first line at white space and cuts it when it is long; sh does neither.
    return f'#!/bin/sh\n{marked}\nexec {quoted(python)} {options} -c {quoted(program)} "$@"\n'


def executable(python: str, options: str, marked: str, program: str) -> bytes:
    """Write a program in the form that this system starts; see :func:`script`."""
    if sys.platform == "win32":
        return windowslauncher.content(python, options, f"{marked}\n{program}")
    return script(python, options, marked, program).encode(errors="surrogateescape")


def file_name(program: str) -> str:
    """Give the name of a program's file."""
    return f"{program}.exe" if sys.platform == "win32" else program


def mark(program: str) -> str:
    """Give the line by which a launcher is known as ours."""
    return f"# {program}, started by passhelper"


def install(environ: Mapping[str, str], folder: str = "") -> Launcher:
    """Make sure that there is a working launcher.

    Args:
        environ: where ``PATH`` and ``HOME`` come from.
        folder: where the user wants it; chosen when empty.

    Raises:
        ConfigurationError: the place is taken by another program, or cannot be written.
    """
    text = content(interpreter(), packages())
    found = find(environ)
    if found is not None and not folder and is_ours(found, environ) and not _is_stale(found, text):
        return Launcher(found, changed=False, note=_volatile(found, environ))
    target = path_of(PROGRAM, environ, folder)
    if os.path.lexists(target) and is_ours(target, environ) and not _is_stale(target, text):
        return Launcher(target, changed=False, note=_volatile(target, environ))
    instead = "name a directory that comes before it on PATH: passhelper setup --bin-dir DIR"
    return Launcher(target, changed=put(target, text.encode(errors="surrogateescape"), PROGRAM, instead))


def path_of(program: str, environ: Mapping[str, str], folder: str) -> str:
    """Return where the launcher of a program goes: into a directory, or if none is named, into one that we choose."""
    chosen = os.path.abspath(os.path.expanduser(folder)) if folder else choose_folder(environ)
    return os.path.join(chosen, program)


def put(target: str, data: bytes, program: str, instead: str) -> bool:
    """Write a launcher; return whether it was not there already.

    Raises:
        ConfigurationError: another program is there; the error says what to do instead of removing it.
    """
    if os.path.lexists(target):
        refuse_other(target, program, instead)
        if userfile.read(target) == data and os.access(target, os.X_OK):
            return False
    userfile.replace(target, data, 0o755)
    os.chmod(target, 0o755)  # noqa: S103 - a program, and an older launcher may have lost its mode
    return True


def refuse_other(target: str, program: str, instead: str) -> None:
    """Refuse to touch a program that is not our launcher.

    Raises:
        ConfigurationError: it is not; the error says what to do instead of removing it.
    """
    if not is_launcher(target, program):
        raise ConfigurationError(f"{target} is another program, so it is left as it is", f"remove it, or {instead}")


def packages() -> str:
    """Find the directory that holds this package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(errors.__file__)))


def interpreter() -> str:
    """Find the running interpreter.

    Raises:
        ConfigurationError: it does not know its own path.
    """
    if not sys.executable:
        raise ConfigurationError("Python does not know where its own program is", "start passhelper by its full path")
    return sys.executable


def choose_folder(environ: Mapping[str, str]) -> str:
    """Choose a directory: ``~/.local/bin``, unless PATH has only others below the home directory."""
    home = home_directory(environ)
    local = os.path.join(home, ".local", "bin")
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    folders = [os.path.normpath(folder) for folder in folders]
    if local in folders:
        return local
    for folder in folders:
        below = folder.startswith(home + os.sep) and not _is_inside(folder, environ.get("VIRTUAL_ENV", ""))
        if below and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return local


def _is_inside(path: str, folder: str) -> bool:
    return bool(folder) and path.startswith(os.path.normpath(folder) + os.sep)


def _volatile(program: str, environ: Mapping[str, str]) -> str:
    if not _is_inside(program, environ.get("VIRTUAL_ENV", "")):
        return ""
    return "on PATH only while its virtual environment is active, unless you run setup with --bin-dir ~/.local/bin"


def text_of(path: str) -> str:
    """Read a launcher; empty if it cannot be read."""
    if path.endswith(".exe"):
        return windowslauncher.program_of(path)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def is_launcher(path: str, program: str = PROGRAM) -> bool:
    """Return whether a file is a launcher that passhelper wrote for a program."""
    return mark(program) in text_of(path).splitlines()[:2]


def _is_stale(path: str, text: str) -> bool:
    """Return whether a launcher starts another installation than this one."""
    return is_launcher(path) and text_of(path) != text
