"""The entries that a change of the recipients left as they were, and those that removed keys can still read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.team.entries.drift import Policy
from passhelper.team.entries.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.errors import PasshelperError
    from passhelper.store.store import PassStore
    from passhelper.team.entries.batch import Result
    from passhelper.team.entries.drift import Recipient
    from passhelper.team.entries.survey import Record
    from passhelper.team.keyring.keys import KeyRing


@dataclass(frozen=True)
class Left:
    """An entry that a change did not bring in line.

    Attributes:
        record: the entry.
        error: why; None if it was not part of the change.
        is_readable: whether a removed key can still read it; None if nobody can tell.
    """

    record: Record
    error: PasshelperError | None
    is_readable: bool | None


def left(
    store: PassStore, ring: KeyRing, result: Result, leaving: Sequence[Recipient], servers: Sequence[str] | None
) -> Iterator[Left]:
    """List what is not in line after a removal, and what else the removed keys can read although no list names them.

    Args:
        store: where.
        ring: its keyring.
        result: what the removal did.
        leaving: the removed keys.
        servers: whose entries to look at; None for all.
    """
    ids = {key_id for each in leaving for key_id in each.key_ids}
    for record in survey(store, Policy(store, ring), servers):
        path = record.entry.path
        error = result.failed.get(path)
        recipients = {key_id for each in record.wanted for key_id in each.key_ids}
        is_theirs = not ids.isdisjoint(set(record.ids) - recipients)
        if error is not None:
            # An id that is in no key here may be one of theirs, and so may a hidden one.
            is_certain = bool(record.ids) and not record.drift.hidden and not record.drift.unknown
            yield Left(record, error, is_readable=True if is_theirs else False if is_certain else None)
        elif is_theirs:
            yield Left(record, result.left.get(path), is_readable=True)
        elif path in result.left and record.drift.hidden:
            yield Left(record, result.left[path], is_readable=None)
