"""Bring a shared store and its remote together: fetch, check, merge, repair, push; again if others push meanwhile.

The lock is held only while files change. No merge is left half done: its commit is made before the first file changes,
and the files change under a journal. If something fails, what was done locally stays.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING

from passhelper import settings
from passhelper.errors import GitError, RemoteError, StoreError, TrustError
from passhelper.store import pinning, readable, trust, unfinished
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction
from passhelper.team.entries import repair
from passhelper.team.git import commits, gitrepo, history, network, partial
from passhelper.team.recipients import acceptance, publickeys, recipientlists, renewal, signed
from passhelper.team.recipients.acceptance import Acceptance
from passhelper.team.sync import apply, erased, incoming, incomingtree, uncommitted
from passhelper.team.sync.joining import Joiner
from passhelper.team.sync.report import Options, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.network import Upstream

PATIENCE = 300.0  # seconds for which the pushes of others are waited out
_LONGEST_PAUSE = 15.0  # seconds between two tries, before chance has its say
_FAILURES = 3  # of a remote that has answered before
_MOVES = 20  # of HEAD by other programs, while one merge is prepared


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
    partial.refuse(store)
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        return _Sync(store, git, options, progress).run()


def shared_repository(store: PassStore) -> Repository:
    """Find the repository of a store.

    Raises:
        StoreError: it has none.
    """
    if not os.path.isfile(store.folder) or os.path.islink(store.folder):
        store.check_folder()  # a file may have come from the remote, and go with what it has now
    repository = store.repository("")
    if repository is None:
        raise StoreError(f"{store.root} is not a git repository", "run: passhelper setup --git URL")
    return repository


def switch_automatic(store: PassStore, wanted: str) -> list[str]:
    """Set what the verbs do by themselves in this clone.

    Args:
        store: the store.
        wanted: ``push``, ``pull``, both with a comma, or ``off``.

    Returns:
        what they do from now on.

    Raises:
        ConfigurationError: it is something else.
    """
    words = settings.sync_words(wanted, "--auto")
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        git.run("config", "passhelper.sync", ",".join(words) or "off")
    return words


class _Sync:
    """One run."""

    def __init__(self, store: PassStore, git: Git, options: Options, progress: Callable[[str], None]) -> None:
        self.store = store
        self.git = git
        self.options = options
        self.progress = progress
        unfinished.refuse(git.repository)
        self.upstream: Upstream = network.find(git, options.remote)
        self.is_runner = git.is_on("passhelper.ci")
        self.report = Report(self.upstream.remote, self.upstream.their_branch, dry_run=options.dry_run)

    def run(self) -> Report:
        if self.options.dry_run:
            changed = uncommitted.find(self.store, self.git)
            if not self.options.gone:
                uncommitted.refuse_lost(self.store, self.git, changed)
            self.report.committed = len(changed)
            theirs = self._fetch()
            if theirs and not self._is_in_head(theirs):
                self._merge(theirs)
            self._foretell(theirs)
            return self.report
        if self.options.gone == "restore":
            self.report.restored = uncommitted.restore(self.store, self.git)
        may_lose = self.options.gone == "commit"
        self.report.committed = uncommitted.commit(self.store, self.git, may_lose=may_lose)
        self._exchange()
        self.store.check_folder()
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
                return self._exchange_unless_others_did()
            except RemoteError as error:
                is_race = isinstance(error, network.RejectedError)
                failures += not is_race
                # A remote that was there a moment ago may only be busy with others.
                may_pass = is_race or tries or isinstance(error, network.LockedError)
                if time.monotonic() - begin > PATIENCE or failures > _FAILURES or not may_pass:
                    raise
            # A try takes the longer the more others there are, and each of them spoils it: so wait as long as it
            # took, and longer each time, until few enough are left that one gets through.
            pause = min((time.monotonic() - started) * 2**tries, _LONGEST_PAUSE)
            tries += 1
            self.progress("waiting for others who push")
            time.sleep(pause * random.uniform(0.3, 1.0))  # noqa: S311 - only so that not all come back at once

    def _exchange_unless_others_did(self) -> None:
        """Exchange once; what another sync in this clone accepts meanwhile makes what was fetched before look old."""
        known = trust.load_all(self.git.repository.state)
        try:
            self._exchange_once()
        except TrustError:
            if trust.is_same(trust.load_all(self.git.repository.state), known):
                raise
            raise network.RejectedError(
                f"others keep syncing {self.git.repository.root}", "run: passhelper sync"
            ) from None

    def _exchange_once(self) -> None:
        self.progress(f"fetching {self.upstream}")
        theirs = self._fetch()
        if theirs and not self._is_in_head(theirs):
            self._merge(theirs)
        elif theirs:
            incoming.check_kept(self.git, theirs, self.upstream.tracking)
        head = self._head()
        if not head or head == theirs:
            return
        count = commits.count(self.git, head, theirs)
        if self.is_runner and not self.options.push:
            self.report.kept = count
            return
        self._refuse_unaccepted(head, theirs)
        incomingtree.check_outgoing(self.git, head, theirs)
        self.progress(f"pushing to {self.upstream}")
        network.push(self.git, self.upstream, head)
        self.report.pushed += count

    # Fetching

    def _fetch(self) -> str:
        theirs = network.fetch(self.git, self.upstream)
        if not theirs and self.upstream.is_new and network.is_first(self.git, self.upstream):
            name = network.choose(self.git, self.upstream)
            if name:
                # The team's branch has another name than the one that git made here.
                self.upstream = network.Upstream(self.upstream.branch, self.upstream.remote, name, is_new=True)
                self.report.branch = name
                theirs = network.fetch(self.git, self.upstream)
        if theirs and not self.options.dry_run:
            self.upstream = network.remember(self.git, self.upstream)
        return theirs

    # Merging

    def _merge(self, theirs: str) -> None:
        """Make a commit that holds both sides the current one."""
        joiner = Joiner(self.store, self.git, f"Merge {self.upstream}", self._complete, self.options.own)
        branch = self.upstream.tracking
        for _ in range(_MOVES):
            head = self._head()
            self.progress("merging")
            joined = joiner.join(head, theirs, self.options.accepted, branch=branch, dry_run=self.options.dry_run)
            if self.options.dry_run:
                self.report.conflicts = [] if self.report.unknown else joined.conflicts
                return
            move = apply.Move(self.git, head, joined.commit, joined.tree)
            count = commits.count(self.git, theirs, head)
            with Transaction(self.store, self.git.repository):
                if self._head() != head or not joined.acceptance.is_current():
                    continue
                move.make(self.store, {trust.FILE: trust.text(joined.trust)})
            if self._head() == joined.commit:
                self.report.fetched += count
                known = joined.acceptance.known
                if known is not None:
                    self.report.accepted |= pinning.all_differences(known.pins, joined.trust.pins)
                self.report.erased += erased.among(self.store, self.git, move.differing, joined.commit)
                # What was decided in a try that others overtook was decided alike by them.
                again = {(one.kind, one.name) for one in joined.conflicts}
                earlier = [one for one in self.report.conflicts if (one.kind, one.name) not in again]
                self.report.conflicts = [*earlier, *joined.conflicts]
                return
        raise GitError(f"{self.git.repository.root} keeps changing while it is synced", "run: passhelper sync")

    def _complete(self) -> None:
        """Fetch what a shallow clone lacks: which side was last is a question about all of the history."""
        if not history.is_shallow(self.git):
            return
        if self.options.dry_run:
            self.report.unknown = ["which side wins, and what both have changed: this clone has a part of the history"]
        else:
            self.progress("fetching the whole history, which this merge needs")
            network.fetch(self.git, self.upstream, "--unshallow")

    # What follows a merge

    def _mend(self) -> None:
        """Import the keys that came in, renew this machine's own, repair drift, and note what this machine can read."""
        self.progress("looking for drift")
        self.report.imported = publickeys.refresh(self.store, self.git)
        signed.learn(self.store, self.git)
        self.report.renewed = renewal.share_own(self.store, self.git)
        repaired = repair.repair(self.store, self.git)
        self.report.removed, self.report.added = repaired.removed, repaired.added
        self.report.drift = repaired.reported
        readable.write(self.store)

    def _refuse_unaccepted(self, head: str, theirs: str) -> Acceptance:
        """Refuse to spread, or to take for accepted, readers that were not, whoever wrote them into a ``.gpg-id``."""
        asked = Acceptance(self.store, self.git, self.options.accepted, self.options.own)
        spread = recipientlists.read(self.store, self.git, theirs) if self.is_runner else None
        asked.check(recipientlists.read(self.store, self.git, head, theirs), head, spread=spread)
        return asked

    def _finish(self) -> None:
        """Remember what both sides have now."""
        self.upstream = network.remember(self.git, self.upstream)
        with Transaction(self.store, self.git.repository):
            files = Files(self.store.environ)
            state = self.git.repository.state
            head = self._head()
            if (
                head
                and not self.report.kept
                and commits.is_ancestor(self.git, head, self.git.revision(self.upstream.tracking))
            ):
                asked = self._refuse_unaccepted(head, head)
                lists = recipientlists.read(self.store, self.git, head)
                pins = asked.pinned(lists, head, self.upstream.tracking)
                acceptance.save(self.store, self.git, pins)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.git.repository.unpushed)
            files.make_directory(state)
            files.replace(self.git.repository.synced, f"{time.time():.0f}\n".encode(), state, durable=False)

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
