"""Find what in a ``.gpg-id`` may mislead ``pass`` or a person, and rewrite it with full fingerprints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, PasshelperError, printable
from passhelper.store import journal, keynames, pinning, recipients, trust, unfinished
from passhelper.store.files import Files
from passhelper.store.journal import Change, Plan
from passhelper.store.transaction import Transaction
from passhelper.team.recipients.scope import other_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.doctor.context import Context
    from passhelper.team.keyring.key import Key

_HEX = frozenset("0123456789ABCDEFabcdef")
_SUBJECT = "Write full fingerprints into .gpg-id"


def files(context: Context) -> list[str]:
    """List the ``.gpg-id`` files that apply to credentials, relative to the store."""
    paths = [*recipients.candidates(""), *map(recipients.own, context.directories)]
    return [path for path in paths if os.path.isfile(os.path.join(context.store.root, path))]


def faults(text: bytes) -> list[str]:
    """Name what is odd about the content of a ``.gpg-id``, one phrase each."""
    found = []
    if text.startswith(b"\xef\xbb\xbf"):
        found.append("a byte order mark")
    if b"\r" in text:
        found.append("Windows line ends (CRLF)")
    if text and not text.endswith(b"\n"):
        found.append("no line end after the last line")
    for line in text.decode("utf-8-sig", errors="replace").splitlines():
        key, mark, _ = line.partition("#")
        key = key.strip()
        if not key:
            continue
        if not keynames.is_fingerprint(key):
            found.append(f"{_kind(key)} ({printable(key)})")
        if mark:
            found.append(f"a comment behind a key ({printable(key)})")
    return found


def _kind(key: str) -> str:
    if "@" in key:
        return "an e-mail address"
    return (
        "a short key id"
        if _HEX.issuperset(key.removeprefix("0x").removesuffix("!"))
        else "a name that is not a fingerprint"
    )


def fix(context: Context) -> Iterator[str]:
    """Rewrite the files that have faults, with the same keys; commit and pin each as a change of our own.

    The root's file in a store with other entries belongs to ``pass``, and a signed one to its signer:
    both are left alone.
    """
    for path in files(context):
        before = recipients.read_file(context.store.root, path) or b""
        if not faults(before) or not is_ours(context, path):
            continue
        recipients.parse(before, os.path.join(context.store.root, path))  # another kind of file is left alone
        after = _rewritten(context, before)
        if after != before and _write(context, path, before, after):
            yield f"rewrote {printable(path)}"


def is_ours(context: Context, path: str) -> bool:
    """Return whether a file may be rewritten."""
    is_foreign = path == recipients.FILE and bool(other_entries(context.store))
    return not is_foreign and not is_signed(context, path)


def is_signed(context: Context, path: str) -> bool:
    """Return whether a file has a signature, which a change would break."""
    return os.path.lexists(os.path.join(context.store.root, f"{path}.sig"))


def can_fix(context: Context, path: str, text: bytes) -> bool:
    """Return whether :func:`fix` would change a file."""
    try:
        recipients.parse(text, path)
    except PasshelperError:
        return False
    return is_ours(context, path) and _rewritten(context, text) != text


def _rewritten(context: Context, text: bytes) -> bytes:
    lines: list[str] = []
    for line in text.decode("utf-8-sig").split("\n"):
        key, mark, comment = (part.strip() for part in line.partition("#"))
        if not key:
            if mark:
                lines.append(f"# {comment}".rstrip())
            continue
        found = None if keynames.is_fingerprint(key) else _resolve(context, key)
        owner = comment or (found.uid if found else "")
        if owner and lines[-1:] != [f"# {owner}"]:
            lines.append(f"# {owner}")
        lines.append(found.line(key) if found else key)
    return "".join(f"{line}\n" for line in lines).encode()


def _resolve(context: Context, name: str) -> Key | None:
    """Find the one key that a name certainly means: entries will be encrypted to it without a question."""
    try:
        found = context.ring.find(name)
        return context.ring.meant(name, found) if found else None
    except PasshelperError:
        return None  # without gpg, its agent or a trusted key the form alone can be repaired


def _write(context: Context, path: str, before: bytes, after: bytes) -> bool:
    store = context.store
    root, written = store.root, Files(store.environ)
    repository = store.repository(os.path.dirname(path).partition(os.sep)[2])
    full = os.path.join(root, path)
    base = root if repository is None else repository.root
    if repository is not None:
        unfinished.refuse(repository)
    with Transaction(store, repository):
        if recipients.read_file(root, path) != before:
            return False
        known = trust.load_all(repository.state) if repository is not None else None
        if known is not None and pinning.current(root) == known.pins:  # the same keys as before, by their full names
            known.pins[path] = pinning.keys_of(after, full)
        else:
            known = None
        written.make_directory(os.path.dirname(store.journal(repository)))
        if full.startswith(base + os.sep):
            plan = Plan(_SUBJECT, [Change(os.path.relpath(full, base), after)])
            plan.state = {} if known is None else {trust.FILE: trust.text(known)}
            journal.write(store, repository, plan)
            journal.finish(store, repository)
        elif repository is not None:  # the list of a store in which the credentials alone are a repository
            written.put(full, after, repository.state)
            if known is not None:
                trust.save_all(repository.state, known, written)
    if context.warnings:
        raise GitError(context.warnings.pop(), "run: passhelper doctor")
    return True
