"""Packet headers, compared with what gpg itself writes and says."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import KeyRing

from passhelper.store.packets import HIDDEN, PacketError, key_ids

BODY = b"s3cret" * 1000


def packet(tag: int, body: bytes, *, old: int = -1, length: int = 1) -> bytes:
    """Make a packet: in the newer format, or the old one with a length field of 1, 2 or 4 bytes."""
    if old >= 0:
        return bytes([0x80 | tag << 2 | old]) + len(body).to_bytes(1 << old, "big") + body
    if length == 1 and len(body) < 192:
        size = bytes([len(body)])
    elif length == 2:
        size = bytes([192 + (len(body) - 192 >> 8), (len(body) - 192) & 0xFF])
    else:
        size = b"\xff" + len(body).to_bytes(4, "big")
    return bytes([0xC0 | tag]) + size + body


def session_key(key_id: str = "0123456789ABCDEF", size: int = 40) -> bytes:
    return b"\x03" + bytes.fromhex(key_id) + b"\x12" + b"x" * (size - 10)


ENCRYPTED = b"\xd2\x80rest"


@pytest.fixture(scope="session")
def rsa(short_tmp: Path, keys: KeyRing) -> Iterator[KeyRing]:
    """A keyring with one RSA key, and the others' public ones; alice can sign."""
    ring = KeyRing(short_tmp / "r", {})
    ring.home.mkdir(mode=0o700)
    parameters = "%no-protection\nKey-Type: rsa\nKey-Usage: sign\nSubkey-Type: rsa\nSubkey-Length: 2048\n"
    ring.gpg("--gen-key", stdin=f"{parameters}Name-Email: rsa@example.test\nExpire-Date: 0\n%commit\n".encode())
    ring._remember("rsa")
    ring.gpg("--import", stdin=keys.gpg("--export").stdout)
    ring.gpg("--import", stdin=keys.gpg("--export-secret-keys", keys["alice"]).stdout)
    yield KeyRing(ring.home, {**keys.fingerprints, **ring.fingerprints})
    ring.stop_agent()


def encryption_keys(ring: KeyRing, *names: str) -> list[str]:
    """The long ids of the encryption subkeys, as gpg lists them."""
    found = []
    for name in names:
        listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode().splitlines()
        fields = [line.split(":") for line in listing]
        found += [field[4] for field in fields if field[0] in ("pub", "sub") and "e" in field[11]]
    return found


@pytest.mark.parametrize("names", [("alice",), ("alice", "bob"), ("bob", "alice", "locked", "stranger")])
@pytest.mark.parametrize("options", [(), ("--armor",), ("--armor", "--comment", "a: b"), ("-z", "0"), ("--rfc4880",)])
def test_recipients_of_what_gpg_writes(keys: KeyRing, names: tuple[str, ...], options: tuple[str, ...]) -> None:
    assert key_ids(keys.encrypt(BODY, *names, options=options)) == encryption_keys(keys, *names)


def test_recipients_of_rsa(rsa: KeyRing) -> None:
    message = rsa.encrypt(BODY, "rsa")
    assert key_ids(message) == encryption_keys(rsa, "rsa")
    assert key_ids(message[:400]) == encryption_keys(rsa, "rsa")


def test_hidden_recipients(keys: KeyRing) -> None:
    assert key_ids(keys.encrypt(BODY, "alice", "bob", options=("--throw-keyids",))) == [HIDDEN, HIDDEN]
    message = keys.encrypt(BODY, "alice", options=("--hidden-recipient", keys["bob"]))
    assert sorted(key_ids(message)) == sorted([HIDDEN, *encryption_keys(keys, "alice")])


def listed(ring: KeyRing, message: bytes) -> list[str] | None:
    """What ``gpg --list-packets`` sees before the encrypted data; None if that is not a message to keys alone."""
    said = ring.gpg("--list-only", "--list-packets", stdin=message, check=False)
    found = []
    for line in said.stdout.decode(errors="replace").splitlines():
        if line.startswith(":pubkey enc packet:"):
            found.append(line.rpartition("keyid ")[2])
        elif line.startswith((":encrypted data packet:", ":aead encrypted packet:")):
            return found or None
        elif line.startswith(":") and not line.startswith(":marker packet:"):
            return None
    return None


