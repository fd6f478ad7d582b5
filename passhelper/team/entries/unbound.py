"""Find the entries that are not bound to their server: those that ``pass``, Docker's helper or gopass have written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.credentials import Credentials, decoded
from passhelper.errors import LockedKeyError, PasshelperError, printable
from passhelper.store import cipher
from passhelper.store.binding import BINDING, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from passhelper.store.store import Entry, PassStore


@dataclass(frozen=True)
class Unbound:
    """An entry that is not bound, as it was when it was read.

    Attributes:
        entry: where it is.
        credentials: what it holds.
        digest: of its file.
    """

    entry: Entry
    credentials: Credentials
    digest: str

    @property
    def is_current(self) -> bool:
        """Whether its file is still the same."""
        try:
            with open(self.entry.path, "rb") as file:
                return digest(file.read()) == self.digest
        except OSError:
            return False


def find(
    store: PassStore, entries: Sequence[Entry], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> tuple[list[Unbound], list[str]]:
    """Decrypt some entries and pick those that are not bound to any server.

    Args:
        store: whose.
        entries: which.
        progress: called with the number of entries that are done and that there are.

    Returns:
        the entries, and why others could not be looked at.

    Raises:
        LockedKeyError: this machine's key is locked.
    """
    found, troubles = [], []
    for number, entry in enumerate(entries, 1):
        label = printable(os.path.relpath(entry.path, store.root))
        try:
            with open(store.open(entry), "rb") as file:
                message = file.read()
            plaintext = cipher.decrypt(store.gpg, message, label)
            if plaintext.name.startswith(BINDING):
                store.check_place(entry, plaintext.name)
            else:
                credentials = Credentials(entry.server, entry.username, decoded(plaintext.data, entry.server))
                found.append(Unbound(entry, credentials, digest(message)))
        except LockedKeyError:
            raise
        except PasshelperError as error:
            troubles.append(str(error))
        except OSError as error:
            troubles.append(f"{label} cannot be read: {error.strerror}")
        progress(number, len(entries))
    return found, troubles
