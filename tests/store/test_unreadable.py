"""Entries that are as they should be, and that this gpg cannot read: none of them is called anything else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.worlds.vault import Vault

from passhelper.errors import EntryError, GpgError, LockedKeyError, NoSecretKeyError, PasshelperError
from passhelper.store import anatomy, packets
from passhelper.store.anatomy import Anatomy

LABEL = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"
ELSEWHERE = "read it with the program that wrote it, and store the credential again"
AGAIN = "restore it from git, or store the credential again"
V6_KEY = bytes(range(32))


def failed(vault: Vault) -> PasshelperError:
    """What a ``get`` is told, which never is to erase anything."""
    before = vault.tree
    with pytest.raises(PasshelperError) as caught:
        vault.get()
    assert "erase" not in str(caught.value)
    assert vault.tree == before
    return caught.value


def gpg_version() -> str:
    first = subprocess.run(["gpg", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"gpg {first.split()[-1]}"


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def parts(message: bytes) -> tuple[bytes, bytes]:
    """The bodies of a message for one key: what names the key, and the encrypted data."""
    _, first, length = packets.header(message, 0)
    assert length is not None
    _, second, size = packets.header(message, first + length)
    assert size is not None
    return message[first : first + length], message[second : second + size]


def subkey(ring: KeyRing, name: str) -> str:
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode()
    return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("seipd 2", "its encrypted data is of version 2 (RFC 9580), and GnuPG knows version 1"),
        ("aead 9", "its AEAD encrypted data is of version 9, and GnuPG knows version 1"),
        ("pkesk 6", "it names recipients in packets of version 6 (RFC 9580), and GnuPG knows version 3"),
        ("pkesk 6, v6 key", "it names recipients in packets of version 6 (RFC 9580), and GnuPG knows version 3"),
        ("x25519", "it is encrypted to {key} with public-key algorithm 25 X25519"),
        ("unheard of", "it is encrypted to {key} with public-key algorithm 99"),
    ],
)
def test_what_no_gnupg_reads_is_named(vault: Vault, keys: KeyRing, kind: str, why: str) -> None:
    session, data = parts(keys.encrypt(b"x", "alice"))
    newer = bytes([2, 9, 2, 6]) + os.urandom(80)
    named = bytes([6, 21, 4]) + os.urandom(12) + session[1:9] + session[9:]
    vault.put({
        "seipd 2": packet(1, session) + packet(18, newer),
        "aead 9": packet(1, session) + packet(20, bytes([9]) + newer),
        "pkesk 6": packet(1, named) + packet(18, newer),
        "pkesk 6, v6 key": packet(1, bytes([6, 33, 6]) + V6_KEY + bytes([25]) + os.urandom(60)) + packet(18, newer),
        "x25519": packet(1, session[:9] + bytes([25]) + os.urandom(60)) + packet(18, data),
        "unheard of": packet(1, session[:9] + bytes([99]) + os.urandom(60)) + packet(18, data),
    }[kind])  # fmt: skip
    error = failed(vault)
    assert type(error) is GpgError
    told = why.format(key=subkey(keys, "alice"))
    assert str(error) == f"{gpg_version()} cannot read {LABEL}: {told}; {ELSEWHERE}"
    assert vault.list() == {"https://a.example": "bob"}


def test_a_key_is_named_in_a_way_that_nobody_knows(vault: Vault, keys: KeyRing) -> None:
    session, data = parts(keys.encrypt(b"x", "alice"))
    vault.put(packet(1, bytes([5]) + session[1:]) + packet(18, data))
    why = "it names a recipient in an unknown way (version 5)"
    assert str(failed(vault)) == f"{LABEL} is not an entry: {why}; {AGAIN}"


@pytest.mark.parametrize("tag", [22, 39, 40, 60, 63])
def test_a_packet_that_nobody_knows_may_be_a_messages(vault: Vault, keys: KeyRing, tag: int) -> None:
    vault.put(packet(tag, b"x") + keys.encrypt(b"x", "alice"))
    why = f"it is not an encrypted OpenPGP message (packet type {tag})"
    assert str(failed(vault)) == f"{LABEL} is not an entry: {why}; {AGAIN}"


@pytest.mark.parametrize("tag", [0, 2, 5, 6, 13])
def test_a_key_or_a_signature_is_no_message(vault: Vault, keys: KeyRing, tag: int) -> None:
    vault.put(packet(tag, b"x") + keys.encrypt(b"x", "alice"))
    with pytest.raises(EntryError, match="or erase it and store it again"):
        vault.get()


def test_padding_is_no_reason_to_refuse_a_message(vault: Vault, keys: KeyRing) -> None:
    session, data = parts(keys.encrypt(b"x", "alice"))
    padding = packet(21, os.urandom(20))
    vault.put(packet(1, session) + padding + packet(18, data))
    assert vault.get() == ("bob", "x")
    vault.put(packet(1, session) + packet(18, data) + padding)
    assert vault.get() == ("bob", "x")
    vault.put(padding + packet(1, session) + packet(18, data))  # gpg finds no message there
    why = "it is not an encrypted OpenPGP message (packet type 21)"
    assert str(failed(vault)).startswith(f"{LABEL} is not an entry: {why}")


def test_no_integrity_protection(vault: Vault, keys: KeyRing) -> None:
    session, data = parts(keys.encrypt(b"x", "alice"))
    vault.put(packet(1, session) + packet(9, data[1:]))
    error = failed(vault)
    assert type(error) is EntryError
    assert str(error) == (
        f"{LABEL} has no integrity protection, so gpg does not take it for unchanged; "
        "store the credential again; gpg --ignore-mdc-error --decrypt FILE shows what it holds"
    )


def test_an_unknown_cipher(own_keys: KeyRing, vault: Vault) -> None:
    """A session key for cipher 99, encrypted with RSA by hand (RFC 9580, section 5.1.3): gpg writes none."""
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    made = ("--passphrase", "", "--quick-gen-key", "rsa <rsa@example.test>", "rsa2048", "encrypt", "never")
    own_keys.gpg("--pinentry-mode", "loopback", *made)
    listing = own_keys.gpg("--with-colons", "--with-key-data", "--list-keys", "rsa@example.test").stdout.decode()
    lines = [line.split(":") for line in listing.splitlines()]
    numbers = [int(line[3], 16) for line in lines if line[0] == "pkd"]
    modulus, exponent = numbers[:2]
    key_id = next(line[4] for line in lines if line[0] == "pub")
    secret = b"k" * 32
    block = bytes([99]) + secret + (sum(secret) & 0xFFFF).to_bytes(2, "big")
    padded = b"\0\2" + b"p" * (256 - 3 - len(block)) + b"\0" + block
    number = pow(int.from_bytes(padded, "big"), exponent, modulus)
    session = b"\3" + bytes.fromhex(key_id) + b"\1" + number.bit_length().to_bytes(2, "big")
    session += number.to_bytes((number.bit_length() + 7) // 8, "big")
    vault.put(packet(1, session) + packet(18, b"\1" + os.urandom(60)))
    why = "it is encrypted with a cipher that this gpg does not know or allow"
    assert str(failed(vault)) == f"{gpg_version()} cannot read {LABEL}: {why}; {ELSEWHERE}"


def test_who_else_can_read_an_entry_makes_no_difference(vault: Vault, own_keys: KeyRing) -> None:
    """gpg 2.4 says of each key that it has no secret part, be it locked or not there."""
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    for names in (["stranger", "locked"], ["locked", "stranger"], ["locked"]):
        vault.put(own_keys.encrypt(b"x", *names))
        error = failed(vault)
        assert type(error) is LockedKeyError
        assert error.cause == f"GPG key {subkey(own_keys, 'locked')} is locked"
    vault.put(own_keys.encrypt(b"x", "stranger", "stranger"))
    assert type(failed(vault)) is NoSecretKeyError


@pytest.mark.parametrize("size", [100, 300, 5000, 200_000])
def test_parts_of_every_length_are_walked(keys: KeyRing, size: int) -> None:
    """gpg writes data that it has not seen the end of in parts."""
    for options in ((), ("-z", "0"), ("--armor",)):
        whole = keys.encrypt(os.urandom(size), "alice", options=options)
        assert Anatomy(whole).fault == ""
        if "--armor" not in options:
            assert Anatomy(whole + whole[:1]).fault == "it is truncated"
            assert Anatomy(whole + b"more").fault == "something follows its end"
            for cut in (1, 30, size // 2):
                assert Anatomy(whole[:-cut]).fault == "it is truncated"


def test_an_older_length_goes_on_until_the_end() -> None:
    session = packet(1, b"\3" + bytes(8) + b"\1\0\1\1")
    found = Anatomy(session + b"\xa7" + b"data")
    assert (found.tag, found.fault, found.is_unprotected, found.foreign()) == (9, "", True, "")


def test_only_a_few_modules_are_loaded_for_this() -> None:
    """What failed is looked at by code that no successful verb loads."""
    source = Path(packets.__file__).read_text()
    assert anatomy.__name__ not in source
