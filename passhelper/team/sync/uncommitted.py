"""Commit what has no commit yet, before a repository is synced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, StoreError, TrustError, printable
from passhelper.store import allowed, claims, content, kept, layout, pinning, recipients, trust
from passhelper.store.commit import Committer
from passhelper.store.files import Files
from passhelper.store.repository import STATUS, changed_paths, lines
from passhelper.store.transaction import Transaction
from passhelper.store.treepolicy import KEYS
from passhelper.store.workspace import sweep
from passhelper.team.recipients import recipientlists
from passhelper.team.recipients.scope import other_entries
from passhelper.team.sync import apply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git

_SUBJECT = "Commit changes that were left without a commit"


def committer(store: PassStore, repository: Repository) -> Committer:
    """Prepare commits whose failure is an error, not a warning as it is for the verbs."""
    return Committer(repository, store.environ, Files(store.environ), _fail)


def _fail(why: str) -> None:
    raise GitError(f"the store's changes cannot be committed: {why.partition(': ')[2] or why}")


def find(store: PassStore, git: Git, *, is_whole: bool = False) -> list[str]:
    """List our files that are not committed as they are: absolute paths.

    Ours are entries, lists of recipients and public keys; any other file is left to its owner.

    Args:
        store: the store.
        git: its repository.
        is_whole: whether entries that are not Docker credentials are ours too.
    """
    root = git.repository.root
    lists = (recipients.FILE, f"{recipients.FILE}.sig")
    names = ("",) if is_whole else (layout.FOLDER, KEYS, *lists)
    inside = [os.path.relpath(os.path.join(store.root, name), root) for name in names]
    inside = [path for path in inside if not path.startswith(os.pardir)]
    listing = git.run(*STATUS, "--untracked-files=all", "--", *inside)
    ours, keys = (layout.SUFFIX, *lists), f"{KEYS}/"
    changed = changed_paths(listing)
    found = [os.path.join(root, name) for name in changed if name.endswith(ours) or name.startswith(keys)]
    above = {os.path.join(store.root, name) for name in lists}
    if not is_whole and not above.isdisjoint(found) and other_entries(store):  # it says who reads those, too
        found = [path for path in found if path not in above]
    return found


def lost(git: Git, paths: Sequence[str]) -> list[str]:
    """List the files that are gone and that no command of ours has removed: what it removes is on the pending list.

    A list of recipients is not among them, for its removal has to be accepted.

    Args:
        git: the store's repository.
        paths: what is not committed as it is, from :func:`find`.
    """
    root = git.repository.root
    pending = {os.path.join(root, path) for path in git.repository.load_pending()}
    return [path for path in paths if not (path in pending or _is_list(path) or os.path.lexists(path))]


def refuse_lost(store: PassStore, git: Git, paths: Sequence[str]) -> None:
    """Refuse to commit that files are gone which no command of ours has removed.

    Raises:
        StoreError: some are.
    """
    gone = lost(git, paths)
    if gone:
        names = [os.path.relpath(path, store.root) for path in gone]
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise StoreError(
            f"{printable(names[0])}{more} in {store.root} {'are' if more else 'is'} gone, and no command of passhelper"
            " has removed that",
            "run: passhelper sync --gone restore, which brings all of it back, or passhelper sync --gone commit, which"
            " removes it for everybody",
        )


def restore(store: PassStore, git: Git) -> int:
    """Bring back, as they were committed last, the files that are gone and that no command of ours has removed.

    Returns:
        how many.

    Raises:
        GitError: git cannot do it.
    """
    with Transaction(store, git.repository):
        git.repository.prepare(Files(store.environ))
        changed = find(store, git)
        gone = lost(git, changed)
        if not gone:
            return 0
        gone += [path for path in changed if _is_list(path) and not os.path.lexists(path)]
        inside = [os.path.relpath(path, git.repository.root).replace(os.sep, "/") for path in gone]
        text = lines(inside)
        git.run("checkout", "HEAD", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=text)
        return len(gone)


def commit(store: PassStore, git: Git, *, may_lose: bool = False) -> int:
    """Finish and commit what earlier writers could not, or other programs did not.

    Args:
        store: the store.
        git: its repository.
        may_lose: whether somebody has said that what is gone shall be gone.

    Returns:
        how many files were committed.

    Raises:
        GitError: they cannot be committed.
        StoreError: some are gone that no command of ours has removed.
        TrustError: a list of recipients among them was not accepted.
    """
    with Transaction(store, git.repository):
        apply.refuse_unfinished(git.repository)
        sweep(store, git.repository)
        git.repository.prepare(Files(store.environ))
        paths = find(store, git)
        if not may_lose:
            refuse_lost(store, git, paths)
        work = committer(store, git.repository)
        if not paths and not work.has_pending():
            return 0
        _check_recipients(store, paths)
        waiting = _waiting(git.repository)
        try:
            work.plan([path for path in paths if path not in waiting])
            work.commit(_SUBJECT)
        finally:
            work.close()
        return len(paths)


def _waiting(repository: Repository) -> set[str]:
    """List what waits for its commit as it is: that has a message of its own, which says how a merge treats it."""
    copies = kept.load(repository)
    named = {path for _, paths in copies.messages for path in paths}
    return {
        os.path.join(repository.root, path)
        for path, (data, _) in copies.files.items()
        if path in named and content.held(repository.root, path) == data
    }


def _check_recipients(store: PassStore, paths: list[str]) -> None:
    """Refuse to commit a list of recipients that this machine has not accepted."""
    repository = store.repository("")
    pins = trust.load(repository.state) if repository is not None else None
    changed = {os.path.relpath(path, store.root).removesuffix(".sig") for path in paths if _is_list(path)}
    if pins is None or not changed:
        return
    there = pinning.current(store.root)
    may_read = allowed.by_environment(store.environ)
    refused = {}
    for path in sorted(changed):
        here = there.get(path)
        readers = here if here is not None else recipientlists.readers_without(path, there)
        before = pins.get(path) or recipientlists.readers_without(path, pins)
        if here != pins.get(path) and not may_read.covers(path, readers or (), before):
            refused[path] = pinning.apart(pins.get(path), here)
    if refused:
        raise TrustError(
            f"recipients changed: {claims.describe(refused, store.gpg, claims.on_disk(store.root))}",
            "run: passhelper recipients accept",
        )


def _is_list(path: str) -> bool:
    return os.path.basename(path) in (recipients.FILE, f"{recipients.FILE}.sig")
