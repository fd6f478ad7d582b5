"""What the environment demands of a new clone: its store's identity and how new it is, since it has no pins yet.

A remote that is rolled back, or a list of readers that is put back, looks like any other to a machine without pins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, TrustError, printable
from passhelper.store import recipients, signature, treepolicy, trust
from passhelper.store.layout import FOLDER
from passhelper.team.recipients import gpgid, recipientlists, signed
from passhelper.team.sync import incoming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.recipients.recipientlists import RecipientFile

ID = "PASSHELPER_STORE_ID"
SERIAL = "PASSHELPER_STORE_SERIAL"
MAX_AGE = "PASSHELPER_STORE_MAX_AGE"
VARIABLES = (ID, SERIAL, MAX_AGE)
_MOST_DAYS = 36500
_DAY = 86400  # seconds
_SIGN = "find out who put it there; if it is right, a member runs: passhelper recipients sign && passhelper sync"


@dataclass(frozen=True)
class Demands:
    """What a clone has to be.

    Attributes:
        store: the identity that all signed lists name; empty for any.
        serial: the lowest serial of a signed list; 0 for any.
        days: the greatest age of the newest commit; 0 for any.
    """

    store: str = ""
    serial: int = 0
    days: int = 0


def demands(environ: Mapping[str, str]) -> Demands:
    """Read what the environment demands of a clone.

    Raises:
        ConfigurationError: a value is not what it should be, or nothing says who signs.
    """
    found = Demands(
        environ.get(ID, ""),
        _number(environ, SERIAL, 10**recipients.MAX_SERIAL - 1),
        _number(environ, MAX_AGE, _MOST_DAYS),
    )
    if found.store and not recipients.is_identity(found.store):
        raise ConfigurationError(
            f"{ID} is not the identity of a store: {printable(found.store)!r}",
            "set it to the 32 hex digits that passhelper recipients sign prints",
        )
    if (found.store or found.serial) and not recipients.signing_keys(environ):
        raise ConfigurationError(
            f"{ID if found.store else SERIAL} is set, and nothing says who signs the lists of recipients",
            "set PASSWORD_STORE_SIGNING_KEY to the full fingerprint of the key that does",
        )
    return found


def _number(environ: Mapping[str, str], name: str, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise ConfigurationError(
            f"{name} is not a whole number from 1 to {most}: {printable(text)!r}",
            f"{'count days' if name == MAX_AGE else 'take what passhelper recipients sign prints'}, or unset it",
        )
    return int(text)


def check(store: PassStore, git: Git, commit: str, wanted: Demands) -> None:
    """Refuse a clone that is not what its owner demands.

    Args:
        store: where it lies.
        git: its repository.
        commit: the newest one, by its full id.
        wanted: what it has to be.

    Raises:
        TrustError: it is too old, or a list of readers is, or is that of another store.
    """
    if wanted.days:
        _check_age(git, commit, wanted.days)
    if wanted.store or wanted.serial:
        _check_lists(store, recipientlists.read(store, git, commit), wanted)


def _check_age(git: Git, commit: str, days: int) -> None:
    stamp, now = git.commit(commit).committed_date, time.time()
    if stamp > now + treepolicy.MAX_AHEAD:
        raise TrustError(
            f"commit {commit[:12]} is dated {incoming.date(stamp)}, more than an hour ahead of this clock, so its age "
            f"says nothing ({MAX_AGE})",
            "check this clock; if it is right, find out who pushed that commit",
        )
    if stamp < now - days * _DAY:
        raise TrustError(
            f"the newest commit of the store, {commit[:12]}, is dated {incoming.date(stamp)}, more than {days} "
            f"{'days' if days > 1 else 'day'} ago ({MAX_AGE})",
            "find out whether the remote is an old copy; if nothing has changed since, a member says so in his clone: "
            "git commit --allow-empty -m 'Still so' && passhelper sync",
        )


def _check_lists(store: PassStore, lists: Mapping[str, RecipientFile], wanted: Demands) -> None:
    named = signed.counting(store, lists, trust.Trust({}, store=wanted.store))
    identity = wanted.store or gpgid.identity(named.values())
    for path in sorted(filter(recipientlists.counts, lists)):
        if path == recipients.FILE and f"{FOLDER}/{recipients.FILE}" in lists:
            continue  # decides about no credential
        if path not in named:
            why = signature.complaint(recipients.header(lists[path].text), path, identity, 1)
            why = why or "its signature is not by a key in PASSWORD_STORE_SIGNING_KEY that this keyring holds"
            raise TrustError(f"{printable(path)} is not what {ID if wanted.store else SERIAL} demands: {why}", _SIGN)
        if named[path].serial < wanted.serial:
            raise TrustError(
                f"{printable(path)} has serial {named[path].serial}, and {SERIAL} demands {wanted.serial}: an old list "
                "was put back",
                _SIGN,
            )
