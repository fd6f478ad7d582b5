"""``passhelper log``: who stored, erased or re-encrypted what, and when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from passhelper import registry
from passhelper.errors import ConfigurationError, StoreError, printable
from passhelper.store import layout, pinning, recipients
from passhelper.team.git import blobs, gitrepo, history

if TYPE_CHECKING:
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.history import Change, Revision

_AT_ONCE = 50  # commits

STORED, ERASED, REKEYED, RECIPIENTS = "stored", "erased", "re-encrypted", "recipients"


@dataclass(frozen=True)
class Event:
    """What one commit did to one credential, or to one list of recipients.

    Attributes:
        revision: the commit.
        action: a stable word: ``stored``, ``erased``, ``re-encrypted`` or ``recipients``.
        server: whose credential; empty for a list of recipients that counts for several.
        username: likewise.
        path: the file, below the work tree.
        added, removed: the keys of a list of recipients that came and went.
    """

    revision: Revision
    action: str
    server: str
    username: str
    path: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def events(store: PassStore, server: str = "", limit: int = 0) -> list[Event]:
    """List what happened to the credentials, newest first.

    Args:
        store: which.
        server: only to this server, by any name that means it, and to the lists of recipients that count for it.
        limit: how many, the newest; 0 for all.

    Raises:
        StoreError: the store has no history.
        ConfigurationError: it says nothing of that server.
    """
    repository = store.repository("")
    if repository is None:
        raise StoreError(f"{store.root} is not a git repository, so it has no history", "run: passhelper setup --git")
    with gitrepo.opened(repository, store.environ) as git:
        head = history.head_of(git)
        found: list[Event] = []
        revisions = history.revisions(git, head) if head else iter(())
        while part := list(islice(revisions, _AT_ONCE)):
            large = _large_lists(store, git, part)
            several = (event for revision in part for event in _events(store, git, revision, large))
            found += [event for event in several if _is_about(event, server)]
            if limit and len(found) >= limit:
                break
    if server and not any(event.server for event in found) and not (limit and len(found) >= limit):
        raise ConfigurationError(f"nothing was ever stored for {printable(server)}", "run: passhelper log")
    return found[: limit or None]


def _is_about(event: Event, server: str) -> bool:
    """Return whether an event is about a server, by any name that means it, or about all; any is, of no server."""
    return not server or event.server in ("", server) or bool(registry.equivalents(server, [event.server]))


def _large_lists(store: PassStore, git: Git, revisions: list[Revision]) -> frozenset[str]:
    """Warn of the lists of recipients that are too large for any of our commands to read."""
    found = {
        blob: (revision, change)
        for revision in revisions
        for change in revision.changes
        if os.path.basename(change.path) == recipients.FILE
        for blob in (change.before, change.after)
        if blob
    }
    large = blobs.larger(git, found, recipients.MAX_FILE)
    for path in sorted({found[blob][1].path for blob in large}):
        store.warn(
            f"{printable(path)} was larger than {recipients.MAX_FILE} bytes in the history, and was not looked at: the "
            "keys that came and went with it are not shown"
        )
    return large


def _events(store: PassStore, git: Git, revision: Revision, large: frozenset[str]) -> list[Event]:
    found = []
    bare = revision.bare
    for change in revision.changes:
        if os.path.basename(change.path) == recipients.FILE:
            added, removed = _keys(git, change, large)
            found.append(Event(bare, RECIPIENTS, _owner(change.path), "", change.path, added, removed))
        else:
            named = history.credential(git, store, change.path)
            if named is not None:
                found.append(Event(bare, _action(revision, change), *named, change.path))
    return found


def _action(revision: Revision, change: Change) -> str:
    if not change.after:
        return ERASED
    return REKEYED if change.before and revision.is_rekeying else STORED


def _owner(path: str) -> str:
    """Find the one server that a ``.gpg-id`` applies to; empty if it applies to all."""
    folder = os.path.basename(os.path.dirname(path))
    return (layout.decode_server(folder) or "") if folder not in ("", layout.FOLDER) else ""


def _keys(git: Git, change: Change, large: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare the keys of a list before and after."""
    contents = blobs.read(git, [blob for blob in (change.before, change.after) if blob and blob not in large])
    before, after = (_parse(contents.get(blob, b"")) for blob in (change.before, change.after))
    added, removed = pinning.apart(before, after)
    return tuple(added), tuple(removed)


def _parse(text: bytes) -> list[str]:
    try:
        return pinning.keys_of(text, recipients.FILE)
    except StoreError:
        return []  # what somebody once committed there was no list of keys
