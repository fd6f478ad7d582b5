"""Contents in git's object store, many at a time, and what git would call the content of a file."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from passhelper.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper.team.gitrepo import Git

_BATCH = 8 << 20  # bytes of contents that are asked for at once


def read(git: Git, ids: Iterable[str]) -> dict[str, bytes]:
    """Read some blobs.

    Raises:
        GitError: one is not there.
    """
    wanted = sorted(set(ids))
    sizes = git.run("cat-file", "--batch-check=%(objectsize)", stdin=_lines(wanted)).splitlines()
    found: dict[str, bytes] = {}
    batch: list[str] = []
    size = 0
    for identity, length in zip(wanted, sizes, strict=True):
        if not length.isdigit():
            raise GitError(f"object {identity} is missing in {git.place.root}", f"run: git -C {git.place.root} fsck")
        batch.append(identity)
        size += int(length)
        if size >= _BATCH:
            found.update(_read(git, batch))
            batch, size = [], 0
    found.update(_read(git, batch))
    return found


def _read(git: Git, ids: list[str]) -> dict[str, bytes]:
    data = git.run("cat-file", "--batch", stdin=_lines(ids)) if ids else b""
    found = {}
    at = 0
    for identity in ids:
        end = data.index(b"\n", at)
        size = int(data[at:end].rpartition(b" ")[2])
        found[identity] = data[end + 1 : end + 1 + size]
        at = end + size + 2
    return found


def _lines(ids: list[str]) -> bytes:
    return "".join(f"{identity}\n" for identity in ids).encode()


def of_file(path: str, length: int) -> str:
    """Give the id that a file's content has as a blob; empty for no file, ``?`` for what is no regular file.

    Args:
        path: the file.
        length: of the repository's ids: 40 for SHA-1, 64 for SHA-256.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return "?"  # a link, or nothing that we may read
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "?"
        data = file.read()
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
