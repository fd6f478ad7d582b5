"""The credentials in the store; all but one check read only names and packet headers, without gpg."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from passhelper.doctor import spelling
from passhelper.doctor.context import Context, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import PasshelperError, printable
from passhelper.registry import normalize
from passhelper.shellwords import operands, word
from passhelper.store import cipher, layout, owners, packets
from passhelper.store.binding import BINDING, binding
from passhelper.store.child import finish
from passhelper.store.keynames import normalize as normalize_key
from passhelper.team.entries.drift import Recipient, compare
from passhelper.wording import few

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.store.store import Entry

_DAY = 86400  # seconds
_SHOWN = 3  # names in a finding; the rest is counted
_AT_ONCE = 4  # gpg processes side by side
_SECONDS = 5.0  # for looking into entries


def _all(context: Context) -> list[Entry]:
    return [entry for several in context.entries.values() for entry in several]


def _relative(context: Context, entry: Entry) -> str:
    return os.path.relpath(entry.path, context.store.folder)


def _names(context: Context) -> Iterator[Finding]:
    for name in context.directories:
        if layout.decode_server(name) is None and not name.startswith("."):
            path = os.path.join(context.store.folder, printable(name))
            yield Finding(f"{path} is not a server's name, so nothing in it is found", "look into it, then remove it")


def _headers(context: Context) -> Iterator[Finding]:
    entries = context.entries
    for name, why in context.unreadable.items():
        path = os.path.join(context.store.folder, name)
        cause = f"{printable(layout.decode_server(name) or name)} is not served, {path} cannot be read: {why}"
        yield Finding(cause, owners.remedy(path, context.store.root))
    if not entries:
        return
    for trouble in context.headers.values():
        if isinstance(trouble, PasshelperError):
            yield Finding(trouble.cause, trouble.remedy)


def _users(context: Context) -> Iterator[Finding]:
    for name, several in context.entries.items():
        if len(several) > 1:
            plain = layout.decode_server(name) or name
            server = printable(plain)
            users = [entry.username for entry in several]
            cause = f"{server} has {len(users)} users ({few(users, _SHOWN)}), and Docker gets {printable(users[0])}"
            yield Finding(cause, f"keep one: passhelper login {word(plain)} -u USER")


def _classes(context: Context) -> Iterator[Finding]:
    classes: dict[object, dict[str, str]] = {}
    for entry in sorted(context.store.walk(), key=lambda entry: entry.server):
        place = normalize(entry.server)
        if place is not None:
            classes.setdefault(place, {})[entry.server] = entry.username
    for servers in classes.values():
        if len(set(servers.values())) > 1:
            named = few([f"{server} ({user})" for server, user in sorted(servers.items())], _SHOWN)
            # Not logout, which takes all of them.
            erase = f"printf %s {word(min(servers))} | PASSHELPER_STRICT=1 docker-credential-pass erase"
            yield Finding(f"the same registry is stored under several names, with different users: {named}",
                          f"erase those that you do not need, such as: {erase}")  # fmt: skip


def _readable(context: Context) -> Iterator[Finding]:
    own = {key_id for key in context.ring.own() for key_id in key.own_ids} | {packets.HIDDEN}
    closed = [
        _relative(context, entry)
        for entry in _all(context)
        if isinstance(ids := context.headers[entry.path], tuple) and not own.intersection(ids)
    ]
    if closed:
        yield Finding(f"{len(closed)} entries are encrypted to none of this machine's keys: {few(closed, _SHOWN)}",
                      "ask a member to add this machine's key to their recipients and to store them again")  # fmt: skip


def drifted(context: Context) -> list[Entry]:
    """List the entries whose readers are not those that their ``.gpg-id`` names.

    A recipient whose key is not in this keyring does not make an entry wrong: another check names that recipient.

    Raises:
        StoreError: the recipients of an entry cannot be found.
    """
    wanted: dict[str, tuple[Recipient, ...]] = {}
    known = {key_id: key for key in context.ring.all() for key_id in key.key_ids}
    found = []
    for name, several in context.entries.items():
        for entry in several:
            ids = context.headers[entry.path]
            if not isinstance(ids, tuple):
                continue
            source = context.effective(name)
            if source.label not in wanted:
                lines = map(normalize_key, source.keys)
                wanted[source.label] = tuple(Recipient(line, tuple(context.ring.find(line))) for line in lines)
            drift = compare(ids, wanted[source.label], known)
            if drift.extra or drift.surplus or any(recipient.keys for recipient in drift.missing):
                found.append(entry)
    return found


def _drift(context: Context) -> Iterator[Finding]:
    entries = drifted(context)
    if entries:
        names = few([entry.server for entry in entries], _SHOWN)
        yield Finding(f"{len(entries)} entries are not encrypted to exactly their recipients: {names}",
                      "run: passhelper recipients check, then passhelper reencrypt")  # fmt: skip


def _bound(context: Context) -> Iterator[Finding]:
    """Decrypt entries that open without a prompt, for a bounded time, and look at the name inside."""
    whole = _all(context)
    if not whole:
        return
    unbound, moved, seen = 0, [], 0
    end = time.monotonic() + _SECONDS
    for at in range(0, len(whole), _AT_ONCE):
        if time.monotonic() > end:
            break
        for entry, name in _inner_names(context, whole[at : at + _AT_ONCE]):
            seen += 1
            if name.startswith(BINDING) and name != binding(entry.server, entry.username):
                moved.append(_relative(context, entry))
            unbound += not name.startswith(BINDING)
    if not seen:
        raise NotCheckedError("no entry opens without a prompt")
    if moved:
        yield Finding(f"{len(moved)} entries were moved here from another server: {few(moved, _SHOWN)}",
                      "do not use them; find out who moved them, then store them again",
                      Severity.FAILED)  # fmt: skip
    if unbound:
        looked = f" of {seen} that were looked at" if seen < len(whole) else f" of {seen}"
        yield Finding(f"{unbound} entries{looked} are not bound to their server",
                      "log in there again: docker login SERVER, or passhelper login SERVER -u USER; "
                      "until then a copy of one can be used for another server")  # fmt: skip


def _inner_names(context: Context, entries: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
    running = []
    for entry in entries:
        if isinstance(context.headers[entry.path], tuple):
            descriptor = context.store.open(entry)
            try:
                running.append((entry, context.gpg.start_decrypt(descriptor, prompt=False)))
            finally:
                os.close(descriptor)
    finish([child for _, child in running], _SECONDS)
    for entry, child in running:
        try:
            yield entry, cipher.plaintext(context.gpg, child, _relative(context, entry)).name
        except PasshelperError:
            continue  # locked, or for other keys: other checks say so


def _age(context: Context) -> Iterator[Finding]:
    if not context.max_age:
        return
    if context.changes is None:
        raise NotCheckedError("without the whole git history of the store nobody knows how old a credential is")
    now = time.time()
    for entry in (entry for several in context.entries.values() for entry in several):
        days = int(now - context.changes.get(entry.path, now)) // _DAY
        if days > context.max_age:
            server, user = printable(entry.server), printable(entry.username)
            login = f"passhelper login {operands(server)} -u {word(user)}"
            yield Finding(f"{server} ({user}) was last changed {days} days ago",
                          f"change it at its registry, then run: {login}")  # fmt: skip


CHECKS = (
    Check("store.names", "every directory is the name of a server", Severity.WARNING, _names, ("store.path",)),
    Check("store.spelling", "every server's directory has its usual name", Severity.WARNING, spelling.check,
          ("store.path",), spelling.fix),
    Check("store.entries", "no entry is empty, corrupt or not encrypted", Severity.FAILED, _headers,
          ("store.path",)),
    Check("store.users", "one user for each server", Severity.WARNING, _users, ("store.path",)),
    Check("store.classes", "no registry under several names with different users", Severity.WARNING, _classes,
          ("store.path",)),
    Check("store.age", "no credential is unchanged for more than `--max-age` days; without it, for any time",
          Severity.EXPIRING, _age, ("store.path",)),
    Check("store.readable", "this machine's keys open every entry, by their key ids", Severity.WARNING, _readable,
          ("key.own", "store.path")),
    Check("store.drift", "every entry is encrypted to exactly its recipients, by their key ids", Severity.DRIFT, _drift,
          ("gpg.agent", "store.recipients")),
    Check("store.bound", "every entry that opens without a prompt is bound to its server; looks for at most 5 s",
          Severity.WARNING, _bound, ("key.locked",)),
)  # fmt: skip
