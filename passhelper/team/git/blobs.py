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

    from passhelper.team.git.gitrepo import Git

_QUESTIONS = 100_000  # objects whose sizes are asked for at once; some 7 MB of ids


def each(git: Git, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Read some blobs one after the other: each with its id.

    Raises:
        GitError: one is not there.
    """
    for identity, data in git.objects.read(sorted(set(ids))):
        if data is None:
            raise _missing(git, identity)
        yield identity, data


def read(git: Git, ids: Iterable[str]) -> dict[str, bytes]:
    """Read some blobs; raises as :func:`each` does."""
    return dict(each(git, ids))


def larger(git: Git, ids: Iterable[str], limit: int) -> frozenset[str]:
    """Find out which of some objects are larger than a limit, without reading any.

    Whoever can push decides what lies in the history, so what is wanted of there is asked for its size first.

    Args:
        git: the repository.
        ids: of the objects.
        limit: in bytes.

    Raises:
        GitError: one is not there.
    """
    names = sorted(set(ids))
    found = []
    for begin in range(0, len(names), _QUESTIONS):
        part = names[begin : begin + _QUESTIONS]
        asked = "".join(f"{name}\n" for name in part).encode()
        answers = git.run("cat-file", "--batch-check=%(objectsize)", stdin=asked).split(b"\n")
        for name, size in zip(part, answers, strict=False):
            if not size.isdigit():
                raise _missing(git, name)
            if int(size) > limit:
                found.append(name)
    return frozenset(found)


def _missing(git: Git, identity: str) -> GitError:
    root = git.repository.root
    return GitError(f"object {identity} is missing in {root}", f"run: git -C {shellwords.word(root)} fsck")


def of_file(path: str, length: int) -> str:
    """Give the id that a file's content has as a blob; empty for no file, ``?`` for what is not a regular file.

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
