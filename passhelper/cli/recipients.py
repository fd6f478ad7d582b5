"""``passhelper recipients``: who can read the store, and whom this machine has accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper import moments
from passhelper.cli import members, output, terminal
from passhelper.cli.common import json_option, open_store
from passhelper.errors import StoreNotInitializedError, TrustError, printable
from passhelper.store import claims, pinning, trust
from passhelper.store.files import Files
from passhelper.store.keynames import normalize
from passhelper.store.recipients import find
from passhelper.store.transaction import Transaction
from passhelper.team.keyring.keys import KeyRing
from passhelper.team.recipients import gpgid, recipientlists
from passhelper.team.sync import offer as offers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.store.trust import Pins
    from passhelper.team.sync.offer import Offer


@click.group(invoke_without_command=True)
@click.pass_context
def recipients(ctx: click.Context) -> None:
    """Show and change the keys that can read the store.

    \b
    Examples:
      passhelper recipients
      passhelper recipients add bob.asc
      passhelper recipients accept
    """
    if ctx.invoked_subcommand is None:
        _list(as_json=False)


for _command in (members.add, members.remove, members.sign, members.check):
    recipients.add_command(_command)


@recipients.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show the keys in every .gpg-id: fingerprint, owner, expiry.

    \b
    Example:
      passhelper recipients list --json
    """
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    store = _store()
    pins = _pins(store)
    rows = _rows(store, pinning.current(store.root), pins)
    if as_json:
        output.envelope("recipients list", rows)
        return
    columns = ["FILE", "FINGERPRINT", "OWNER", "EXPIRES"] + (["ACCEPTED"] if pins is not None else [])
    table = [[row["file"], row["fingerprint"] or row["key"], _owner(row), row["expires"] or "never"] for row in rows]
    if pins is not None:
        for line, row in zip(table, rows, strict=True):
            line.append("yes" if row["accepted"] else "no")
    output.table(columns, [[str(cell) for cell in line] for line in table])


@recipients.command()
@click.argument("fingerprints", nargs=-1, metavar="[FINGERPRINT]...")
@click.option("--yes", is_flag=True, help="Accept what is there without a question.")
def accept(*, fingerprints: tuple[str, ...], yes: bool) -> None:
    """Accept the keys that the store names now, or that a sync has refused.

    Whoever can push to a shared store can add a key to it; this machine encrypts to no key that it has
    not accepted. Compare the fingerprints with their owners before you accept them. Without a terminal,
    name all of them, or give --yes. Fingerprints say nothing about other changes, such as a rewritten history, a list
    that names nobody, or lists of another store: to accept those too, give --yes.

    \b
    Examples:
      passhelper recipients accept
      passhelper recipients accept 0123456789ABCDEF0123456789ABCDEF01234567
    """
    store = _store()
    repository = store.repository("")
    if repository is None:
        output.say(f"{store.root} is not a git repository: only its owner can change the recipients, nothing to accept")
        return
    there = pinning.current(store.root)
    known = _known(repository)
    offer = offers.find(store, repository, known)
    named = (offer.store if offer is not None else "") or gpgid.identity(gpgid.headers(store).values())
    other = named if known is not None and known.store and named != known.store else ""
    if offer is None and not other and known is not None and known.pins == there:
        output.say("these recipients are accepted already")
        return
    _show(store, there, known.pins if known else {})
    besides = list(offer.notes) if offer is not None else []
    if other and known is not None:
        besides.append(f"the lists name another store: {other}, and the accepted one is {known.store}")
        output.say(f"! {besides[-1]}")
    besides += _empty(there, known.pins if known else {})
    # What is accepted already need not be named again beside an offer, which may remove it.
    kept = known.pins if offer is not None and known is not None and not other else {}
    wanted = {key for path, keys in there.items() if kept.get(path) != keys for key in keys}
    if offer is not None:
        _show_offer(store, offer, there)
        besides += _empty(offer.after, offer.before)
        wanted |= {key for keys in offer.after.values() for key in keys}
    _decide(wanted, besides, fingerprints, yes=yes)
    with Transaction(store, repository):
        if pinning.current(store.root) != there:
            raise TrustError("the recipients changed while you were asked", "run: passhelper recipients accept")
        known = _known(repository, quiet=True) or trust.Trust({})
        known.pins = there
        known.offer = offer.commit if offer is not None else known.offer
        known.store = other or known.store
        trust.save_all(repository.state, known, Files(store.environ))
    output.say("accepted" if offer is None else "accepted; run: passhelper sync")


