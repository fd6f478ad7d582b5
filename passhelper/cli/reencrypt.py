"""``passhelper reencrypt``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from passhelper.cli import output, terminal
from passhelper.cli.members import DRIFT, entries
from passhelper.cli.progress import bar
from passhelper.errors import ConfigurationError, printable
from passhelper.store.store import PassStore
from passhelper.team.failures import failure, name
from passhelper.team.recipher import UnboundError
from passhelper.team.rekey import Rekey

if TYPE_CHECKING:
    from passhelper.team.rekey import Result


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@click.option("--jobs", type=click.IntRange(1, 64), default=None, help="How many gpg processes run side by side.")
@click.option("--yes", is_flag=True, help="Add readers to the entries of SERVER without a question.")
@click.option("--json", "as_json", is_flag=True, help="Report for programs.")
def reencrypt(*, servers: tuple[str, ...], jobs: int | None, yes: bool, as_json: bool) -> int:
    """Bring every entry in line with its .gpg-id.

    An entry that is not bound to its server may have been copied there by somebody who wants to read it. It
    gets a new reader only when you name its server and say yes. What is done stays done if this is
    interrupted; run it again for the rest.

    \b
    Examples:
      passhelper reencrypt
      passhelper reencrypt registry.example
    """  # noqa: D301 - click marks a verbatim paragraph so
    store = PassStore(dict(os.environ), output.warn)
    for server in servers:
        if not store.all_entries(server):
            raise ConfigurationError(f"nothing is stored for {printable(server)}", "run: passhelper list")
    with bar("encrypting") as progress:
        result = Rekey(store, jobs=jobs or 0, progress=progress).reencrypt(servers or None)
    unbound = [path for path, error in result.failed.items() if isinstance(error, UnboundError)]
    if unbound and servers and (yes or _agreed(result, unbound)):
        again = Rekey(store, jobs=jobs or 0).reencrypt(servers, unbound)
        result.changed += again.changed
        result.failed, result.left = again.failed, again.left
        unbound = []
    _tell(result, as_json=as_json)
    if len(result.failed) > len(unbound):
        raise failure(result.failed, result.records)
    for path in unbound:
        output.warn(f"{name(result.records[path])} is left as it is: {result.failed[path].cause}")
    if unbound:
        output.note("look at each, then run: passhelper reencrypt SERVER")
    for path, error in result.left.items():
        output.warn(f"{name(result.records[path])} has fewer readers than its list names: {error}")
    return DRIFT if unbound or result.left else 0


def _agreed(result: Result, unbound: list[str]) -> bool:
    """Ask whether readers may be added to entries that are not bound to their place."""
    if not terminal.is_present():
        return False
    for path in unbound:
        record = result.records[path]
        output.note(
            f"{name(record)} is not bound to its server. New readers: {', '.join(map(str, record.drift.missing))}"
        )
    return terminal.confirm("Is this what belongs there, and may they read it?")


def _tell(result: Result, *, as_json: bool) -> None:
    if as_json:
        output.envelope("reencrypt", {
            "reencrypted": [
                {"server": record.entry.server, "username": record.entry.username} for record in result.changed
            ],
            "failed": [
                {"server": result.records[path].entry.server, "username": result.records[path].entry.username,
                 "reason": error.cause} for path, error in {**result.left, **result.failed}.items()
            ],
        })  # fmt: skip
    elif result.changed or not result.failed:
        output.say(f"encrypted {entries(len(result.changed))} anew" if result.changed else "every entry is in line")
