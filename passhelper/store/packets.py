"""OpenPGP packet headers: who can open a file, without opening it.

An encrypted message begins with one "public-key encrypted session key" packet (tag 1) for each
recipient key, which names that key's id in the clear, then holds one encrypted data packet (RFC 9580,
sections 4.2, 5.1 and 10.3). Reading these headers needs no key, no gpg and a few hundred bytes.

It also decides what may be handed to gpg at all: a message that offers a password beside or
instead of the keys (tag 3), or data that is not encrypted (tags 8 and 11), is refused, so that no
entry that came from elsewhere makes gpg ask for a password of its own.
"""

import binascii

HIDDEN = "0" * 16  # the key id of a recipient that gpg's --throw-keyids left out
MAX_HEADERS = 1 << 18  # bytes before the encrypted data; some 400 RSA-4096 recipients fit

_SESSION_KEY = 1
_MARKER = 10
_ENCRYPTED = (9, 18, 20)  # symmetrically encrypted; with integrity protection; AEAD (gpg's OCB)
_REFUSED = {
    3: "it can be opened with a password of its own",
    8: "it is not encrypted (compressed data)",
    11: "it is not encrypted (literal data)",
}
_ARMOR = b"-----BEGIN PGP MESSAGE-----"


class PacketError(ValueError):
    """The bytes are not a message that is encrypted to keys. The text says why, after "it"."""


def key_ids(message: bytes) -> "list[str]":
    """List the key ids that a message is encrypted to.

    Args:
        message: the file from its beginning, at least up to the encrypted data
            (:data:`MAX_HEADERS` bytes always suffice); binary or armored.

    Returns:
        16 upper-case hex digits for each recipient key, in the message's order; :data:`HIDDEN`
        where the sender left the id out.

    Raises:
        PacketError: the message is empty, truncated, no OpenPGP message, or not encrypted to keys
            alone.
    """
    if not message:
        raise PacketError("it is empty")
    if not message[0] & 0x80:
        message = _unarmor(message)
    found: list[str] = []
    position = 0
    while True:
        tag, start, length = _header(message, position)
        if tag in _ENCRYPTED:
            if not found:
                raise PacketError("it is not encrypted to any key")
            return found
        if tag in _REFUSED:
            raise PacketError(_REFUSED[tag])
        if tag not in (_SESSION_KEY, _MARKER) or length is None:
            raise PacketError(f"it is no encrypted OpenPGP message (packet type {tag})")
        if len(message) < start + length:
            raise PacketError("it is truncated")
        if tag == _SESSION_KEY:
            found.append(_recipient(message[start : start + length]))
        position = start + length


def _recipient(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 3 and len(body) >= 10:  # version, 8 bytes of key id, algorithm
        return body[1:9].hex().upper()
    if version == 6 and len(body) >= 3:  # version, length, key version, fingerprint
        if body[1] == 0:
            return HIDDEN
        fingerprint = body[3 : 2 + body[1]]
        # The key id is the end of a version 4 fingerprint and the start of a later one.
        return (fingerprint[-8:] if body[2] == 4 else fingerprint[:8]).hex().upper().ljust(16, "0")
    raise PacketError(f"it names a recipient in an unknown way (version {version})")


def _header(message: bytes, position: int) -> "tuple[int, int, int | None]":
    """Read one packet header: tag, start of the body, its length (None: until the end, or in parts)."""
    try:
        first = message[position]
        if not first & 0x80:
            raise PacketError("it is no OpenPGP message")
        position += 1
        if first & 0x40:  # the newer format
            length = message[position]
            if length < 192:
                return first & 0x3F, position + 1, length
            if length < 224:
                return first & 0x3F, position + 2, ((length - 192) << 8) + message[position + 1] + 192
            if length < 255:
                return first & 0x3F, position + 1, None  # partial lengths: only data packets have them
            size = 4
            position += 1
            tag = first & 0x3F
        else:
            tag = first >> 2 & 0x0F
            if first & 3 == 3:
                return tag, position, None
            size = 1 << (first & 3)
        field = message[position : position + size]
        if len(field) < size:
            raise IndexError
        return tag, position + size, int.from_bytes(field, "big")
    except IndexError:
        raise PacketError("it is truncated") from None


def _unarmor(message: bytes) -> bytes:
    """Decode as much of an ASCII-armored message as the headers need (RFC 9580, section 6)."""
    text = message[: MAX_HEADERS * 2].lstrip()
    lines = text.split(b"\n")  # the line ends that gpg knows, or it would see another message than we
    if lines.pop(0).rstrip(b" \t\r") != _ARMOR:
        raise PacketError("it is no OpenPGP message")
    while lines and lines[0].strip(b" \t\r"):  # armor headers such as "Comment: ..." end at an empty line
        del lines[0]
    encoded = []
    for line in lines[1:]:
        if line.startswith((b"=", b"-----")):
            break
        encoded.append(line.strip())
    data = b"".join(encoded)
    try:
        return binascii.a2b_base64(data[: len(data) // 4 * 4])
    except binascii.Error:
        raise PacketError("its armor is damaged") from None
