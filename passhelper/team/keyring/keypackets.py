"""The packets of a public key file, read without gpg: what the key says, and which subkeys it calls its own.

Nothing here looks at a signature. Whether a subkey belongs to a key gpg alone decides.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from passhelper.store import packets

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE, _KEY, _SUBKEY = 2, 6, 14  # packet types: RFC 9580, 5
_UNSAID = (10, 12, 21)  # a marker, padding, and what gpg notes of its own trust: RFC 9580, 5.8, 5.10 and 5.14
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


def material(data: bytes) -> set[bytes]:
    """Read what a key file says: its packets, each without what its maker has not signed, which others may change.

    Args:
        data: the file, binary or armored; what cannot be read says nothing.
    """
    return {
        bytes([tag]) + (_signed_part(body) if tag == _SIGNATURE else body)
        for tag, body in _packets(data)
        if tag not in _UNSAID
    }


def fingerprints(data: bytes) -> set[str]:
    """List the fingerprints of the keys and subkeys in a file, of versions 4 and 6: RFC 9580, 5.5.4."""
    found = set()
    for tag, body in _packets(data):
        if tag not in (_KEY, _SUBKEY):
            continue
        if body[:1] == b"\x04":
            hashed = b"\x99" + len(body).to_bytes(2, "big") if len(body) < 1 << 16 else b""
            found.add(hashlib.sha1(hashed + body, usedforsecurity=False).hexdigest().upper())
        elif body[:1] == b"\x06":
            found.add(hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper())
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """List the packets of a file, as far as they can be read: the type and the body of each."""
    try:
        content = packets.binary(data, len(data), _ARMOR)
        position = 0
        while position < len(content):
            tag, start, length = packets.header(content, position)
            if length is None:
                return
            position = start + length
            yield tag, content[start:position]
    except packets.PacketError:
        return


def _signed_part(packet: bytes) -> bytes:
    """Leave the unhashed subpackets out of a signature: RFC 9580, 5.2.3."""
    wide = 4 if packet[:1] == b"\x06" else 2  # octets of the two lengths
    begin = 4 + wide
    hashed = begin + int.from_bytes(packet[4:begin], "big")
    unhashed = hashed + wide + int.from_bytes(packet[hashed : hashed + wide], "big")
    return packet[:hashed] + packet[unhashed:]
