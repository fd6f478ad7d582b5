"""Ask a person who owns a key, if gpg does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from passhelper.cli import terminal
from passhelper.team.keyring.key import mail_address
from passhelper.team.keyring.keys import KeyRing
from passhelper.team.keyring.owners import UnsureOwnerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.gpg import Gpg

T = TypeVar("T")


def asking(action: Callable[[frozenset[str]], T]) -> T:
    """Call an action; if it does not know who owns a key, ask a person and call it again with the answer.

    Args:
        action: gets the fingerprints of the keys that a person vouches for; none at first.

    Raises:
        UnsureOwnerError: nobody can be asked, or the answer was no.
    """
    sure: frozenset[str] = frozenset()
    while True:
        try:
            return action(sure)
        except UnsureOwnerError as error:
            if error.fingerprint in sure or not terminal.is_present():
                raise
            if not terminal.confirm(f"{error.cause[:1].upper()}{error.cause[1:]}. Is it the right key?"):
                raise
            sure |= {error.fingerprint}


def fingerprint(gpg: Gpg, name: str) -> str:
    """Give the fingerprint of the key that an address means; any other name as it is. Raises as :func:`asking`."""
    if not mail_address(name):
        return name
    return asking(lambda sure: KeyRing(gpg, sure).resolve(name).fingerprint)
