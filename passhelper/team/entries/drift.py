"""Compare an entry's readers with its recipients, without decryption and with one look at the keyring.

An entry names the key ids that it is encrypted to in the clear; its ``.gpg-id`` names keys. The ids of a recipient are
those of all his subkeys that encrypt, expired ones too, as for ``pass``; any one of them is enough. What is uncertain
is not called wrong: a hidden reader may be any recipient who is not seen. So may an id without a key here, if a
recipient's key is not in this keyring. Only if there are more of them than such recipients, it is drift.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from passhelper.errors import StoreError
from passhelper.store import keyinfo, keynames, layout, packets, recipients
from passhelper.team.entries.limits import Limits, is_odd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.limits import Closed
    from passhelper.team.keyring.key import Key
    from passhelper.team.keyring.keys import KeyRing


@dataclass(frozen=True)
class Recipient:
    """One line of a ``.gpg-id``.

    Attributes:
        line: as it is written.
        keys: what it means in this keyring: one key, none, or, for an address, perhaps several.
    """

    line: str
    keys: tuple[Key, ...]

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids by which a message may name this recipient, without the revoked ones."""
        if not self.keys:  # a key that can itself encrypt is named by its fingerprint
            if not keynames.is_fingerprint(self.line):
                return frozenset()
            return frozenset([keynames.long_id(self.line.removesuffix("!"))])
        return frozenset(
            each for key in self.keys for each in key.key_ids if each not in key.revoked_ids and self._means(each)
        )

    @property
    def is_pinned(self) -> bool:
        """Whether only one subkey of the key is meant."""
        return keyinfo.is_pinned(self.line)

    def is_among(self, readers: Collection[str], pinned: Collection[str]) -> bool:
        """Return whether a message is encrypted to this recipient.

        Args:
            readers: the key ids that it names.
            pinned: the ids of subkeys that are recipients of their own. Such a one stands for its key as a whole only
                if gpg would take it for that.
        """
        found = self.key_ids.intersection(readers)
        newest = {each for key in self.keys for each in key.newest_ids}
        return bool(found if self.is_pinned else found.difference(pinned) | (found & newest))

    def _means(self, key_id: str) -> bool:
        return not self.is_pinned or keyinfo.names(self.line, key_id)

    @property
    def is_usable(self) -> bool:
        """Whether it can be encrypted to today."""
        return any(key.can_encrypt and any(map(self._means, key.usable_ids)) for key in self.keys)

    @property
    def is_own(self) -> bool:
        """Whether this machine can decrypt what is encrypted to it."""
        return any(key.is_own and any(map(self._means, key.own_ids)) for key in self.keys)

    @property
    def uid(self) -> str:
        """The owner; empty if nobody here knows."""
        return self.keys[0].uid if self.keys else ""

    def __str__(self) -> str:
        """Name the recipient in a table."""
        return f"{self.line} {self.uid or '(not in this keyring)'}"


@dataclass(frozen=True)
class Drift:
    """How the readers of an entry differ from its recipients.

    Attributes:
        missing: recipients who are not among the readers; where readers are hidden or unknown, some of these.
        extra: ids of keys in this keyring that are not a recipient's, or revoked.
        unknown: ids that are in no key of this keyring and no recipient's for certain.
        hidden: how many readers the entry does not name.
        surplus: how many of ``unknown`` and ``hidden`` there are beyond the recipients who are not seen.
    """

    missing: tuple[Recipient, ...] = ()
    extra: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    hidden: int = 0
    surplus: int = 0

    @property
    def is_there(self) -> bool:
        """Whether the readers are certainly not the recipients."""
        return bool(self.missing or self.extra or self.surplus)

    @property
    def is_uncertain(self) -> bool:
        """Whether some readers could only be counted."""
        return bool(self.hidden or self.unknown)


def compare(ids: Sequence[str], wanted: Sequence[Recipient], known: Mapping[str, Key]) -> Drift:
    """Compare the readers of an entry with its recipients.

    Args:
        ids: the key ids that the entry is encrypted to.
        wanted: the recipients.
        known: the keys of the keyring by all their ids.
    """
    visible = dict.fromkeys(each for each in ids if each != packets.HIDDEN)
    hidden = sum(each == packets.HIDDEN for each in ids)
    pinned = {key_id for recipient in wanted if recipient.is_pinned for key_id in recipient.key_ids}
    unseen = [recipient for recipient in wanted if not recipient.is_among(visible, pinned)]
    others = [each for each in visible if not any(each in recipient.key_ids for recipient in wanted)]
    extra = tuple(each for each in others if each in known)
    unknown = tuple(each for each in others if each not in known)
    # An unknown id can only be a recipient's whose key is not here; a hidden one can be anybody's.
    absent = [recipient for recipient in unseen if not recipient.keys]
    taken = min(len(unknown), len(absent))
    lacking = len(unseen) - taken
    missing: list[Recipient] = []
    if hidden < lacking:
        missing = [recipient for recipient in unseen if recipient.keys or not taken]
        if hidden or not missing:  # some of them; which ones cannot be told
            missing = unseen
    surplus = len(unknown) - taken + max(0, hidden - lacking)
    return Drift(tuple(missing), extra, unknown, hidden, surplus)


