"""D-Bus marshalling, as much of it as the Secret Service needs (D-Bus specification, "Message Protocol").

Values are Python's own: ``str`` for strings, object paths and signatures, ``bytes`` for arrays of bytes, ``dict``
and ``list`` for the other arrays, ``tuple`` for structures, and for a variant its signature beside its value.
"""

from struct import error as struct_error
from struct import pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

# Sent in the byte order that most machines have; received in either.
_LITTLE, _BIG = "<", ">"
_ALIGNMENT = {
    "y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "s": 4, "o": 4, "a": 4,
    "h": 4, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8,
}  # fmt: skip
_FORMAT = {"b": "I", "i": "i", "u": "I", "h": "I", "x": "q", "t": "Q", "d": "d", "n": "h", "q": "H", "y": "B"}


def split(signature: str) -> "Iterator[str]":
    """Split a signature into its complete types: ``a{ss}ub`` into ``a{ss}``, ``u`` and ``b``."""
    begin = 0
    while begin < len(signature):
        end = begin
        depth = 0
        while True:
            char = signature[end]
            depth += (char in "({") - (char in ")}")
            end += 1
            if depth == 0 and char != "a":
                break
        yield signature[begin:end]
        begin = end


def encode(signature: str, values: "Iterable[Any]", begin: bytes = b"") -> bytearray:
    """Marshal values.

    Args:
        signature: their types, one for each value.
        values: what to marshal.
        begin: what stands before them; it counts for the alignment.
    """
    buffer = bytearray(begin)
    for kind, value in zip(split(signature), values, strict=True):
        _put(buffer, kind, value)
    return buffer


def pad(buffer: bytearray, alignment: int) -> None:
    """Fill up with NUL to a multiple of the alignment."""
    buffer.extend(bytes(-len(buffer) % alignment))


def _put(buffer: bytearray, kind: str, value: "Any") -> None:
    first = kind[0]
    if first in "so":
        data = value.encode()
        pad(buffer, 4)
        buffer += pack("<I", len(data)) + data + b"\0"
    elif first == "g":
        buffer += bytes((len(value),)) + value.encode() + b"\0"
    elif first == "v":
        _put(buffer, "g", value[0])
        _put(buffer, value[0], value[1])
    elif first == "(":
        pad(buffer, 8)
        for inner, item in zip(split(kind[1:-1]), value, strict=True):
            _put(buffer, inner, item)
    elif first == "a":
        _put_array(buffer, kind[1:], value)
    else:
        pad(buffer, _ALIGNMENT[first])
        buffer += pack(_LITTLE + _FORMAT[first], value)


def _put_array(buffer: bytearray, kind: str, value: "Any") -> None:
    pad(buffer, 4)
    length = len(buffer)
    buffer += bytes(4)
    pad(buffer, _ALIGNMENT[kind[0]])
    begin = len(buffer)
    if isinstance(value, bytes):
        buffer += value
    elif isinstance(value, dict):
        for pair in value.items():
            _put(buffer, f"({kind[1:-1]})", pair)  # a dictionary's entry looks like a structure of two
    else:
        for item in value:
            _put(buffer, kind, item)
    buffer[length : length + 4] = pack("<I", len(buffer) - begin)


def decode(signature: str, data: bytes, *, big: bool = False, offset: int = 0) -> "list[Any]":
    """Unmarshal values; the reverse of :func:`encode`, but that a variant becomes its value alone.

    Raises:
        ValueError: the data does not hold such values.
    """
    order = _BIG if big else _LITTLE
    values = []
    try:
        for kind in split(signature):
            value, offset = _take(data, offset, kind, order)
            values.append(value)
    except (LookupError, RecursionError, TypeError, ValueError, struct_error) as error:
        raise ValueError("no D-Bus data") from error
    return values


def _take(data: bytes, offset: int, kind: str, order: str) -> "tuple[Any, int]":
    """Read one value; return it and the offset behind it."""
    first = kind[0]
    offset += -offset % _ALIGNMENT[first]
    if first in "so":
        (length,) = unpack_from(order + "I", data, offset)
        return _text(data, offset + 4, length)
    if first == "g":
        return _text(data, offset + 1, data[offset])
    if first == "v":
        inner, offset = _text(data, offset + 1, data[offset])
        return _take(data, offset, inner, order)
    if first == "(":
        items = []
        for inner in split(kind[1:-1]):
            item, offset = _take(data, offset, inner, order)
            items.append(item)
        return tuple(items), offset
    if first == "a":
        return _take_array(data, offset, kind[1:], order)
    (number,) = unpack_from(order + _FORMAT[first], data, offset)
    return bool(number) if first == "b" else number, offset + _ALIGNMENT[first]


def _text(data: bytes, offset: int, length: int) -> "tuple[str, int]":
    end = offset + length
    if end >= len(data):
        raise ValueError("cut short")
    return data[offset:end].decode(), end + 1


def _take_array(data: bytes, offset: int, kind: str, order: str) -> "tuple[Any, int]":
    (length,) = unpack_from(order + "I", data, offset)
    offset += 4
    offset += -offset % _ALIGNMENT[kind[0]]
    end = offset + length
    if end > len(data):
        raise ValueError("cut short")
    if kind == "y":
        return data[offset:end], end
    pairs = kind[0] == "{"
    inner = f"({kind[1:-1]})" if pairs else kind
    items = []
    while offset < end:
        item, behind = _take(data, offset, inner, order)
        if behind == offset:
            raise ValueError("an array of nothing")
        offset = behind
        items.append(item)
    return dict(items) if pairs else items, end
