"""Keys that pretend to be another one: with its address, its fingerprint as a name, or its key as their own subkey."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import printable
from passhelper.store import keyinfo
from passhelper.store.keynames import FINGERPRINTS, digits, long_id
from passhelper.team.keyring import owners
from passhelper.team.keyring.key import mail_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from passhelper.store.gpg import Gpg

_FINGERPRINT = re.compile(f"[0-9A-F]{{{min(FINGERPRINTS)},}}")
_SEPARATORS = re.compile(r"[\W_]+")


def pretence(gpg: Gpg, new: keyinfo.Key, accepted: Collection[str] | None = None) -> str:
    """Say what in a key that is about to be imported pretends to be another key.

    What this keyring has of the key already is not new: somebody has taken it before.

    Args:
        gpg: whose keyring it is.
        new: the key.
        accepted: the lines of the lists of keys that count, normalized; None where any key of the keyring does.

    Returns:
        empty if nothing does.

    Raises:
        GpgError: gpg cannot say which keys there are.
    """
    child = gpg.ask("--with-colons", "--fixed-list-mode", "--list-keys")
    if child.timed_out or (child.returncode != 0 and child.stdout):
        raise keyinfo.unanswered(gpg, child, "list the keys")
    here = keyinfo.parse_keys(child.stdout.decode(errors="replace"))
    old = [key for key in here if key.fingerprint == new.fingerprint]
    named = {digits(line) for line in accepted or ()} - {""}
    others = [
        key
        for key in here
        if key.fingerprint != new.fingerprint and (accepted is None or not named.isdisjoint(key.fingerprints))
    ]
    # Which key a line with a "!" is a subkey of, it does not say.
    whole = {digits(line) for line in accepted or () if not keyinfo.is_pinned(line)} - {""}
    fingerprints = whole.union(*(key.fingerprints for key in others)).difference(
        new.fingerprints[:1], *(key.fingerprints for key in old)
    )
    for part in new.fingerprints[1:]:
        if part in fingerprints:
            return f"it calls {part} a subkey of its own, and that is another recipient's key"
    known = {uid for key in old for _, uid in key.uids}
    texts = [line for line in accepted or () if not digits(line)]
    for _, uid in new.uids:
        why = "" if uid in known else _pretends(uid, new.fingerprint, others, fingerprints, texts)
        if why:
            return f"its user id {uid} {why}"
    return ""


def refuse(gpg: Gpg, path: str, data: bytes) -> None:
    """Refuse a key file whose key pretends to be another one of this keyring.

    Args:
        gpg: whose keyring it is.
        path: the file.
        data: its content.

    Raises:
        UnsureOwnerError: it does, unless a person vouches for it.
        GpgError: gpg cannot say which keys there are.
    """
    listing = gpg.ask("--with-colons", "--import-options", "show-only", "--import", stdin=data)
    for key in keyinfo.parse_keys(listing.stdout.decode(errors="replace")):
        why = pretence(gpg, key)
        if why:
            command = f"gpg --import {shellwords.word(path)}"
            raise owners.UnsureOwnerError(
                f"the key {key.fingerprint} in {printable(path)} may pretend to be another one: {why}",
                f"compare the fingerprint with its owner, then run: {command}, and give {key.fingerprint}",
                key.fingerprint,
            )


def _pretends(
    uid: str, own: str, others: Iterable[keyinfo.Key], fingerprints: Iterable[str], texts: Iterable[str]
) -> str:
    """Say what a user id pretends; letters that only look like others are taken for these."""
    plain = unicodedata.normalize("NFKC", uid)
    letters = _SEPARATORS.sub("", plain).upper()
    if any(found != own for found in _FINGERPRINT.findall(letters)):
        return "looks like the fingerprint of another key"
    if any(long_id(each) in letters for each in fingerprints):
        return "has the key id of another recipient"
    address = mail_address(plain)
    for other in others:
        if address and any(address == mail_address(text) for _, text in other.uids):
            return f"has the address of the key {other.fingerprint} {other.uid}"
    for text in texts:
        if text.lower() in plain.lower():
            return f"is what {text} in a list of recipients means"
    return ""
