"""What a file of a store holds, where it is exactly that file: no link, no folder, and no other file's name."""

import os

from passhelper.store.layout import holds


def held(base: str, path: str) -> "bytes | None":
    """Read a file; None if there is none of exactly this path, be it that the disk takes another for it."""
    target = os.path.join(base, path)
    found = read(target)
    return found if found is None or holds(base, path) else None


def read(path: str) -> "bytes | None":
    """Read a file, and no link; None if there is none, be it that a folder has its name."""
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
