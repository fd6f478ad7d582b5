"""Find server directories without the usual name, and move their entries to the directory that has it.

Stores made by hand have them (base64 in another alphabet, without padding, with a line end), and whoever can push may
put copies into one. Their entries are read; nobody is added to their readers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.doctor.model import Finding
from passhelper.errors import GitError, printable
from passhelper.store import content, journal, layout, recipients, unfinished
from passhelper.store.journal import Change, Plan
from passhelper.store.transaction import Transaction
from passhelper.team.entries.limits import is_odd
from passhelper.team.git.commits import SAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.doctor.context import Context


def check(context: Context) -> Iterator[Finding]:
    """Report such directories that have entries or a list of recipients."""
    for name in filter(is_odd, context.directories):
        path, right = (os.path.join(layout.FOLDER, each) for each in (name, layout.canonical(name)))
        server = printable(layout.decode_server(name) or name)
        if os.path.lexists(os.path.join(context.store.root, recipients.own(name))):
            remedy = (
                f"look into it; if it is right, move it to {printable(right)}, then run: passhelper recipients accept"
            )
            cause = f"{printable(recipients.own(name))} is not used, because {server} has its list in {right}"
            yield Finding(cause, remedy)
        elif context.entries.get(name):
            cause = f"{printable(path)} is not the usual directory of {server}, so nobody is added to its readers"
            remedy = "run: passhelper doctor --fix" if _moves(context, name) else "look into it, then remove it"
            yield Finding(cause, remedy)


def fix(context: Context) -> list[str]:
    """Move entries to the directories of their servers, as one change; nothing is decrypted, and none is replaced."""
    store = context.store
    moves = [move for name in filter(is_odd, context.directories) for move in _moves(context, name)]
    if not moves:
        return []
    repository = store.repository("")
    if repository is not None:
        unfinished.refuse(repository)
    base = store.root if repository is None else repository.root
    changes: list[Change] = []
    with Transaction(store, repository):
        for old, new in moves:
            data, there = content.read(old), content.read(new)
            if data is None or there not in (None, data):
                continue
            if there is None:
                changes.append(Change(os.path.relpath(new, base), data))
            changes.append(Change(os.path.relpath(old, base), None))
        if changes:
            subject = f"Move credentials to the directories of their servers\n\n{SAME}"
            journal.write(store, repository, Plan(subject, changes))
            journal.finish(store, repository)
    if context.warnings:
        raise GitError(context.warnings.pop(), "run: passhelper doctor")
    names = dict.fromkeys(os.path.relpath(old, store.folder).split(os.sep)[0] for old, _ in moves)
    return [f"moved the credential of {printable(layout.decode_server(name) or name)}" for name in names]


def _moves(context: Context, name: str) -> list[tuple[str, str]]:
    """List the files to move, as pairs of paths; none if something else is in the way.

    A directory with a list of recipients is left to people: the list once decided who reads its entries.
    """
    store, right = context.store, layout.canonical(name)
    repository, here = store.repository(""), store.repository(name)
    if (repository is None) != (here is None) or (
        repository is not None and here is not None and repository.root != here.root
    ):
        return []
    if os.path.lexists(os.path.join(store.root, recipients.own(name))) or layout.twin(store.folder, right):
        return []
    old, new = os.path.join(store.folder, name), os.path.join(store.folder, right)
    files = [os.path.relpath(entry.path, old) for entry in context.entries.get(name, [])]
    moves = [(os.path.join(old, file), os.path.join(new, file)) for file in files]
    others = [each for each in context.directories if each != name and layout.canonical(each) == right]
    there = any(context.entries.get(each) for each in others)  # under a third name: both would be moved to one file
    # People decide between two credentials of a server; a copy of the same bytes needs no decision.
    is_same = all(content.read(before) == content.read(after) for before, after in moves)
    return moves if not there or is_same else []
