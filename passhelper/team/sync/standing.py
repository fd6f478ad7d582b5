"""How a store stands towards its remote, and how old what it holds is: what ``passhelper status`` shows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GitError, TrustError
from passhelper.store import trust
from passhelper.team.git import commits, gitrepo, history, network
from passhelper.team.sync import offer as offers

if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


@dataclass(frozen=True)
class Standing:
    """What is known without asking anybody.

    Attributes:
        root: the store.
        is_repository: whether it is a git repository.
        remote, branch: where it is shared; empty if it is not.
        ahead, behind: the commits that only this side or only the remote has, as of the last fetch; None if there was
            none.
        synced: when the last sync ended, in seconds since 1970; None for never.
        credentials: how many servers have one.
        refused: a commit of the remote that changes more than was accepted here, so that no sync merges it; empty for
            none.
        oldest: the server whose credential was changed longest ago, and when; None where no history tells.
    """

    root: str
    is_repository: bool
    remote: str
    branch: str
    ahead: int | None
    behind: int | None
    synced: int | None
    refused: str
    credentials: int
    oldest: tuple[str, int] | None


def look(store: PassStore, *, fetch: bool = False) -> Standing:
    """Find out how a store stands.

    Args:
        store: which.
        fetch: whether to fetch first.

    Raises:
        RemoteError: the remote cannot be fetched from.
        StoreError, GitError: the store or its repository cannot be read.
    """
    entries = store.walk()
    changes = history.last_changes(store) or {}
    ages = [(changes[entry.path], entry.server) for entry in entries if entry.path in changes]
    oldest = min(ages)[::-1] if ages else None
    repository = store.repository("")
    if repository is None:
        return Standing(store.root, False, "", "", None, None, None, "", len(entries), oldest)  # noqa: FBT003
    remote = branch = ""
    apart: tuple[int | None, int | None] = None, None
    with gitrepo.opened(repository, store.environ) as git, suppress(ConfigurationError, _NotSharedError):
        upstream = _upstream(git)
        remote, branch = upstream.remote, upstream.their_branch
        theirs = network.fetch(git, upstream) if fetch else git.revision(upstream.tracking)
        head = git.revision("HEAD")
        if theirs and head:
            apart = commits.count(git, head, theirs), commits.count(git, theirs, head)
    refused = _refused(store, repository)
    return Standing(store.root, True, remote, branch, *apart, _synced(repository), refused, len(entries), oldest)  # noqa: FBT003


class _NotSharedError(Exception):
    """The store has no remote, or is on no branch."""


def _upstream(git: gitrepo.Git) -> network.Upstream:
    try:
        return network.find(git)
    except GitError as error:
        raise _NotSharedError from error


def _refused(store: PassStore, repository: Repository) -> str:
    with suppress(TrustError):  # what was accepted is damaged, which is another matter
        offer = offers.find(store, repository, trust.load_all(repository.state))
        return offer.commit if offer is not None else ""
    return ""


def _synced(repository: Repository) -> int | None:
    try:
        with open(repository.synced, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
