"""Trees in git's object store, made of other trees without an index or a work tree."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from passhelper.errors import StoreError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.team.git.gitrepo import Git

_ABSENT = "000000"  # git's mode of a file that is not there
_FOLDER = "040000"
_KINDS = {_FOLDER: "tree", "160000": "commit"}

Blob = tuple[str, str]
"""A file in a tree: its mode and the id of its content."""

Difference = tuple[str, Blob | None, Blob | None]
"""A file that differs: its path, and what two trees have there."""

_Folders = dict[str, dict[str, Blob]]


def empty(commit: str) -> str:
    """Give the tree that holds nothing, which git knows without having it.

    Args:
        commit: any id of the repository; its length tells how its ids are made.
    """
    return _hashed(b"", len(commit))


def difference(git: Git, before: str, after: str, *patterns: str) -> list[Difference]:
    """List the files that differ between two commits or trees: path, then what each has there.

    Args:
        git: the repository.
        before: one commit or tree, by its full id.
        after: the other.
        patterns: which files, as git's pathspecs; all if there is none.
    """
    begin = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff")
    is_back = git.has_asked(*begin, after, before, "--", *patterns)
    sides = (after, before) if is_back else (before, after)
    raw = git.run_once(*begin, *sides, "--", *patterns, environ={"GIT_LITERAL_PATHSPECS": "0"})
    tokens = raw.split(b"\0")
    found = []
    for fields, name in zip(tokens[0::2], tokens[1::2], strict=False):
        old_mode, new_mode, old_id, new_id, _ = fields.decode().lstrip(":").split(" ")
        first = None if old_mode == _ABSENT else (old_mode, old_id)
        second = None if new_mode == _ABSENT else (new_mode, new_id)
        found.append((os.fsdecode(name), second, first) if is_back else (os.fsdecode(name), first, second))
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
    listings: list[bytes] = []
    ids: list[str] = []
    for name in sorted(_change(folders, changes), key=_depth, reverse=True):
        listing = folders.get(name, {})
        if listing or not name:  # the root's stays, with nothing in it
            listings.append(_lines(listing))
            ids.append(_id(listing, len(tree)))
        _enter(folders, name, ids[-1] if listing else "")
    if git.run("mktree", "-z", "--batch", stdin=b"".join(listings)).decode().split() != ids:
        raise StoreError(f"git in {git.repository.root} makes other trees than it should", "try again")
    return ids[-1]


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


def _lines(listing: Mapping[str, Blob]) -> bytes:
    """Write a listing as ``git mktree -z --batch`` reads it."""
    text = bytearray()
    for name, (mode, identity) in listing.items():
        text += f"{mode} {_KINDS.get(mode, 'blob')} {identity}\t".encode() + os.fsencode(name) + b"\0"
    return bytes(text + b"\0")


def _id(listing: Mapping[str, Blob], length: int) -> str:
    """Give the id of the tree with a listing, so that the tree above it need not wait for git."""
    rows = []
    for name, (mode, identity) in listing.items():
        row = os.fsencode(name)
        rows.append((row + b"/" * (mode == _FOLDER), mode.lstrip("0").encode(), row, bytes.fromhex(identity)))
    # git sorts a folder as if its name ended with a slash.
    return _hashed(b"".join(b"%s %s\0%s" % row[1:] for row in sorted(rows)), length)


def _hashed(data: bytes, length: int) -> str:
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"tree %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


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
