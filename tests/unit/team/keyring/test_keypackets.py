"""What a key file says, whoever has touched what its owner did not sign."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper.team.keyring.keypackets import fingerprints, material


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def signature(hashed: bytes, unhashed: bytes, version: int = 4) -> bytes:
    wide = 4 if version == 6 else 2
    fields = [len(part).to_bytes(wide, "big") + part for part in (hashed, unhashed)]
    return packet(2, bytes([version, 0x13, 22, 10]) + b"".join(fields) + b"\x12\x34rest")


KEY = packet(6, b"\x04\x5e\x0b\xe1\x00\x16key")


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([4, 6]))
def test_only_what_is_signed_counts(hashed: bytes, one: bytes, other: bytes, version: int) -> None:
    assert material(KEY + signature(hashed, one, version)) == material(KEY + signature(hashed, other, version))
    assert material(KEY + signature(hashed + b"x", one, version)) != material(KEY + signature(hashed, one, version))


def test_armor_order_and_repetition_say_nothing() -> None:
    user, signed = packet(13, b"alice"), signature(b"a", b"")
    data = KEY + user + signed
    armored = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + base64.encodebytes(data) + b"-----END"
    assert material(armored) == material(data) == material(KEY + signed + user + user)
    assert material(data + packet(12, b"trust") + packet(10, b"PGP") + packet(21, b"padding")) == material(data)
    assert material(KEY) < material(data)


@pytest.mark.parametrize("version", [4, 6])
def test_fingerprints_are_those_of_keys_and_subkeys(version: int) -> None:
    primary, subkey = (packet(tag, bytes([version]) + bytes([tag]) * 20) for tag in (6, 14))
    found = fingerprints(primary + packet(13, b"alice") + subkey)
    assert {len(each) for each in found} == {40 if version == 4 else 64}
    assert found == fingerprints(primary) | fingerprints(subkey)
    assert len(found) == 2


@given(st.binary(max_size=400))
def test_nothing_is_too_odd_to_be_read(data: bytes) -> None:
    assert len(fingerprints(KEY + data)) >= len(fingerprints(KEY)) == 1
    assert material(KEY) <= material(KEY + data)
