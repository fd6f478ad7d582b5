"""Bring a shared store and its remote together: fetch, check, merge, repair, push, again while others push.

The lock is held only while files change. Nothing is ever half merged: a merge is a commit before the first file
changes, and the files change under a journal. Whatever fails, what was done locally stays.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.errors import GitError, RemoteError, StoreError, TrustError
from passhelper.store import recipients, rights, trust, unfinished
from passhelper.team import (
    apply,
    commits,
    gitrepo,
    gpgid,
    incoming,
    leftover,
    merge,
    network,
    publickeys,
    recipientlists,
    repair,
    trees,
)
from passhelper.team.merge import MARK, Conflict, Merger

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.gitrepo import Git
    from passhelper.team.network import Upstream

PATIENCE = 300.0  # seconds for which the pushes of others are waited out
_LONGEST_PAUSE = 15.0  # seconds between two tries, before chance has its say
_FAILURES = 3  # of a remote that has answered before
_MOVES = 20  # of HEAD by other programs, while one merge is prepared


@dataclass(frozen=True)
class Options:
    """How to sync.

    Attributes:
        remote: which remote; empty for the branch's own.
        push: whether a runner's clone pushes; any other does.
        dry_run: only say what would happen.
        accepted: the complete set of keys that may read the store; empty to compare with what was accepted before.
    """

    remote: str = ""
    push: bool = False
    dry_run: bool = False
    accepted: frozenset[str] = frozenset()


@dataclass
class Report:
    """What a sync did, or in a dry run would do.

    Attributes:
        remote: with which remote.
        branch: the branch there.
        committed: how many local changes were committed first.
        fetched: how many commits of others came in.
        pushed: how many commits of ours went out.
        kept: how many stay here, in a runner's clone.
        conflicts: what both sides had changed.
        imported: the keys that came in from ``.public-keys``.
        removed: servers that a key can no longer read after drift was repaired.
        added: servers that a recipient can read again.
        drift: what was not repaired, and why.
        dry_run: whether this is only what would happen.
    """

    remote: str
    branch: str
    committed: int = 0
    fetched: int = 0
    pushed: int = 0
    kept: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    dry_run: bool = False


def sync(store: PassStore, options: Options, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Bring a store and its remote together.

    Args:
        store: the store.
        options: how.
        progress: told what happens now.

    Raises:
        RemoteError: the remote cannot be reached, does not take the push, or others never stop pushing.
        TrustError: what came in, or what would go out, has readers or a history that were not accepted.
        GitError, StoreError: the repository is not in a state for it.
    """
    store.check_user()
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        return _Sync(store, git, options, progress).run()


def shared_repository(store: PassStore) -> Repository:
    """Find the repository of a store.

    Raises:
        StoreError: it has none.
    """
    store.check_folder()
    place = store.repository("")
    if place is None:
        raise StoreError(f"{store.root} is no git repository", "run: passhelper setup --git URL")
    return place


