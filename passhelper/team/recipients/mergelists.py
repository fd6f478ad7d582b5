"""Merge two versions of a ``.gpg-id``: the keys are merged as sets, without those that one side has removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from passhelper.errors import TrustError, printable
from passhelper.store import keynames, recipients
from passhelper.store.recipients import Header

if TYPE_CHECKING:
    from collections.abc import Sequence


class Signer(Protocol):
    """Makes the signature of a merged ``.gpg-id``."""

    def __call__(self, path: str, text: bytes, *, was_signed: bool) -> tuple[bytes, bytes | None]:
        """Sign a text; gives it as it was signed, and the signature: None where none is wanted.

        Args:
            path: the file, in the repository.
            text: what to sign.
            was_signed: whether one of the merged versions was.

        Raises:
            TrustError: a signature is wanted and cannot be made here.
        """


@dataclass
class _Line:
    """A key of a ``.gpg-id`` with the comments above it."""

    key: str
    text: str
    comments: list[str] = field(default_factory=list)


def join(path: str, bases: Sequence[bytes], winner: bytes | None, loser: bytes | None) -> bytes | None:
    """Merge two versions.

    A key stays if both have it; if one alone has it, then only if no version that they come from had it. The order,
    the comments, and everything where the two name the same keys, are the winner's. A side that has removed the file
    wins over one that names the same keys as before, however it writes them.

    Args:
        path: the file, for messages.
        bases: what it was in the commits that both come from, where it was there.
        winner: the version of the side that wins a conflict; None if it removed the file.
        loser: the other side's.

    Returns:
        the merged file; None if it is gone.

    Raises:
        TrustError: no key would be left.
        StoreError: one of them is not a list of keys.
    """
    if winner is None or loser is None:
        left = loser if winner is None else winner
        if left is not None and any(_keys(left, path) == _keys(text, path) for text in bases):
            return None
        return left  # who may read is what it has changed, and somebody meant that
    first, rest = _parse(winner, path)
    second, _ = _parse(loser, path)
    before = {key for text in bases for key in _keys(text, path)}
    ours, theirs = {line.key for line in first}, {line.key for line in second}
    kept = (ours & theirs) | ((ours ^ theirs) - before)
    if not kept:
        raise TrustError(
            f"the two sides together removed every key from {printable(path)}",
            "decide who stays: passhelper recipients add KEY, then sync",
        )
    if kept == ours:
        return winner
    if kept == theirs:
        return loser
    lines = [line for line in first if line.key in kept] + [line for line in second if line.key in kept - ours]
    text = "".join("".join(f"{part}\n" for part in (*line.comments, line.text)) for line in lines)
    merged = (text + "".join(f"{part}\n" for part in rest)).encode()
    named = [header for header in map(recipients.header, (winner, loser)) if header is not None]
    if not named:
        return merged
    # Of a file that both name, the newer list knows the digest.
    digests = {key: found for header in sorted(named, key=lambda one: one.serial) for key, found in header.keys.items()}
    store = next((header.store for header in named if header.store), "")
    serial = 1 + max(header.serial for header in named)
    digests = {key: found for key, found in digests.items() if key in kept}
    return recipients.with_header(merged, Header(named[0].path, serial, store, digests, _lists(bases, named)))


def _lists(bases: Sequence[bytes], named: Sequence[Header]) -> dict[str, int]:
    """Merge what both say of the lists below: one that a side no longer names was removed there."""
    before = {path for header in map(recipients.header, bases) if header is not None for path in header.lists}
    found: dict[str, int] = {}
    for header in named:
        for path, serial in header.lists.items():
            if path not in before or all(path in other.lists for other in named):
                found[path] = max(serial, found.get(path, 0))
    return found


def _keys(text: bytes, path: str) -> set[str]:
    return {keynames.normalize(key) for key in recipients.parse(text, path)}


def _parse(text: bytes, path: str) -> tuple[list[_Line], list[str]]:
    """Split a file into its keys, each with the comments above it, and the comments below the last one."""
    recipients.parse(text, path)  # says what is wrong with the file
    text = recipients.body(text)
    found: list[_Line] = []
    comments: list[str] = []
    seen: set[str] = set()
    for line in text.decode("utf-8-sig").split("\n"):
        key = keynames.normalize(line.partition("#")[0].strip())
        if not key:
            comments += [line.rstrip()] if line.strip() else []
        elif key not in seen:
            seen.add(key)
            found.append(_Line(key, line.strip(), comments))
            comments = []
    return found, comments
