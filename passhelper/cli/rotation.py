"""``passhelper rotation``: what has to be changed when somebody leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper.cli import output, owners
from passhelper.cli.common import DRIFT, open_store
from passhelper.team.entries import rotation as search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.team.entries.rotation import RotationItem
    from passhelper.team.git.history import Revision


@click.group()
def rotation() -> None:
    """Find the credentials that somebody could read.

    \b
    Example:
      passhelper rotation list bob@example.org
    """


@rotation.command("list")
@click.argument("key")
@click.option("--all", "show_all", is_flag=True, help="Show those that have been changed or erased, too.")
@click.option("--json", "as_json", is_flag=True, help="Print all of them as JSON.")
def list_(*, key: str, show_all: bool, as_json: bool) -> int:
    """List the credentials that KEY could read, now or in any past commit.

    KEY is a fingerprint, an e-mail address or a key file. A reader who was removed may have kept every credential:
    each has to be changed at its registry. To see whether that has been done, today's secrets are compared with all
    that KEY could read. Exit status 3 until every credential has been changed or erased.

    \b
    Examples:
      passhelper rotation list bob@example.org
      passhelper rotation list 8A6F...C0DE --all --json
    """
    store = open_store()
    items = search.find(store, owners.fingerprint(store.gpg, key))
    left = [item for item in items if item.is_open]
    if as_json:
        output.envelope("rotation list", [_document(item) for item in items])
    elif show_all and items:
        _print(items)
    elif left:
        _print(left)
    else:
        output.note("every credential that this key could read has been changed or erased" if items
                    else "this key could never read a credential here")  # fmt: skip
    return DRIFT if left else 0


def _document(item: RotationItem) -> dict[str, object]:
    return {
        "server": item.server,
        "username": item.username,
        "state": item.state,
        "open": item.is_open,
        "certain": item.is_certain,
        "first": _commit(item.first),
        "last": _commit(item.last),
        "moved_to": [{"server": server, "username": username} for server, username in item.places],
    }


def _commit(revision: Revision) -> dict[str, object]:
    return {"commit": revision.commit, "time": output.stamp(revision.when)}


def _print(items: Sequence[RotationItem]) -> None:
    rows = [[item.server, item.username, _state(item), _shown(item.first), _shown(item.last)] for item in items]
    output.table(["SERVER", "USER", "STATE", "FIRST READABLE", "LAST READABLE"], rows)


def _state(item: RotationItem) -> str:
    to = ", ".join(f"{server} ({username})" for server, username in item.places)
    words = f"{item.state} to {to}" if to else item.state
    return words if item.is_certain else f"{words} (hidden recipients)"


def _shown(revision: Revision) -> str:
    return f"{output.stamp(revision.when)[:10]} {revision.commit[:10]}"
