"""Files of the user that other programs read too: replaced in one step, with nothing else changed.

A symbolic link stays one and its target is replaced, because people keep their dotfiles in a
repository of their own. The mode and, where we may, the owner stay.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress

from passhelper.errors import ConfigurationError
from passhelper.oserrors import remedy


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
    """Write a file so that a reader sees the old or the new one, never half of one.

    Args:
        path: the file; missing directories are made, private ones.
        data: its content.
        mode: for a file that is not there yet.

    Raises:
        ConfigurationError: it cannot be written; the old file is untouched.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
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
            os.fsync(file.fileno())
        try:
            facts = os.stat(target)
        except FileNotFoundError:
            os.chmod(temporary, mode)
        else:
            if hasattr(os, "chown") and (facts.st_uid, facts.st_gid) != _owner(temporary):
                os.chown(temporary, facts.st_uid, facts.st_gid)
            os.chmod(temporary, stat.S_IMODE(facts.st_mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):  # an interrupt may come when the file is in its place already
            os.unlink(temporary)
        raise


def _owner(path: str) -> tuple[int, int]:
    facts = os.stat(path)
    return facts.st_uid, facts.st_gid
