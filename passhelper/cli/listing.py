"""``passhelper list``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from passhelper import wording
from passhelper.cli import output
from passhelper.cli.common import json_option, named, open_store
from passhelper.docker import inventory
from passhelper.errors import DockerError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.store import PassStore


_DAY = 86400  # seconds
_UNITS = ((365 * _DAY, "year"), (30 * _DAY, "month"), (_DAY, "day"), (3600, "hour"), (60, "minute"))
_BAD = ("refused", "failed")
_SHOWN = 10  # names in a note


@click.command("list")
@click.option("--check", is_flag=True, help="Ask each registry whether the credential still works.")
@click.option("--readable-by", default="", metavar="KEY", help="Only what this key can read.")
@click.option(
    "--older-than", default=0, metavar="DAYS", type=click.IntRange(0, 36500), help="Only what was last changed before."
)
@json_option
def list_(*, check: bool, readable_by: str, older_than: int, as_json: bool) -> None:
    """List the credentials and who can read them.

    Nothing is decrypted, unless --check is given. The age comes from the store's git history.

    \b
    Examples:
      passhelper list
      passhelper list --readable-by alice@example.org --json
    """
    store = open_store()
    reader = readable_by
    if "@" in readable_by:
        from passhelper.cli import owners  # noqa: PLC0415 - takes a while, which other lists need not

        reader = owners.fingerprint(store.gpg, readable_by)
    found = inventory.items(store, reader)
    if older_than:
        found = _older(found, older_than)
    results: Sequence[tuple[str, str] | None] = [None] * len(found)
    if check:
        results = inventory.check(store, [item.entry for item in found])
    if as_json:
        output.envelope("list", [_document(item, result) for item, result in zip(found, results, strict=True)])
    elif found:
        _print_table(found, results)
        _print_notes(found, readable_by=readable_by)
    else:
        output.note(_nothing(store, readable_by, older_than))
    bad = [result[0] for result in results if result is not None and result[0] in _BAD]
    if bad:
        refused = "store a refused one again: passhelper login SERVER -u USER --check" if "refused" in bad else ""
        raise DockerError(f"{len(bad)} of {len(found)} credentials did not pass", refused or "see why in its line")


def _print_notes(found: Sequence[inventory.Item], *, readable_by: str) -> None:
    if readable_by and any(reader.is_hidden for item in found for reader in item.readers):
        output.note("an entry whose readers are (hidden) may be readable; decrypt it to find out")
    left = [item.entry.server for item in found if item.is_logged_out]
    if left:
        names = wording.few(left, _SHOWN)
        output.note(f"this clone has logged out of {names}; to undo that, run: passhelper restore SERVER")


def _nothing(store: PassStore, readable_by: str, older_than: int) -> str:
    """Say what there is none of."""
    if older_than:
        return f"no credential here was last changed more than {wording.count(older_than, 'day')} ago"
    whose = f" that {readable_by} can read" if readable_by else ""
    return f"no credentials in {store.root}{whose}"


def _older(found: list[inventory.Item], days: int) -> list[inventory.Item]:
    """Pick what was last changed more than some days ago.

    Raises:
        StoreError: there is no history that could tell.
    """
    if found and all(item.changed is None for item in found):
        raise StoreError(
            "without the whole git history of the store nobody knows how old a credential is",
            "run: passhelper setup --git, or git fetch --unshallow in a shallow clone",
        )
    limit = time.time() - days * _DAY
    return [item for item in found if item.changed is not None and item.changed < limit]


def _document(item: inventory.Item, result: tuple[str, str] | None) -> dict[str, object]:
    document: dict[str, object] = {
        **named(item.entry),
        "changed": output.stamp(item.changed) if item.changed is not None else None,
        "readers": [{"key_id": one.key_id, "fingerprint": one.fingerprint, "uid": one.uid} for one in item.readers],
        "trouble": item.trouble,
        "logged_out": item.is_logged_out,
    }
    if result is not None:
        document["check"] = {"result": result[0], "reason": result[1]}
    return document


def _print_table(found: list[inventory.Item], results: Sequence[tuple[str, str] | None]) -> None:
    columns = ["SERVER", "USER", "CHANGED", "READERS"]
    rows = [
        [item.entry.server, item.entry.username, _age(item.changed), ", ".join(map(str, item.readers)) or item.trouble]
        for item in found
    ]
    if any(results):
        columns.append("CHECK")
        for row, result in zip(rows, results, strict=True):
            word, reason = result or ("", "")
            row.append(f"{word}: {reason}" if reason else word)
    output.table(columns, rows)


def _age(changed: int | None) -> str:
    """Say how long ago something was, in its largest unit."""
    if changed is None:
        return "-"
    passed = time.time() - changed
    for seconds, unit in _UNITS:
        if passed >= seconds:
            return f"{wording.count(int(passed // seconds), unit)} ago"
    return "just now"
