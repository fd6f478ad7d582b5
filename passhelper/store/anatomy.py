"""What an encrypted message is made of, beyond what :mod:`passhelper.store.packets` lets through.

After gpg has failed, this finds what gpg cannot read at all, and bytes that are not one whole message. It needs no key.
"""

from passhelper.store import packets

_KEYS = {  # public-key algorithms that some GnuPG decrypts with (RFC 9580, 9.1; 8 is Kyber, of GnuPG 2.5)
    1: "RSA", 2: "RSA", 8: "Kyber", 16: "Elgamal", 18: "ECDH",
}  # fmt: skip
_NAMES = {25: "X25519", 26: "X448", 35: "ML-KEM", 36: "ML-KEM"}
_UNPROTECTED, _PROTECTED, _OCB = 9, 18, 20


class Anatomy:
    """The packets of a message.

    Attributes:
        tag: the type of its encrypted data packet.
        version: of that packet; 0 for the type that has none.
        keys: for each recipient the version of the packet that names it, its key id and its algorithm.
        fault: why the bytes are not one whole message; empty if they are one.
    """

    def __init__(self, message: bytes) -> None:
        """Read all of a message; PacketError if :func:`packets.key_ids` refuses it."""
        self.keys: list[tuple[int, str, int]] = []
        self.tag = self.version = 0
        self.fault = ""
        data = packets.binary(message, len(message))
        ids = packets.key_ids(data)
        position = 0
        while not self.tag:
            tag, start, length = packets.header(data, position)
            if tag == packets.SESSION_KEY:
                body = data[start : start + (length or 0)]
                self.keys.append((body[0], ids[len(self.keys)], _algorithm(body)))
            elif tag in packets.ENCRYPTED:
                self.tag = tag
                self.version = data[start] if tag != _UNPROTECTED and start < len(data) else 0
                self.fault = self._look_behind(data, position)
            position = start + (length or 0)

    def _look_behind(self, data: bytes, position: int) -> str:
        """Find out whether the message ends with its encrypted data."""
        try:
            end = _end(data, position)
            while end < len(data):
                if packets.header(data, end)[0] not in packets.IGNORED:
                    return "something follows its end"
                end = _end(data, end)
        except packets.PacketError as error:
            return "something follows its end" if str(error) == packets.NO_MESSAGE else str(error)
        return ""

    def foreign(self) -> str:
        """Say what in it only a newer GnuPG, or none, can read; empty if nothing is known."""
        strange = sorted({version for version, _, _ in self.keys if version != 3})
        if strange:
            return f"it names recipients in packets of version {strange[0]} (RFC 9580), and GnuPG knows version 3"
        if self.tag == _PROTECTED and self.version != 1:
            return f"its encrypted data is of version {self.version} (RFC 9580), and GnuPG knows version 1"
        if self.tag == _OCB and self.version != 1:
            return f"its AEAD encrypted data is of version {self.version}, and GnuPG knows version 1"
        return ""

    def strange_algorithm(self, key_ids: "set[str]") -> str:
        """Name the algorithm for one of some keys that no GnuPG decrypts with; empty if there is none."""
        for _, key_id, algorithm in self.keys:
            if key_id in key_ids and algorithm not in _KEYS:
                return f"public-key algorithm {algorithm} {_NAMES.get(algorithm, '')}".rstrip()
        return ""

    @property
    def is_unprotected(self) -> bool:
        """Whether nothing in it tells that it was changed: gpg refuses such a message."""
        return self.tag == _UNPROTECTED


def _end(data: bytes, position: int) -> int:
    """Find where a packet ends (RFC 9580, section 4.2); PacketError if it is none, or if the message ends before it."""
    _, start, length = packets.header(data, position)
    if length is None and not data[position] & 0x40:
        return len(data)  # the older format's "until the end"
    while length is None:  # in parts, each behind its size
        start += 1 << (data[start - 1] & 0x1F)
        _, size, length = packets.header(b"\xc0" + data[start : start + 5], 0)
        start += size - 1
    if start + length > len(data):
        raise packets.PacketError("it is truncated")
    return start + length


def _algorithm(body: bytes) -> int:
    at = 9 if body[0] == 3 else 2 + body[1]
    return body[at] if at < len(body) else 0