class _Sync:
    """One run."""

    def __init__(self, store: PassStore, git: Git, options: Options, progress: Callable[[str], None]) -> None:
        self.store = store
        self.git = git
        self.options = options
        self.progress = progress
        unfinished.refuse(git.place)
        self.upstream: Upstream = network.find(git, options.remote)
        self.is_runner = git.is_on("passhelper.ci")
        self.report = Report(self.upstream.remote, self.upstream.their_branch, dry_run=options.dry_run)
        self.merger = Merger(git, merge.folder_in(git, store.root), self._sign, self._complete)

    def run(self) -> Report:
        if self.options.dry_run:
            self.report.committed = len(leftover.find(self.store, self.git))
            theirs = self._fetch()
            if theirs and not self._is_in_head(theirs):
                self._merge(theirs)
            self._foretell(theirs)
            return self.report
        self.report.committed = leftover.commit(self.store, self.git)
        self._exchange()
        head = self._head()
        self._mend()
        if self._head() != head:
            self._exchange()
        self._finish()
        return self.report

    def _exchange(self) -> None:
        """Fetch, merge and push until both sides have the same, again while others push."""
        begin = time.monotonic()
        tries = failures = 0
        while True:
            started = time.monotonic()
            try:
                return self._exchange_once()
            except RemoteError as error:
                is_race = isinstance(error, network.RejectedError)
                failures += not is_race
                # A remote that was there a moment ago may only be busy with others.
                if time.monotonic() - begin > PATIENCE or failures > _FAILURES or not (is_race or tries):
                    raise
            # A try takes the longer the more others there are, and each of them spoils it: so wait as long as it
            # took, and longer each time, until few enough are left that one gets through.
            pause = min((time.monotonic() - started) * 2**tries, _LONGEST_PAUSE)
            tries += 1
            self.progress("waiting for others who push")
            time.sleep(pause * random.uniform(0.3, 1.0))  # noqa: S311 - only so that not all come back at once

    def _exchange_once(self) -> None:
        self.progress(f"fetching {self.upstream}")
        theirs = self._fetch()
        if theirs and not self._is_in_head(theirs):
            self._merge(theirs)
        elif theirs:
            incoming.check_kept(self.git, theirs)
        head = self._head()
        if not head or head == theirs:
            return
        count = commits.count(self.git, head, theirs)
        if self.is_runner and not self.options.push:
            self.report.kept = count
            return
        self._refuse_unaccepted(head, theirs)
        self.progress(f"pushing to {self.upstream}")
        network.push(self.git, self.upstream, head)
        self.report.pushed += count

    # Fetching

    def _fetch(self) -> str:
        theirs = network.fetch(self.git, self.upstream)
        if not theirs and self.upstream.is_new:
            there = network.branches(self.git, self.upstream)
            if there and self.upstream.their_branch not in there:
                # The team's branch has another name than the one that git made here.
                self.upstream = network.Upstream(self.upstream.branch, self.upstream.remote, there[0], is_new=True)
                self.report.branch = there[0]
                theirs = network.fetch(self.git, self.upstream)
        if theirs and not self.options.dry_run:
            self.upstream = network.remember(self.git, self.upstream)
        return theirs

    # Merging

    def _merge(self, theirs: str) -> None:
        """Make a commit that holds both sides the current one."""
        for _ in range(_MOVES):
            head = self._head()
            incoming.check(self.store, self.git, theirs, self.options.accepted)
            self.progress("merging")
            ours = self._without_own_merges(head, theirs)
            new, conflicts = self._join(ours, theirs)
            if self.options.dry_run:
                self.report.conflicts = conflicts
                return
            move = apply.Move(self.git, head, new)
            count = commits.count(self.git, theirs, head)
            with self.store.lock(self.git.place):
                if self._head() != head:
                    continue
                pins = incoming.pinned(self.store, self.git, new, theirs, head)
                move.make(self.store, {trust.FILE: trust.text(pins)})
            if self._head() == new:
                self.report.fetched += count
                # What was decided in a try that others overtook was decided alike by them.
                again = {(one.kind, one.name) for one in conflicts}
                earlier = [one for one in self.report.conflicts if (one.kind, one.name) not in again]
                self.report.conflicts = [*earlier, *conflicts]
                return
        raise GitError(f"{self.git.place.root} keeps changing while it is synced", "run: passhelper sync")

    def _without_own_merges(self, head: str, theirs: str) -> str:
        """Go back over our own merges that nobody has seen: what they joined is joined anew, with what came since.

        So a clone that lost the race to push, however often, adds one merge and not one for each try; and two that
        merged the same at once end with the same commit.
        """
        commit = head
        while commit and merge.may_be_own(self.git, commit):
            found = self.git.commit(commit)
            if (
                len(found.parents) != 2
                or MARK not in str(found.message).splitlines()
                or commits.is_ancestor(self.git, commit, theirs)
                or not commits.is_ancestor(self.git, found.parents[1].hexsha, theirs)
                or self.git.run("for-each-ref", f"--contains={commit}", "refs/remotes").strip()
            ):
                break
            commit = found.parents[0].hexsha
        return commit

    def _join(self, ours: str, theirs: str) -> tuple[str, list[Conflict]]:
        """Make the commit that holds both sides; gives theirs where ours adds nothing."""
        bases = commits.bases(self.git, ours, theirs)
        if not ours or bases == [ours]:
            return theirs, []
        if not bases:
            self._complete()
            bases = commits.bases(self.git, ours, theirs)
        merged = self.merger.merge(ours, theirs, bases)
        tree = trees.write(self.git, ours, merged.changes)
        if self.options.dry_run:
            return theirs, merged.conflicts
        committer = leftover.committer(self.store, self.git.place)
        try:
            return committer.join(tree, [ours, theirs], self._message(merged.conflicts)), merged.conflicts
        finally:
            committer.close()

    def _complete(self) -> None:
        """Fetch what a shallow clone lacks: which side was last is a question about all of the history."""
        if self.git.run("rev-parse", "--is-shallow-repository").strip() == b"true":
            self.progress("fetching the whole history, which this merge needs")
            network.fetch(self.git, self.upstream, "--unshallow")

    def _message(self, conflicts: list[Conflict]) -> str:
        lines = [f"Merge {self.upstream}", ""]
        is_neutral = self.git.is_on("passhelper.neutralcommits")
        if conflicts and not is_neutral:
            lines += [*map(describe, conflicts), ""]
        return "\n".join([*lines, MARK, ""])

    def _sign(self, path: str, text: bytes, *, was_signed: bool) -> bytes | None:
        """Sign a merged ``.gpg-id``, where signatures are wanted."""
        if not was_signed and not recipients.signing_keys(self.store.environ):
            return None
        inside = recipientlists.in_store(self.store, self.git, path)
        signature = gpgid.sign(self.store, inside, text)
        if signature is None:
            raise TrustError(
                f"both sides have changed {inside}, which is signed, and this machine cannot sign it",
                "run: passhelper sync on a machine with a key in PASSWORD_STORE_SIGNING_KEY",
            )
        return signature

    # What follows a merge

    def _mend(self) -> None:
        """Import the keys that came in, repair drift, and note what this machine can read."""
        self.progress("looking for drift")
        self.report.imported = publickeys.refresh(self.store, self.git)
        repaired = repair.repair(self.store, self.git)
        self.report.removed, self.report.added = repaired.removed, repaired.added
        self.report.drift = repaired.reported
        rights.write(self.store)

    def _refuse_unaccepted(self, head: str, theirs: str) -> None:
        """Refuse to spread, or to take for accepted, readers that were not, whoever wrote them into a ``.gpg-id``."""
        pins = trust.load(self.git.place.state)
        if pins is None:
            return
        there = self._lists(head)
        # Those of another repository are not for this one to change.
        pins = {path: keys for path, keys in pins.items() if self._is_inside(path)}
        if self.is_runner:  # which accepts no more than somebody vouches for, and does not spread what is there
            known = self._lists(theirs)
            there = {path: pins.get(path, keys) if known.get(path) == keys else keys for path, keys in there.items()}
        leftover.compare(self.store, there, pins, self.options.accepted)

    def _is_inside(self, path: str) -> bool:
        return os.path.join(self.store.root, path).startswith(self.git.place.root + os.sep)

    def _lists(self, commit: str) -> dict[str, list[str]]:
        files = recipientlists.read(self.store, self.git, commit)
        return {path: file.keys for path, file in files.items() if recipientlists.counts(path)}

    def _finish(self) -> None:
        """Remember what both sides have now."""
        self.upstream = network.remember(self.git, self.upstream)
        with self.store.lock(self.git.place):
            files = self.store.files()
            state = self.git.place.state
            head = self._head()
            if (
                head
                and not self.report.kept
                and commits.is_ancestor(self.git, head, self.git.revision(self.upstream.tracking))
            ):
                self._refuse_unaccepted(head, head)
                incoming.accept(self.store, self.git, head)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.git.place.unpushed)
            files.make_directory(state)
            files.replace(self.git.place.synced, f"{time.time():.0f}\n".encode(), state, durable=False)

    def _foretell(self, theirs: str) -> None:
        head = self._head()
        self.report.fetched = commits.count(self.git, theirs, head) if theirs else 0
        count = commits.count(self.git, head, theirs) if head else 0
        if self.is_runner and not self.options.push:
            self.report.kept = count
        else:
            self.report.pushed = count + bool(self.report.committed)

    # Questions to git

    def _head(self) -> str:
        return self.git.revision("HEAD")

    def _is_in_head(self, commit: str) -> bool:
        return commits.is_ancestor(self.git, commit, self._head())


def describe(conflict: Conflict) -> str:
    """Say in a line what became of a conflict."""
    if conflict.winner == "both":
        return f"{conflict.name}: both lists of keys merged"
    losing = f" over {conflict.losing[:12]}" if conflict.losing else ""
    return f"{conflict.name}: {conflict.winner} {conflict.winning[:12]}{losing}"
