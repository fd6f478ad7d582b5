"""Contents in git's object store, and what git would call the content of a file."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from passhelper.team.gitrepo import Git


def each(git: Git, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Read some blobs one after the other: each with its id.

    Raises:
        GitError: one is not there.
    """
    for identity, data in git.objects.read(sorted(set(ids))):
        if data is None:
            root = git.place.root
            raise GitError(f"object {identity} is missing in {root}", f"run: git -C {shellwords.word(root)} fsck")
        yield identity, data


def read(git: Git, ids: Iterable[str]) -> dict[str, bytes]:
    """Read some blobs; raises as :func:`each` does."""
    return dict(each(git, ids))


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
