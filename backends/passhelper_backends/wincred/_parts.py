"""Secrets over Windows' limit of 2,560 bytes, as one credential and the parts that it names.

The first credential has the server's name and the first piece of the secret; the attribute
``passhelper`` on it holds the name of the set and the number of pieces. It does not have Docker's label:
Docker's own helper would serve the first piece as if it were all. The other pieces have names that begin
with ``passhelper:part:``. A set of pieces is written before the credential that names it and under a
name of its own, so an interrupted write leaves the earlier secret in place.
"""

import os

from passhelper.errors import EntryError
from passhelper_backends._system import NativeError
from passhelper_backends.wincred._native import MAX_BLOB, Credential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper_backends.wincred._native import CredentialManager

SPLIT = "passhelper"  # the attribute of the first credential: "<set> <number of pieces>"
_PART = "passhelper-part"  # the attribute of the others: "<set>"
_PREFIX = "passhelper:part:"
MAX_PREFIX = len(_PREFIX) + 16 + 6  # characters before the server's name: the set, the number and two colons


def write(manager: "CredentialManager", server: str, username: str, secret: bytes) -> None:
    """Write a secret in pieces; if that fails, remove those that were written."""
    name = os.urandom(8).hex()
    pieces = [secret[begin : begin + MAX_BLOB] for begin in range(0, len(secret), MAX_BLOB)]
    try:
        for number, piece in enumerate(pieces[1:], 2):
            target = f"{_PREFIX}{name}:{number}:{server}"
            manager.write(Credential(target, username, piece, {_PART: name.encode()}))
        first = {SPLIT: f"{name} {len(pieces)}".encode()}
        manager.write(Credential(server, username, pieces[0], first))
    except BaseException:
        for number in range(2, len(pieces) + 1):
            try:
                manager.delete(f"{_PREFIX}{name}:{number}:{server}")
            except NativeError:
                break  # the first failure is the one to report
        raise


def join(manager: "CredentialManager", first: Credential) -> bytes:
    """Put a secret together again.

    Raises:
        EntryError: a piece is missing.
    """
    name, _, count = first.attributes[SPLIT].decode(errors="replace").partition(" ")
    pieces = [first.blob]
    for number in range(2, (int(count) if count.isascii() and count.isdigit() else 0) + 1):
        part = manager.read(f"{_PREFIX}{name}:{number}:{first.target}")
        if part is None or part.attributes.get(_PART) != name.encode():
            raise EntryError(
                f"part {number} of {count} of the secret for {first.target} is missing from the Credential Manager",
                "store it again: docker login",
            )
        pieces.append(part.blob)
    return b"".join(pieces)


def leftovers(credentials: "Iterable[Credential]", server: str) -> "list[str]":
    """Name the parts of a server's secrets that its credential does not name (any more)."""
    found = list(credentials)
    used = [
        one.attributes[SPLIT].partition(b" ")[0] for one in found if one.target == server and SPLIT in one.attributes
    ]
    return [
        one.target
        for one in found
        if _PART in one.attributes
        and one.attributes[_PART] not in used
        and one.target.startswith(_PREFIX)
        and one.target.removeprefix(_PREFIX).split(":", 2)[2:] == [server]
    ]
