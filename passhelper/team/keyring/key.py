"""One key of the keyring, as python-gnupg lists it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passhelper.errors import printable
from passhelper.store import keyinfo, keynames
from passhelper.store.keynames import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

_RSA = ("1", "2")  # the numbers of RSA, and of RSA that only encrypts: RFC 9580, 9.1
_GONE = ("r", "e", "i", "d")  # trust letters of what cannot be used: doc/DETAILS, "Field 2 - Validity"


@dataclass(frozen=True)
class Key:
    """One key of the keyring.

    Attributes:
        fingerprint: of the primary key, in full.
        uid: the first user id, safe to show.
        emails: the addresses of all user ids, in lower case.
        expires: seconds since 1970, 0 for never.
        can_encrypt: whether gpg would encrypt to it today.
        key_ids: of the subkeys that encrypt, as a message names them; expired and revoked ones too.
        revoked_ids: of those, the revoked ones.
        usable_ids: of those, the ones that gpg would encrypt to today.
        newest_ids: of these, the newest one, which gpg takes for the key as a whole; several if they are as old.
        own_ids: of those, the ones that this machine can decrypt with.
        subkeys: the fingerprints of all its parts, the primary key's first.
        is_own: whether this machine can decrypt with it.
        is_on_card: whether the secret part that decrypts is on a card.
        is_rsa: whether a secret part that decrypts, and is in no card, is an RSA key.
        keygrips: how the agent calls its secret parts.
        subkey_expires: when the last of the subkeys that encrypt expires, 0 for never.
    """

    fingerprint: str
    uid: str
    emails: tuple[str, ...]
    expires: int
    can_encrypt: bool
    key_ids: tuple[str, ...]
    is_own: bool
    is_on_card: bool
    keygrips: tuple[str, ...]
    subkey_expires: int = 0
    revoked_ids: tuple[str, ...] = ()
    usable_ids: tuple[str, ...] = ()
    newest_ids: tuple[str, ...] = ()
    own_ids: tuple[str, ...] = ()
    subkeys: tuple[str, ...] = ()
    is_rsa: bool = False

    @property
    def ends(self) -> int:
        """When it can no longer be encrypted to, in seconds since 1970; 0 for never."""
        return min((moment for moment in (self.expires, self.subkey_expires) if moment), default=0)

    @property
    def has_expired(self) -> bool:
        """Whether that moment has passed."""
        return 0 < self.ends <= time.time()

    def __str__(self) -> str:
        """Name the key in messages."""
        return f"{self.fingerprint} {self.uid}".rstrip()

    def line(self, written: str) -> str:
        """Name the key in full, as a ``.gpg-id`` does.

        Args:
            written: how it was named; where that is one subkey, with a ``!``, it goes on being that subkey alone.
        """
        if not keyinfo.is_pinned(written):
            return self.fingerprint
        exact = [each for each in self.subkeys if keyinfo.names(written, keynames.long_id(each))]
        return f"{exact[0]}!" if len(exact) == 1 else normalize(written)


def names(keys: Iterable[Key]) -> str:
    """Name several keys in a message."""
    return ", ".join(str(key) for key in keys)


def mail_address(name: str) -> str:
    """Read the e-mail address of a user id, in lower case; empty if it has none."""
    inside = name.rpartition("<")[2].rstrip(">") if "<" in name else name
    return inside.strip().lower() if "@" in inside else ""


def read(found: dict[str, Any], *, secret: bool) -> Key:
    """Read one entry of python-gnupg's listing (the fields are doc/DETAILS, "colon listings")."""
    parts = [found, *found.get("subkey_info", {}).values()]
    encrypting = [part for part in parts if "e" in part["cap"]]
    usable = [part for part in encrypting if part["trust"][:1] not in _GONE]
    # "+" is a secret part on this machine, "#" none, anything else the serial number of a card.
    lasting = [int(part["expires"] or 0) for part in encrypting if part["trust"][:1] not in ("r", "i", "d")]
    held = [part["token"] for part in usable or encrypting if part["token"] not in ("", "#")] if secret else []
    return Key(
        fingerprint=found["fingerprint"],
        uid=printable(found["uids"][0]) if found["uids"] else "",
        emails=tuple(filter(None, map(mail_address, found["uids"]))),
        expires=int(found["expires"] or 0),
        can_encrypt="E" in found["cap"] and "D" not in found["cap"],  # capitals: the key as a whole, today
        key_ids=tuple(part["keyid"] for part in encrypting),
        is_own=bool(held),
        is_on_card=bool(held) and "+" not in held,
        keygrips=tuple(part["keygrip"] for part in parts if part["keygrip"]) if secret else (),
        subkeys=(found["fingerprint"], *(part[2] for part in found.get("subkeys", ()))),
        subkey_expires=0 if 0 in lasting else max(lasting, default=0),
        revoked_ids=tuple(part["keyid"] for part in encrypting if part["trust"][:1] == "r"),
        usable_ids=tuple(part["keyid"] for part in usable),
        newest_ids=tuple(part["keyid"] for part in usable if part["date"] == max(each["date"] for each in usable)),
        own_ids=tuple(part["keyid"] for part in encrypting if secret and part["token"] not in ("", "#")),
        is_rsa=secret and any("+" in part["token"] and part["algo"] in _RSA for part in encrypting),
    )
