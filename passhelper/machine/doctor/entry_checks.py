"""The credentials in the store; all but one check read only names and packet headers, without gpg."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from passhelper.errors import PasshelperError, printable
from passhelper.machine.doctor import spelling
from passhelper.machine.doctor.model import Check, Finding, Severity
from passhelper.machine.doctor.patient import NotCheckedError, Patient
from passhelper.registry import normalize
from passhelper.shellwords import word
from passhelper.store import cipher, layout, owners, packets
from passhelper.store.binding import BINDING, binding
from passhelper.store.child import finish
from passhelper.store.recipients import normalize as normalize_key
from passhelper.team.drift import Recipient, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.store.store import Entry

_SHOWN = 3  # names in a finding; the rest is counted
_AT_ONCE = 4  # gpg processes side by side
_SECONDS = 5.0  # for looking into entries


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(printable, names[:_SHOWN])) + more


def _all(patient: Patient) -> list[Entry]:
    return [entry for several in patient.entries.values() for entry in several]


def _relative(patient: Patient, entry: Entry) -> str:
    return os.path.relpath(entry.path, patient.store.folder)


def _names(patient: Patient) -> Iterator[Finding]:
    for name in patient.directories:
        if layout.decode_server(name) is None and not name.startswith("."):
            path = os.path.join(patient.store.folder, printable(name))
            yield Finding(f"{path} is no server's name, so nothing in it is found", "look into it, then remove it")


def _headers(patient: Patient) -> Iterator[Finding]:
    entries = patient.entries
    for name, why in patient.unreadable.items():
        path = os.path.join(patient.store.folder, name)
        cause = f"{printable(layout.decode_server(name) or name)} is not served, {path} cannot be read: {why}"
        yield Finding(cause, owners.remedy(path, patient.store.root))
    if not entries:
        return
    for trouble in patient.headers.values():
        if isinstance(trouble, PasshelperError):
            yield Finding(trouble.cause, trouble.remedy)


def _users(patient: Patient) -> Iterator[Finding]:
    for name, several in patient.entries.items():
        if len(several) > 1:
            server = printable(layout.decode_server(name) or name)
            users = [entry.username for entry in several]
            yield Finding(f"{server} has {len(users)} users ({_few(users)}), and {printable(users[0])} is served",
                          f"keep one: passhelper login {server} -u USER")  # fmt: skip


def _classes(patient: Patient) -> Iterator[Finding]:
    classes: dict[object, dict[str, str]] = {}
    for entry in patient.store.walk():
        place = normalize(entry.server)
        if place is not None:
            classes.setdefault(place, {})[entry.server] = entry.username
    for servers in classes.values():
        if len(set(servers.values())) > 1:
            named = _few([f"{server} ({user})" for server, user in sorted(servers.items())])
            # Not logout, which takes all of them.
            erase = f"printf %s {word(min(servers))} | PASSHELPER_STRICT=1 docker-credential-pass erase"
            yield Finding(f"the same registry under several names, with different users: {named}",
                          f"erase those that you do not mean, such as: {erase}")  # fmt: skip


def _readable(patient: Patient) -> Iterator[Finding]:
    own = {key_id for key in patient.ring.own() for key_id in key.own_ids} | {packets.HIDDEN}
    closed = [
        _relative(patient, entry)
        for entry in _all(patient)
        if isinstance(ids := patient.headers[entry.path], tuple) and not own.intersection(ids)
    ]
    if closed:
        yield Finding(f"{len(closed)} entries are encrypted to none of this machine's keys: {_few(closed)}",
                      "ask a member to add this machine's key to their recipients and to store them again")  # fmt: skip


def drifted(patient: Patient) -> list[Entry]:
    """List the entries whose readers are not those that their ``.gpg-id`` names.

    A recipient whose key is not in this keyring is no reason to call an entry wrong: another check names him.

    Raises:
        StoreError: the recipients of an entry cannot be found.
    """
    wanted: dict[str, tuple[Recipient, ...]] = {}
    known = {key_id: key for key in patient.ring.all() for key_id in key.key_ids}
    found = []
    for name, several in patient.entries.items():
        for entry in several:
            ids = patient.headers[entry.path]
            if not isinstance(ids, tuple):
                continue
            source = patient.effective(name)
            if source.label not in wanted:
                lines = map(normalize_key, source.keys)
                wanted[source.label] = tuple(Recipient(line, tuple(patient.ring.find(line))) for line in lines)
            drift = compare(ids, wanted[source.label], known)
            if drift.extra or drift.surplus or any(recipient.keys for recipient in drift.missing):
                found.append(entry)
    return found


def _drift(patient: Patient) -> Iterator[Finding]:
    entries = drifted(patient)
    if entries:
        names = _few([entry.server for entry in entries])
        yield Finding(f"{len(entries)} entries are not encrypted to exactly their recipients: {names}",
                      "run: passhelper recipients check, then passhelper reencrypt")  # fmt: skip


def _bound(patient: Patient) -> Iterator[Finding]:
    """Decrypt what opens without a prompt, for a bounded time, and look at the name inside."""
    whole = _all(patient)
    if not whole:
        return
    unbound, moved, seen = 0, [], 0
    end = time.monotonic() + _SECONDS
    for at in range(0, len(whole), _AT_ONCE):
        if time.monotonic() > end:
            break
        for entry, name in _inner_names(patient, whole[at : at + _AT_ONCE]):
            seen += 1
            if name.startswith(BINDING) and name != binding(entry.server, entry.username):
                moved.append(_relative(patient, entry))
            unbound += not name.startswith(BINDING)
    if not seen:
        raise NotCheckedError("no entry opens without a prompt")
    if moved:
        yield Finding(f"{len(moved)} entries were moved here from another server: {_few(moved)}",
                      "do not use them; find out who moved them, then store them again",
                      Severity.FAILED)  # fmt: skip
    if unbound:
        looked = f" of {seen} that were looked at" if seen < len(whole) else f" of {seen}"
        yield Finding(f"{unbound} entries{looked} are not bound to their server",
                      "log in there again: docker login SERVER, or passhelper login SERVER -u USER; "
                      "until then a copy of one serves another server")  # fmt: skip


def _inner_names(patient: Patient, entries: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
    running = []
    for entry in entries:
        if isinstance(patient.headers[entry.path], tuple):
            descriptor = patient.store.open(entry)
            try:
                running.append((entry, patient.gpg.start_decrypt(descriptor, prompt=False)))
            finally:
                os.close(descriptor)
    finish([child for _, child in running], _SECONDS)
    for entry, child in running:
        try:
            yield entry, cipher.plaintext(patient.gpg, child, _relative(patient, entry)).name
        except PasshelperError:
            continue  # locked, or for other keys: other checks say so


CHECKS = (
    Check("store.names", "every directory is the name of a server", Severity.WARNING, _names, ("store.path",)),
    Check("store.spelling", "every server's directory is spelled as it is written", Severity.WARNING, spelling.check,
          ("store.path",), spelling.fix),
    Check("store.entries", "no entry is empty, corrupt or not encrypted", Severity.FAILED, _headers,
          ("store.path",)),
    Check("store.users", "one user for each server", Severity.WARNING, _users, ("store.path",)),
    Check("store.classes", "no registry under several names with different users", Severity.WARNING, _classes,
          ("store.path",)),
    Check("store.readable", "this machine's keys open every entry, by their key ids", Severity.WARNING, _readable,
          ("key.own", "store.path")),
    Check("store.drift", "every entry is encrypted to exactly its recipients, by their key ids", Severity.DRIFT, _drift,
          ("gpg.agent", "store.recipients")),
    Check("store.bound", "every entry that opens without a prompt is bound to its server; looks for at most 5 s",
          Severity.WARNING, _bound, ("key.locked",)),
)  # fmt: skip
