"""The messages about entries that could not be encrypted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import NoSecretKeyError, PasshelperError, StoreError, printable
from passhelper.store import cipher
from passhelper.store.child import finish
from passhelper.team.entries.pipeline import UnboundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.store.gpg import Gpg
    from passhelper.team.entries.batch import Result
    from passhelper.team.entries.survey import Record
    from passhelper.team.keyring.keys import KeyRing


class UnboundEntriesError(StoreError):
    """A change only needs a person to say that entries which are not bound belong where they are.

    Attributes:
        records: these entries.
    """

    def __init__(self, cause: str, remedy: str, records: Sequence[Record]) -> None:
        super().__init__(cause, remedy)
        self.records = records


def failure(failed: Mapping[str, PasshelperError], records: Mapping[str, Record]) -> StoreError:
    """Name every entry that could not be encrypted anew, by reason.

    Args:
        failed: why, by path.
        records: which entries these are, likewise.
    """
    reasons: dict[str, list[str]] = {}
    for path, error in failed.items():
        reasons.setdefault(error.cause, []).append(name(records[path]))
    told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    kinds = {type(error) for error in failed.values()}
    remedies = {error.remedy for error in failed.values()}
    remedy = remedies.pop() if len(remedies) == 1 else "restore what is damaged or was moved, or store it again"
    if NoSecretKeyError in kinds:
        remedy = "ask a member who can read them to do this"
    elif UnboundError in kinds:
        remedy = "look at each, then run it again with --unbound"
    count = len(failed)
    cause = f"{count} {'entry' if count == 1 else 'entries'} cannot be encrypted anew: {told}"
    if kinds == {UnboundError}:
        return UnboundEntriesError(cause, remedy, [records[path] for path in failed])
    return StoreError(cause, remedy)


def refuse_broken_gpg(gpg: Gpg, ring: KeyRing, result: Result) -> None:
    """Find out, if nothing could be encrypted anew, whether the fault is this machine's and not the entries'.

    Raises:
        StoreError, GpgError: gpg does not work here.
    """
    if all(isinstance(error, StoreError | NoSecretKeyError) for error in result.failed.values()):
        return
    own = [key.fingerprint for key in ring.own() if key.can_encrypt]
    child = gpg.start_encrypt(b"", own[:1], "", trusted=True)
    finish([child], gpg.deadline.seconds)
    try:
        cipher.decrypt(gpg, cipher.ciphertext(gpg, child, own[:1], "a test of gpg"), "a test of gpg")
    except PasshelperError as error:
        raise failure(result.failed, result.records) from error


def name(record: Record) -> str:
    """Name an entry for people."""
    server = printable(record.entry.server)
    return server if record.is_directory else f"{server} ({printable(record.entry.username)})"
