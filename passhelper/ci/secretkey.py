"""The secret key of a runner: from a variable or a file, through a pipe, into a keyring of its own."""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GpgError, LockedKeyError
from passhelper.machine import agentcache
from passhelper.oserrors import remedy
from passhelper.store import inputs, passphrase
from passhelper.store.gpg import status_lines
from passhelper.team.keyring.key import Key, names
from passhelper.team.keyring.keys import MAX_KEY_FILE, KeyRing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.gpg import Gpg

_VARIABLE = "PASSHELPER_GPG_KEY"
_FILE_VARIABLE = "PASSHELPER_GPG_KEY_FILE"
_BEGIN = b"-----BEGIN PGP "
_END = b"-----END PGP "
_PRIVATE = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_PUBLIC = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_EXPORT = "gpg --export-secret-keys --armor FINGERPRINT"


def source(environ: Mapping[str, str]) -> str:
    """Name the variable that gives the key; the one for a file comes first.

    Raises:
        ConfigurationError: neither is set.
    """
    for name in (_FILE_VARIABLE, _VARIABLE):
        if environ.get(name):
            return name
    raise ConfigurationError(
        f"no secret key for this runner: neither {_VARIABLE} nor {_FILE_VARIABLE} is set",
        f"set one of them to what this prints: {_EXPORT} | base64",
    )


def read(environ: Mapping[str, str]) -> bytes:
    """Read the secret key as gpg imports it, armored or binary.

    Raises:
        ConfigurationError: there is none, or it is not a secret key, or gpg would ignore a part of it.
    """
    name = source(environ)
    data = os.fsencode(environ[name]) if name == _VARIABLE else _read_file(environ[name])
    data = data.strip(b" \t\r\n") if data.isascii() else data
    if len(data) > MAX_KEY_FILE:
        raise ConfigurationError(
            f"{name} is larger than {MAX_KEY_FILE} bytes, which is not a key", f"set it to: {_EXPORT}"
        )
    if data.isascii() and not data.startswith(_BEGIN):
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            data = b""
    if data.startswith(_PUBLIC) and _PRIVATE not in data:
        raise ConfigurationError(f"{name} holds a public key, not a secret one", f"set it to: {_EXPORT}")
    if data.startswith(_BEGIN) and b"\n" not in data:
        raise ConfigurationError(f"the key in {name} has lost its line ends", f"set it to: {_EXPORT} | base64")
    if not data or not (data.startswith(_BEGIN) or data[0] & 0x80):  # every binary packet begins with that bit
        raise ConfigurationError(f"{name} is neither an armored key nor the base64 of one", f"set it to: {_EXPORT}")
    if data.startswith(_BEGIN) and _has_more_than_armor(data):
        raise ConfigurationError(
            f"{name} holds an armored key, and gpg would ignore what follows its end, such as a key in binary",
            "export every key with its armor, the others' too: gpg --armor --export FINGERPRINT",
        )
    return data


def _has_more_than_armor(data: bytes) -> bool:
    """Return whether anything but white space and further armor, on its own lines, follows the end of an armor.

    gpg skips it and exits with 0. The keys in it would then be missing when the first job stores something.
    """
    behind = (piece.partition(b"-----")[2] for piece in data.split(b"\n" + _END)[1:])
    return any(text.partition(b"\n" + _BEGIN)[0].strip() for text in behind)


def _read_file(path: str) -> bytes:
    try:
        data, facts = inputs.read_file(path, MAX_KEY_FILE * 2)
    except OSError as error:
        raise ConfigurationError(f"cannot read {_FILE_VARIABLE} ({path}): {error.strerror}", remedy(error)) from error
    passphrase.refuse_foreign_writers(_FILE_VARIABLE, path, facts)
    return data


def import_key(gpg: Gpg, data: bytes, name: str) -> Key:
    """Import the key that :func:`read` found in a variable into an empty keyring, and trust it as one's own.

    Public keys beside it, such as those of the team, are imported too.

    Raises:
        ConfigurationError: it holds no secret key, several, or one that cannot be used.
        GpgError: gpg does not take it.
    """
    child = gpg.ask("--import", stdin=data, seconds=gpg.deadline.seconds)
    ring = KeyRing(gpg)
    own = ring.own()
    if not own:
        lines = [line for line in child.stderr.decode(errors="replace").splitlines() if line.startswith("gpg:")]
        if any(line[0] == "IMPORT_OK" for line in status_lines(child)):
            raise ConfigurationError(f"{name} holds no secret key", f"set it to: {_EXPORT}")
        reason = f": {lines[-1].removeprefix('gpg: ')}" if lines else ""
        raise GpgError(f"gpg could not import the key in {name}{reason}", f"set it to: {_EXPORT}")
    if len(own) > 1:
        raise ConfigurationError(f"{name} holds {len(own)} secret keys, not one: {names(own)}", f"set it to: {_EXPORT}")
    key = own[0]
    problem = ring.problem(key)
    if problem:
        raise ConfigurationError(f"the key in {name} cannot be used: {problem}")
    if not key.is_own or key.is_on_card:
        raise ConfigurationError(
            f"the key in {name} lacks the secret part that decrypts: {key}", f"set it to: {_EXPORT}"
        )
    trusting = gpg.ask("--import-ownertrust", stdin=f"{key.fingerprint}:6:\n".encode())
    if trusting.returncode != 0:
        raise GpgError(f"gpg could not trust the key in {name}: {key}", "run: gpg --version")
    return key


def unlock(gpg: Gpg, key: Key, secret: bytes | None, name: str) -> None:
    """Give the agent the passphrase once, which came from a variable; None is for a key without one.

    Raises:
        LockedKeyError: the passphrase is wrong or missing.
    """
    if secret is None:
        if not agentcache.is_unlocked(gpg, key):
            raise LockedKeyError(f"GPG key {key} has a passphrase", "set PASSHELPER_PASSPHRASE_FILE")
        return
    try:
        agentcache.unlock(gpg, key, secret)
    except LockedKeyError as error:
        raise LockedKeyError(f"the passphrase in {name} does not unlock GPG key {key}", f"set {name}") from error
