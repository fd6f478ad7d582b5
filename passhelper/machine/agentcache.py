"""The passphrase cache of gpg-agent: fill it, empty it, and say how long it lasts.

A passphrase reaches gpg through a pipe (``--pinentry-mode loopback``); the agent then keeps it for its
own cache times. gpg 2.2 has no preset with a time limit; the agent of ``setup --ci`` is given other cache
times instead (see :mod:`passhelper.ci.agent`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.errors import GpgError, LockedKeyError
from passhelper.store import cipher, passphrase
from passhelper.store.child import finish, last_line
from passhelper.store.gpg import Gpg
from passhelper.store.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from passhelper.store.child import Child
    from passhelper.team.keyring.key import Key

_NAME = "passhelper-test"  # the file name inside a test message: no entry is bound to it
_SIZE = 16  # bytes of a test message
_SECONDS = 10.0  # for one question to the agent
_CACHE_TIMES = ("default-cache-ttl", "max-cache-ttl")


@contextmanager
def passphrase_pipe(
    environ: Mapping[str, str], secret: bytes | None
) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Prepare an environment that gives a passphrase through a pipe, good for one child; None leaves it as it is.

    Yields:
        the environment, and the descriptors that a child must inherit.
    """
    if secret is None:
        yield dict(environ), ()
        return
    reader, writer = os.pipe()
    try:
        with open(writer, "wb") as file:  # at most MAX_PASSPHRASE bytes, which every pipe holds
            file.write(secret)
        cleaned = {name: value for name, value in environ.items() if not name.startswith("PASSHELPER_PASSPHRASE")}
        yield {**cleaned, "PASSHELPER_PASSPHRASE_FD": str(reader)}, (reader,)
    finally:
        os.close(reader)


def is_unlocked(gpg: Gpg, key: Key) -> bool:
    """Return whether the agent decrypts with a key without asking anybody."""
    cleaned = {name: value for name, value in gpg.environ.items() if not name.startswith("PASSHELPER_PASSPHRASE")}
    try:
        quiet = Gpg({**cleaned, "PASSHELPER_NONINTERACTIVE": "1"})
        cipher.decrypt(quiet, _test_message(gpg, key), "the test message")
    except LockedKeyError:
        return False
    return True


def is_protected(gpg: Gpg, key: Key) -> bool:
    """Return whether a key has a passphrase, whatever the agent has in its cache.

    Raises:
        GpgError: the agent cannot be asked.
    """
    child = _ask_agent(gpg, "KEYINFO", key)
    # S KEYINFO <keygrip> <type> <serial number> <id> <cached> <protection>, which is P for a passphrase
    found = [line.split() for line in child.stdout.decode(errors="replace").splitlines() if "KEYINFO" in line]
    if child.returncode != 0 or not found:
        raise GpgError(f"gpg-agent does not say how key {key} is protected: {last_line(child)}")
    return any(words[7:8] == ["P"] for words in found)


def unlock(gpg: Gpg, key: Key, secret: bytes | None) -> None:
    """Decrypt a test message once, so that the agent keeps the passphrase; None lets gpg ask for it (a card's PIN).

    Raises:
        LockedKeyError: it is the wrong passphrase.
        GpgError: anything else.
    """
    message = _test_message(gpg, key)
    with passphrase_pipe(gpg.environ, secret) as (environ, _):
        try:
            cipher.decrypt(Gpg(environ), message, "the test message")
        except LockedKeyError as error:
            if secret is None:
                raise
            raise LockedKeyError(f"that passphrase does not unlock GPG key {key}", "try again") from error


def _test_message(gpg: Gpg, key: Key) -> bytes:
    name = key.fingerprint
    own = [each for each in key.usable_ids if each in key.own_ids]
    if own and not {*own}.intersection(key.newest_ids):  # gpg would take a subkey that another token holds
        name = f"0x{own[-1]}!"
    return encrypted(gpg, os.urandom(_SIZE), [name], "this keyring", trusted=True)


def encrypted(gpg: Gpg, data: bytes, keys: Sequence[str], label: str, *, trusted: bool) -> bytes:
    """Encrypt a test message, which is not an entry, as ``store`` would encrypt one.

    Raises:
        GpgError: gpg does not encrypt to one of the keys, which the list of this label names.
    """
    child = gpg.start_encrypt(data, keys, _NAME, trusted=trusted)
    finish([child], gpg.deadline.seconds)
    return cipher.ciphertext(gpg, child, keys, label)


def lock(gpg: Gpg, key: Key) -> None:
    """Make the agent forget the passphrase of one key, and of no other.

    Raises:
        GpgError: the agent cannot be asked.
    """
    child = _ask_agent(gpg, "CLEAR_PASSPHRASE --mode=normal", key)
    if child.returncode != 0 or child.stdout.count(b"OK") < len(key.keygrips):
        answers = child.stdout.decode(errors="replace").split("\n")
        refused = [line for line in answers if line.startswith("ERR")]
        raise GpgError(f"gpg-agent did not forget key {key}: {(refused or [last_line(child)])[0]}")


def cache_times(gpg: Gpg) -> dict[str, int]:
    """Ask for how many seconds the agent keeps a passphrase: since its last use, and at most.

    Returns:
        by the agent's option; empty where it cannot be asked.
    """
    program = find_program(("gpgconf",), gpg.environ)
    if program is None:
        return {}
    child = gpg.start([program, "--list-options", "gpg-agent"])
    finish([child], _SECONDS)
    found = {}
    for line in child.stdout.decode(errors="replace").splitlines():
        field = line.split(":")  # gpgconf(1): 8th the default, 10th the value that is set
        if field[0] in _CACHE_TIMES and len(field) > 9:
            value = field[9] or field[7]
            if value.isdigit():
                found[field[0]] = int(value)
    return found


def passphrase_from_environment(environ: Mapping[str, str]) -> bytes | None:
    """Read the configured passphrase, None if there is none; a descriptor can be read only once."""
    return passphrase.read(environ) if passphrase.source(environ) else None


def _ask_agent(gpg: Gpg, command: str, key: Key) -> Child:
    """Give gpg-agent a command for each part of a key; wait for its answers."""
    name = "gpg-connect-agent"
    program = find_program((name,), gpg.environ)
    if program is None:
        raise GpgError(f"{name} not found in PATH", "install all of GnuPG (Debian and Ubuntu: apt-get install gnupg)")
    child = gpg.start([program], stdin="".join(f"{command} {grip}\n" for grip in key.keygrips).encode())
    finish([child], _SECONDS)
    return child
