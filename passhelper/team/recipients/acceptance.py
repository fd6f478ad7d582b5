"""Compare the readers of the store after a change with those that were accepted here.

We look at the very tree that will be the store's, list by list. Whoever can push decides what a history looks like, so
we do not guess what a merge would make of it. Only what was looked at is pinned.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import TrustError
from passhelper.store import allowed, claims, keynames, pinning, recipients, signature, trust
from passhelper.store.allowed import Allowed
from passhelper.store.files import Files
from passhelper.team.recipients import gpgid, publickeys, recipientlists, signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.recipients.recipientlists import RecipientFile

ACCEPT = "run: passhelper recipients accept"
REFUSED = "refs/passhelper/refused"
"""The commit that was refused last and that the user may accept; as a reference, git keeps it."""


class Acceptance:
    """What was accepted in a repository, and what it allows a tree to say.

    Args:
        store: the store.
        git: its repository.
        accepted: what the user allows; see :mod:`passhelper.store.allowed`. Empty to leave it to the environment.
        own: keys of this machine that may become readers of any list, beside those who read it already.

    Attributes:
        known: what was accepted when this was made; None in a store that was never pinned.
        checked: the keys of the lists that were let through, by path.
    """

    def __init__(
        self,
        store: PassStore,
        git: Git,
        accepted: frozenset[str] = frozenset(),
        own: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._git = git
        self.known = trust.load_all(git.repository.state)
        self._known = self.known or trust.Trust({})
        self._allowed = Allowed(accepted) if accepted else allowed.by_environment(store.environ)
        self._own = frozenset(map(keynames.normalize, own))
        self._is_wanted = bool(recipients.signing_keys(store.environ))  # a signature
        offer = self._known.offer if git.has_commit(self._known.offer) else ""
        self._offer = recipientlists.read(store, git, offer) if offer else None
        self._is_offered = False  # what comes has the lists of that very offer, all of them: none counts alone
        self._ours: Mapping[str, RecipientFile] = {}
        self._theirs: Mapping[str, RecipientFile] = {}
        self._lists: Mapping[str, RecipientFile] = {}
        self.checked: dict[str, list[str]] = {}

    def check(
        self,
        lists: Mapping[str, RecipientFile],
        head: str,
        theirs: str = "",
        spread: Mapping[str, RecipientFile] | None = None,
    ) -> None:
        """Refuse readers that nobody here has accepted.

        Args:
            lists: those of the tree that is to be the store's.
            head: the commit here: what was never pinned is accepted as it is there; empty if there is none.
            theirs: the commit of others that is part of it, whose signed lists count; empty for none.
            spread: the lists that the remote has, before something is pushed there: a runner spreads no others.

        Raises:
            TrustError: some were not; the text names the lists and the keys.
        """
        self._lists = lists
        self._ours = recipientlists.read(self._store, self._git, head)
        self._theirs = recipientlists.read(self._store, self._git, theirs, head)
        self._is_offered = self._offer is not None and _keys(self._offer) == _keys(self._theirs if theirs else lists)
        self.checked = {}
        changed: dict[str, tuple[list[str], list[str]]] = {}
        reasons = []
        for path in sorted({*self._ours, *lists, *filter(self._is_inside, self._known.pins)}):
            wanted, before = lists.get(path), self._accepted(path)
            if self._may_stay_unknown(path, spread):
                # Never accepted, so nothing is encrypted to it, whatever it becomes.
                if wanted is not None and self._is_within(path, wanted.keys):
                    self.checked[path] = wanted.keys
                continue
            keys = None if wanted is None else wanted.keys
            if keys != before and not self._is_covered(path, wanted, before):
                changed[path] = pinning.apart(before, keys)
                reasons += self._reason(path)
            elif keys is not None:
                self.checked[path] = keys
        if changed:
            where = f" in commit {theirs[:12]}" if theirs else ""
            offered = publickeys.of_commit(self._git, theirs) if theirs else claims.on_disk(self._store.root)
            described = claims.describe(changed, self._store.gpg, offered)
            raise TrustError("; ".join([f"recipients changed: {described}{where}", *dict.fromkeys(reasons)]), ACCEPT)

    def pinned(self, lists: Mapping[str, RecipientFile], commit: str, branch: str = "") -> trust.Trust:
        """Say what is accepted from now on: of some lists, those that :meth:`check` has let through as they are.

        Args:
            lists: those of the tree that becomes the store's: the ones that were checked, or the same keys signed.
            commit: the newest commit of the remote that is part of it.
            branch: which branch of which remote it came from; see :class:`passhelper.store.trust.Trust`.
        """
        pins = {}
        for path, file in lists.items():
            if not recipientlists.counts(path) or self.checked.get(path) != file.keys:
                continue
            pins[path] = file.keys
        named = signed.counting(self._store, {path: lists[path] for path in pins}, self._known)
        serials = self._known.serials | {path: header.serial for path, header in named.items()}
        identity = self._known.store or gpgid.identity(named.values())
        if self._git.repository.root != self._store.root:  # a list above the repository is not the commit's to change
            above = self.known.pins if self.known is not None else pinning.current(self._store.root)
            pins.update({path: keys for path, keys in above.items() if not self._is_inside(path)})
        commits = trust.newer(self._known.commits, branch, commit)
        return trust.Trust(pins, commits, serials, store=identity)

    def is_current(self) -> bool:
        """Return whether nobody has accepted anything since; the caller holds the store's lock."""
        return trust.is_same(trust.load_all(self._git.repository.state), self.known)

    def _is_inside(self, path: str) -> bool:
        return os.path.join(self._store.root, path).startswith(self._git.repository.root + os.sep)

    def _accepted(self, path: str) -> list[str] | None:
        """Give the keys of a list as they were accepted; None if none was accepted."""
        if self.known is not None and recipientlists.counts(path):
            return self.known.pins.get(path)
        ours = self._ours.get(path)  # never pinned: what is here counts as accepted
        return None if ours is None else ours.keys

    def _may_stay_unknown(self, path: str, spread: Mapping[str, RecipientFile] | None) -> bool:
        """Return whether a list is one that a runner need not accept, for it neither uses nor spreads it."""
        if self.known is None or not recipientlists.counts(path) or path in self._known.pins:
            return False
        if not self._git.is_on("passhelper.ci"):
            return False
        return spread is None or keys_of(spread.get(path)) == keys_of(self._lists.get(path))

    def _is_within(self, path: str, keys: list[str]) -> bool:
        """Return whether a list names keys, and only those that the user or the environment allows at this path."""
        before = may_read = self._accepted(path)
        if before is None:  # the list is new, so those read it already who read what lies beside it
            before = may_read = recipientlists.readers_without(path, self._known.pins)
            if before is not None:  # and who may read that from now on is a question about the list there
                now = {name: file.keys for name, file in self._lists.items()}
                may_read = [*before, *(recipientlists.readers_without(path, now) or ())]
        if self._allowed.covers(path, keys, may_read):
            return True
        return bool(keys and self._own) and self._own.union(before or []).issuperset(keys)

    def _is_covered(self, path: str, wanted: RecipientFile | None, before: list[str] | None) -> bool:
        """Return whether the user, the environment or a signature accepts what a list becomes, or that it goes."""
        if wanted is None:
            if self._is_offered and self._offer is not None and path not in self._offer:
                return True
            readers = recipientlists.readers_without(path, {name: file.keys for name, file in self._lists.items()})
            return self._is_within(path, readers or [])
        if self._is_within(path, wanted.keys):
            return True
        return any(_is_between(wanted.keys, before or [], keys) for keys in self._vouched(path, wanted))

    def _vouched(self, path: str, wanted: RecipientFile) -> Iterator[list[str]]:
        """Give the list that the user or a signature allows; a merged list must lie between that and what is here."""
        if self._is_offered and self._offer is not None and path in self._offer:
            yield self._offer[path].keys
        theirs = self._theirs.get(path)
        for file in [wanted] if theirs is None or theirs == wanted else [wanted, theirs]:
            if self._is_wanted and not self._complaint(file) and signed.is_signed(self._store, file):
                yield file.keys

    def _serial(self, path: str) -> int:
        """Give the serial that a newer signed list has to exceed: of the accepted list, or of the one here."""
        ours = self._ours.get(path)
        named = recipients.header(ours.text) if ours is not None and signed.is_signed(self._store, ours) else None
        return max(self._known.serials.get(path, 0), named.serial if named else 0)

    def _complaint(self, file: RecipientFile) -> str:
        """Say why a good signature of a list does not count; empty if it does."""
        named = recipients.header(file.text)
        why = signature.complaint(named, file.path, self._known.store, 1 + self._serial(file.path))
        if not why and named is not None and pinning.is_unknown(named, self._known):
            return "it is the first list that names its store, so it may be another store's"
        return why

    def _reason(self, path: str) -> list[str]:
        """Say why a good signature does not count."""
        file = self._theirs.get(path) or self._lists.get(path)
        if file is None or not self._is_wanted:
            return []
        why = self._complaint(file)
        return [why] if why else []