def seen(message: bytes) -> list[str] | None:
    """What we see."""
    try:
        return key_ids(message)
    except PacketError:
        return None


PASSWORD = ("--pinentry-mode", "loopback", "--passphrase", "x")
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "one": (("alice",), ()),
    "several": (("bob", "alice", "locked", "stranger"), ()),
    "rsa": (("rsa",), ()),
    "rsa and cv25519": (("rsa", "alice"), ()),
    "throw-keyids": (("alice", "bob"), ("--throw-keyids",)),
    "hidden and not": (("alice",), ("--hidden-recipient", "bob")),
    "armored": (("alice", "rsa"), ("--armor",)),
    "armored with headers": (("alice",), ("--armor", "--comment", "a", "--comment", "b: c", "--emit-version")),
    "compressed": (("alice",), ("-z", "9")),
    "no integrity protection": (("alice",), ("--rfc2440", "--disable-mdc")),
    "signed": (("alice",), ("--sign", "-u", "alice")),
    "bound": (("alice",), ("--set-filename", "passhelper1:0123")),
    "password": ((), ("--symmetric", *PASSWORD)),
    "password and key": (("alice",), ("--symmetric", *PASSWORD)),
    "armored password": ((), ("--symmetric", "--armor", *PASSWORD)),
    "not encrypted": ((), ("--store",)),
    "signature": ((), ("--sign", "-u", "alice")),
}


REFUSED = ("password", "password and key", "armored password", "not encrypted", "signature")


@pytest.mark.parametrize("size", [0, 10, 9000, 300_000], ids=["empty", "small", "partial lengths", "large"])
@pytest.mark.parametrize("kind", KINDS)
def test_gpg_lists_the_same(rsa: KeyRing, kind: str, size: int) -> None:
    """Real files, from a file or a pipe, so with whole and with partial lengths: gpg's own eyes are the judge."""
    names, options = KINDS[kind]
    named = [rsa.fingerprints.get(option, option) for option in options]
    recipients = [word for name in names for word in ("-r", rsa[name])]
    mode = ["--encrypt"] if recipients else []
    message = rsa.gpg("--trust-model", "always", *named, *recipients, *mode, stdin=b"x" * size).stdout
    expected = listed(rsa, message)
    assert seen(message) == expected
    assert (expected is None) is (kind in REFUSED)


@pytest.mark.parametrize("options", [(), ("--armor",)], ids=["binary", "armored"])
def test_gpg_lists_the_same_of_what_is_cut(keys: KeyRing, options: tuple[str, ...]) -> None:
    """Where gpg still sees all headers we see the same; we are never the one who sees more."""
    message = keys.encrypt(b"s3cret" * 20, "alice", "bob", options=options)
    for size in range(0, len(message), 7):
        found = seen(message[:size])
        if found is not None:
            assert found == (listed(keys, message[:size]) or key_ids(message))
        if listed(keys, message[:size]) is not None and not options:
            assert found == key_ids(message)


def test_gpg_sees_no_message_in_random_bytes_either(keys: KeyRing) -> None:
    """Bytes that begin as a packet may: gpg refuses or reads the same."""
    chance = random.Random(4)
    for _ in range(60):
        data = bytes([chance.choice((0x84, 0x85, 0xC1, 0xD2, 0xA3, chance.randrange(256)))]) + chance.randbytes(90)
        found = seen(data)
        assert found is None or found == listed(keys, data), data.hex()


def test_many_recipients_fit_the_limit() -> None:
    message = b"".join(packet(1, session_key(f"{number:016X}", 524), length=5) for number in range(400)) + ENCRYPTED
    assert len(message) < 1 << 18
    assert len(key_ids(message)) == 400


@pytest.mark.parametrize(
    "options",
    [("--symmetric",), ("--symmetric", "--armor"), ("--symmetric", "--encrypt")],
    ids=["password", "armored-password", "key-and-password"],
)
def test_an_entry_that_opens_with_a_password_is_refused(keys: KeyRing, options: tuple[str, ...]) -> None:
    recipient = ("-r", keys["alice"], "--trust-model", "always") if "--encrypt" in options else ()
    common = ("--pinentry-mode", "loopback", "--passphrase", "x", *recipient)
    message = keys.gpg(*common, *options, stdin=BODY).stdout
    with pytest.raises(PacketError, match=r"^it can be opened with a password of its own$"):
        key_ids(message)


