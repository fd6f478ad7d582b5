"""``passhelper restore``: find an earlier version of a credential in the history of the store.

The version is decrypted here and handed to whoever stores it again: it is encrypted for today's readers then. Its old
file is never put back, for it may be for keys that have been removed since.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.credentials import Credentials, decoded
from passhelper.errors import ConfigurationError, EntryError, StoreError, printable
from passhelper.registry import normalize
from passhelper.store import cipher, packets
from passhelper.store.layout import MAX_ENTRY
from passhelper.store.store import Entry
from passhelper.team.git import blobs, commits, gitrepo, history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git

_FILES = ("100644", "100755")  # git's modes of plain files


@dataclass(frozen=True)
class Version:
    """An earlier version of a credential.

    Attributes:
        credentials: what it holds.
        commit: the commit that has it, by its full id.
    """

    credentials: Credentials
    commit: str


@dataclass(frozen=True)
class _File:
    """A file of the history that holds a version."""

    server: str
    username: str
    path: str
    blob: str
    commit: str


def find(store: PassStore, server: str, commit: str = "") -> Version:
    """Find and decrypt an earlier version of a server's credential.

    Args:
        store: which.
        server: by any name that means it; the name that it was stored under counts first.
        commit: as of which; without it, the newest version of a credential that is no longer there.

    Raises:
        ConfigurationError: there is no such version, or the credential is there and no commit was named.
        StoreError: the store has no history.
        PasshelperError: it cannot be decrypted here, or belongs to another server.
    """
    repository = store.repository("")
    if repository is None:
        raise StoreError(f"{store.root} is not a git repository, so it has no history", "run: passhelper setup --git")
    with gitrepo.opened(repository, store.environ) as git:
        head = history.head_of(git)
        file = _as_of(store, git, server, head, commit) if commit else _newest(store, git, server, head)
        return Version(_decrypted(store, git, file), file.commit)


def _newest(store: PassStore, git: Git, server: str, head: str) -> _File:
    """Find what was there last, of a server that has nothing now."""
    for name in (server, *store.equivalents(server)):
        for entry in store.all_entries(name):
            raise ConfigurationError(
                f"{printable(name)} has a credential, of {printable(entry.username)}",
                f"for an earlier one {_log(server)}, then "
                f"passhelper restore {shellwords.operands(printable(server))} --commit COMMIT",
            )
    for revision in history.revisions(git, head) if head else ():
        for change in revision.changes:
            named = history.credential(git, store, change.path)
            if named is not None and _means(named[0], server):
                return _File(*named, change.path, change.after or change.before, revision.commit)
    raise ConfigurationError(f"nothing was ever stored for {printable(server)}", "run: passhelper log")


def _as_of(store: PassStore, git: Git, server: str, head: str, wanted: str) -> _File:
    """Find what a server had in one commit."""
    commit = git.revision(f"{wanted}^{{commit}}")
    if not commit or not commits.is_ancestor(git, commit, head):
        raise ConfigurationError(f"{printable(wanted)} is not a commit of this store's history", _log(server))
    found = [file for file in _files(store, git, commit) if _means(file.server, server)]
    if not found:
        raise ConfigurationError(
            f"commit {commit[:12]} has no credential for {printable(server)}",
            f"{_log(server)}, and name a commit that stored it",
        )
    return min(found, key=lambda file: (file.server != server, file.server.encode(), file.path))


def _files(store: PassStore, git: Git, commit: str) -> Iterator[_File]:
    for record in git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        facts, _, path = record.partition(b"\t")
        named = history.credential(git, store, os.fsdecode(path)) if path else None
        mode, _, blob = facts.decode().split() if path else ("", "", "")
        if named is not None and mode in _FILES:
            yield _File(*named, os.fsdecode(path), blob, commit)


def _decrypted(store: PassStore, git: Git, file: _File) -> Credentials:
    label = f"{printable(file.path)} of commit {file.commit[:12]}"
    if blobs.larger(git, [file.blob], MAX_ENTRY):
        raise EntryError(f"{label} is larger than {MAX_ENTRY} bytes")
    message = blobs.read(git, [file.blob])[file.blob]
    try:
        packets.key_ids(message[: packets.MAX_HEADERS])
    except packets.PacketError as error:
        raise EntryError(f"{label} is not an entry: {error}") from None
    plaintext = cipher.decrypt(store.gpg, message, label)
    path = os.path.join(git.repository.root, file.path)
    store.check_place(Entry(file.server, file.username, path), plaintext.name)
    return Credentials(file.server, file.username, decoded(plaintext.data, file.server))


def _means(stored: str, server: str) -> bool:
    return stored == server or (normalize(server) is not None and normalize(stored) == normalize(server))


def _log(server: str) -> str:
    return f"run: passhelper log {shellwords.operands(printable(server))}"
