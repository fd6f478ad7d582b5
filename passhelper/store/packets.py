"""OpenPGP packet headers: who can open a file, without opening it.

An encrypted message begins with one "public-key encrypted session key" packet (tag 1) for each
recipient key, which names that key's id in the clear, then holds one encrypted data packet (RFC 9580,
sections 4.2, 5.1 and 10.3). Reading these headers needs no key, no gpg and a few hundred bytes.

It also decides what may be handed to gpg at all: a message that offers a password beside or
instead of the keys (tag 3), or data that is not encrypted (tags 8 and 11), is refused, so that no
entry that came from elsewhere makes gpg ask for a password of its own.
"""

import binascii

from passhelper.errors import EntryError

HIDDEN = "0" * 16  # the key id of a recipient that gpg's --throw-keyids left out
MAX_HEADERS = 1 << 19  # bytes before the encrypted data; MAX_KEYS recipients of RSA-8192 fit
MAX_KEYS = 500  # recipient keys of one message, and of one list of keys
# Recipients that are hidden, or named again: gpg tries every secret key for each, at some 3 ms a try.
MAX_BLIND = 64

SESSION_KEY = 1
_MARKER, _PADDING = 10, 21
IGNORED = (_MARKER, _PADDING)  # what says nothing (RFC 9580, sections 5.8 and 5.14)
ENCRYPTED = (9, 18, 20)  # symmetrically encrypted; with integrity protection; AEAD (gpg's OCB)
_REFUSED = {
    3: "it can be opened with a password of its own",
    8: "it is not encrypted (compressed data)",
    11: "it is not encrypted (literal data)",
}
# Of these RFC 9580 says that no message begins with them: signatures, keys, what belongs to them, and what is reserved.
_NO_MESSAGE = frozenset((0, 2, 4, 5, 6, 7, 12, 13, 14, 17, 19))
_ARMOR = b"-----BEGIN PGP MESSAGE-----"
NO_MESSAGE = "it is not an OpenPGP message"
AGAIN = "restore it from git, or store the credential again"


class PacketError(ValueError):
    """The bytes are not a message that is encrypted to keys. The text says why, after "it".

    Attributes:
        is_message: whether they may be an OpenPGP message all the same, and hold what nobody should throw away.
    """

    def __init__(self, why: str, *, is_message: bool = False) -> None:
        super().__init__(why)
        self.is_message = is_message


def refusal(label: str, error: PacketError) -> EntryError:
    """Say that a file is not an entry, and what it is instead; only what is certainly no message may be erased."""
    remedy = AGAIN if error.is_message else "restore it from git, or erase it and store it again"
    return EntryError(f"{label} is not an entry: {error}", remedy)


def key_ids(message: bytes) -> "list[str]":
    """List the key ids that a message is encrypted to.

    Args:
        message: the file from its beginning, at least up to the encrypted data
            (:data:`MAX_HEADERS` bytes always suffice); binary or armored.

    Returns:
        16 upper-case hex digits for each recipient key, in the message's order; :data:`HIDDEN`
        where the sender left the id out.

    Raises:
        PacketError: the message is empty, truncated, no OpenPGP message, not encrypted to keys
            alone, or to more of them than :data:`MAX_KEYS`.
    """
    return headers(message)[0]


def headers(message: bytes) -> "tuple[list[str], int]":
    """Read all that stands before the encrypted data; as :func:`key_ids`, and where that begins."""
    message = binary(message)
    found: list[str] = []
    position = 0
    while True:
        tag, start, length = header(message, position)
        if tag in ENCRYPTED:
            if not found:
                raise PacketError("it is not encrypted to any key", is_message=True)
            if len(found) - len(set(found)) >= MAX_BLIND:
                raise PacketError(f"it hides or repeats {MAX_BLIND} or more of its recipients", is_message=True)
            return found, position
        if tag in _REFUSED:
            raise PacketError(_REFUSED[tag], is_message=True)
        # gpg takes a message that begins with padding for none at all.
        if (tag != SESSION_KEY and tag not in IGNORED) or length is None or (tag == _PADDING and not position):
            raise PacketError(
                f"it is not an encrypted OpenPGP message (packet type {tag})", is_message=tag not in _NO_MESSAGE
            )
        if len(message) < start + length:
            raise PacketError("it is truncated")
        if tag == SESSION_KEY:
            if len(found) == MAX_KEYS:
                raise PacketError(f"it is encrypted to more than {MAX_KEYS} keys", is_message=True)
            found.append(_recipient(message[start : start + length]))
        position = start + length


def binary(message: bytes, limit: int = MAX_HEADERS * 2, armor: bytes = _ARMOR) -> bytes:
    """Give a message without its armor, if it has one; of an armored one as much as some bytes of it hold.

    Raises:
        PacketError: it is empty, or no OpenPGP message.
    """
    if not message:
        raise PacketError("it is empty")
    return message if message[0] & 0x80 else _unarmor(message[:limit], armor)


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
    raise PacketError(f"it names a recipient in an unknown way (version {version})", is_message=True)


def header(message: bytes, position: int) -> "tuple[int, int, int | None]":
    """Read one packet header: tag, start of the body, its length (None: until the end, or in parts)."""
    try:
        first = message[position]
        if not first & 0x80:
            raise PacketError(NO_MESSAGE)
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


def _unarmor(message: bytes, armor: bytes) -> bytes:
    """Decode an ASCII-armored message, or the beginning of one (RFC 9580, section 6)."""
    lines = message.lstrip().split(b"\n")  # the line ends that gpg knows, or it would see another message than we
    if lines[0].rstrip(b" \t\r") != armor:
        raise PacketError(NO_MESSAGE)
    encoded: list[bytes] = []
    is_header = True  # armor headers such as "Comment: ..." end at an empty line
    for line in lines[1:]:
        if is_header:
            is_header = bool(line.strip(b" \t\r"))
            continue
        if line.startswith((b"=", b"-----")):
            break
        encoded.append(line.strip())
    data = b"".join(encoded)
    try:
        return binascii.a2b_base64(data[: len(data) // 4 * 4])
    except binascii.Error:
        raise PacketError("its armor is damaged") from None