def test_no_line_end_hides_from_gpg_what_is_seen_here(keys: KeyRing) -> None:
    """One header line to gpg, which reads the password message below it."""
    shown = base64.b64encode(keys.encrypt(BODY, "alice"))
    hidden = keys.gpg("--pinentry-mode", "loopback", "--passphrase", "x", "--symmetric", stdin=BODY).stdout
    begin, end = b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----\n"
    message = begin + b"\nComment: x\r\r" + shown + b"\n\n" + base64.b64encode(hidden) + b"\n" + end
    with pytest.raises(PacketError, match=r"^it can be opened with a password of its own$"):
        key_ids(message)
    for first in (begin + b"x", begin + b" x"):
        with pytest.raises(PacketError, match=r"^it is not an OpenPGP message$"):
            key_ids(first + b"\n\n" + shown + b"\n" + end + begin + b"\n\n" + base64.b64encode(hidden) + b"\n" + end)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--store",), "it is not encrypted (compressed data)"),
        (("--store", "-z", "0"), "it is not encrypted (literal data)"),
        (("--store", "--armor"), "it is not encrypted (compressed data)"),
        (("--sign", "-u", "alice"), "it is not encrypted (compressed data)"),
        (("--sign", "-z", "0", "-u", "alice"), "it is not an encrypted OpenPGP message (packet type 4)"),
        (("--detach-sign", "-u", "alice"), "it is not an encrypted OpenPGP message (packet type 2)"),
        (("--clearsign", "-u", "alice"), "it is not an OpenPGP message"),
        (("--export", "alice"), "it is not an encrypted OpenPGP message (packet type 6)"),
        (("--export", "--armor", "alice"), "it is not an OpenPGP message"),
    ],
)
def test_what_is_not_encrypted_is_refused(keys: KeyRing, options: tuple[str, ...], message: str) -> None:
    named = [keys.fingerprints.get(option, option) for option in options]
    with pytest.raises(PacketError) as caught:
        key_ids(keys.gpg(*named, stdin=BODY).stdout)
    assert str(caught.value) == message


@pytest.mark.parametrize("options", [(), ("--armor",)])
def test_a_message_cut_at_any_byte_is_refused_or_still_says_who_can_open_it(
    keys: KeyRing, options: tuple[str, ...]
) -> None:
    message = keys.encrypt(b"s3cret", "alice", "bob", options=options)
    whole = key_ids(message)
    seen = set()
    for size in range(len(message)):
        try:
            assert key_ids(message[:size]) == whole
        except PacketError as error:
            seen.add(str(error))
    assert seen <= {"it is empty", "it is truncated", "it is not an OpenPGP message", "its armor is damaged"}
    assert "it is truncated" in seen


