"""Which credentials somebody knows: all that a key could ever read, and whether they have been changed since.

To take a reader away does not make the reader forget. What the key could decrypt in any commit is known, until the
credential itself is another one: so the secret of today is compared with the last one that the key could
read, unless a commit shows by itself that it only re-encrypted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GitError, PasshelperError, StoreError
from passhelper.store import foreign, keyinfo, packets, recipients
from passhelper.store.child import finish
from passhelper.team import blobs, gitrepo, history
from passhelper.team.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.store.store import PassStore
    from passhelper.team.gitrepo import Git
    from passhelper.team.history import Revision

READABLE = "readable"  # the key reads it today
OPEN = "unchanged"  # only the readers have changed
UNKNOWN = "unknown"  # this machine cannot compare the secrets
CHANGED = "changed"
ERASED = "erased"
_DONE = (CHANGED, ERASED)


@dataclass(frozen=True)
class RotationItem:
    """One credential that a key could read.

    Attributes:
        server, username: which.
        first: the commit with which the key could read it first.
        last: the commit that made the last version that it could read.
        state: a stable word: ``readable``, ``unchanged``, ``unknown``, ``changed`` or ``erased``.
        is_certain: whether the key is named; False where recipients are hidden.
    """

    server: str
    username: str
    first: Revision
    last: Revision
    state: str
    is_certain: bool

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
    place = store.repository("")
    if place is None:
        raise StoreError(
            f"{store.root} is no git repository, so nobody knows what a key could read before",
            "run: passhelper list --readable-by KEY",
        )
    with gitrepo.opened(place, store.environ) as git:
        if not history.has_commits(git):
            return []
        if history.is_shallow(git):
            raise GitError(
                f"{place.root} is a shallow clone, which does not know what a key could read before",
                f"run: git -C {place.root} fetch --unshallow",
            )
        return _Search(store, git, _key_ids(store, git, name)).run()


def open_for(store: PassStore, fingerprint: str) -> list[RotationItem]:
    """List the credentials that a key knows and that have not been changed since; raises as :func:`find` does."""
    return [item for item in find(store, fingerprint) if item.is_open]


def _key_ids(store: PassStore, git: Git, name: str) -> frozenset[str]:
    """Find what messages call a key, also one that is no longer in the keyring."""
    try:
        key = KeyRing(store.gpg).resolve(name)
        line = "".join(name.split())
        return frozenset(each for each in key.key_ids if not keyinfo.is_pinned(line) or keyinfo.names(line, each))
    except ConfigurationError:
        bare = recipients.normalize("".join(name.split())).removesuffix("!")
        if not recipients.is_fingerprint(bare):
            raise
        found = frozenset(_travelled(store, git, bare))
        if not found:
            raise
        return found


def _travelled(store: PassStore, git: Git, fingerprint: str) -> Iterator[str]:
    """Read the key ids from the public keys that once lay in the store."""
    for revision in history.revisions(git, whole=True, paths=(foreign.KEYS,)):
        for change in revision.changes:
            if change.after and fingerprint.endswith(os.path.basename(change.path).upper().removeprefix("0X")):
                data = blobs.read(git, [change.after])[change.after]
                child = store.gpg.ask("--with-colons", "--import-options", "show-only", "--import", stdin=data)
                text = child.stdout.decode(errors="replace")
                if [key.fingerprint for key in keyinfo.parse_keys(text)] == [fingerprint]:
                    rows = [line.split(":") for line in text.splitlines()]
                    yield from (row[4] for row in rows if row[0] in ("pub", "sub") and "e" in row[11])


@dataclass(frozen=True)
class _Version:
    """One content of one entry."""

    revision: Revision
    blob: str


class _Search:
    """The history of one store, as one key could read it."""

    def __init__(self, store: PassStore, git: Git, key_ids: frozenset[str]) -> None:
        self._store = store
        self._git = git
        self._key_ids = key_ids
        self._readers: dict[str, frozenset[str]] = {}

    def run(self) -> list[RotationItem]:
        versions = self._versions()
        self._read({version.blob for found in versions.values() for version in found})
        now = self._now()
        items = []
        for path, found in versions.items():
            readable = [version for version in found if self._can_read(version.blob)]
            named = history.credential(self._git, self._store, path)
            if readable and named is not None:
                is_certain = any(self._key_ids & self._readers[version.blob] for version in readable)
                state = self._state(found, readable[-1], now.get(path, ""))
                items.append(RotationItem(*named, readable[0].revision, readable[-1].revision, state, is_certain))
        return sorted(items, key=lambda item: (item.server.encode(), item.username.encode()))

    def _versions(self) -> dict[str, list[_Version]]:
        """List the contents that each entry ever had, oldest first."""
        found: dict[str, list[_Version]] = {}
        seen: set[tuple[str, str]] = set()
        for revision in reversed(history.revisions(self._git, whole=True)):
            for change in revision.changes:
                if not change.after or (change.path, change.after) in seen:
                    continue
                if history.credential(self._git, self._store, change.path) is not None:
                    seen.add((change.path, change.after))
                    found.setdefault(change.path, []).append(_Version(revision, change.after))
        return found

    def _now(self) -> dict[str, str]:
        """List what the last commit holds: ids of contents by path."""
        found = {}
        for record in self._git.run("ls-tree", "-r", "-z", "--full-tree", "HEAD").split(b"\0"):
            facts, _, path = record.partition(b"\t")
            if path:
                found[os.fsdecode(path)] = facts.split()[2].decode()
        return found

    def _read(self, wanted: set[str]) -> None:
        for blob, data in blobs.read(self._git, wanted).items():
            try:
                self._readers[blob] = frozenset(packets.key_ids(data[: packets.MAX_HEADERS]))
            except packets.PacketError:
                self._readers[blob] = frozenset()  # nobody reads what is no message

    def _can_read(self, blob: str) -> bool:
        readers = self._readers[blob]
        return bool(self._key_ids & readers) or packets.HIDDEN in readers

    def _state(self, versions: list[_Version], last: _Version, now: str) -> str:
        if not now:
            return ERASED
        if now not in self._readers:  # what was committed beside a merge, and never by itself
            self._read({now})
        if self._can_read(now):
            return READABLE
        later = versions[versions.index(last) + 1 :]
        if later and all(version.revision.is_rekeying for version in later):
            return OPEN
        return self._compare(last.blob, now)

    def _compare(self, old: str, new: str) -> str:
        """Decrypt two versions and compare what they say."""
        if not self._readers[new]:
            return UNKNOWN  # no message that gpg may see
        contents = blobs.read(self._git, [old, new])
        gpg = self._store.gpg
        sources = [contents[old], contents[new]]
        try:
            children = [gpg.start_decrypt(source) for source in sources]
            finish(children, gpg.timeout())
            before, after = (
                gpg.finish_decrypt(child, source, "an older version")
                for child, source in zip(children, sources, strict=True)
            )
        except PasshelperError:
            return UNKNOWN
        return OPEN if before.data == after.data else CHANGED
