"""What others have pushed, looked at before it is merged: whoever can push is not to be trusted with more.

Three kinds of refusal, all exit 4. A tree may hold nothing but plain files in sane places, and a signature that
is demanded must be good: there is no way around that but to mend the remote. A history may not be rewritten
or come from the future, and nobody may become a reader: there the user has the last word, given by ``recipients
accept`` (for the very commit that was refused), ``--accept-recipients`` or ``PASSHELPER_ACCEPT_RECIPIENTS``.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

from passhelper.errors import TrustError
from passhelper.protocol import printable
from passhelper.store import recipients, trust
from passhelper.team import commits, incomingtree, recipientlists
from passhelper.team.recipientlists import RecipientFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.gitrepo import Git

REFUSED = "refs/passhelper/refused"
"""The commit that was refused last and that the user may accept; as a reference, git keeps it."""

MAX_AHEAD = 3600  # seconds that a commit may be ahead of this clock
_ACCEPT = "run: passhelper recipients accept"

_Lists = dict[str, RecipientFile]


def check(store: PassStore, git: Git, theirs: str, accepted: frozenset[str] = frozenset()) -> None:
    """Refuse what may not be merged.

    Args:
        store: the store.
        git: its repository.
        theirs: the commit that was fetched.
        accepted: the complete set of keys that the user allows; empty to leave it to the environment.

    Raises:
        TrustError: the commit may not be merged; its text names the commit and the path.
    """
    theirs = incomingtree.commit_id(git, theirs)
    head = incomingtree.commit_id(git, "HEAD")
    incomingtree.check(git, theirs, head)
    view = _View(store, git, theirs, head, accepted)
    view.check_signatures()
    try:
        check_history(git, theirs, head, view.trust)
        view.check_recipients()
    except TrustError:
        git.run("update-ref", REFUSED, theirs)
        raise


def check_kept(git: Git, theirs: str) -> None:
    """Refuse a commit that is part of what is here already, if the remote had more: somebody has rolled it back.

    Raises:
        TrustError: the remote no longer has what was accepted here.
    """
    try:
        check_history(git, theirs, theirs, trust.load_all(git.place.state))
    except TrustError:
        git.run("update-ref", REFUSED, theirs)
        raise


def accept(store: PassStore, git: Git, commit: str, theirs: str = "") -> None:
    """Pin what :func:`check` has let through; the caller holds the store's lock.

    Doing it again changes nothing, so a merge that is finished after a kill may do it again.

    Args:
        store: the store.
        git: its repository.
        commit: what the branch is, or will be, after the merge.
        theirs: the commit of the remote that is part of it; empty if that is the same one.
    """
    trust.save_all(git.place.state, pinned(store, git, commit, theirs), store.files())
    if git.objects.find(REFUSED) is not None:
        git.run("update-ref", "-d", REFUSED)


def pinned(store: PassStore, git: Git, commit: str, theirs: str = "", near: str = "") -> trust.Trust:
    """Say what :func:`accept` would pin, for whoever writes it down together with the merge itself.

    Args:
        store: the store.
        git: its repository.
        commit: as for :func:`accept`.
        theirs: as for :func:`accept`.
        near: see :func:`passhelper.team.recipientlists.read`.
    """
    before = trust.load_all(git.place.state)
    lists = recipientlists.read(store, git, incomingtree.commit_id(git, commit), near)
    pins = {path: file.keys for path, file in lists.items() if recipientlists.counts(path)}
    serials = dict(before.serials) if before else {}
    if before is not None and git.is_on("passhelper.ci"):
        allowed = _allowed(store, frozenset())
        pins = {path: keys for path, keys in pins.items() if path in before.pins or allowed.issuperset(keys)}
    for path in pins:
        serial = _signed_serial(store, lists[path], serials)
        if serial:
            serials[path] = serial
    outside = os.path.relpath(git.place.root, store.root)
    if outside != os.curdir:  # a list above the repository is not the commit's to change
        above = before.pins if before is not None else trust.current(store.root)
        pins.update({path: keys for path, keys in above.items() if not path.startswith(outside + os.sep)})
    return trust.Trust(pins, incomingtree.commit_id(git, theirs or commit), serials)


def check_history(git: Git, theirs: str, head: str, known: trust.Trust | None) -> None:
    """Refuse a history that lacks what was accepted, or that comes from the future.

    Args:
        git: the repository.
        theirs: the commit that was fetched.
        head: the commit here; empty if there is none.
        known: what was accepted.
    """
    offer = known.offer if known is not None and commits.is_ancestor(git, known.offer, theirs) else ""
    if not offer:
        accepted = known.commit if known is not None else ""
        joined = commits.bases(git, head, theirs)
        # What both come from is part of what was fetched, and needs no question of its own.
        if accepted and accepted not in joined and not commits.is_ancestor(git, accepted, theirs):
            raise TrustError(
                f"the remote's history was rewritten: commit {theirs[:12]} does not contain {accepted[:12]}, which "
                "was accepted here",
                f"find out who did it; to accept it, {_ACCEPT}",
            )
        if head and not joined:
            raise TrustError(
                f"the remote's history is another one: commit {theirs[:12]} has no commit in common with this store",
                f"check the remote; to accept it, {_ACCEPT}",
            )
    seen = [commit for commit in (head, known.commit if known else "", offer) if git.has_commit(commit)]
    if theirs in seen:
        return
    lines = git.run("rev-list", "--timestamp", theirs, "--not", *seen).decode().splitlines()
    latest = time.time() + MAX_AHEAD
    for line in lines:
        stamp, _, commit = line.partition(" ")
        if int(stamp) > latest:
            raise TrustError(
                f"commit {commit[:12]} is dated {_date(int(stamp))}, more than an hour ahead of this clock",
                f"check this clock; to accept it, {_ACCEPT}",
            )


class _View:
    """The recipients here, there, and as they would be after the merge, beside what was accepted."""

    def __init__(self, store: PassStore, git: Git, theirs: str, head: str, accepted: frozenset[str]) -> None:
        self._store = store
        self._theirs = theirs
        self.trust = trust.load_all(git.place.state)
        self._known = self.trust or trust.Trust({})
        self._allowed = _allowed(store, accepted)
        self._is_runner = self.trust is not None and git.is_on("passhelper.ci")
        self._ours = recipientlists.read(store, git, head)
        self._new = recipientlists.read(store, git, theirs, head)
        self._bases = [recipientlists.read(store, git, base, theirs) for base in commits.bases(git, head, theirs)]
        offer = self._known.offer if git.has_commit(self._known.offer) else ""
        self._offer = recipientlists.read(store, git, offer) if offer else None

    def check_signatures(self) -> None:
        """Where signatures are demanded, refuse what comes with none, or with one that is not good."""
        if not recipients.signing_keys(self._store.environ):
            return
        for path, file in self._new.items():
            ours = self._ours.get(path)
            same = ours is not None and (ours.text, ours.signature) == (file.text, file.signature)
            if same or not recipientlists.counts(path):
                continue
            if file.signature is None:
                raise TrustError(f"{printable(path)} has no signature in commit {self._theirs[:12]}", incomingtree.MEND)
            if not _is_signed(self._store, file):
                raise TrustError(
                    f"the signature of {printable(path)} in commit {self._theirs[:12]} is not by a key in "
                    "PASSWORD_STORE_SIGNING_KEY",
                    incomingtree.MEND,
                )

    def check_recipients(self) -> None:
        """Refuse readers that nobody here has accepted."""
        changed: dict[str, tuple[list[str], list[str]]] = {}
        reasons = []
        for path in sorted({*self._ours, *self._new}):
            pinned = self._pinned(path)
            if self._is_runner and recipientlists.counts(path) and path not in self._known.pins:
                continue  # never accepted, so nothing is encrypted to it, whatever it becomes
            for wanted in self._wanted(path):
                keys = None if wanted is None else wanted.keys
                if keys != pinned and not self._is_covered(path, wanted):
                    before, after = pinned or [], keys or []
                    changed[path] = (
                        [key for key in after if key not in before],
                        [key for key in before if key not in after],
                    )
                    reasons += self._reason(wanted)
        if changed:
            described = trust.describe(changed, self._store.gpg)
            raise TrustError(
                "; ".join([f"recipients changed: {described} in commit {self._theirs[:12]}", *dict.fromkeys(reasons)]),
                _ACCEPT,
            )

    def _pinned(self, path: str) -> list[str] | None:
        if self.trust is not None and recipientlists.counts(path):
            return self.trust.pins.get(path)
        ours = self._ours.get(path)  # never pinned: what is here counts as accepted
        return None if ours is None else ours.keys

    def _wanted(self, path: str) -> list[RecipientFile | None]:
        """Say what a merge may make of a file: one side's where only one has changed it, else parts of both."""
        ours, new = self._ours.get(path), self._new.get(path)
        bases = [base.get(path) for base in self._bases]
        if _keys(ours) == _keys(new) or (bases and all(_keys(base) == _keys(new) for base in bases)):
            return [ours]
        if bases and all(_keys(base) == _keys(ours) for base in bases):
            return [new]
        return [ours, new]

    def _is_covered(self, path: str, wanted: RecipientFile | None) -> bool:
        """Tell whether the user, the environment or a signature accepts a file, or that it is gone."""
        if self._offer is not None and _keys(self._offer.get(path)) == _keys(wanted):
            return True
        readers = wanted.keys if wanted is not None else recipientlists.readers_without(path, self._merged())
        if readers and self._allowed.issuperset(readers):
            return True
        return wanted is not None and _signed_serial(self._store, wanted, {path: self._serial(path)}) > 0

    def _serial(self, path: str) -> int:
        """Say what a newer signed list has to be above: the one that was accepted, or that is here."""
        ours = self._ours.get(path)
        named = recipients.header(ours.text) if ours is not None and ours.signature is not None else None
        return max(self._known.serials.get(path, 0), named[1] if named else 0)

    def _merged(self) -> Mapping[str, list[str] | None]:
        """Say who reads what after the merge, as far as that is certain; else what comes from the other side."""
        return {path: _keys(self._wanted(path)[-1]) for path in {*self._ours, *self._new}}

    def _reason(self, wanted: RecipientFile | None) -> list[str]:
        """Say why a good signature does not count."""
        if wanted is None or not recipients.signing_keys(self._store.environ):
            return []
        named = recipients.header(wanted.text)
        if named is None:
            return ["the signed text does not say which file it is and how new"]
        if named[0] != wanted.path.replace(os.sep, "/"):
            return [f"the signed text is that of {printable(named[0])}"]
        return [f"its serial {named[1]} is not above the accepted {self._serial(wanted.path)}"]


