"""What ``pass`` or a reader may stumble over in a ``.gpg-id``, and how it is written properly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, PasshelperError, printable
from passhelper.store import recipients, trust, unfinished
from passhelper.store.commit import Committer
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction
from passhelper.team.scope import other_entries

if TYPE_CHECKING:
    from passhelper.machine.doctor.patient import Patient
    from passhelper.team.key import Key

_HEX = frozenset("0123456789ABCDEFabcdef")
_SUBJECT = "Write full fingerprints into .gpg-id"


def files(patient: Patient) -> list[str]:
    """List the ``.gpg-id`` files that count for credentials, relative to the store."""
    paths = [*recipients.candidates(""), *map(recipients.own, patient.directories)]
    return [path for path in paths if os.path.isfile(os.path.join(patient.store.root, path))]


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
        if not recipients.is_fingerprint(key):
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
        else "a name that is no fingerprint"
    )


def fix(patient: Patient) -> list[str]:
    """Rewrite the files that have faults, with the same keys; commit and pin as a change of our own.

    The root's file in a store with other entries belongs to ``pass``, and a signed one to its signer:
    both are left alone.
    """
    done = []
    foreign = bool(other_entries(patient.store))
    for path in files(patient):
        full = os.path.join(patient.store.root, path)
        if (foreign and path == recipients.FILE) or os.path.lexists(f"{full}.sig"):
            continue
        before = recipients.read_file(patient.store.root, path) or b""
        if not faults(before):
            continue
        recipients.parse(before, full)  # what is no list of keys is not guessed at
        after = _rewritten(patient, before)
        if after != before and _write(patient, path, before, after):
            done.append(f"rewrote {printable(path)}")
    return done


def _rewritten(patient: Patient, text: bytes) -> bytes:
    lines: list[str] = []
    for line in text.decode("utf-8-sig").split("\n"):
        key, mark, comment = (part.strip() for part in line.partition("#"))
        if not key:
            if mark:
                lines.append(f"# {comment}".rstrip())
            continue
        found = None if recipients.is_fingerprint(key) else _resolve(patient, key)
        owner = comment or (found.uid if found else "")
        if owner and lines[-1:] != [f"# {owner}"]:
            lines.append(f"# {owner}")
        lines.append(found.line(key) if found else key)
    return "".join(f"{line}\n" for line in lines).encode()


def _resolve(patient: Patient, name: str) -> Key | None:
    """Find the one key that a name certainly means: it will be encrypted to unasked."""
    try:
        found = patient.ring.find(name)
        return patient.ring.meant(name, found) if found else None
    except PasshelperError:
        return None  # no gpg, no agent, nobody who vouches: what is only bytes can still be put right


def _write(patient: Patient, path: str, before: bytes, after: bytes) -> bool:
    store = patient.store
    root, written = store.root, Files(store.environ)
    place = store.repository(os.path.dirname(path).partition(os.sep)[2])
    full = os.path.join(root, path)
    if place is not None:
        unfinished.refuse(place)
    with Transaction(store, place):
        if recipients.read_file(root, path) != before:
            return False
        temporary = store.folder if place is None else place.state
        written.make_directory(temporary)
        pins = trust.load(place.state) if place is not None else None
        accepted = pins is not None and trust.current(root) == pins
        committer = None
        if place is not None and full.startswith(place.root + os.sep):
            committer = Committer(place, store.environ, written, store.warn)
            committer.plan([full])
        written.put(full, after, temporary)
        if accepted and place is not None:  # the same keys as before, by their full names
            trust.save(place.state, trust.current(root), written)
        if committer is not None:
            committer.commit(_SUBJECT)
    if patient.warnings:
        raise GitError(patient.warnings.pop(), "run: passhelper doctor")
    return True
