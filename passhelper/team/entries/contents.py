"""The contents of versions of entries, as far as this machine can read them: decrypted in parallel, compared by digest.

No secret is kept, only a digest of each, whose key ends with this process.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from passhelper.errors import LockedKeyError, PasshelperError
from passhelper.store import cipher, packets
from passhelper.store.child import finish
from passhelper.store.layout import MAX_ENTRY
from passhelper.team.git import blobs
from passhelper.team.keyring.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper.store.child import Child
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git

_BATCH = 64  # versions that are in memory at a time, still encrypted
_LABEL = "a version"  # in messages that nobody sees


class Contents:
    """Reads versions of entries, each once.

    Args:
        store: whose.
        git: its repository.

    Attributes:
        locked: why versions could not be read that one of this machine's keys opens; None if none was locked.
        large: the versions that are larger than an entry may be; they are not looked at, and may be for anybody.
    """

    def __init__(self, store: PassStore, git: Git) -> None:
        self._gpg = store.gpg
        self._git = git
        self._own = {each for key in KeyRing(store.gpg).own() for each in key.own_ids} | {packets.HIDDEN}
        self._salt = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._readers: dict[str, frozenset[str]] = {}
        self._digests: dict[str, str] = {}
        self._tried: dict[frozenset[str], bool] = {}  # by our keys that open it: whether they are unlocked
        self.locked: LockedKeyError | None = None
        self.large: frozenset[str] = frozenset()

    def readers(self, blob: str) -> frozenset[str]:
        """Give the ids of the keys that open a version; none if it is not a message.

        A message that does not name its readers in a way that we know, such as one that a password opens too, may be
        for anybody.
        """
        if blob not in self._readers:
            self.look([blob])
        return self._readers[blob]

    def look(self, wanted: Iterable[str]) -> None:
        """Read who can open some versions; one question to git for all of them."""
        new = set(wanted).difference(self._readers)
        large = blobs.larger(self._git, new, MAX_ENTRY)
        self.large |= large
        self._readers.update(dict.fromkeys(large, frozenset([packets.HIDDEN])))
        for blob, data in blobs.each(self._git, new - large):
            try:
                self._readers[blob] = frozenset(packets.key_ids(data[: packets.MAX_HEADERS]))
            except packets.PacketError as error:
                is_message = error.is_message or len(data) > packets.MAX_HEADERS
                self._readers[blob] = frozenset([packets.HIDDEN] if is_message else [])

    def digest(self, blob: str) -> str:
        """Give a digest of a version's content, to compare with others; empty if this machine cannot read it."""
        if blob not in self._digests:
            self.read([blob])
        return self._digests[blob]

    def read(self, wanted: Iterable[str]) -> None:
        """Decrypt some versions, as many side by side as there are processors."""
        new = sorted(set(wanted).difference(self._digests))
        self.look(new)
        for begin in range(0, len(new), _BATCH):
            part = new[begin : begin + _BATCH]
            self._digests.update(dict.fromkeys(part, ""))
            mine = [blob for blob in part if self._own & self._readers[blob] and blob not in self.large]
            self._decrypt({blob: data for blob, data in blobs.each(self._git, mine) if _may_be_given(data)})

    def _decrypt(self, messages: dict[str, bytes]) -> None:
        waiting = list(messages)
        running: dict[str, Child] = {}
        jobs = os.cpu_count() or 1
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    blob = waiting.pop()
                    own = frozenset(self._own & self._readers[blob])
                    if own not in self._tried:  # the first with each key alone: it may ask for a passphrase
                        self._first(own, blob, messages[blob])
                    elif self._tried[own]:
                        running[blob] = self._gpg.start_decrypt(messages[blob])
                if running:
                    finish(list(running.values()), self._gpg.deadline.seconds, first=True)
                for blob in [blob for blob, child in running.items() if child.returncode is not None]:
                    self._take(blob, running.pop(blob), messages[blob])
        finally:
            for child in running.values():
                child.kill()

    def _first(self, own: frozenset[str], blob: str, message: bytes) -> None:
        self._tried[own] = True
        self._take(blob, self._gpg.start_decrypt(message), message)

    def _take(self, blob: str, child: Child, message: bytes) -> None:
        try:
            said = cipher.finish_decrypt(self._gpg, child, message, _LABEL).data
        except LockedKeyError as error:
            self.locked = error
            self._tried[frozenset(self._own & self._readers[blob])] = False
        except PasshelperError:
            pass  # it says nothing here
        else:
            # As get gives it: line ends behind a password are not part of it.
            self._digests[blob] = hashlib.blake2b(said.rstrip(b"\r\n"), key=self._salt).hexdigest()


def _may_be_given(message: bytes) -> bool:
    """Return whether gpg may see a message; see :mod:`passhelper.store.packets`."""
    try:
        packets.key_ids(message[: packets.MAX_HEADERS])
    except packets.PacketError:
        return False
    return True
