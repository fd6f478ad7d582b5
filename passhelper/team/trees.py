"""Trees in git's object store, made of other trees without an index or a work tree."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING

from passhelper.errors import StoreError
from passhelper.protocol import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.team.gitrepo import Git

_ABSENT = "000000"  # git's mode of a file that is not there
_FOLDER = "040000"
_KINDS = {_FOLDER: "tree", "160000": "commit"}

Blob = tuple[str, str]
"""A file in a tree: its mode and the id of its content."""

Difference = tuple[str, Blob | None, Blob | None]
"""A file that differs: its path, and what two trees have there."""

_Folders = dict[str, dict[str, Blob]]


def empty(git: Git) -> str:
    """Give the tree that holds nothing."""
    return git.run("hash-object", "-w", "-t", "tree", "--stdin").decode().strip()


def difference(git: Git, before: str, after: str, *patterns: str) -> list[Difference]:
    """List the files that differ between two commits or trees: path, then what each has there.

    Args:
        git: the repository.
        before: one commit or tree.
        after: the other.
        patterns: which files, as git's pathspecs; all if there is none.
    """
    raw = git.run(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", before, after, "--", *patterns,
        environ={"GIT_LITERAL_PATHSPECS": "0"},
    )  # fmt: skip
    tokens = raw.split(b"\0")
    found = []
    for fields, name in zip(tokens[0::2], tokens[1::2], strict=False):
        old_mode, new_mode, old_id, new_id, _ = fields.decode().lstrip(":").split(" ")
        found.append((
            os.fsdecode(name),
            None if old_mode == _ABSENT else (old_mode, old_id),
            None if new_mode == _ABSENT else (new_mode, new_id),
        ))  # fmt: skip
    return found


def write(git: Git, tree: str, changes: Mapping[str, Blob | None]) -> str:
    """Write the tree that some changes make of another.

    Args:
        git: the repository.
        tree: a commit or a tree.
        changes: the new content of every path that changes, None for one that goes.

    Returns:
        the tree's id.

    Raises:
        StoreError: a name would be a file and a folder.
    """
    folders = _read(git, tree)
    written = ""
    for _, level in groupby(sorted(_change(folders, changes), key=_depth, reverse=True), _depth):
        names = list(level)
        filled = [name for name in names if folders.get(name) or not name]
        ids = dict(zip(filled, _make(git, [folders.get(name, {}) for name in filled]), strict=True))
        for name in names:
            _enter(folders, name, ids.get(name, ""))
        written = ids.get("", written)
    return written


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _read(git: Git, tree: str) -> _Folders:
    """List what every folder of a tree holds."""
    folders: _Folders = {}
    for record in git.run("ls-tree", "-r", "-t", "-z", tree).split(b"\0"):
        if record:
            fields, _, name = record.partition(b"\t")
            mode, _, identity = fields.decode().split(" ")
            parent, _, last = os.fsdecode(name).rpartition("/")
            folders.setdefault(parent, {})[last] = (mode, identity)
    return folders


def _change(folders: _Folders, changes: Mapping[str, Blob | None]) -> set[str]:
    """Change the listings of folders; gives the folders whose trees have to be written."""
    touched = {""}
    for path, blob in changes.items():
        parent, _, name = path.rpartition("/")
        listing = folders.setdefault(parent, {})
        if blob is not None:
            listing[name] = blob
        else:
            listing.pop(name, None)
        while parent:
            touched.add(parent)
            parent = parent.rpartition("/")[0]
    return touched


def _make(git: Git, listings: Sequence[Mapping[str, Blob]]) -> list[str]:
    """Write one tree for each listing."""
    if not listings:
        return []
    text = bytearray()
    for listing in listings:
        for name, (mode, identity) in listing.items():
            text += f"{mode} {_KINDS.get(mode, 'blob')} {identity}\t".encode() + os.fsencode(name) + b"\0"
        text += b"\0"
    return git.run("mktree", "-z", "--batch", stdin=bytes(text)).decode().split()


def _enter(folders: _Folders, name: str, identity: str) -> None:
    """Enter a folder's tree in its parent's listing, or take it out if nothing is left in it."""
    if not name:
        return
    parent, _, last = name.rpartition("/")
    listing = folders.setdefault(parent, {})
    there = listing.get(last)
    is_folder = there is None or there[0] == _FOLDER
    if identity and not is_folder:
        raise StoreError(
            f"{printable(name)} is a file on one side and a folder on the other", "remove one of them, then sync"
        )
    if identity:
        listing[last] = (_FOLDER, identity)
    elif is_folder:
        listing.pop(last, None)
