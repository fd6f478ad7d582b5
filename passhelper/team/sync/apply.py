"""Make an existing commit the store's content, file by file, under the lock, and completely even after a kill."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import GitError, StoreError, printable
from passhelper.store import journal, layout, treepolicy
from passhelper.store.files import TEMPORARY, Files
from passhelper.store.forward import SUBJECT
from passhelper.team.git import blobs, trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.trees import Difference


class Move:
    """The way from one commit to another, read from git before the lock is taken: a partial clone asks its remote.

    Args:
        git: the repository.
        old: what HEAD is now; empty before the first commit.
        new: what it becomes.
        tree: the tree of that commit, if it is known and may have been compared with the old one already.

    Attributes:
        differing: the files that change, with what is there before and after.
    """

    def __init__(self, git: Git, old: str, new: str, tree: str = "") -> None:
        self._git = git
        self._repository = git.repository
        self._old = old
        self._new = new
        self.differing = trees.difference(git, old or trees.empty(new), tree or new)
        self._contents = blobs.read(git, {after[1] for _, _, after in self.differing if after is not None})

    def make(self, store: PassStore, state: Mapping[str, bytes]) -> None:
        """Make the new commit the current one; the caller holds the lock, and HEAD is still the old one.

        What is not committed here and does not change stays as it is. Whoever is killed while it lasts leaves a
        journal, which the next one who takes the lock finishes.

        Args:
            store: the store.
            state: files in git's own directory that change with it, by name.

        Raises:
            StoreError: a file that changes has changes of its own that are not committed.
            GitError: git cannot do its part now; the journal stays.
        """
        root = self._repository.root
        gone = {path for path, _, after in self.differing if after is None}
        for one in self.differing:
            _check(root, one, gone)
            if one[1] is None:
                self._check_name(store, one[0])
        plan = journal.Plan(SUBJECT, [
            journal.Change(path.replace("/", os.sep), None if after is None else self._contents[after[1]])
            for path, _, after in _ordered(self.differing)
        ])  # fmt: skip
        plan.commit, plan.previous = self._new, self._old or "0" * len(self._new)
        plan.state = dict(state)
        if any(after is not None and after[0] == treepolicy.PROGRAM for _, _, after in self.differing):
            ignore_modes(self._git)
        journal.write(store, self._repository, plan)
        plan.changes, self._contents = [], {}  # it is in the journal, and may be large
        journal.finish(store, self._repository)
        refuse_unfinished(self._repository)

    def _check_name(self, store: PassStore, path: str) -> None:
        """Refuse a new file whose name this disk cannot hold; begun, the change could never be finished."""
        if os.name == "nt" or not layout.is_refused_by_some(path):
            return  # Windows knows what it refuses: see foreign.complaint
        files = Files(store.environ)
        files.make_directory(self._repository.state)
        for name in path.split("/"):
            probe = os.path.join(self._repository.state, f"{TEMPORARY}{name}"[:200])
            try:
                os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                os.unlink(probe)
            except OSError as error:
                raise StoreError(
                    f"this disk cannot hold the name of {printable(path)}: {error.strerror}",
                    "set PASSWORD_STORE_DIR to a clone on another disk",
                ) from error


def ignore_modes(git: Git) -> None:
    """Let git not call it a change that a file which may be run there may not be run here."""
    if git.ask("config", "--local", "--get", "core.fileMode").stdout.strip() != b"false":
        git.run("config", "core.fileMode", "false")


def refuse_unfinished(repository: Repository) -> None:
    """Stop where a journal is left because git could not do its part.

    Raises:
        GitError: there is one.
    """
    if os.path.exists(repository.journal):
        raise GitError(
            f"a merge in {repository.root} cannot be finished now", "run: passhelper sync, once git can work there"
        )


def _check(root: str, one: Difference, gone: set[str]) -> None:
    """Make sure that a file is what HEAD says, or already what it becomes, so that nobody's work is lost."""
    path, before, after = one
    if after is not None:
        _check_twin(root, path, gone)
    place = os.path.dirname(path)
    while place:
        full = os.path.join(root, place)
        if os.path.islink(full):
            raise StoreError(f"{full} is a symbolic link; links inside a store are not followed", "remove it")
        if place not in gone and os.path.isfile(full):
            raise _in_the_way(root, place)
        place = os.path.dirname(place)
    full = os.path.join(root, path)
    known = {blob[1] for blob in (before, after) if blob is not None}
    if os.path.isdir(full) and not os.path.islink(full):
        for folder, _, names in os.walk(full):
            if any(
                os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/") not in gone for name in names
            ):
                raise _in_the_way(root, path)
        return
    found = blobs.of_file(full, len(next(iter(known)))) if layout.holds(root, path.replace("/", os.sep)) else ""
    # A file that is gone here and that goes anyway, or that is there already as it comes, is nobody's loss.
    if found not in known and (found or (before is not None and after is not None)):
        raise _in_the_way(root, path)


def _check_twin(root: str, path: str, gone: set[str]) -> None:
    """Refuse a new file in whose place this disk would find one with another name, unless that one goes."""
    twin = layout.twin(root, path.replace("/", os.sep)).replace(os.sep, "/")
    if twin and not all(name in gone for name in _files_at(root, twin)):
        raise StoreError(
            f"{printable(path)} and {printable(twin)} are one name on this disk, which takes capital and small letters"
            " for the same",
            "set PASSWORD_STORE_DIR to a clone on another disk",
        )


def _files_at(root: str, path: str) -> list[str]:
    """List a file, or the files below a directory, by their paths in the work tree."""
    full = os.path.join(root, path)
    if not os.path.isdir(full):
        return [path]
    names = [os.path.join(folder, name) for folder, _, names in os.walk(full) for name in names]
    return [os.path.relpath(name, root).replace(os.sep, "/") for name in names]


def _in_the_way(root: str, path: str) -> StoreError:
    return StoreError(
        f"{printable(path)} has changes here that are not committed, and others have changed it",
        f"run: git -C {shellwords.word(root)} status, then commit or remove yours",
    )


def _ordered(differing: list[Difference]) -> list[Difference]:
    """Put files in place before others go, so that no server is without its credential in between.

    Only what stands in the way of a new file (a folder in its place, a file in its folder's place, another case of its
    name) goes first.
    """
    new = {path for path, before, after in differing if after is not None and before is None}
    folders = {parent for path in new for parent in _parents(path)}
    # A disk may take a name that goes for one that comes, and the new file must not go with the old one.
    names = {layout.folded(name): name for name in (*new, *folders)}

    def rank(one: Difference) -> int:
        path, _, after = one
        if after is not None:
            return 1
        has_twin = any(names.get(layout.folded(name), name) != name for name in (path, *_parents(path)))
        return 0 if has_twin or path in folders or not new.isdisjoint(_parents(path)) else 2

    return sorted(differing, key=rank)


def _parents(path: str) -> list[str]:
    return [path[:at] for at, char in enumerate(path) if char == "/"]