class Policy:
    """The recipients of everything, by the store's ``.gpg-id`` files; ``PASSWORD_STORE_KEY`` is ignored here.

    Args:
        store: which.
        ring: where the keys are looked up, each once.
        changed: what some of the files will say, as lines by path relative to the store; None for a file that goes.
        accepted: the paths of the lists that this machine has accepted; see :meth:`sources`.
    """

    def __init__(
        self,
        store: PassStore,
        ring: KeyRing,
        changed: Mapping[str, Sequence[str] | None] | None = None,
        accepted: Collection[str] = (),
    ) -> None:
        self._store = store
        self._ring = ring
        self._changed = changed or {}
        self._accepted = accepted
        self._sources: dict[str, tuple[Recipient, ...] | None] = {}
        self._lines: dict[str, Recipient] = {}

    @property
    def known(self) -> Mapping[str, Key]:
        """The keys of the keyring by all ids that they encrypt to."""
        return {key_id: key for key in self._ring.all() for key_id in key.key_ids}

    def source(self, directory: str) -> str:
        """Find the ``.gpg-id`` that applies to a server directory, as a path relative to the store.

        Raises:
            StoreError: there is none, or it cannot be used.
        """
        for path in recipients.candidates(directory):
            if self._read(path) is not None:
                return path
        recipients.find(self._store.root, directory, {})  # says why not
        raise StoreError(f"no .gpg-id applies to {directory}")  # pragma: no cover - one has just been made

    def sources(self, directory: str) -> list[str]:
        """List every ``.gpg-id`` that matters for a server directory; raises as :meth:`source` does.

        The one that applies comes first, then those of its registry's other names, accepted ones without a file too.
        """
        server = layout.decode_server(directory)
        found = self._limits.others(server) if server is not None else []
        return [self.source(directory), *(path for _, path in found)]

    def decides(self, paths: Collection[str], directory: str) -> bool:
        """Return whether one of some lists matters for a server directory."""
        return any(path in paths for path in self.sources(directory))

    @cached_property
    def _limits(self) -> Limits:
        there = [recipients.own(name) for name, _ in directories(self._store)]
        there = [path for path in there if os.path.lexists(os.path.join(self._store.root, path))]
        return Limits([*there, *self._changed, *self._accepted], self._named)

    def _named(self, path: str) -> set[str] | None:
        try:
            found = self._read(path)
        except StoreError:
            return set()  # a list that cannot be used lets nobody in
        return None if found is None else {each.line for each in found}

    def closed(self, server: str, directory: str, ids: Sequence[str]) -> Closed | None:
        """Find the recipients for whom an entry is not to be encrypted anew; see :mod:`passhelper.team.entries.limits`.

        Args:
            server: the entry's.
            directory: where it lies.
            ids: the key ids that it is encrypted to.
        """
        if not is_odd(directory) and not self._limits.others(server):
            return None
        wanted = self.of(directory)
        absent = [each.line for each in wanted if each.key_ids.isdisjoint(ids)]
        return self._limits.closed(server, directory, [each.line for each in wanted], absent)

    def of(self, directory: str) -> tuple[Recipient, ...]:
        """Find the recipients for a server directory; raises as :meth:`source` does."""
        return self._read(self.source(directory)) or ()

    def recipient(self, line: str) -> Recipient:
        """Look up one line in the keyring."""
        if line not in self._lines:
            self._lines[line] = Recipient(line, tuple(self._ring.find(line)))
        return self._lines[line]

    def _read(self, path: str) -> tuple[Recipient, ...] | None:
        if path not in self._sources:
            self._sources[path] = self._parse(path)
        return self._sources[path]

    def _parse(self, path: str) -> tuple[Recipient, ...] | None:
        if path in self._changed:
            lines = self._changed[path]
        else:
            text = recipients.read_file(self._store.root, path)
            full = os.path.join(self._store.root, path)
            lines = None if text is None else recipients.parse(text, full)
            if lines is not None and not lines:
                raise StoreError(f"{full} names no key", "write one key fingerprint per line")
        return None if lines is None else tuple(self.recipient(keynames.normalize(line)) for line in lines)


def directories(store: PassStore, servers: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """List the server directories, by name, with what they mean; of some servers, every spelling."""
    if servers is not None:
        return [(name, server) for server in servers for name in layout.spellings(server)]
    store.check_folder()
    try:
        names = sorted(item.name for item in os.scandir(store.folder) if item.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    decoded = ((name, layout.decode_server(name)) for name in names)
    return [(name, server) for name, server in decoded if server is not None]
