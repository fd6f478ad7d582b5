"""Keys that pretend: one that calls somebody else's public key a subkey of its own."""

from __future__ import annotations

import hashlib
import subprocess
import time
from typing import TYPE_CHECKING

from passhelper.store.packets import header

if TYPE_CHECKING:
    from support import KeyRing

_PRIMARY, _SUBKEY, _SIGNATURE = 6, 14, 2  # packet types: RFC 9580, section 5
_SHA512, _EDDSA, _BINDING = 10, 22, 0x18
_MAY_ENCRYPT = 0x0C


def adopting(thief: KeyRing, name: str, victim: bytes, *, part: int = 0) -> bytes:
    """Make a public key adopt a part of another one. It takes the thief's secret key and nothing of the victim's.

    Args:
        thief: a keyring with the thief's secret key, an ed25519 one without a passphrase.
        name: the thief's name there.
        victim: the victim's public key.
        part: which part of it: 0 is the primary key, then its subkeys follow.

    Returns:
        the thief's public key with the new subkey, for ``gpg --import``.
    """
    own = thief.gpg("--export", thief[name]).stdout
    primary = _packets(own)[0][1]
    adopted = [body for tag, body in _packets(victim) if tag in (_PRIMARY, _SUBKEY)][part]
    fingerprint = hashlib.sha1(_framed(primary)).digest()
    said = _subpacket(2, int(time.time()).to_bytes(4, "big")) + _subpacket(27, bytes([_MAY_ENCRYPT]))
    said += _subpacket(33, b"\x04" + fingerprint)
    begin = bytes((4, _BINDING, _EDDSA, _SHA512)) + len(said).to_bytes(2, "big") + said
    end = b"\x04\xff" + len(begin).to_bytes(4, "big")
    digest = hashlib.sha512(_framed(primary) + _framed(adopted) + begin + end).digest()
    unsigned = _subpacket(16, fingerprint[-8:])
    body = begin + len(unsigned).to_bytes(2, "big") + unsigned + digest[:2] + _sign(thief, name, digest)
    return own + _packet(_SUBKEY, adopted) + _packet(_SIGNATURE, body)


def _sign(thief: KeyRing, name: str, digest: bytes) -> bytes:
    """Let the thief's agent sign a digest."""
    listing = thief.gpg("--with-colons", "--with-keygrip", "--list-keys", thief[name]).stdout.decode()
    grip = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("grp"))
    commands = f"SIGKEY {grip}\nSETHASH {_SHA512} {digest.hex().upper()}\nPKSIGN\n"
    answer = subprocess.run(
        ["gpg-connect-agent"], env=thief.environ, input=commands.encode(), capture_output=True, check=True
    ).stdout
    line = next(line for line in answer.split(b"\n") if line.startswith(b"D "))[2:]
    first, *rest = line.split(b"%")
    data = first + b"".join(bytes([int(each[:2], 16)]) + each[2:] for each in rest)
    return _number(data, b"r") + _number(data, b"s")


def _number(data: bytes, name: bytes) -> bytes:
    """Read a number out of an S-expression such as ``(1:r32:...)``, and write it as OpenPGP does."""
    size, _, rest = data.partition(b"(1:" + name)[2].partition(b":")
    value = int.from_bytes(rest[: int(size)], "big")
    return value.bit_length().to_bytes(2, "big") + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _packets(data: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position < len(data):
        tag, start, length = header(data, position)
        assert length is not None
        position = start + length
        found.append((tag, data[start:position]))
    return found


def _framed(body: bytes) -> bytes:
    return b"\x99" + len(body).to_bytes(2, "big") + body


def _packet(tag: int, body: bytes) -> bytes:
    return bytes((0xC0 | tag, 255)) + len(body).to_bytes(4, "big") + body


def _subpacket(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 1, kind)) + data
