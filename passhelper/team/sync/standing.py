"""How a store stands towards its remote, and how old what it holds is: what ``passhelper status`` shows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GitError, TrustError
from passhelper.store import trust
from passhelper.store.helper import logged_out
from passhelper.store.layout import encode_server
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
        credentials: how many servers have one.
        logged_out: the servers that this clone has logged out of, though the store has a credential.
        oldest: the server whose credential was changed longest ago, and when; None where no history tells.
        is_repository: whether it is a git repository.
        remote, branch: where it is shared; empty if it is not.
        ahead, behind: the commits that only this side or only the remote has, as of the last fetch; None if there was
            none.
        synced: when the last sync ended, in seconds since 1970; None for never.
        refused: a commit of the remote that changes more than was accepted here, so that no sync merges it; empty for
            none.
    """

    root: str
    credentials: int
    logged_out: list[str]
    oldest: tuple[str, int] | None
    is_repository: bool = False
    remote: str = ""
    branch: str = ""
    ahead: int | None = None
    behind: int | None = None
    synced: int | None = None
    refused: str = ""


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
    hidden = logged_out(store)
    left = sorted(entry.server for entry in entries if encode_server(entry.server) in hidden)
    here = Standing(store.root, len(entries), left, oldest)
    repository = store.repository("")
    if repository is None:
        return here
    remote = branch = ""
    apart: tuple[int | None, int | None] = None, None
    with gitrepo.opened(repository, store.environ) as git, suppress(ConfigurationError, _NotSharedError):
        upstream = _upstream(git)
        remote, branch = upstream.remote, upstream.their_branch
        theirs = network.fetch(git, upstream) if fetch else git.revision(upstream.tracking)
        head = git.revision("HEAD")
        if theirs and head:
            apart = commits.count(git, head, theirs), commits.count(git, theirs, head)
    return replace(
        here,
        is_repository=True,
        remote=remote,
        branch=branch,
        ahead=apart[0],
        behind=apart[1],
        synced=_synced(repository),
        refused=_refused(store, repository),
    )


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
