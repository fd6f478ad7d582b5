"""Find all credentials that a key could ever read, and whether they have been changed since.

A removed reader may have kept everything. A secret that the key could decrypt in any commit counts as known until no
entry of the store holds it any more. So today's secrets are compared with every version that the key could read, as
``get`` would give them. Paths and commits decide nothing, because whoever can push can write any of them.

What this machine cannot read it cannot compare. That counts as open if somebody else can compare it: another reader of
an older version, or of an entry of the same registry. A version that only the key could read can never be compared. A
version larger than an entry may be is not read, and stays open: anybody may have read it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import ConfigurationError, GitError, StoreError, printable
from passhelper.registry import normalize
from passhelper.store import keyinfo, keynames, packets, treepolicy
from passhelper.store.layout import MAX_ENTRY
from passhelper.team.entries.contents import Contents
from passhelper.team.git import blobs, gitrepo, history
from passhelper.team.keyring.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.git.history import Revision

READABLE = "readable"  # the key reads it today
OPEN = "unchanged"  # only the readers have changed
MOVED = "moved"  # it stands elsewhere in the store
UNKNOWN = "unknown"  # this machine cannot compare the secrets
CHANGED = "changed"
ERASED = "erased"
_DONE = (CHANGED, ERASED)
_NAMED = 5  # versions in one warning
_SHORTEST = 8  # digits of a key id in the name of a file
_FILES = ("100644", "100755")  # git's modes of what get reads

Credential = tuple[str, str]
"""A server and a username, as its directory and its file decode to them, in whatever spelling."""


@dataclass(frozen=True)
class RotationItem:
    """One credential that a key could read.

    Attributes:
        server, username: which.
        first: the commit with which the key could read it first.
        last: the commit that made the last version that it could read.
        state: a stable word: ``readable``, ``unchanged``, ``moved``, ``unknown``, ``changed`` or ``erased``.
        is_certain: whether the key is named; False where recipients are hidden.
        places: of what has moved, the servers and usernames that have it now.
    """

    server: str
    username: str
    first: Revision
    last: Revision
    state: str
    is_certain: bool
    places: tuple[Credential, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the credential still has to be changed."""
        return self.state not in _DONE


def find(store: PassStore, name: str) -> list[RotationItem]:
    """List every credential that a key could read now or in any past revision, by server.

    Args:
        store: which.
        name: a fingerprint, an e-mail address or a key file.

    Raises:
        ConfigurationError: it means no key, or several, and its public part is not in the history either.
        GitError: the clone is shallow.
        StoreError: the store has no history.
    """
    repository = store.repository("")
    if repository is None:
        raise StoreError(
            f"{store.root} is not a git repository, so nobody knows what a key could read before",
            "run: passhelper list --readable-by KEY",
        )
    with gitrepo.opened(repository, store.environ) as git:
        head = history.head_of(git)
        if not head:
            return []
        if history.is_shallow(git):
            raise GitError(
                f"{repository.root} is a shallow clone, which does not know what a key could read before",
                f"run: git -C {shellwords.word(repository.root)} fetch --unshallow",
            )
        return _Search(store, git, head, _key_ids(store, git, head, name)).run()


def open_for(store: PassStore, fingerprint: str) -> list[RotationItem]:
    """List the credentials that a key could read and that have not been changed since; raises as :func:`find` does."""
    return [item for item in find(store, fingerprint) if item.is_open]


def _key_ids(store: PassStore, git: Git, head: str, name: str) -> frozenset[str]:
    """Find the key ids by which messages name a key, even if the keyring no longer has it or its old subkeys."""
    line = "".join(name.split())
    try:
        key = KeyRing(store.gpg).resolve(name)
        found = {*key.key_ids, *_travelled(store, git, head, key.fingerprint)}
    except ConfigurationError:
        bare = keynames.normalize(line).removesuffix("!")
        if not keynames.is_fingerprint(bare):
            raise
        found = set(_travelled(store, git, head, bare))
        if not found:
            raise
    return frozenset(each for each in found if not keyinfo.is_pinned(line) or keyinfo.names(line, each))


