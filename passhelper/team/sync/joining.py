"""Prepare a merge without changing a file: make and check the commit that holds both sides.

First what comes is looked at, then the tree is made, then its lists of readers are compared with what was accepted
here; only after that a merged list is signed and the commit made. Nothing that was checked is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, TrustError
from passhelper.store import recipients, trust
from passhelper.team.git import commits, trees
from passhelper.team.git.commits import MARK
from passhelper.team.recipients import acceptance, gpgid, recipientlists
from passhelper.team.recipients.acceptance import Acceptance
from passhelper.team.sync import incoming, merge, uncommitted
from passhelper.team.sync.merge import Conflict, Merge, Merger

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git


@dataclass(frozen=True)
class Joined:
    """The result of a merge.

    Attributes:
        commit: what HEAD becomes; theirs where ours adds nothing. In a dry run none is made, and it is theirs.
        tree: what was checked: that commit's tree, or the commit itself where it is theirs.
        conflicts: what both sides had changed.
        trust: what is accepted with it.
        acceptance: against what it was checked.
    """

    commit: str
    tree: str
    conflicts: list[Conflict]
    trust: trust.Trust
    acceptance: Acceptance


class Joiner:
    """Joins the commits of others with those here.

    Args:
        store: the store.
        git: its repository.
        title: the first line of a merge's message.
        complete: fetches what a shallow clone lacks.
        own: see :class:`passhelper.team.recipients.acceptance.Acceptance`.
    """

    def __init__(
        self,
        store: PassStore,
        git: Git,
        title: str,
        complete: Callable[[], None] = lambda: None,
        own: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._git = git
        self._title = title
        self._complete = complete
        self._own = own
        self._merger = Merger(git, merge.folder_in(git, store.root), self._sign, complete)

    def join(
        self,
        head: str,
        theirs: str,
        accepted: frozenset[str] = frozenset(),
        *,
        branch: str = "",
        dry_run: bool = False,
    ) -> Joined:
        """Make the commit that holds both sides, if nothing in it is refused.

        Args:
            head: the commit here; empty if there is none.
            theirs: the one that was fetched, and that is not part of it.
            accepted: see :class:`passhelper.team.recipients.acceptance.Acceptance`.
            branch: which branch of which remote it is of.
            dry_run: whether no commit is made.

        Raises:
            TrustError: something in it is refused, or has to be signed and cannot be here.
            GitError, StoreError: it cannot be made.
        """
        asked = Acceptance(self._store, self._git, accepted, self._own)
        incoming.check(self._store, self._git, theirs, asked.known, branch)
        ours = self._without_own_merges(head, theirs)
        merged = self._merge(ours, theirs)
        tree = theirs if merged is None else trees.write(self._git, ours, merged.changes)
        lists = recipientlists.read(self._store, self._git, tree, head or theirs)
        try:
            asked.check(lists, head, theirs)
        except TrustError:
            acceptance.refuse(self._git, theirs)
            raise
        if merged is None or dry_run:
            pins = asked.pinned(lists, theirs, branch)
            return Joined(theirs, tree, merged.conflicts if merged else [], pins, asked)
        if self._merger.sign(merged):
            tree = trees.write(self._git, ours, merged.changes)
            lists = recipientlists.read(self._store, self._git, tree)
        committer = uncommitted.committer(self._store, self._git.repository)
        try:
            commit = committer.join(tree, [ours, theirs], self._message(merged.conflicts))
        finally:
            committer.close()
        recipientlists.remember(self._git, commit, lists)
        return Joined(commit, tree, merged.conflicts, asked.pinned(lists, theirs, branch), asked)

    def _without_own_merges(self, head: str, theirs: str) -> str:
        """Drop our own merges that nobody has seen: what they joined is joined again, with what came since.

        So a clone that lost the race to push, however often, adds one merge and not one for each try; and two that
        merged the same at once end with the same commit.
        """
        commit = head
        while commit and merge.may_be_own(self._git, commit):
            found = self._git.commit(commit)
            if (
                len(found.parents) != 2
                or MARK not in str(found.message).splitlines()
                or commits.is_ancestor(self._git, commit, theirs)
                or not commits.is_ancestor(self._git, found.parents[1].hexsha, theirs)
                or self._git.run("for-each-ref", f"--contains={commit}", "refs/remotes").strip()
            ):
                break
            commit = found.parents[0].hexsha
        return commit

    def _merge(self, ours: str, theirs: str) -> Merge | None:
        """Merge both sides; None if ours adds nothing."""
        bases = commits.bases(self._git, ours, theirs)
        if not ours or bases == [ours]:
            return None
        if not bases:
            self._complete()
            bases = commits.bases(self._git, ours, theirs)
        return self._merger.merge(ours, theirs, bases)

    def _message(self, conflicts: list[Conflict]) -> str:
        lines = [self._title, ""]
        if conflicts and not self._git.is_on("passhelper.neutralcommits"):
            lines += [*map(describe, conflicts), ""]
        return "\n".join([*lines, MARK, ""])

    def _sign(self, path: str, text: bytes, *, was_signed: bool) -> tuple[bytes, bytes | None]:
        """Sign a merged ``.gpg-id``, where signatures are wanted: as a list of this store, whatever it says now."""
        signer = gpgid.Signer(self._store, trust.load_all(self._git.repository.state))
        if not was_signed and not signer.is_wanted:
            return text, None
        inside = recipientlists.in_store(self._store, self._git, path)
        named = recipients.header(text)  # of both sides; the work tree has one of them
        try:
            return signer.seal(inside, text, least=named.serial if named is not None else 0)
        except (ConfigurationError, TrustError) as error:
            raise TrustError(
                f"both sides have changed {inside}, which is signed, and this machine cannot sign it",
                "run: passhelper sync on a machine with a key in PASSWORD_STORE_SIGNING_KEY",
            ) from error


def describe(conflict: Conflict) -> str:
    """Describe the result of a conflict in one line."""
    if conflict.winner == "both":
        return f"{conflict.name}: both lists of keys merged"
    losing = f" over {conflict.losing[:12]}" if conflict.losing else ""
    return f"{conflict.name}: {conflict.winner} {conflict.winning[:12]}{losing}"
