"""D-Bus marshalling, against jeepney's, which shares no code with ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jeepney.low_level import Endianness, parse_signature

from passhelper_backends.secretservice._wire import decode, encode, split  # noqa: TID251 - what is tested

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
VALUES = {
    "s": TEXT,
    "o": st.sampled_from(["/", "/a", "/org/freedesktop/secrets/collection/login/1"]),
    "g": st.sampled_from(["", "s", "a{sv}", "(oayays)"]),
    "y": st.integers(0, 255),
    "b": st.booleans(),
    "i": st.integers(-(1 << 31), (1 << 31) - 1),
    "u": st.integers(0, (1 << 32) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "d": st.floats(allow_nan=False),
    "ay": st.binary(max_size=20),
    "ao": st.lists(st.sampled_from(["/", "/b/c"]), max_size=4),
    "at": st.lists(st.integers(0, 9), max_size=3),
    "a{ss}": st.dictionaries(TEXT, TEXT, max_size=4),
    "(oayays)": st.tuples(st.just("/s"), st.binary(max_size=9), st.binary(max_size=9), TEXT),
    "v": st.tuples(st.just("a{ss}"), st.dictionaries(TEXT, TEXT, max_size=2))
    | st.tuples(st.just("b"), st.booleans())
    | st.tuples(st.just("(ss)"), st.tuples(TEXT, TEXT)),
    "a{sv}": st.dictionaries(TEXT, st.tuples(st.just("t"), st.integers(0, 9)), max_size=3),
}
BODIES = st.lists(st.sampled_from(sorted(VALUES)), max_size=6).flatmap(
    lambda kinds: st.tuples(st.just("".join(kinds)), st.tuples(*[VALUES[kind] for kind in kinds]))
)


def theirs(signature: str, values: tuple[object, ...], endianness: Endianness) -> bytes:
    data = b""
    for kind in split(signature):
        data += parse_signature(list(kind)).serialise(values[0], len(data), endianness)
        values = values[1:]
    return data


def plain(value: object) -> object:
    """What a value becomes on its way: a variant its value alone."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] in ("a{ss}", "b", "(ss)", "t"):
        return value[1]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@settings(max_examples=150, deadline=None)
@given(BODIES)
def test_as_another_library_does(body: tuple[str, tuple[object, ...]]) -> None:
    signature, values = body
    assert bytes(encode(signature, values)) == theirs(signature, values, Endianness.little)
    expected = [plain(value) for value in values]
    assert decode(signature, theirs(signature, values, Endianness.little)) == expected
    assert decode(signature, theirs(signature, values, Endianness.big), big=True) == expected


@settings(max_examples=150, deadline=None)
@given(BODIES, st.data())
def test_damaged_data_is_refused_or_read(body: tuple[str, tuple[object, ...]], data: st.DataObject) -> None:
    """Whatever arrives, nothing but ValueError is raised."""
    signature, values = body
    message = bytearray(encode(signature, values))
    for _ in range(data.draw(st.integers(1, 3))):
        if message:
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    try:
        decode(signature, bytes(message[:cut]))
    except ValueError:
        pass


@pytest.mark.parametrize("data", [b"", b"\x05\0\0\0abc\0", b"\xff\xff\xff\xffx", b"\x01\0\0\0\xff\0"])
def test_a_broken_string(data: bytes) -> None:
    with pytest.raises(ValueError, match="no D-Bus data"):
        decode("s", data)


def test_a_variant_in_a_variant_without_end() -> None:
    with pytest.raises(ValueError, match="no D-Bus data"):
        decode("v", b"\x01v\0" * 100_000)


def test_an_array_of_nothing_ends() -> None:
    with pytest.raises(ValueError, match="no D-Bus data"):
        decode("a()", b"\x08\0\0\0" + bytes(20))


@pytest.mark.parametrize(
    ("signature", "kinds"),
    [("", []), ("aoo", ["ao", "o"]), ("a{sv}(oayays)b", ["a{sv}", "(oayays)", "b"]), ("a(s(ii))u", ["a(s(ii))", "u"])],
)
def test_split(signature: str, kinds: list[str]) -> None:
    assert list(split(signature)) == kinds
