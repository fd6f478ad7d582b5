"""What the store holds: server, user, when it was changed, who can read it, and whether it still works."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passhelper.credentials import Credentials
from passhelper.docker.config import HUB_TOKENS
from passhelper.errors import DockerError, GpgNotFoundError, PasshelperError
from passhelper.store import cipher, packets
from passhelper.store.binding import BINDING, binding
from passhelper.store.helper import logged_out
from passhelper.store.layout import encode_server
from passhelper.store.store import Entry, PassStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.docker import registrycheck
    from passhelper.team.keyring.key import Key

AT_ONCE = 8  # registries that are asked at the same time
SECONDS = 300.0  # for all of them together, as for the remotes of one command


@dataclass(frozen=True)
class Reader:
    """One key that an entry is encrypted to.

    Attributes:
        key_id: as the entry names it; sixteen zeros for a hidden one.
        fingerprint: of the key, empty if it is not in this keyring.
        uid: its owner, empty likewise.
    """

    key_id: str
    fingerprint: str = ""
    uid: str = ""

    @property
    def is_hidden(self) -> bool:
        """Whether the entry does not say which key it is."""
        return self.key_id == packets.HIDDEN

    def __str__(self) -> str:
        """Name the reader in a table."""
        return self.uid or ("(hidden)" if self.is_hidden else self.key_id)


@dataclass(frozen=True)
class Item:
    """One credential.

    Attributes:
        entry: where it is.
        changed: when it was last committed, in seconds since 1970; None if it is not known.
        readers: who can decrypt it.
        trouble: why the file is not an entry, empty if it is one.
        is_logged_out: whether this clone has logged out of the server.
    """

    entry: Entry
    changed: int | None
    readers: tuple[Reader, ...]
    trouble: str = ""
    is_logged_out: bool = False


def items(store: PassStore, readable_by: str = "") -> list[Item]:
    """List all credentials, by server.

    Args:
        store: the store.
        readable_by: only those that this key can read: a fingerprint or an e-mail address. An entry that hides
            its readers may be one of them. Second users of a server are listed too: the key can read them, though
            Docker never gets them.

    Raises:
        ConfigurationError: ``readable_by`` means no key, or several.
    """
    from passhelper.team.git.history import last_changes  # noqa: PLC0415 - may need GitPython

    listed = _every_entry(store) if readable_by else store.walk()
    entries = sorted(listed, key=lambda entry: entry.server.encode())
    wanted: set[str] = set()
    keys: Sequence[Key] = ()
    try:
        if entries or readable_by:
            from passhelper.team.keyring.keys import KeyRing  # noqa: PLC0415 - an empty store needs no gpg

            ring = KeyRing(store.gpg)
            keys = ring.all()
            if readable_by:
                wanted = {*ring.resolve(readable_by).key_ids, packets.HIDDEN}
    except GpgNotFoundError:
        if readable_by:
            raise
    owners = {key_id: key for key in keys for key_id in key.key_ids}
    changes = (last_changes(store) or {}) if entries else {}
    found = [_item(store, entry, owners, changes) for entry in entries]
    hidden = logged_out(store)
    found = [replace(item, is_logged_out=encode_server(item.entry.server) in hidden) for item in found]
    if readable_by:
        found = [item for item in found if any(reader.key_id in wanted for reader in item.readers)]
    return found


def _every_entry(store: PassStore) -> list[Entry]:
    """List the entries that Docker gets, and those that it does not: second users, other spellings of a directory."""
    from passhelper.team.entries.drift import directories  # noqa: PLC0415 - only for one question

    found: list[Entry] = []
    for name, server in directories(store):
        with suppress(OSError):  # nor does the list of what is served name what cannot be listed
            found += store.entries(server, name)
    return found


def _item(store: PassStore, entry: Entry, owners: dict[str, Key], changes: dict[str, int]) -> Item:
    changed = changes.get(entry.path)
    try:
        descriptor = store.open(entry)
        with open(descriptor, "rb") as file:
            ids = packets.key_ids(file.read(packets.MAX_HEADERS))
    except PasshelperError as error:
        return Item(entry, changed, (), error.cause)
    except OSError as error:
        return Item(entry, changed, (), f"cannot be read: {error.strerror}")
    readers = [Reader(key_id, owners[key_id].fingerprint, owners[key_id].uid) if key_id in owners else Reader(key_id)
               for key_id in ids]  # fmt: skip
    return Item(entry, changed, tuple(readers))


def check(store: PassStore, entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Ask the registries whether credentials still work, some at a time, those that are bound to their server.

    An entry that is not bound may have been copied from another server; sending it out would hand the
    password to whoever copied it. All waiting for registries together takes at most :data:`SECONDS`.

    Returns:
        for each a stable word (``works``, ``refused``, ``open``, ``unbound``, ``untried``, ``failed``) and the reason,
        if there is one.
    """
    until = time.monotonic() + SECONDS
    results: list[tuple[str, str]] = []
    asked: deque[registrycheck.Asked | tuple[str, str]] = deque()
    for entry in entries:
        if len(asked) == AT_ONCE:
            results.append(_result(asked.popleft()))
        if time.monotonic() >= until:
            asked.append(("failed", f"not asked, because the others have taken {SECONDS:g} s"))
        else:
            asked.append(_ask(store, entry, until))  # one after the other: gpg may want to know a passphrase
    return results + [_result(one) for one in asked]


def _ask(store: PassStore, entry: Entry, until: float) -> registrycheck.Asked | tuple[str, str]:
    from passhelper.docker import registrycheck  # noqa: PLC0415 - needs httpx

    if entry.server in HUB_TOKENS:
        return "untried", "a token of docker's own login to Docker Hub, not a password"
    try:
        with open(store.open(entry), "rb") as file:
            plaintext = cipher.decrypt(store.gpg, file.read(), os.path.relpath(entry.path, store.root))
        if plaintext.name != binding(entry.server, entry.username):
            if plaintext.name.startswith(BINDING):
                return "failed", "moved here from another server"
            return "unbound", "not bound to its server, so not sent: store it again with passhelper"
        secret = plaintext.data.decode().rstrip("\r\n")
        return registrycheck.Asked(Credentials(entry.server, entry.username, secret), until)
    except UnicodeDecodeError:
        return "failed", "the secret is not UTF-8 text"
    except PasshelperError as error:
        return "failed", str(error)
    except OSError as error:
        return "failed", f"cannot be read: {error.strerror}"


def _result(asked: registrycheck.Asked | tuple[str, str]) -> tuple[str, str]:
    if isinstance(asked, tuple):
        return asked
    try:
        return asked.verdict().value, ""
    except DockerError as error:
        return "failed", error.cause
    except PasshelperError as error:
        return "failed", str(error)