def pin(store: PassStore, git: Git, pins: trust.Pins) -> None:
    """Pin what somebody has looked at in a fresh clone, and nothing else; the caller holds the store's lock.

    Args:
        store: the store.
        git: its repository.
        pins: the lists that were looked at; one whose keys HEAD does not have is not pinned.
    """
    head = git.revision("HEAD^{commit}")
    asked = Acceptance(store, git)
    asked.checked = dict(pins)
    save(store, git, asked.pinned(recipientlists.read(store, git, head), head))


def save(store: PassStore, git: Git, known: trust.Trust) -> None:
    """Write down what was accepted, and forget what was refused; the caller holds the store's lock."""
    trust.save_all(git.repository.state, known, Files(store.environ))
    forget_refused(git)


def refuse(git: Git, commit: str) -> None:
    """Keep a commit that was refused and that the user may accept."""
    git.run("update-ref", REFUSED, commit)


def forget_refused(git: Git) -> None:
    """Forget which commit was refused last."""
    if git.objects.find(REFUSED) is not None:
        git.run("update-ref", "-d", REFUSED)


def _keys(lists: Mapping[str, RecipientFile]) -> dict[str, list[str]]:
    return {path: file.keys for path, file in lists.items()}


def keys_of(file: RecipientFile | None) -> list[str] | None:
    """Give the keys of a list; None if there is no list, which is not the same as a list that names nobody."""
    return None if file is None else file.keys


def _is_between(keys: list[str], before: list[str], after: list[str]) -> bool:
    """Return whether a list adds nobody but whom a change adds, and takes nobody but whom it takes."""
    return {*before, *after}.issuperset(keys) and {*before}.difference(keys).isdisjoint(after)
