"""How much of a store is ours: the Docker credentials and the keys of those who read them, nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.store import layout, recipients

if TYPE_CHECKING:
    from passhelper.store.store import PassStore


def other_entries(store: PassStore) -> int:
    """Count the entries of the store that are not Docker credentials."""
    count = 0
    for folder, folders, files in os.walk(store.root):
        if folder == store.root:
            folders[:] = [name for name in folders if name != layout.FOLDER]
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += sum(1 for name in files if name.endswith(layout.SUFFIX))
    return count


def recipients_file(store: PassStore) -> str:
    """Choose the ``.gpg-id`` that a change of the whole store's recipients goes to.

    It is the one that counts, but never the root's where that decides about other entries too, or belongs to
    another repository than the credentials.

    Returns:
        its path in the store; it need not exist yet.

    Raises:
        StoreError: the store has no usable one.
    """
    source = recipients.find(store.root, "", {}).path
    repository = store.repository("")
    if source == recipients.FILE and (
        other_entries(store) or (repository is not None and repository.root != store.root)
    ):
        return os.path.join(layout.FOLDER, recipients.FILE)
    return source


def strays(store: PassStore, entries: set[str]) -> list[str]:
    """List the ``.gpg`` files among the credentials that are none of the given paths: copies, hand-made names."""
    found = []
    for folder, folders, files in os.walk(store.folder):
        folders[:] = [name for name in folders if name != ".git"]
        found += [os.path.join(folder, name) for name in files if name.endswith(layout.SUFFIX)]
    return sorted(os.path.relpath(path, store.root) for path in found if path not in entries)
