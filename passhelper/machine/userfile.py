"""Files of the user that other programs read too: replaced in one step, with nothing else changed.

A symbolic link stays one and its target is replaced, because people keep their dotfiles in a
repository of their own; a link of another user is refused. The mode and, where we may, the owner stay.
For files that hold secrets there is :mod:`passhelper.machine.privatefile`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from contextlib import suppress

from passhelper.errors import ConfigurationError
from passhelper.machine import paths
from passhelper.oserrors import remedy
from passhelper.store.files import make_private


def read(path: str) -> bytes | None:
    """Read a whole file; None if it is not there.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", remedy(error)) from error


def replace(path: str, data: bytes, mode: int) -> None:
    """Write a file so that a reader sees the old file or the new one, never half of one.

    Missing directories are made, private ones; the mode is for a file that is not there yet.

    Raises:
        ConfigurationError: it cannot be written, or a link leads there that belongs to another user; the old file is
            untouched.
    """
    target = paths.resolve(os.path.abspath(path))
    folder = os.path.dirname(target)
    try:
        make_private(folder)
        _replace(target, folder, data, mode)
    except OSError as error:
        # As a file that a container's engine has put over another one: nothing can take its place.
        why = "it is mounted by itself" if error.errno == errno.EBUSY else error.strerror
        raise ConfigurationError(f"cannot write {target}: {why}", remedy(error)) from error


def _replace(target: str, folder: str, data: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            # By the descriptor: in the directory of another user the name may be another file by now.
            _set_mode(descriptor, target, mode)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):  # an interrupt may come when the file is in its place already
            os.unlink(temporary)
        raise


def _set_mode(descriptor: int, target: str, mode: int) -> None:
    if sys.platform == "win32":
        return  # there is but the read-only flag, and a file that has it cannot be replaced
    try:
        facts = os.stat(target)
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    own = os.fstat(descriptor)
    if (facts.st_uid, facts.st_gid) != (own.st_uid, own.st_gid):
        os.fchown(descriptor, facts.st_uid, facts.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(facts.st_mode))
