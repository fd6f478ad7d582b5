"""Merge two histories of a store, computed from git's objects alone.

The answer depends on nothing but the two sides' commits, so every clone that joins the same two comes to
the same tree, whichever of them is "ours". It is made of units:

* a server, all its files in all spellings of its directory, is one unit;
* a ``.gpg-id`` with its signature is another: its keys are merged as sets (see
  :mod:`passhelper.team.recipients.mergelists`);
* any other file is its own.

A unit that one side alone has changed is taken from that side. Where both have, each side's commits that the other
has not, merges left out, are compared: the side with the greatest pair (committer time, commit id) among those
that touch the unit wins, and the other's version stays in history. One exception: a mere re-encryption, however late,
loses against a change, since it holds nothing new and drift repair will do it again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.store import layout, recipients
from passhelper.team.git.commits import MARK, SAME
from passhelper.team.git.trees import difference
from passhelper.team.recipients import mergelists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.trees import Blob
    from passhelper.team.recipients.mergelists import Signer

SERVER, READERS, FILE = "server", "recipients", "file"
_SIGNATURE = ".sig"

Stamp = tuple[bool, int, str]
"""What decides between two sides: whether something is new, the committer's time, the commit's id."""

_NOTHING: Stamp = (False, -1, "")

Unit = tuple[str, str]
"""What is merged as a whole: its kind, and the server, or the path of the file."""


@dataclass(frozen=True)
class Conflict:
    """A unit that both sides have changed.

    Attributes:
        kind: ``server``, ``recipients`` or ``file``.
        name: the server, or the path of the file.
        winner: ``ours``, ``theirs``, or ``both`` where two lists were merged.
        winning: the commit that decided; empty for ``both``.
        losing: the newest commit of the other side that touched it; empty for ``both``.
    """

    kind: str
    name: str
    winner: str
    winning: str = ""
    losing: str = ""


@dataclass
class Merge:
    """What is to be done to our tree.

    Attributes:
        changes: the new content of every path that changes, None for one that goes.
        conflicts: what both sides have changed.
        unsigned: the text of every merged ``.gpg-id``, by its path, and whether a version of it was signed.
    """

    changes: dict[str, Blob | None] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    unsigned: dict[str, tuple[bytes, bool]] = field(default_factory=dict)


def unit_of(path: str, folder: str) -> Unit:
    """Return which unit a file belongs to.

    Args:
        path: its path in the work tree.
        folder: what stands before a server's directory there: ``docker-credential-helpers/``, or nothing.
    """
    name = path.rpartition("/")[2]
    if name in (recipients.FILE, recipients.FILE + _SIGNATURE):
        return READERS, path.removesuffix(_SIGNATURE)
    if path.startswith(folder):
        directory, is_inside, _ = path[len(folder) :].partition("/")
        if is_inside or not directory.startswith("."):
            server = layout.decode_server(directory)
            if server is not None:
                return SERVER, server
    return FILE, path


def folder_in(git: Git, store_root: str) -> str:
    """Give what stands before a server's directory in the paths of a repository."""
    path = os.path.relpath(os.path.join(store_root, layout.FOLDER), git.repository.root)
    return "" if path == os.curdir else path.replace(os.sep, "/") + "/"


def may_be_own(git: Git, commit: str) -> bool:
    """Return whether a commit has the mark anywhere, so that a closer look is worth while."""
    found = git.objects.find(commit)
    return found is not None and (found.data is None or MARK.encode() in found.data)


class Merger:
    """Joins commits of one repository.

    Args:
        git: the repository.
        folder: see :func:`unit_of`.
        signer: makes the signature of a merged ``.gpg-id``.
        complete: fetches what a shallow clone lacks; called before the history is asked who was last.
    """

    def __init__(self, git: Git, folder: str, signer: Signer, complete: Callable[[], None] = lambda: None) -> None:
        self.git = git
        self.folder = folder
        self.signer = signer
        self.complete = complete

    def merge(self, ours: str, theirs: str, bases: list[str]) -> Merge:
        """Join two commits.

        Args:
            ours: our commit; the result is given as changes to its tree.
            theirs: the other one.
            bases: their merge bases.

        Raises:
            TrustError: a merged ``.gpg-id`` would name nobody.
            StoreError: a ``.gpg-id`` is not a list of keys.
        """
        return _Joint(self, (ours, theirs), bases).merge()

    def sign(self, merged: Merge) -> bool:
        """Sign the lists that a merge has made; whoever calls it has looked at them.

        Returns:
            whether that adds to the changes.

        Raises:
            TrustError: a signature is needed that cannot be made here.
        """
        signed = False
        for path, (text, was_signed) in merged.unsigned.items():
            named, signature = self.signer(path, text, was_signed=was_signed)
            if signature is not None:
                merged.changes[path] = ("100644", self.write(named))
                merged.changes[path + _SIGNATURE] = ("100644", self.write(signature))
                signed = True
        return signed

    def write(self, data: bytes) -> str:
        """Write a file's content; gives its id."""
        return self.git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=data).decode().strip()