def _decide(wanted: set[str], besides: Sequence[str], fingerprints: Sequence[str], *, yes: bool) -> None:
    """Find out whether the user accepts; the answer must cover every key and every other change.

    Raises:
        TrustError: the user does not, or nobody can be asked.
    """
    if fingerprints:
        named = {normalize("".join(one.split())) for one in fingerprints}
        missing = sorted(wanted - named)
        if missing:
            raise TrustError(
                f"the store also names {', '.join(missing)}, so nothing was accepted",
                "name every fingerprint that you accept",
            )
        if not besides or yes:
            return
        if not terminal.is_present():
            raise TrustError(
                f"the fingerprints say nothing about this, so nothing was accepted: {'; '.join(besides)}",
                "find out who did it; to accept it, run it again with --yes",
            )
    if not yes:
        if not terminal.is_present():
            raise TrustError(
                "no terminal to ask whether you accept these recipients",
                "name their fingerprints: passhelper recipients accept FINGERPRINT...",
            )
        if not terminal.confirm("Accept these recipients?"):
            raise TrustError("not accepted, so nothing will be encrypted to them")


def _store() -> PassStore:
    store = open_store()
    store.check_folder()
    if not pinning.current(store.root):
        find(store.root, "", {})  # says that the store is not initialised
        raise StoreNotInitializedError(f"password store not initialised at {store.root}", "run: passhelper setup")
    return store


def _pins(store: PassStore) -> Pins | None:
    """Read the pins; None where there is nothing to pin."""
    repository = store.repository("")
    known = _known(repository) if repository is not None else None
    return None if known is None else known.pins


def _known(repository: Repository, *, quiet: bool = False) -> trust.Trust | None:
    """Read what was accepted; nothing if the pins are damaged, which `accept` repairs."""
    try:
        return trust.load_all(repository.state)
    except trust.DamagedError as error:
        if not quiet:
            output.warn(str(error))
        return trust.Trust({})


def _empty(there: Pins, pins: Pins) -> list[str]:
    """Say which lists would name nobody; the fingerprints that a user types say nothing about those."""
    paths = [path for path, keys in there.items() if not keys and pins.get(path) != keys]
    return [f"a list that names nobody ({printable(path)})" for path in paths]


def _show(
    store: PassStore, there: Pins, pins: Pins, owners: Mapping[str, str] | None = None, others: Pins | None = None
) -> None:
    """Show what would be accepted.

    Args:
        store: the store.
        there: the keys of every file.
        pins: those that are accepted.
        owners: the owners' names of keys that are not in this keyring; None to look into the store.
        others: the keys of the files that stay as they are, where ``there`` has only those that change.
    """
    offered = claims.on_disk(store.root)
    for row in _rows(store, there, pins):
        mark, line, owner = " " if row["accepted"] else "+", str(row["key"]), _owner(row)
        owner = claims.whose(line, str(row["fingerprint"]), owner)
        if not row["fingerprint"]:
            owner = claims.owner(store.gpg, line, offered) if owners is None else owners.get(line, claims.ABSENT)
        output.say(f"{mark} {line} {owner} ({row['file']})")
    for path, keys in pins.items():
        for key in keys:
            if key not in there.get(path, []):
                output.say(f"- {key} ({printable(path)})")
    # A list that names nobody is not the same as no list: without one, the list above counts.
    for path in sorted({*there, *pins}):
        if there.get(path) != pins.get(path) and not (there.get(path) or (path not in there and pins[path])):
            output.say(f"{'+' if path in there else '-'} a list that names nobody ({printable(path)})")
    # Without a list, the one above counts, which may name more keys.
    for path in sorted({*pins} - {*there}):
        readers = recipientlists.readers_without(path, {**(others or {}), **there})
        output.say(f"! {printable(path)} is removed, so its entries are for: {', '.join(readers or ['nobody'])}")


def _show_offer(store: PassStore, offer: Offer, here: Pins) -> None:
    output.say(f"in commit {offer.commit[:12]} of the remote, which sync refused:")
    for note in offer.notes:
        output.say(f"! {note}")
    others = {path: keys for path, keys in here.items() if path not in offer.before}
    _show(store, offer.after, offer.before, offer.owners, others)


def _rows(store: PassStore, there: Pins, pins: Pins | None) -> list[dict[str, object]]:
    """Describe every line of every file."""
    ring = KeyRing(store.gpg)
    rows: list[dict[str, object]] = []
    for path, keys in there.items():
        for line in keys:
            known = ring.find(line)
            key = known[0] if known else None
            rows.append({
                "file": printable(path),
                "key": line,
                "fingerprint": key.fingerprint if key else "",
                "uid": key.uid if key else "",
                "expires": moments.utc(key.expires, "%Y-%m-%d") if key and key.expires else None,
                "usable": bool(key and key.can_encrypt),
                "own": bool(key and key.is_own),
                "accepted": pins is None or line in pins.get(path, []),
            })  # fmt: skip
    return rows


def _owner(row: dict[str, object]) -> str:
    if not row["fingerprint"]:
        return claims.ABSENT
    return f"{row['uid']}{'' if row['usable'] else ' (unusable)'}"