@pytest.mark.parametrize(
    "first",
    [
        packet(1, session_key()),
        packet(1, session_key(size=200), length=2),
        packet(1, session_key(size=500), length=2),
        packet(1, session_key(), length=5),
        packet(1, session_key(), old=0),
        packet(1, session_key(), old=1),
        packet(1, session_key(), old=2),
        packet(10, b"PGP") + packet(1, session_key()),
        packet(1, session_key()) + packet(10, b"PGP"),
    ],
    ids=["one", "two", "two-long", "five", "old-1", "old-2", "old-4", "marker-before", "marker-after"],
)
@pytest.mark.parametrize(
    "then",
    [
        ENCRYPTED,
        b"\xd2\xef" + b"x" * 40,
        b"\xa7rest",
        b"\xc9\x05rest",
        b"\xd4\x05rest",
        packet(18, b"x" * 300, length=5),
    ],
    ids=["mdc", "partial", "old-indeterminate", "no-mdc", "aead", "long"],
)
def test_all_lengths_of_both_formats(first: bytes, then: bytes) -> None:
    assert key_ids(first + then) == ["0123456789ABCDEF"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x06\x15\x04" + bytes(range(20)) + b"\x19rest", "0C0D0E0F10111213"),
        (b"\x06\x21\x06" + bytes(range(32)) + b"\x19rest", "0001020304050607"),
        (b"\x06\x00\x19rest", HIDDEN),
    ],
    ids=["v4-fingerprint", "v6-fingerprint", "anonymous"],
)
def test_recipients_of_rfc_9580(body: bytes, expected: str) -> None:
    assert key_ids(packet(1, body) + ENCRYPTED) == [expected]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", "it is empty"),
        (b"s3cret", "it is not an OpenPGP message"),
        (b"\0" * 100, "it is not an OpenPGP message"),
        (ENCRYPTED, "it is not encrypted to any key"),
        (packet(10, b"PGP") + ENCRYPTED, "it is not encrypted to any key"),
        (packet(1, session_key()), "it is truncated"),
        (packet(1, session_key())[:-1], "it is truncated"),
        (packet(1, session_key()) + b"\xd2", "it is truncated"),
        (packet(1, session_key()) + b"\xd2\xff\0\0", "it is truncated"),
        (packet(1, session_key()) + b"plain", "it is not an OpenPGP message"),
        (packet(1, session_key()) + packet(3, b"\x04x"), "it can be opened with a password of its own"),
        (packet(1, session_key()) + packet(11, b"b"), "it is not encrypted (literal data)"),
        (b"\xc1\xefpartial", "it is not an encrypted OpenPGP message (packet type 1)"),
        (b"\x87indeterminate", "it is not an encrypted OpenPGP message (packet type 1)"),
        (packet(1, b"") + ENCRYPTED, "it names a recipient in an unknown way (version 0)"),
        (packet(1, b"\x02" + b"x" * 20) + ENCRYPTED, "it names a recipient in an unknown way (version 2)"),
        (packet(1, b"\x03short") + ENCRYPTED, "it names a recipient in an unknown way (version 3)"),
        (packet(63, b"x") + ENCRYPTED, "it is not an encrypted OpenPGP message (packet type 63)"),
        (b"-----BEGIN PGP MESSAGE-----\n\n!!!!\n-----END PGP MESSAGE-----\n", "it is truncated"),
        (b"-----BEGIN PGP MESSAGE-----\n", "it is truncated"),
        (b"-----BEGIN PGP MESSAGE-----x\n\nhV4D\n", "it is not an OpenPGP message"),
        (b"-----BEGIN PGP MESSAGE-----\rhV4D\n", "it is not an OpenPGP message"),
        (b"-----BEGIN PGP MESSAGE-----\r\nComment: x\r\rhV4D\n\nwcBM\n", "it is truncated"),
        (b"-----BEGIN PGP MESSAGE-----\n\n" + base64.b64encode(b"plain text") + b"\n", "it is not an OpenPGP message"),
    ],
)
def test_refusals(message: bytes, text: str) -> None:
    with pytest.raises(PacketError) as caught:
        key_ids(message)
    assert str(caught.value) == text


@given(
    st.binary(max_size=200)
    | st.builds(lambda head, rest: bytes([head]) + rest, st.integers(128, 255), st.binary(max_size=80))
)
def test_any_bytes_have_an_answer(message: bytes) -> None:
    try:
        found = key_ids(message)
    except PacketError:
        return
    assert found
    assert all(len(key) == 16 for key in found)


@given(st.data())
def test_a_damaged_message_never_raises_anything_else(data: st.DataObject) -> None:
    message = bytearray(
        packet(1, session_key(), old=0) + packet(10, b"PGP") + packet(1, session_key(size=200), length=2) + ENCRYPTED
    )
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PacketError):
        assert key_ids(bytes(message))


@given(st.binary(max_size=120), st.sampled_from([b"\n", b"\r\n"]), st.binary(max_size=20))
def test_any_armor_has_an_answer(body: bytes, line_end: bytes, header: bytes) -> None:
    lines = [
        b"-----BEGIN PGP MESSAGE-----",
        header,
        b"",
        base64.b64encode(body),
        b"=abcd",
        b"-----END PGP MESSAGE-----",
    ]
    with suppress(PacketError):
        assert key_ids(line_end.join(lines))
