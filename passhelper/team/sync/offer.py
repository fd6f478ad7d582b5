"""A commit of the remote that was refused. The user may accept exactly that one, after seeing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.errors import TrustError
from passhelper.store import claims, recipients, trust
from passhelper.store.programs import find_program
from passhelper.team.git import commits, gitrepo
from passhelper.team.keyring.keys import KeyRing
from passhelper.team.recipients import acceptance, gpgid, publickeys, recipientlists
from passhelper.team.sync import incoming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.store.trust import Pins


@dataclass(frozen=True)
class Offer:
    """What was refused.

    Attributes:
        commit: its full id.
        before: the keys of every ``.gpg-id`` that would change, as they are accepted here; a new one is not there.
        after: the same as they would be; one that would go is not there.
        notes: what else has to be accepted with it: a rewritten history, a date in the future.
        store: the identity of the store that its lists name; empty if they name none.
        owners: what its public keys say about keys that are not in this keyring, by their line.
    """

    commit: str
    before: Pins
    after: Pins
    notes: tuple[str, ...]
    store: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)


def _branch(git: gitrepo.Git, commit: str, known: trust.Trust | None) -> str:
    """Find the branch of a remote, seen before, that a commit is the newest of; empty if there is none."""
    found = git.run("for-each-ref", "--format=%(refname)", f"--points-at={commit}", "refs/remotes/")
    names = found.decode(errors="surrogateescape").splitlines()
    return next((name for name in names if known is not None and name in known.commits), "")


def find(store: PassStore, repository: Repository, known: trust.Trust | None) -> Offer | None:
    """Find the commit that was refused last, unless it has been merged or accepted since.

    Args:
        store: the store.
        repository: its repository.
        known: what was accepted.
    """
    if find_program(("git",), store.environ) is None:
        return None  # then nothing was ever fetched
    with gitrepo.opened(repository, store.environ) as git:
        commit = git.revision(f"{acceptance.REFUSED}^{{commit}}")
        if not commit or (known is not None and known.offer == commit):
            return None
        head = git.revision("HEAD^{commit}")
        notes = []
        try:
            incoming.check_history(git, commit, head, known, _branch(git, commit, known))
        except TrustError as error:
            notes.append(error.cause)
        if commits.is_ancestor(git, commit, head):
            # Its files are here; what was refused is that the remote has no more than it.
            return Offer(commit, {}, {}, tuple(notes)) if notes else None
        lists = recipientlists.read(store, git, commit)
        after = {path: file.keys for path, file in lists.items()}
        before = {path: file.keys for path, file in recipientlists.read(store, git, head).items()}
        offered = publickeys.of_commit(git, commit)
        lines = {key for path, keys in after.items() for key in keys if key not in before.get(path, [])}
        ring = KeyRing(store.gpg)
        owners = {line: claims.owner(store.gpg, line, offered) for line in lines if not ring.find(line)}
    if known is not None:
        before = {path: keys for path, keys in before.items() if not recipientlists.counts(path)} | known.pins
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    return Offer(
        commit,
        {path: before[path] for path in changed if path in before},
        {path: after[path] for path in changed if path in after},
        tuple(notes),
        gpgid.identity(named for path in sorted(lists) if (named := recipients.header(lists[path].text)) is not None),
        owners,
    )
