"""Check what others have pushed before it is merged: whoever can push is not trusted with more than that.

Three kinds of refusal, all exit 4. A tree may hold nothing but plain files in sane places, and a signature that
is demanded must be good: there is no way around that but to mend the remote. A history may not be rewritten
or come from the future, and nobody may become a reader (see :mod:`passhelper.team.recipients.acceptance`): there
the user has the last word, given by ``recipients accept`` (for the very commit that was refused),
``--accept-recipients`` or ``PASSHELPER_ACCEPT_RECIPIENTS``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from passhelper import moments
from passhelper.errors import TrustError, printable
from passhelper.store import recipients, signature, treepolicy, trust
from passhelper.team.git import commits
from passhelper.team.git.objects import MEND
from passhelper.team.recipients import acceptance, recipientlists, signed
from passhelper.team.recipients.acceptance import ACCEPT
from passhelper.team.sync import incomingtree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.recipients.recipientlists import RecipientFile

MAX_DATES = 80 * incomingtree.MAX_FIRST_COMMITS  # bytes of the list of them: an id of SHA-256 and a date each


def check(store: PassStore, git: Git, theirs: str, known: trust.Trust | None, branch: str = "") -> None:
    """Refuse what may not be merged, whatever its readers; who those may be is asked of the merged tree.

    Args:
        store: the store.
        git: its repository.
        theirs: the commit that was fetched, by its full id.
        known: what was accepted.
        branch: which branch of which remote it is of.

    Raises:
        TrustError: the commit may not be merged; its text names the commit and the path.
    """
    head = incomingtree.commit_id(git, "HEAD")
    incomingtree.check(git, theirs, head)
    _check_signatures(store, git, theirs, head, known)
    try:
        check_history(git, theirs, head, known, branch)
    except TrustError:
        acceptance.refuse(git, theirs)
        raise


def check_kept(git: Git, theirs: str, branch: str) -> None:
    """Refuse a commit that is part of what is here already, if the remote had more: somebody has rolled it back.

    Raises:
        TrustError: the remote no longer has what was accepted here.
    """
    try:
        check_history(git, theirs, theirs, trust.load_all(git.repository.state), branch)
    except TrustError:
        acceptance.refuse(git, theirs)
        raise


def _check_signatures(store: PassStore, git: Git, theirs: str, head: str, known: trust.Trust | None) -> None:
    """Where signatures are demanded, refuse what comes with none, or with one that is not good."""
    ours = recipientlists.read(store, git, head)
    new = recipientlists.read(store, git, theirs, head)
    if not recipients.signing_keys(store.environ):
        return
    for path, file in new.items():
        if not recipientlists.counts(path):
            continue
        here = ours.get(path)
        if here is None or (here.text, here.signature) != (file.text, file.signature):
            _check_signature(store, file, theirs)
        named = recipients.header(file.text)
        if named is not None and (known is None or not known.store or named.store == known.store):
            _check_beside(named, new, theirs)  # the list of another store counts for nothing anyway


def _check_signature(store: PassStore, file: RecipientFile, theirs: str) -> None:
    if file.signature is None:
        raise TrustError(f"{printable(file.path)} has no signature in commit {theirs[:12]}", MEND)
    if not signed.is_signed(store, file):
        raise TrustError(
            f"the signature of {printable(file.path)} in commit {theirs[:12]} is not by a key in "
            "PASSWORD_STORE_SIGNING_KEY",
            MEND,
        )


def _check_beside(named: recipients.Header, lists: Mapping[str, RecipientFile], theirs: str) -> None:
    """Refuse a list that comes without one that was there when it was signed: it would count in that one's place."""

    def text(other: str) -> bytes | None:
        return lists[other].text if other in lists else None

    lacking = signature.missing(named, text)
    if lacking:
        raise TrustError(
            f"{printable(named.path)} in commit {theirs[:12]} was signed beside {printable(lacking)}, which the commit "
            "does not have, or an older one",
            f"{MEND}; if it was removed on purpose, whoever signs runs: passhelper recipients sign",
        )


def check_history(git: Git, theirs: str, head: str, known: trust.Trust | None, branch: str = "") -> None:
    """Refuse a history that lacks what was accepted, or that comes from the future.

    Args:
        git: the repository.
        theirs: the commit that was fetched.
        head: the commit here; empty if there is none.
        known: what was accepted.
        branch: which branch of which remote it is of; another one may be behind it.
    """
    offer = known.offer if known is not None and commits.is_ancestor(git, known.offer, theirs) else ""
    if not offer:
        accepted = known.commit(branch) if known is not None else ""
        joined = commits.bases(git, head, theirs)
        # What both come from is part of what was fetched, and needs no question of its own.
        if accepted and accepted not in joined and not commits.is_ancestor(git, accepted, theirs):
            raise TrustError(
                f"the remote's history was rewritten: commit {theirs[:12]} does not contain {accepted[:12]}, which "
                "was accepted here",
                f"find out who did it; to accept it, {ACCEPT}",
            )
        if head and not joined:
            raise TrustError(
                f"the remote's history is another one: commit {theirs[:12]} has no commit in common with this store",
                f"check the remote; to accept it, {ACCEPT}",
            )
    seen = [commit for commit in (head, *(known.commits.values() if known else ()), offer) if git.has_commit(commit)]
    if theirs in seen:
        return
    limit = git.times * MAX_DATES
    lines = git.run("rev-list", "--timestamp", theirs, "--not", *seen, limit=limit).decode().splitlines()
    latest = time.time() + treepolicy.MAX_AHEAD
    for line in lines:
        stamp, _, commit = line.partition(" ")
        if int(stamp) > latest:
            raise TrustError(
                f"commit {commit[:12]} is dated {date(int(stamp))}, more than an hour ahead of this clock",
                f"check this clock; to accept it, {ACCEPT}",
            )


def date(stamp: int) -> str:
    """Write a moment of a commit for people."""
    return moments.utc(stamp, "%Y-%m-%d %H:%M UTC")
