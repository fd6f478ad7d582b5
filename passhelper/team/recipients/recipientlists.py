"""The ``.gpg-id`` files of a commit: who could read what, without checking it out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from passhelper.errors import StoreError, TrustError
from passhelper.store import pinning, recipients
from passhelper.store.layout import FOLDER
from passhelper.team.git import blobs, trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git

_FILES = ("100644", "100755")  # git's modes of what is not a link
# A sync asks for the same few commits again and again, and finding the lists means a look at every folder.
_KNOWN: WeakKeyDictionary[Git, dict[str, Mapping[str, RecipientFile]]] = WeakKeyDictionary()


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


def read(store: PassStore, git: Git, commit: str, near: str = "") -> Mapping[str, RecipientFile]:
    """Read every ``.gpg-id`` of a commit or a tree, by its path in the store; none of no commit (an empty id).

    Args:
        store: the store.
        git: its repository.
        commit: a full id; a name could mean another commit later.
        near: another one, whose lists were read already and whose files were compared with those of this one, or
            will be: where they have the same lists, there is no need to look for them. Empty for none.

    Raises:
        TrustError: one of them holds what cannot be a key.
    """
    if not commit:
        return {}
    known = _KNOWN.setdefault(git, {})
    if commit not in known:
        same = near in known and not any(_is_list(path) for path, _, _ in trees.difference(git, near, commit))
        known[commit] = known[near] if same else _read(store, git, commit)
    return known[commit]


def remember(git: Git, commit: str, lists: Mapping[str, RecipientFile]) -> None:
    """Keep the lists of a commit that was made of a tree that was read."""
    _KNOWN.setdefault(git, {})[commit] = lists


def _is_list(path: str) -> bool:
    return any(name.removesuffix(".sig") == recipients.FILE for name in path.split("/"))


def _read(store: PassStore, git: Git, commit: str) -> dict[str, RecipientFile]:
    patterns = [f":(glob)**/{name}" for name in (recipients.FILE, f"{recipients.FILE}.sig")]
    differing = trees.difference(git, trees.empty(commit), commit, *patterns)
    found = {path: after[1] for path, _, after in differing if after is not None and after[0] in _FILES}
    contents = blobs.read(git, found.values())
    files = {}
    for inside, blob in found.items():
        if inside.endswith(".sig"):
            continue
        path = in_store(store, git, inside)
        signature = found.get(f"{inside}.sig")
        try:
            keys = pinning.keys_of(contents[blob], path)
        except StoreError as error:
            raise TrustError(f"commit {commit[:12]}: {error.cause}", error.remedy) from None
        files[path] = RecipientFile(path, keys, contents[blob], contents[signature] if signature else None)
    return files


def in_store(store: PassStore, git: Git, inside: str) -> str:
    """Turn a path in the repository, which may begin below the store's root, into one in the store."""
    return os.path.relpath(os.path.join(git.repository.root, inside), store.root)


def counts(path: str) -> bool:
    """Return whether a ``.gpg-id`` decides about credentials, so that it is pinned."""
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
