"""The messages about entries that could not be encrypted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import NoSecretKeyError, StoreError, printable
from passhelper.team.entries.pipeline import UnboundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.errors import PasshelperError
    from passhelper.team.entries.drift import Record


class UnboundEntriesError(StoreError):
    """A change only needs a person to say that entries which are not bound belong where they are.

    Attributes:
        records: these entries.
    """

    def __init__(self, cause: str, remedy: str, records: Sequence[Record]) -> None:
        super().__init__(cause, remedy)
        self.records = records


def failure(failed: Mapping[str, PasshelperError], records: Mapping[str, Record]) -> StoreError:
    """Name every entry that could not be encrypted anew, by reason.

    Args:
        failed: why, by path.
        records: which entries these are, likewise.
    """
    reasons: dict[str, list[str]] = {}
    for path, error in failed.items():
        reasons.setdefault(error.cause, []).append(name(records[path]))
    told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    kinds = {type(error) for error in failed.values()}
    remedies = {error.remedy for error in failed.values()}
    remedy = remedies.pop() if len(remedies) == 1 else "restore what is damaged or was moved, or store it again"
    if NoSecretKeyError in kinds:
        remedy = "ask a member who can read them to do this"
    elif UnboundError in kinds:
        remedy = "look at each, then run it again with --unbound"
    count = len(failed)
    cause = f"{count} {'entry' if count == 1 else 'entries'} cannot be encrypted anew: {told}"
    if kinds == {UnboundError}:
        return UnboundEntriesError(cause, remedy, [records[path] for path in failed])
    return StoreError(cause, remedy)


def name(record: Record) -> str:
    """Name an entry for people."""
    server = printable(record.entry.server)
    return server if record.is_directory else f"{server} ({printable(record.entry.username)})"
