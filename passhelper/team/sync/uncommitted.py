"""Commit what has no commit yet, before a repository is synced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, TrustError
from passhelper.store import claims, layout, pinning, recipients, trust
from passhelper.store.commit import Committer
from passhelper.store.files import Files
from passhelper.store.repository import STATUS, changed_paths
from passhelper.store.transaction import Transaction
from passhelper.store.treepolicy import KEYS
from passhelper.store.workspace import sweep
from passhelper.team.recipients import recipientlists
from passhelper.team.recipients.scope import other_entries
from passhelper.team.sync import apply

if TYPE_CHECKING:
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


def commit(store: PassStore, git: Git) -> int:
    """Finish and commit what earlier writers could not, or other programs did not.

    Returns:
        how many files were committed.

    Raises:
        GitError: they cannot be committed.
        TrustError: a list of recipients among them was not accepted.
    """
    with Transaction(store, git.repository):
        apply.refuse_unfinished(git.repository)
        sweep(store, git.repository)
        git.repository.prepare(Files(store.environ))
        paths = find(store, git)
        work = committer(store, git.repository)
        if not paths and not work.has_pending():
            return 0
        _check_recipients(store, paths)
        try:
            work.plan(paths)
            work.commit(_SUBJECT)
        finally:
            work.close()
        return len(paths)


def _check_recipients(store: PassStore, paths: list[str]) -> None:
    """Refuse to commit a list of recipients that this machine has not accepted."""
    repository = store.repository("")
    pins = trust.load(repository.state) if repository is not None else None
    changed = {os.path.relpath(path, store.root).removesuffix(".sig") for path in paths if _is_list(path)}
    if pins is None or not changed:
        return
    there = pinning.current(store.root)
    allowed = pinning.accepted_by_environment(store.environ.get("PASSHELPER_ACCEPT_RECIPIENTS", ""))
    refused = {}
    for path in sorted(changed):
        here = there.get(path)
        readers = here if here is not None else recipientlists.readers_without(path, there)
        if here != pins.get(path) and not pinning.is_allowed(readers or (), allowed):
            refused[path] = pinning.apart(pins.get(path), here)
    if refused:
        raise TrustError(
            f"recipients changed: {claims.describe(refused, store.gpg, claims.on_disk(store.root))}",
            "run: passhelper recipients accept",
        )


def _is_list(path: str) -> bool:
    return os.path.basename(path) in (recipients.FILE, f"{recipients.FILE}.sig")
