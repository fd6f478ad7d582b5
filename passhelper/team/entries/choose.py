"""Decide for whom an entry is encrypted anew, and whether it may get a new reader.

Nothing in a message proves who can read it: whoever can push can write any key ids before a copied ciphertext. A bound
entry is encrypted for the recipients on the list of its place. An entry that is not bound may have been put there, so
it is encrypted only for this machine's own keys until a person has said that it belongs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper import settings
from passhelper.errors import RecipientsError
from passhelper.store import keyfaults
from passhelper.team.entries.drift import compare
from passhelper.team.entries.pipeline import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.batch import Batch
    from passhelper.team.entries.drift import Drift, Policy, Recipient
    from passhelper.team.entries.survey import Record


class Chooser:
    """Chooses what to do about each entry, by what its list says or will say.

    Args:
        store: the store.
        before: what its lists say now.
        batch: what is to change.
        is_private: returns whether only this machine can put an entry into the store.
    """

    def __init__(self, store: PassStore, before: Policy, batch: Batch, is_private: Callable[[], bool]) -> None:
        self._store = store
        self._before = before
        self._batch = batch
        self._is_private = is_private
        self._known = before.known
        self._usable: dict[str, tuple[Recipient, ...]] = {}

    def choose(self, record: Record, source: str) -> Task | None:
        """Decide about one entry below one ``.gpg-id``; None if there is nothing to do.

        Raises:
            RecipientsError: a recipient there is unusable.
        """
        drift = record.drift
        if not drift.is_there and not (self._batch.edits and drift.hidden):
            return None
        if source not in self._usable:
            self._usable[source] = usable(self._store, record.wanted, source)
        readers = self._usable[source]
        if not self._batch.edits and readers != record.wanted and not can_mend(drift):
            return None
        if record.closed is not None:
            return self._choose_closed(record, readers)
        if self._batch.edits:
            drift = compare(record.ids, self._before.of(record.directory), self._known)
        return self._task(record, readers, adds=any(_is_among(each, readers) for each in drift.missing))

    def _choose_closed(self, record: Record, readers: tuple[Recipient, ...]) -> Task | None:
        """Decide about an entry that some recipients are not added to; nothing if its readers are not known."""
        drift, lines = record.drift, record.closed.lines if record.closed is not None else frozenset()
        readers = tuple(each for each in readers if each.line not in lines)
        adds = [each for each in drift.missing if each in readers]
        if drift.hidden or not readers or not (drift.extra or drift.surplus or adds):
            return None
        return self._task(record, readers, adds=bool(adds))

    def _task(self, record: Record, readers: tuple[Recipient, ...], *, adds: bool) -> Task:
        is_sure = record.entry.path in self._batch.may_add
        adds = not is_sure and (adds or (may_add(readers) and not self._is_ours(record)))
        return Task(record, readers, adds, self._kept(record, readers), is_sure)

    def _is_ours(self, record: Record) -> bool:
        """Return whether only this machine reads what a list changed here decides about, and nobody can push."""
        if not self._batch.edits or not all(each.is_own for each in self._before.of(record.directory)):
            return False
        return self._is_private()

    def _kept(self, record: Record, readers: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
        """List who reads an unbound entry after a removal; a recipient whom only its header names does not count."""
        left = tuple(each for each in readers if each in present(record))
        return left if self._batch.is_removal and not may_add(left) else ()


def may_add(readers: Iterable[Recipient]) -> bool:
    """Return whether encrypting an entry anew could give it a new reader, that is, any but this machine."""
    return not all(each.is_own for each in readers)


def present(record: Record) -> tuple[Recipient, ...]:
    """List the recipients that an entry names as its readers."""
    return tuple(each for each in record.wanted if not each.key_ids.isdisjoint(record.ids))


def usable(store: PassStore, wanted: tuple[Recipient, ...], source: str) -> tuple[Recipient, ...]:
    """Make sure that all recipients can be encrypted to, or choose those that can, if the user allows it.

    Raises:
        RecipientsError: at least one is unusable; all such are named.
    """
    if all(recipient.is_usable for recipient in wanted):
        return wanted
    if settings.is_on(store.environ, settings.SKIP_UNUSABLE):
        left = keyfaults.usable_recipients(store.gpg, [each.line for each in wanted], source, store.warn)
        return tuple(recipient for recipient in wanted if recipient.line in left)
    complaints = [keyfaults.complaint(store.gpg, each.line) for each in wanted if not each.is_usable]
    raise RecipientsError(
        f"cannot encrypt for {len(complaints)} of {len(wanted)} recipients in {source}: " + "; ".join(complaints)
    )


def can_mend(drift: Drift) -> bool:
    """Return whether encrypting anew to the usable recipients would change anything."""
    return bool(drift.extra or drift.surplus or any(recipient.is_usable for recipient in drift.missing))


def _is_among(recipient: Recipient, others: Sequence[Recipient]) -> bool:
    return any(recipient.line == other.line or recipient.key_ids & other.key_ids for other in others)
