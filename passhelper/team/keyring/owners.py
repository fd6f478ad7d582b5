"""Find the owner of a key, although anybody can write any address into a key.

So a name that is not a fingerprint means a key only where gpg vouches for the very user id that has it, where this
machine holds the key's secret part, or where a person has said so. What nobody vouches for is never taken in place of
a key that has expired or is not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, TrustError, printable
from passhelper.store import keyinfo
from passhelper.store.keynames import digits, long_id
from passhelper.team.keyring.key import mail_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from passhelper.store.gpg import Gpg
    from passhelper.team.keyring.key import Key

_VALID = ("u", "f")  # ultimately and fully: doc/DETAILS, "Field 2 - Validity"


class UnsureOwnerError(TrustError):
    """A name fits one key, but nobody vouches that the key belongs to the owner of that name.

    Attributes:
        fingerprint: the key, for which a person may vouch.
    """

    def __init__(self, cause: str, remedy: str, fingerprint: str) -> None:
        super().__init__(cause, remedy)
        self.fingerprint = fingerprint


def choose(gpg: Gpg, name: str, found: Sequence[Key], sure: Collection[str], where: str = "") -> Key:
    """Choose the key that a name certainly means.

    Args:
        gpg: whose keyring it is.
        name: an address, a part of a user id or a key id.
        found: the keys that it fits, at least one.
        sure: fingerprints of keys for which a person vouches.
        where: the file that has the name, for messages; empty for what somebody has typed.

    Raises:
        UnsureOwnerError: it fits one key, and nobody vouches for it.
        ConfigurationError: it fits several keys.
        GpgError: gpg cannot say.
    """
    certain = among(gpg, name, found, sure)
    # An expired key of the same owner is no reason to ask: nobody means that one.
    some = [key for key in certain if key.can_encrypt] or certain or found
    place = f" in {where}" if where else ""
    if len(some) > 1:
        raise ConfigurationError(
            f"{len(some)} keys for {printable(name)}{place}: {', '.join(map(str, some))}",
            "replace the line with a fingerprint" if where else "name one by its fingerprint",
        )
    if not certain:
        fingerprint = some[0].fingerprint
        raise UnsureOwnerError(
            f"gpg does not vouch for {printable(name)}{place} as the owner of the key {some[0]}",
            f"compare the fingerprint with the owner, then {'replace the line by' if where else 'give'} {fingerprint}",
            fingerprint,
        )
    return some[0]


def among(gpg: Gpg, name: str, found: Iterable[Key], sure: Collection[str] = ()) -> list[Key]:
    """List those keys that a name certainly means; arguments and errors as for :func:`choose`."""
    known = [key for key in found if key.is_own or key.fingerprint in sure]
    others = [key for key in found if key not in known]
    vouched = _vouched(gpg, name) if others else ()
    return [*known, *(key for key in others if key.fingerprint in vouched)]


def _vouched(gpg: Gpg, name: str) -> set[str]:
    """List the keys for which gpg itself vouches that they are those of a name."""
    # What was signed a moment ago counts only after a look at the trust database.
    child = gpg.ask("--auto-check-trustdb", "--with-colons", "--fixed-list-mode", "--list-keys")
    if child.timed_out or child.returncode != 0:
        raise keyinfo.unanswered(gpg, child, f"find the owner of the key {printable(name)} means")
    found = keyinfo.parse_keys(child.stdout.decode(errors="replace"))
    return {key.fingerprint for key in found if _is_vouched(key, name)}


def _is_vouched(key: keyinfo.Key, name: str) -> bool:
    if digits(name):
        return key.validity in _VALID and any(keyinfo.names(name, long_id(each)) for each in key.fingerprints)
    wanted = mail_address(name)
    return any(
        validity in _VALID and (mail_address(uid) == wanted if wanted else name.lower() in uid.lower())
        for validity, uid in key.uids
    )