def _keys(file: RecipientFile | None) -> list[str] | None:
    return None if file is None else file.keys


def _allowed(store: PassStore, accepted: frozenset[str]) -> frozenset[str]:
    """Read the complete set of keys that may be readers; what the command line says goes first."""
    if accepted:
        return frozenset(map(recipients.normalize, accepted))
    return frozenset(trust.accepted_by_environment(store.environ.get("PASSHELPER_ACCEPT_RECIPIENTS", "")))


def _signed_serial(store: PassStore, file: RecipientFile, serials: Mapping[str, int]) -> int:
    """Give the serial of a file that is its own, newer than accepted, and well signed; else 0."""
    found = recipients.Recipients(file.keys, file.path, file.text)
    serial = trust.newer_serial(found, serials, store.environ)
    return serial if serial and _is_signed(store, file) else 0


def _is_signed(store: PassStore, file: RecipientFile) -> bool:
    if file.signature is None:
        return False
    with tempfile.TemporaryDirectory(prefix="passhelper-") as folder:
        path = os.path.join(folder, "signature")
        with open(path, "xb") as handle:
            handle.write(file.signature)
        return recipients.is_signed(path, file.text, store.gpg)


def _date(stamp: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(stamp))
    except (OverflowError, ValueError, OSError):
        return f"{stamp} seconds after 1970"
