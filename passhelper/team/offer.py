"""A commit of the remote that was refused, and that the user may accept: exactly that one, after seeing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import GitError, TrustError
from passhelper.store import recipients, repository, trust
from passhelper.team import acceptance, commits, gitrepo, gpgid, incoming, recipientlists

if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.store.trust import Pins


@dataclass(frozen=True)
class Offer:
    """What was refused.

    Attributes:
        commit: its full id.
        before: the keys of every ``.gpg-id`` that would change, as they are accepted here.
        after: the same as they would be; none for a file that would go.
        notes: what else has to be accepted with it: a rewritten history, a date in the future.
        store: the identity of the store that its lists name; empty if they name none.
    """

    commit: str
    before: Pins
    after: Pins
    notes: tuple[str, ...]
    store: str = ""


def find(store: PassStore, place: Repository, known: trust.Trust | None) -> Offer | None:
    """Find the commit that was refused last, unless it has been merged or accepted since.

    Args:
        store: the store.
        place: its repository.
        known: what was accepted.
    """
    try:
        repository.program(store.environ)
    except GitError:
        return None  # then nothing was ever fetched
    with gitrepo.opened(place, store.environ) as git:
        commit = git.revision(f"{acceptance.REFUSED}^{{commit}}")
        if not commit or (known is not None and known.offer == commit):
            return None
        head = git.revision("HEAD^{commit}")
        notes = []
        try:
            incoming.check_history(git, commit, head, known)
        except TrustError as error:
            notes.append(error.cause)
        if commits.is_ancestor(git, commit, head):
            # Its files are here; what was refused is that the remote has no more than it.
            return Offer(commit, {}, {}, tuple(notes)) if notes else None
        lists = recipientlists.read(store, git, commit)
        after = {path: file.keys for path, file in lists.items()}
        before = {path: file.keys for path, file in recipientlists.read(store, git, head).items()}
    if known is not None:
        before = {path: keys for path, keys in before.items() if not recipientlists.counts(path)} | known.pins
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    return Offer(
        commit,
        {path: before.get(path, []) for path in changed},
        {path: after.get(path, []) for path in changed},
        tuple(notes),
        gpgid.identity(named for path in sorted(lists) if (named := recipients.header(lists[path].text)) is not None),
    )