def _travelled(store: PassStore, git: Git, head: str, fingerprint: str) -> Iterator[str]:
    """Read the key ids from the public keys that once lay in the store: a later one may have fewer."""
    found = {
        change.after: change.path
        for revision in history.revisions(git, head, whole=True, paths=(treepolicy.KEYS,))
        for change in revision.changes
        if change.after and _is_named_for(change.path, fingerprint)
    }
    large = blobs.larger(git, found, treepolicy.MAX_KEY)
    for path in sorted({found[blob] for blob in large}):
        store.warn(
            f"{printable(path)} was larger than {treepolicy.MAX_KEY} bytes in the history, and was not looked at: "
            "subkeys that only it names are not known"
        )
    for _, data in blobs.each(git, found.keys() - large):
        child = store.gpg.ask("--with-colons", "--import-options", "show-only", "--import", stdin=data)
        text = child.stdout.decode(errors="replace")
        if [key.fingerprint for key in keyinfo.parse_keys(text)] == [fingerprint]:
            rows = [line.split(":") for line in text.split("\n")]
            yield from (row[4] for row in rows if row[0] in ("pub", "sub") and "e" in row[11])


def _is_named_for(path: str, fingerprint: str) -> bool:
    """Return whether a file of public keys has a key's name: its fingerprint, or a key id as gopass writes it."""
    name = os.path.basename(path).upper().removeprefix("0X")
    return len(name) >= _SHORTEST and fingerprint.endswith(name)


@dataclass(frozen=True)
class _Version:
    """One content of one entry."""

    revision: Revision
    blob: str


@dataclass
class _Known:
    """A credential that the key could read.

    Attributes:
        versions: all that were ever there, oldest first.
        readable: those that the key could read.
        now: what is there today.
        state: what has become of it; empty as long as the secrets have to tell.
        places: where its secret is, besides.
    """

    versions: list[_Version]
    readable: list[_Version]
    now: list[str]
    state: str = ""
    places: set[Credential] = field(default_factory=set)


