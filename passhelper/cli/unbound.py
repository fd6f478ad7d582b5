"""Ask a person whether entries that are not bound to their server belong where they are: only a person can know."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from passhelper.cli import output, terminal
from passhelper.store.binding import digest
from passhelper.team.entries.failures import UnboundEntriesError, name

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from passhelper.team.entries.survey import Record

T = TypeVar("T")

_ANY = "SERVER"  # in the command, where the user types each server

unbound = click.option(
    "--unbound",
    "is_sure",
    is_flag=True,
    help="What is not bound to its server belongs there, and its list says who reads it.",
)


class Seen:
    """The entries that a person was asked about, as they were then; a file that replaces one is not included."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._digests = {record.entry.path: _digest(record.entry.path) for record in records}

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and bool(self._digests.get(path)) and self._digests[path] == _digest(path)


class _Everything:
    """A container that contains everything."""

    def __contains__(self, _: object) -> bool:
        return True


EVERYTHING = _Everything()


def asking(action: Callable[[Container[str]], T], remedy: str) -> T:
    """Call an action; if it meets entries that are not bound, ask a person and call it again with the answer.

    Args:
        action: gets the paths of the entries that belong where they are; none at first.
        remedy: what to type if nobody can be asked.

    Raises:
        UnboundEntriesError: nobody can be asked, or the answer was no.
    """
    try:
        return action(())
    except UnboundEntriesError as error:
        seen = agreed(error.records)
        if seen is None:
            raise UnboundEntriesError(error.cause, remedy, error.records) from error
        return action(seen)


def agreed(records: Sequence[Record]) -> Seen | None:
    """Ask whether entries belong where they are, and whether the recipients on their lists may read them.

    Returns:
        these entries; None if nobody can be asked, or the answer was no.
    """
    if not terminal.is_present():
        return None
    seen = Seen(records)
    groups: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        closed = record.closed.lines if record.closed is not None else ()
        readers = tuple(str(each) for each in record.wanted if each.line not in closed)
        groups.setdefault(readers, []).append(name(record))
    for readers, names in groups.items():
        one = len(names) == 1
        are, them = ("is not bound to its server", "it") if one else ("are not bound to their server", "them")
        # One on each line, so that no name can hide in another: whoever can push chooses the names.
        output.note("\n".join([*names[:-1], f"{names[-1]} {are}. Who reads {them} then: {', '.join(readers)}"]))
    return seen if terminal.confirm("Is this what belongs there, and may they read it?") else None


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return digest(file.read())
    except OSError:
        return ""


def hint(servers: str = _ANY) -> str:
    """Say how to encrypt entries that are not bound to the recipients on their lists.

    Args:
        servers: the servers of those entries, as words of a command.
    """
    return (
        f"look at each, then run: passhelper reencrypt {'' if terminal.is_present() else '--yes '}{servers}"
        f"{'; or, for all of them: passhelper reencrypt --unbound' if servers == _ANY else ''}"
    )
