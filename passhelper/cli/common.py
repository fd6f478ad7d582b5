"""What several commands share: options, the store, and how an entry is named in JSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.store.store import PassStore

if TYPE_CHECKING:
    from passhelper.store.store import Entry

DRIFT = 3  # exit code: somebody has to act, since readers are not the recipients, or something has to be rotated

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
registry_option = click.option(
    "--registry", "registries", multiple=True, metavar="HOST", help="Only for this registry. Repeatable."
)


def open_store() -> PassStore:
    """Open the store that the environment names; what it warns of is printed."""
    return PassStore(dict(os.environ), output.warn)


def exit_code(otherwise: int, *, is_committed: bool) -> int:
    """Give the exit status of a command that changes the store: 1 if the change waits for its commit."""
    return otherwise if is_committed else 1


def named(entry: Entry) -> dict[str, object]:
    """Name an entry in JSON."""
    return {"server": entry.server, "username": entry.username}
