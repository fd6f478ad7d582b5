"""``passhelper recipients add``, ``remove``, ``sign`` and ``check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper.cli import output, owners
from passhelper.cli.common import DRIFT, exit_code, json_option, named, open_store
from passhelper.cli.progress import bar
from passhelper.cli.servers import stored
from passhelper.cli.unbound import EVERYTHING, asking, hint, unbound
from passhelper.errors import PasshelperError, printable
from passhelper.shellwords import word
from passhelper.team.entries import rotation
from passhelper.team.entries.drift import Policy
from passhelper.team.entries.failures import name
from passhelper.team.entries.pipeline import UnboundError
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.entries.survey import survey
from passhelper.team.git import partial
from passhelper.team.keyring.keys import KeyRing
from passhelper.team.recipients.members import Members
from passhelper.wording import count, few

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.leaving import Left
    from passhelper.team.entries.survey import Record
    from passhelper.team.keyring.key import Key
    from passhelper.team.recipients.members import Report

_SHOWN = 10  # names in a warning

_path = click.option("--path", "server", default="", metavar="SERVER", help="Only for this server.")


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_path
@unbound
@json_option
def add(*, keys: tuple[str, ...], server: str, is_sure: bool, as_json: bool) -> int:
    """Let keys read the store, or one server's credential.

    KEY is a fingerprint, a key file, or an e-mail address. If gpg does not vouch for the address, you are asked
    whether the key is its owner's. Every entry is encrypted anew for all recipients, either all entries or none; then
    one commit is made. Other files of the store are left alone. If a key is a recipient already, and has changed since
    (a new expiry, a new or revoked subkey), the store gets it as it is now. An entry that is not bound to its server,
    such as one that pass wrote, may not belong there. Only you can say so: you are asked, unless nobody else reads the
    store or can push to it.

    \b
    Examples:
      passhelper recipients add bob.asc
      passhelper recipients add --path registry.example bob@example.org
    """
    return tell("add", added(open_store(), keys, server, is_sure=is_sure), as_json=as_json)


def added(store: PassStore, keys: tuple[str, ...], server: str, *, is_sure: bool = False) -> Report:
    """Add keys to the recipients, and ask what only a person can know."""

    def change(sure: frozenset[str]) -> Report:
        def run(may_add: Container[str]) -> Report:
            with bar("encrypting") as progress:
                return Members(Rekey(store, progress=progress, sure=sure)).add(keys, server, may_add)

        if is_sure:
            return run(EVERYTHING)
        return asking(run, f"look at each, then run: passhelper recipients add --unbound {_words(keys, server)}")

    return owners.asking(change)


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_path
@unbound
@json_option
def remove(*, keys: tuple[str, ...], server: str, is_sure: bool, as_json: bool) -> int:
    """Remove readers from the store, or from one server.

    Every entry that they can read is encrypted anew for the others; then one commit is made. What cannot be
    encrypted anew here, such as an entry that only they can read, stays as it is and is named (exit 3). An entry that
    is not bound to its server, such as one that pass wrote, also stays if it has other readers, unless you say that
    it belongs there. They may have kept what they have read, and they can still read the store's history: rotate
    what is listed at the end.

    \b
    Examples:
      passhelper recipients remove bob@example.org
      passhelper recipients remove --path registry.example 0123456789ABCDEF0123456789ABCDEF01234567
    """
    store = open_store()

    def change(sure: frozenset[str]) -> Report:
        with bar("encrypting") as progress:
            members = Members(Rekey(store, progress=progress, sure=sure))
            return members.remove(keys, server, EVERYTHING if is_sure else ())

    report = owners.asking(change)
    known = _known(store, report, server)
    rotate = [{"server": name, "username": user} for name, user in known or ()]
    status = tell("remove", report, {"rotate": rotate if known is not None else None}, as_json=as_json)
    if as_json:
        return status
    if known:
        output.warn("the removed key could read these credentials; change each at its registry and store it again")
        for name, user in known:
            output.say(f"{printable(name)} ({printable(user)})")
    elif known is None:
        output.warn("the removed key can still read what is in the history; run: passhelper rotation list KEY")
    return status


def _known(store: PassStore, report: Report, server: str) -> list[tuple[str, str]] | None:
    """List the credentials that a removed key could ever read and that are still the same; None if it is not known."""
    if store.repository("") is None:
        return sorted({(record.entry.server, record.entry.username) for record in report.result.changed})
    try:
        found = [item for key in report.keys for item in rotation.open_for(store, key.split()[0])]
    except PasshelperError:
        return None
    return sorted({
        place for item in found for place in item.places or ((item.server, item.username),)
        if server in ("", item.server, place[0])
    })  # fmt: skip


def tell(command: str, report: Report, more: Mapping[str, object] | None = None, *, as_json: bool = False) -> int:
    """Say what a change of the recipients did; give the exit status."""
    changed = report.result.changed
    if as_json:
        output.envelope(f"recipients {command}", {
            "keys": report.keys,
            "renewed": report.renewed,
            "files": [printable(path) for path in report.files],
            "reencrypted": [named(record.entry) for record in changed],
            "left": [_left_document(left) for left in report.left],
            "lists": [{"file": printable(path), "reason": str(error)} for path, error in report.lists],
            "committed": report.result.is_committed,
            **(more or {}),
        })  # fmt: skip
    elif not report.keys and not report.renewed:
        output.say("these keys are recipients already, nothing to do")
    else:
        for key in report.keys:
            output.say(f"{'added' if command == 'add' else 'removed'} {printable(key)}")
        for fingerprint in report.renewed:
            output.say(f"renewed the public key {fingerprint} in the store")
    if not as_json and report.keys:
        files = ", ".join(map(printable, report.files))
        output.say(f"changed {files}, encrypted {count(len(changed), 'entry', 'entries')} anew")
    if not as_json:
        _tell_left(report)
    if report.strays:
        output.warn(f"not credentials, so left as they are: {few(report.strays, _SHOWN)}")
    return exit_code(0 if report.is_whole else DRIFT, is_committed=report.result.is_committed)


def _words(keys: Sequence[str], server: str) -> str:
    """Write the arguments of a command as they are typed."""
    return " ".join(word(printable(each)) for each in (*(("--path", server) if server else ()), *keys))


def _left_document(left: Left) -> dict[str, object]:
    return {
        **named(left.record.entry),
        "reason": str(left.error) if left.error is not None else "",
        "readable": left.is_readable,
    }


def _tell_left(report: Report) -> None:
    """Warn of what a change could not do, and of what a removed key can still read."""
    for path, error in report.lists:
        output.warn(f"{printable(path)} still names the removed key: {error}")
    for left in report.left:
        readable = {True: "a removed key can still read it", None: "a removed key may still read it", False: ""}
        why = f"it is left as it is: {left.error}" if left.error is not None else ""
        output.warn(f"{name(left.record)}: {'; '.join(filter(None, (readable[left.is_readable], why)))}")
    if any(isinstance(left.error, UnboundError) for left in report.left):
        output.note(hint())


@click.command()
@click.option("--new-store", is_flag=True, help="Give the store a new identity, apart from its copies.")
@json_option
def sign(*, new_store: bool, as_json: bool) -> int:
    """Sign every list of recipients anew, with a key in PASSWORD_STORE_SIGNING_KEY.

    A signed list names its store and its file, and has a serial number. Run this once for a store that was signed
    before lists named their store, and whenever another program has changed a list. The lists have to be accepted on
    this machine.

    \b
    Example:
      passhelper recipients sign
    """
    signed = Members(Rekey(open_store())).sign(other_store=new_store)
    files = [printable(path) for path in signed.files]
    if as_json:
        data = {"files": files, "store": signed.identity, "serial": signed.serial, "committed": signed.is_committed}
        output.envelope("recipients sign", data)
        return exit_code(0, is_committed=signed.is_committed)
    output.say(f"signed {', '.join(files)} as lists of store {signed.identity}, serial {signed.serial}")
    output.say(f"for runners: PASSHELPER_STORE_ID={signed.identity} PASSHELPER_STORE_SERIAL={signed.serial}")
    return exit_code(0, is_committed=signed.is_committed)


@click.command()
@_path
@json_option
def check(*, server: str, as_json: bool) -> int:
    """Compare who can read each entry with its recipients.

    Nothing is decrypted and nothing is changed. Exit status 3 when they differ: run passhelper reencrypt.

    \b
    Example:
      passhelper recipients check --json
    """
    store = open_store()
    partial.refuse(store)
    policy = Policy(store, KeyRing(store.gpg))
    records = list(survey(store, policy, stored(store, server) if server else None))
    drifted = [record for record in records if record.trouble or record.drift.is_there]
    uncertain = sum(record.drift.is_uncertain for record in records if not record.drift.is_there)
    if as_json:
        data = {"entries": sum(not record.is_directory for record in records), "uncertain": uncertain,
                "drift": [_document(record, policy.known) for record in drifted]}  # fmt: skip
        output.envelope("recipients check", data)
    else:
        if drifted:
            rows = [[record.entry.server, record.entry.username, _describe(record, policy.known)] for record in drifted]
            output.table(["SERVER", "USER", "DRIFT"], rows)
        else:
            output.say(f"{count(len(records), 'entry', 'entries')}, encrypted to their recipients and to nobody else")
        if uncertain:
            some = f"some readers of {count(uncertain, 'entry', 'entries')}"
            output.note(f"{some} could only be counted: they are hidden, or not in this keyring")
    if records and not store.environ.get("PASSWORD_STORE_KEY"):
        paths = (path for record in records if record.wanted for path in policy.sources(record.directory))
        Rekey(store).accept(dict.fromkeys(paths))
    return DRIFT if drifted else 0


def _document(record: Record, known: Mapping[str, Key]) -> dict[str, object]:
    drift = record.drift
    return {
        **named(record.entry),
        "missing": [
            {"line": each.line, "fingerprint": each.keys[0].fingerprint if each.keys else "", "uid": each.uid}
            for each in drift.missing
        ],
        "extra": [
            {"key_id": each, "fingerprint": known[each].fingerprint, "uid": known[each].uid} for each in drift.extra
        ],
        "unknown": drift.unknown,
        "hidden": drift.hidden,
        "surplus": drift.surplus,
        "closed": str(record.closed.error) if record.closed is not None and record.is_short else "",
        "trouble": record.trouble,
    }


def _describe(record: Record, known: Mapping[str, Key]) -> str:
    """Say in words how the readers of an entry differ from its recipients."""
    if record.trouble:
        return record.trouble
    drift = record.drift
    parts = [f"+{each} {known[each].uid}".rstrip() for each in drift.extra]
    some = "some of " if drift.is_uncertain and len(drift.missing) > 1 else ""
    if drift.surplus:
        unseen = [*drift.unknown, *(f"{drift.hidden} hidden" for _ in range(bool(drift.hidden)))]
        certain = drift.surplus == len(drift.unknown) + drift.hidden
        parts.append(("+" if certain else f"{drift.surplus} too many among ") + ", ".join(unseen))
    if drift.missing:
        parts.append(f"-{some}" + ", -".join(map(str, drift.missing)))
    if record.closed is not None and record.is_short:
        parts.append(str(record.closed.error))
    return "; ".join(parts)
