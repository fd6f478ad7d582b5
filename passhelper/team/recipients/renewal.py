"""Keys that have changed since they were put into the store: a new expiry, a new or a revoked subkey."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GpgError
from passhelper.store import packets, recipients, treepolicy, trust
from passhelper.store.keynames import digits
from passhelper.team.entries.batch import Batch
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.keyring.key import names
from passhelper.team.recipients import publickeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.keyring.key import Key

_SIGNATURE = 2
_UNSAID = (10, 12, 21)  # a marker, padding, and what gpg notes of its own trust: RFC 9580, 5.8, 5.10 and 5.14
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


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


def material(data: bytes) -> set[bytes]:
    """Read what a key file says: its packets, each without what its maker has not signed, which others may change.

    Args:
        data: the file, binary or armored; what cannot be read says nothing.
    """
    found: set[bytes] = set()
    try:
        body = packets.binary(data, len(data), _ARMOR)
        position = 0
        while position < len(body):
            tag, start, length = packets.header(body, position)
            if length is None:
                return found
            position = start + length
            if tag not in _UNSAID:
                packet = body[start:position]
                found.add(bytes([tag]) + (_signed_part(packet) if tag == _SIGNATURE else packet))
    except packets.PacketError:
        return found
    return found


def _signed_part(packet: bytes) -> bytes:
    """Leave the unhashed subpackets out of a signature (RFC 9580, 5.2.3)."""
    wide = 4 if packet[:1] == b"\x06" else 2  # octets of the two lengths
    begin = 4 + wide
    hashed = begin + int.from_bytes(packet[4:begin], "big")
    unhashed = hashed + wide + int.from_bytes(packet[hashed : hashed + wide], "big")
    return packet[:hashed] + packet[unhashed:]


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
