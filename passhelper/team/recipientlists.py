"""The ``.gpg-id`` files of a commit: who could read what, without checking it out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import StoreError, TrustError
from passhelper.store import recipients, trust
from passhelper.store.layout import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.gitrepo import Git

# Everything but ours is read literally by git's own children; here a pattern is wanted.
_PATTERNS = {"GIT_LITERAL_PATHSPECS": "0"}


@dataclass(frozen=True)
class RecipientFile:
    """One ``.gpg-id`` of a commit.

    Attributes:
        path: in the store, as the pins name it.
        keys: as they are pinned.
        text: its content.
        signature: the content of the ``.sig`` beside it; None if there is none.
    """

    path: str
    keys: list[str]
    text: bytes
    signature: bytes | None


def read(store: PassStore, git: Git, commit: str) -> dict[str, RecipientFile]:
    """Read every ``.gpg-id`` of a commit, by its path in the store; none of no commit (an empty id).

    Raises:
        TrustError: one of them is too large or holds what cannot be a key.
    """
    if not commit:
        return {}
    empty = git.run("hash-object", "-t", "tree", "--stdin").decode().strip()
    patterns = [f":(glob)**/{name}" for name in (recipients.FILE, f"{recipients.FILE}.sig")]
    listing = git.run(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", empty, commit, "--", *patterns, environ=_PATTERNS
    )
    fields = os.fsdecode(listing).split("\0")
    found = {path: facts.split()[3] for facts, path in zip(fields[::2], fields[1::2], strict=False)}
    contents = blobs(git, set(found.values()))
    files = {}
    for inside, blob in found.items():
        if inside.endswith(".sig"):
            continue
        path = in_store(store, git, inside)
        signature = found.get(f"{inside}.sig")
        try:
            keys = trust.keys_of(contents[blob], path)
        except StoreError as error:
            raise TrustError(f"commit {commit[:12]}: {error.cause}", error.remedy) from None
        files[path] = RecipientFile(path, keys, contents[blob], contents[signature] if signature else None)
    return files


def in_store(store: PassStore, git: Git, inside: str) -> str:
    """Turn a path in the repository, which may begin below the store's root, into one in the store."""
    return os.path.relpath(os.path.join(git.place.root, inside), store.root)


def blobs(git: Git, names: set[str]) -> dict[str, bytes]:
    """Read some blobs, none larger than a ``.gpg-id`` may be.

    Raises:
        TrustError: one is larger.
    """
    asked = "".join(f"{name}\n" for name in sorted(names)).encode()
    sizes = git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).decode().split()
    for name, size in zip(sizes[::2], sizes[1::2], strict=True):
        if int(size) > recipients.MAX_FILE:
            raise TrustError(f"object {name[:12]} is larger than {recipients.MAX_FILE} bytes, which no list of keys is")
    data = git.run("cat-file", "--batch", stdin=asked)
    found, position = {}, 0
    while position < len(data):
        end = data.index(b"\n", position)
        name, _, size = data[position:end].decode().split(" ")
        found[name] = data[end + 1 : end + 1 + int(size)]
        position = end + 2 + int(size)
    return found


def counts(path: str) -> bool:
    """Tell whether a ``.gpg-id`` decides about credentials, so that it is pinned."""
    parts = path.split(os.sep)
    return len(parts) == 1 or (parts[0] == FOLDER and len(parts) <= 3)


def readers_without(path: str, files: Mapping[str, list[str] | None]) -> list[str] | None:
    """Find who would read what lies beside a ``.gpg-id`` if it were not there: the keys of the next one above."""
    folder = os.path.dirname(path)
    while folder:
        folder = os.path.dirname(folder)
        keys = files.get(os.path.join(folder, recipients.FILE))
        if keys is not None:
            return keys
    return None
