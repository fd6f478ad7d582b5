"""``passhelper log``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.cli.common import json_option, open_store
from passhelper.team.entries import log as search
from passhelper.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.team.entries.log import Event

_MOST = 20  # credentials that one commit has re-encrypted, each in a line of its own


@click.command()
@click.argument("server", default="")
@click.option("--limit", default=0, metavar="N", type=click.IntRange(0), help="Only the newest N.")
@json_option
def log(*, server: str, limit: int, as_json: bool) -> None:
    """Say who stored, erased or re-keyed what, and when.

    From the commits of the store, newest first. Names are what the commits say; only a signature proves a name. What
    one commit has re-encrypted is one line where it is much, unless a server or a limit is given.

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
        rows = _rows(found, most=0 if server or limit else _MOST)
        output.table(["WHEN", "WHO", "WHAT", "SERVER", "USER", "COMMIT"], rows)
    else:
        output.note("nothing has happened yet")


def _rows(events: Sequence[Event], most: int) -> list[list[str]]:
    """Write a row for each event; one for all that a commit has re-encrypted, if they are more than ``most``."""
    rows = []
    for revision, several in groupby(events, key=lambda event: event.revision):
        found = list(several)
        again = [event for event in found if event.action == search.REKEYED]
        is_much = 0 < most < len(again)
        about = [
            (event.action, event.server, _what(event))
            for event in found
            if not (is_much and event.action == search.REKEYED)
        ]
        about += [(search.REKEYED, count(len(again), "credential"), "")] if is_much else []
        rows += [[output.stamp(revision.when), revision.author, *words, revision.commit[:10]] for words in about]
    return rows


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
