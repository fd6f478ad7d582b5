"""Read a file of a store, if it is exactly that file: not a link, a folder, or a file with another spelling."""

import os

from passhelper.store.layout import holds


def held(base: str, path: str) -> "bytes | None":
    """Read a file; None if there is none of exactly this path, even if the disk finds another for it."""
    target = os.path.join(base, path)
    found = read(target)
    return found if found is None or holds(base, path) else None


def read(path: str) -> "bytes | None":
    """Read a file that is not a link; None if there is none, or if a folder has its name."""
    try:
        with open(path, "rb", opener=_open) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (IsADirectoryError, PermissionError):  # the latter where Windows opens no folder at all
        if os.path.isdir(path):
            return None
        raise


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
