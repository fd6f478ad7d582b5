"""Remove files so that as little as possible of them is left, without following links."""

from __future__ import annotations

import os
import shutil
import stat


def overwrite_below(folder: str) -> None:
    """Overwrite every file below a directory, as :func:`overwrite` does."""
    for place, _, names in os.walk(folder):  # follows no link
        for name in names:
            overwrite(os.path.join(place, name))


def overwrite(path: str) -> None:
    """Overwrite a regular file that has no other name; on flash and journals nothing more is possible."""
    try:
        facts = os.lstat(path)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            return
        with open(os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)), "wb") as file:
            file.write(bytes(facts.st_size))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        pass  # gone meanwhile (an agent's socket, a lock), or read-only: it is removed all the same


def remove(path: str) -> None:
    """Remove a file, link or directory; what is gone already is not an error."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def remove_tree(path: str) -> None:
    """Remove a directory; if something in it disappears meanwhile (an agent's sockets), that is not an error.

    Raises:
        OSError: something stays.
    """
    for _ in range(3):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not os.path.lexists(path):
                return
        else:
            return
    shutil.rmtree(path)
