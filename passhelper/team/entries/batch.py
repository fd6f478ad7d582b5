"""A change of entries and lists, as it is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping, Sequence

    from passhelper.errors import PasshelperError
    from passhelper.team.entries.pipeline import Task
    from passhelper.team.entries.survey import Record


@dataclass(frozen=True)
class Edit:
    """The new state of one ``.gpg-id``.

    Attributes:
        text: its content.
        signature: the content of its ``.sig``; None for none.
        lines: the keys to encrypt to.
        before: its content now; None if it is not there.
    """

    text: bytes
    signature: bytes | None
    lines: tuple[str, ...]
    before: bytes | None


@dataclass
class Batch:
    """Entries to bring in line, and what changes together with them.

    Attributes:
        subject: of the commit.
        edits: the ``.gpg-id`` files that change, by their path in the store.
        others: more files that change, with absolute paths.
        servers: the servers whose entries are brought in line; None for all.
        paths: of the entries that are, where it is not all of the servers'.
        may_add: paths of entries that may get a reader although they are not bound to their place, for a person has
            said that they belong there; they are bound to it then.
        choose: decides about one entry, below one ``.gpg-id``; as that says, if None.
        skip_failed: whether an entry that fails is left as it is; otherwise nothing changes.
        is_removal: whether readers are taken away, so that an entry that may get none is encrypted anew for the rest.
    """

    subject: str
    edits: Mapping[str, Edit] = field(default_factory=dict)
    others: Sequence[tuple[str, bytes]] = ()
    servers: Sequence[str] | None = None
    paths: Collection[str] | None = None
    may_add: Container[str] = ()
    choose: Callable[[Record, str], Task | None] | None = None
    skip_failed: bool = False
    is_removal: bool = False


@dataclass
class Result:
    """What was done.

    Attributes:
        changed: the entries that were encrypted anew.
        failed: those that were not, by path, and why.
        left: those that have fewer readers than their list names, likewise.
        records: every entry that was looked at, as it was before.
        is_committed: False if the change waits for its commit, which could not be made.
    """

    changed: list[Record] = field(default_factory=list)
    failed: dict[str, PasshelperError] = field(default_factory=dict)
    left: dict[str, PasshelperError] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    is_committed: bool = True