class _Search:
    """The history of one store, as one key could read it."""

    def __init__(self, store: PassStore, git: Git, head: str, key_ids: frozenset[str]) -> None:
        self._store = store
        self._git = git
        self._head = head
        self._key_ids = key_ids
        self._contents = Contents(store, git)
        self._now: dict[Credential, list[str]] = {}

    def run(self) -> list[RotationItem]:
        versions = self._versions()
        self._now = self._today()
        self._contents.look(version.blob for found in versions.values() for version in found)
        self._contents.look(blob for found in self._now.values() for blob in found)
        known = {}
        for credential, found in versions.items():
            readable = [version for version in found if self._can_read(version.blob)]
            if readable:
                known[credential] = _Known(found, readable, self._now.get(credential, []))
        self._decide(known)
        self._tell_of_large(known)
        if self._contents.locked is not None:
            self._store.warn(f"not all could be compared: {self._contents.locked}")
        items = [
            RotationItem(
                *credential, one.readable[0].revision, one.readable[-1].revision, one.state,
                any(self._key_ids & self._contents.readers(version.blob) for version in one.readable),
                tuple(sorted(one.places)),
            )
            for credential, one in known.items()
        ]  # fmt: skip
        return sorted(items, key=lambda item: (item.server.encode(), item.username.encode()))

    def _tell_of_large(self, known: dict[Credential, _Known]) -> None:
        """Warn of what was not looked at; its states say that nobody knows."""
        large = self._contents.large
        found = [
            f"{printable(server)} ({printable(username)}) of commit {version.revision.commit[:12]}"
            for (server, username), one in known.items()
            for version in one.readable
            if version.blob in large
        ]
        if found:
            named = ", ".join([*found[:_NAMED], *([f"and {len(found) - _NAMED} more"] if found[_NAMED:] else [])])
            self._store.warn(
                f"larger than the {MAX_ENTRY} bytes that an entry may have, so nobody has looked at who can read it, "
                f"and it counts as known: {named}"
            )

    def _versions(self) -> dict[Credential, list[_Version]]:
        """List the contents that each credential ever had, oldest first."""
        found: dict[Credential, list[_Version]] = {}
        seen: set[tuple[str, str]] = set()
        for revision in history.revisions(self._git, self._head, whole=True, is_oldest_first=True):
            bare = revision.bare
            for change in revision.changes:
                if not change.after or (change.path, change.after) in seen:
                    continue
                credential = history.credential(self._git, self._store, change.path)
                if credential is not None:
                    seen.add((change.path, change.after))
                    found.setdefault(credential, []).append(_Version(bare, change.after))
        return found

    def _today(self) -> dict[Credential, list[str]]:
        """List what the newest commit holds: the ids of the contents of each credential."""
        found: dict[Credential, list[str]] = defaultdict(list)
        for record in self._git.run("ls-tree", "-r", "-z", "--full-tree", self._head).split(b"\0"):
            facts, _, path = record.partition(b"\t")
            credential = history.credential(self._git, self._store, os.fsdecode(path)) if path else None
            mode, _, blob = facts.decode().split() if path else ("", "", "")
            if credential is not None and mode in _FILES:
                found[credential].append(blob)
        return dict(found)

    def _can_read(self, blob: str) -> bool:
        readers = self._contents.readers(blob)
        return bool(self._key_ids & readers) or packets.HIDDEN in readers

    def _decide(self, known: dict[Credential, _Known]) -> None:
        """Find the state of each credential; decrypt only what the commits do not show."""
        for one in known.values():
            if any(map(self._can_read, one.now)):
                one.state = READABLE
            elif one.now and _is_only_rekeyed(one):
                one.state = OPEN
        doubtful = {credential: one for credential, one in known.items() if not one.state}
        if doubtful:
            today = [blob for found in self._now.values() for blob in found]
            self._contents.read([*today, *(version.blob for one in doubtful.values() for version in one.versions)])
            self._compare(doubtful, today)

    def _compare(self, doubtful: dict[Credential, _Known], today: list[str]) -> None:
        """Compare what the key could read with all that the store says today."""
        places: dict[str, set[Credential]] = defaultdict(set)
        for credential, found in self._now.items():
            for blob in found:
                places[self._contents.digest(blob)].add(credential)
        unread = {_registry(credential) for credential in places.pop("", set())}
        readers = {packets.HIDDEN}.union(*map(self._contents.readers, today)) - self._key_ids
        for credential, one in doubtful.items():
            there = {place for said in self._secrets(one) for place in places[said]}
            if credential in there:
                one.state = OPEN
            elif there:
                one.state, one.places = MOVED, there
            elif not self._contents.large.isdisjoint(version.blob for version in one.readable):
                one.state = UNKNOWN  # erased, too: it may stand elsewhere, and nobody can compare
            elif _registry(credential) in unread or (one.now and not self._is_comparable(one, readers)):
                one.state = UNKNOWN
            else:
                one.state = CHANGED if one.now else ERASED

    def _secrets(self, one: _Known) -> set[str]:
        """Give what the key could read; where nobody here can tell, what followed it and may be the same."""
        digest = self._contents.digest
        found = {digest(version.blob) for version in one.readable}
        if found == {""}:
            later = one.versions[one.versions.index(one.readable[-1]) + 1 :]
            found = {digest(version.blob) for version in later if version.blob not in one.now}
        return found - {""}

    def _is_comparable(self, one: _Known, others: set[str]) -> bool:
        """Return whether all that the key could read and that anybody else can still read was read here."""
        missing = [version.blob for version in one.readable if not self._contents.digest(version.blob)]
        return bool(self._secrets(one)) and not any(others & self._contents.readers(blob) for blob in missing)


def _is_only_rekeyed(one: _Known) -> bool:
    """Return whether the commits say so; a false claim only adds credentials to change, it never hides one."""
    later = one.versions[one.versions.index(one.readable[-1]) + 1 :]
    return bool(later) and all(version.revision.is_rekeying for version in later)


def _registry(credential: Credential) -> object:
    """Give what the names of one registry have in common."""
    return normalize(credential[0]) or credential[0]
