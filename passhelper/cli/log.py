"""``passhelper log``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.cli.common import json_option, open_store
from passhelper.team.entries import log as search

if TYPE_CHECKING:
    from passhelper.team.entries.log import Event


@click.command()
@click.argument("server", default="")
@click.option("--limit", default=0, metavar="N", type=click.IntRange(0), help="Only the newest N.")
@json_option
def log(*, server: str, limit: int, as_json: bool) -> None:
    """Say who stored, erased or re-keyed what, and when.

    From the commits of the store, newest first. Names are what the commits say; only a signature proves a name.

    \b
    Examples:
      passhelper log
      passhelper log registry.example --limit 5 --json
    """
    store = open_store()
    found = search.events(store, server, limit)
    if as_json:
        output.envelope("log", [_document(event) for event in found])
    elif found:
        rows = [
            [output.stamp(event.revision.when), event.revision.author, event.action, event.server, _what(event),
             event.revision.commit[:10]]
            for event in found
        ]  # fmt: skip
        output.table(["WHEN", "WHO", "WHAT", "SERVER", "USER", "COMMIT"], rows)
    else:
        output.note("nothing has happened yet")


def _what(event: Event) -> str:
    """Name the user, or the keys that came and went."""
    if event.action != search.RECIPIENTS:
        return event.username
    keys = [*(f"+{key[-16:]}" for key in event.added), *(f"-{key[-16:]}" for key in event.removed)]
    return " ".join(keys) or event.path


def _document(event: Event) -> dict[str, object]:
    document: dict[str, object] = {
        "commit": event.revision.commit,
        "time": output.stamp(event.revision.when),
        "author": event.revision.author,
        "email": event.revision.email,
        "action": event.action,
        "server": event.server,
        "username": event.username,
        "path": event.path,
    }
    if event.action == search.RECIPIENTS:
        document["added"] = list(event.added)
        document["removed"] = list(event.removed)
    return document