class _Joint:
    """Two commits being joined; index 0 is our side, 1 is theirs."""

    def __init__(self, merger: Merger, sides: tuple[str, str], bases: list[str]) -> None:
        self.merger = merger
        self.git = merger.git
        self.folder = merger.folder
        self.sides = sides
        self.bases = bases
        self._stamps: tuple[dict[Unit, Stamp], dict[Unit, Stamp]] | None = None

    def merge(self) -> Merge:
        found = Merge()
        differing: dict[Unit, dict[str, tuple[Blob | None, Blob | None]]] = {}
        for path, ours, theirs in difference(self.git, *self.sides):
            differing.setdefault(unit_of(path, self.folder), {})[path] = (ours, theirs)
        changed = self._changed() if differing else (set(), set())
        for unit, files in sorted(differing.items()):
            has_changed = (unit in changed[0], unit in changed[1])
            if has_changed == (True, False):
                continue
            if has_changed == (False, True):
                found.changes.update((path, theirs) for path, (_, theirs) in files.items())
            elif unit[0] == READERS:
                self._join_readers(unit, files, found)
            else:
                winner = self._winner(unit)
                if self._stamp(unit, 1 - winner) != _NOTHING:
                    found.conflicts.append(self._conflict(unit, winner))
                if winner == 1:
                    found.changes.update((path, theirs) for path, (_, theirs) in files.items())
        return found

    def _changed(self) -> tuple[set[Unit], set[Unit]]:
        """Find the units that each side has changed.

        With one merge base that is what differs from it. With none, or several that contradict each other, it
        is what the commits of that side alone have touched.
        """
        if len(self.bases) == 1:
            ours, theirs = (
                {unit_of(path, self.folder) for path, _, _ in difference(self.git, self.bases[0], side)}
                for side in self.sides
            )
            return ours, theirs
        stamps = self._touched()
        return set(stamps[0]), set(stamps[1])

    def _touched(self) -> tuple[dict[Unit, Stamp], dict[Unit, Stamp]]:
        """Find the greatest stamp of each unit among the commits of each side."""
        if self._stamps is None:
            self.merger.complete()
            self._stamps = _stamps(self.git, self.folder, self.sides)
        return self._stamps

    def _winner(self, unit: Unit) -> int:
        stamps = [self._stamp(unit, side) for side in (0, 1)]
        return 0 if stamps[0] > stamps[1] else 1

    def _stamp(self, unit: Unit, side: int) -> Stamp:
        touched = self._touched()
        if unit in touched[side]:
            return touched[side][unit]
        if unit in touched[1 - side]:
            return _NOTHING  # but merges: the side that meant it wins
        # Two merges that were resolved by hand, and differently.
        commit = self.git.commit(self.sides[side])
        return (True, commit.committed_date, commit.hexsha)

    def _conflict(self, unit: Unit, winner: int) -> Conflict:
        winning, losing = (self._stamp(unit, side)[2] for side in (winner, 1 - winner))
        return Conflict(unit[0], unit[1], ("ours", "theirs")[winner], winning, losing)

    def _join_readers(self, unit: Unit, files: Mapping[str, tuple[Blob | None, Blob | None]], found: Merge) -> None:
        """Merge a ``.gpg-id`` as a set; a side that already says the result is taken with its signature."""
        path = unit[1]
        texts = [self._text(side, path) for side in self.sides]
        bases = [text for base in self.bases if (text := self._text(base, path)) is not None]
        winner = self._winner(unit)
        result = mergelists.join(path, bases, texts[winner], texts[1 - winner])
        if result in texts:
            side = winner if texts[winner] == result else 1 - winner
            found.conflicts.append(self._conflict(unit, side))
            if side == 1:
                found.changes.update((name, theirs) for name, (_, theirs) in files.items())
            return
        assert result is not None  # noqa: S101 - None would be a side's own text
        found.conflicts.append(Conflict(*unit, "both"))
        found.changes[path] = ("100644", self.merger.write(result))
        signature = path + _SIGNATURE
        was_signed = any(self._text(side, signature) is not None for side in self.sides)
        found.unsigned[path] = (result, was_signed)
        if was_signed:
            found.changes[signature] = None

    def _text(self, commit: str, path: str) -> bytes | None:
        return self.git.file(commit, path)


def _stamps(git: Git, folder: str, sides: tuple[str, str]) -> tuple[dict[Unit, Stamp], dict[Unit, Stamp]]:
    """Find, for each unit, the greatest stamp among each side's commits that touch it and the other side has not."""
    found: tuple[dict[Unit, Stamp], dict[Unit, Stamp]] = ({}, {})
    alone = ("rev-list", "--timestamp", "--no-merges", "--left-right", "...".join(sides))
    listed = _listed(git, *alone, "--invert-grep", f"--grep=^{MARK}$")
    if not listed:
        return found
    same = _listed(git, *alone, f"--grep=^{SAME}$")
    names = git.run(
        "diff-tree", "--stdin", "--root", "-r", "-z", "--name-status", "--no-renames", "--no-ext-diff",
        stdin="".join(f"{commit}\n" for commit in listed).encode(),
    )  # fmt: skip
    commit = ""
    tokens = iter(names.split(b"\0"))
    for token in tokens:
        # Either a commit's id, or a letter for what happened and then the file's name.
        if len(token) > 1:
            commit = token.decode()
        elif token:
            unit = unit_of(os.fsdecode(next(tokens)), folder)
            side, moment = listed[commit]
            found[side][unit] = max(found[side].get(unit, _NOTHING), (commit not in same, moment, commit))
    return found


def _listed(git: Git, *arguments: str) -> dict[str, tuple[int, int]]:
    """List commits with their sides and their committers' times."""
    found = {}
    for line in git.run(*arguments).decode().splitlines():
        moment, _, commit = line.partition(" ")
        found[commit[1:]] = ("<>".index(commit[0]), int(moment))
    return found
