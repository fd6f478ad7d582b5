"""Whose credentials others have erased: what a member's ``docker logout`` did reaches everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.registry import normalize
from passhelper.team.git import history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.trees import Difference

MOST = 20  # of which the history is asked who did it; whoever erases more is known to his team


@dataclass(frozen=True)
class Erased:
    """A credential that came in as erased.

    Attributes:
        server, username: whose.
        author: who erased it, as the commit says; empty if that was not asked.
        commit: that commit, likewise.
    """

    server: str
    username: str
    author: str = ""
    commit: str = ""


def among(store: PassStore, git: Git, changes: Iterable[Difference], after: str) -> list[Erased]:
    """List the credentials that were there before some changes and are not now, under no name of the same registry.

    Args:
        store: whose.
        git: its repository.
        changes: what has changed.
        after: the commit that is here now.
    """
    gone: dict[str, tuple[str, str]] = {}
    kept: set[object] = set()
    for path, _, now in changes:
        named = history.credential(git, store, path)
        if named is not None and now is None:
            gone[path] = named
        elif named is not None:
            kept.add(_registry(named[0]))
    gone = {path: named for path, named in gone.items() if _registry(named[0]) not in kept}
    return [Erased(*named, *_who(git, after, path, at)) for at, (path, named) in enumerate(gone.items())]


def _who(git: Git, commit: str, path: str, at: int) -> tuple[str, str]:
    for revision in history.revisions(git, commit, paths=(path,)) if at < MOST else ():
        if any(not change.after for change in revision.changes):
            return revision.author, revision.commit
    return "", ""


def _registry(server: str) -> object:
    return normalize(server) or server
