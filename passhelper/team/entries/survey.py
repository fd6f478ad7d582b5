"""Look at every entry of the store: who reads it, who should, and how the two differ."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from passhelper import oserrors
from passhelper.errors import PasshelperError, StoreError
from passhelper.store import owners
from passhelper.store.store import Entry
from passhelper.team.entries.drift import Drift, Recipient, compare, directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.drift import Policy
    from passhelper.team.entries.limits import Closed


@dataclass(frozen=True)
class Record:
    """One entry and its readers, or a directory whose entries nobody can list.

    Attributes:
        entry: where it is; without a username for such a directory.
        directory: its server directory's name.
        ids: the key ids that it is encrypted to.
        wanted: who should read it.
        drift: how the two differ.
        closed: those of ``wanted`` for whom it is not to be encrypted anew; None for nobody.
        trouble: why that cannot be told, empty if it can.
        remedy: what helps against it.
    """

    entry: Entry
    directory: str
    ids: tuple[str, ...] = ()
    wanted: tuple[Recipient, ...] = ()
    drift: Drift = field(default_factory=Drift)
    closed: Closed | None = None
    trouble: str = ""
    remedy: str = ""

    @property
    def is_short(self) -> bool:
        """Whether a reader is missing, for certain or perhaps, who is not to be added, or nobody would be left."""
        return self.closed is not None and bool(
            self.drift.hidden
            or any(each.line in self.closed.lines for each in self.drift.missing)
            or (self.drift.is_there and all(each.line in self.closed.lines for each in self.wanted))
        )

    @property
    def is_directory(self) -> bool:
        """Whether this stands for all that lies in a directory."""
        return not self.entry.username


def survey(store: PassStore, policy: Policy, servers: Sequence[str] | None = None) -> Iterator[Record]:
    """Compare every entry of the store, left-over second ones too, or those of some servers.

    A directory that cannot be listed hides no other; it is a record of its own, so that nobody overlooks it.

    Raises:
        StoreError: the store cannot be read, or a server's directory is a link.
    """
    known = policy.known
    seen: dict[tuple[tuple[str, ...], int], Drift] = {}
    for directory, server in directories(store, servers):
        try:
            entries = store.entries(server, directory)
        except OSError as error:
            yield _unlisted(store, server, directory, error)
            continue
        if not entries:
            continue
        try:
            wanted = policy.of(directory)
        except StoreError as error:
            yield from (Record(entry, directory, trouble=error.cause) for entry in entries)
            continue
        for entry in entries:
            record = _record(store, entry, directory, wanted)
            if record is not None and not record.trouble:
                key = record.ids, id(wanted)  # nearly all have the same readers, and the policy keeps its answers
                if key not in seen:
                    seen[key] = compare(record.ids, wanted, known)
                record = replace(record, drift=seen[key], closed=policy.closed(server, directory, record.ids))
            if record is not None:
                yield record


def _record(store: PassStore, entry: Entry, directory: str, wanted: tuple[Recipient, ...]) -> Record | None:
    """Read the key ids that an entry is encrypted to; None if it was erased meanwhile."""
    try:
        return Record(entry, directory, tuple(store.key_ids(entry)), wanted)
    except PasshelperError as error:
        return Record(entry, directory, wanted=wanted, trouble=error.cause)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Record(entry, directory, wanted=wanted, trouble=f"cannot be read: {error.strerror}")


def _unlisted(store: PassStore, server: str, directory: str, error: OSError) -> Record:
    path = os.path.join(store.folder, directory)
    refused = isinstance(error, PermissionError)
    return Record(
        Entry(server, "", path),
        directory,
        trouble=f"{path} cannot be read: {error.strerror}",
        remedy=owners.remedy(path, store.root) if refused else oserrors.remedy(error),
    )
