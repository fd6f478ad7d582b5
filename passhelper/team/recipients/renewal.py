"""Keys that have changed since they were put into the store: a new expiry, a new or a revoked subkey."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GpgError
from passhelper.store import recipients, treepolicy, trust
from passhelper.store.keynames import digits
from passhelper.team.entries.batch import Batch
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.keyring.key import names
from passhelper.team.keyring.keypackets import material
from passhelper.team.recipients import publickeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.keyring.key import Key


def outdated(store: PassStore, keys: Iterable[Key]) -> list[Key]:
    """List the keys of which the store's file lacks something that this keyring knows; one without a file is not.

    Raises:
        GpgError: a key cannot be exported.
    """
    found = []
    for key in keys:
        path, data = publickeys.export(store, key)
        there = publickeys.read(os.path.join(store.root, path))
        if there is not None and not material(data) <= material(there):
            found.append(key)
    return found


def share_own(store: PassStore, git: Git) -> list[str]:
    """Put what has changed in this machine's own keys into the store, and commit it.

    A file that a signed list names by its digest is left to whoever signs, for others would not take another one.

    Returns:
        the fingerprints of the keys whose file was renewed.

    Raises:
        PasshelperError: it cannot be committed.
    """
    accepted = trust.load(git.repository.state) or {}
    named = {digits(line) for keys in accepted.values() for line in keys}
    if store.environ.get("PASSWORD_STORE_KEY", "").split() or git.is_on("passhelper.ci") or not named:
        return []
    rekey = Rekey(store, jobs=1)
    try:
        keys = outdated(store, [key for key in rekey.ring.own() if key.is_own and not named.isdisjoint(key.subkeys)])
    except GpgError as error:
        store.warn(f"whether this machine's own key has changed is not known: {error}")
        return []
    signed = _named_by_digest(store, accepted)
    for key in keys:
        if key.fingerprint in signed:
            store.warn(
                f"key {key} has changed since the lists of recipients that name its file were signed; send it to "
                "whoever signs them, who runs: passhelper recipients add KEYFILE"
            )
    free = [key for key in keys if key.fingerprint not in signed]
    if free:
        files = [
            (os.path.join(store.root, treepolicy.KEYS, key.fingerprint), publickeys.united(store, key)) for key in free
        ]
        rekey.put(Batch(subject(free), others=files))
    return [key.fingerprint for key in free]


def subject(keys: Sequence[Key]) -> str:
    """Give the subject of the commit that renews the files of some keys."""
    return f"Renew the public key{'s' * (len(keys) > 1)} {names(keys)}"


def _named_by_digest(store: PassStore, paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        text = recipients.read_file(store.root, path)
        header = recipients.header(text) if text is not None else None
        if header is not None:
            found |= set(header.keys)
    return found
