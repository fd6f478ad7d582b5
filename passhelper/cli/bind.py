"""``passhelper bind`` and ``rename``: where a credential belongs, as a person says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from passhelper import settings
from passhelper.cli import output, terminal
from passhelper.cli.common import json_option, named, open_store
from passhelper.cli.progress import bar
from passhelper.cli.servers import stored
from passhelper.credentials import Credentials, validate_server
from passhelper.errors import ConfigurationError, printable
from passhelper.shellwords import operands
from passhelper.store.helper import PassHelper
from passhelper.team.entries import unbound
from passhelper.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.team.entries.unbound import Unbound


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@click.option("--all", "is_all", is_flag=True, help="Every credential of the store.")
@click.option("--yes", is_flag=True, help="Do not ask; for whoever has looked at them.")
@json_option
def bind(*, servers: tuple[str, ...], is_all: bool, yes: bool, as_json: bool) -> int:
    """Bind credentials that other programs wrote to their servers.

    What pass and Docker's helper write could be copied to another server by whoever can push to the store. Only you
    know whether it is where it belongs: the credentials are shown first. Each is stored again, for the readers of its
    server, and a copy of it is refused from then on.

    \b
    Examples:
      passhelper bind --all
      passhelper bind registry.example
    """
    if is_all == bool(servers):
        raise click.UsageError("name the servers, or give --all")
    store = open_store()
    store.check_folder()
    names = dict.fromkeys(name for server in servers for name in stored(store, server))
    entries = [
        entry for entry in sorted(store.walk(), key=lambda entry: entry.server) if is_all or entry.server in names
    ]
    with bar("decrypting") as progress:
        found, troubles = unbound.find(store, entries, progress)
    for trouble in troubles:
        output.warn(trouble)
    if found:
        _agree(found, servers, yes=yes)
    done = []
    for one in found:
        if one.is_current:
            PassHelper(store.environ, output.warn).store(one.credentials)
            done.append(one)
        else:
            output.warn(f"{printable(one.entry.server)} has changed since it was shown, and was left as it is")
    if settings.is_on(store.environ, settings.IGNORE_WRITES):
        done = []
    if as_json:
        output.envelope("bind", {"bound": [named(one.entry) for one in done]})
    else:
        output.say(f"bound {count(len(done), 'credential')}" if done or found else "every credential here is bound")
    return 0 if len(done) == len(found) and not troubles else 1


def _agree(found: Sequence[Unbound], servers: Sequence[str], *, yes: bool) -> None:
    """Show the credentials and ask.

    Raises:
        ConfigurationError: nobody can be asked, or the answer was no.
    """
    # One on each line, so that no name can hide in another: whoever can push chooses the names.
    output.note("\n".join(f"{one.entry.server} ({one.entry.username})" for one in found))
    if yes:
        return
    again = f"passhelper bind --yes {operands(*map(printable, servers)) if servers else '--all'}"
    if not terminal.is_present():
        raise ConfigurationError("no terminal to ask whether these belong to their servers", f"look, then run: {again}")
    if not terminal.confirm("Is each of these the credential of its server?"):
        raise ConfigurationError("nothing was bound", "find out who stored what does not belong there: passhelper log")


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--replace", is_flag=True, help="Take the place of a credential that NEW has.")
def rename(*, old: str, new: str, replace: bool) -> None:
    """Move a credential to another server.

    It is stored for the readers of the new one and bound to it, then erased under its old name.

    \b
    Example:
      passhelper rename old-registry.example registry.example
    """
    store = open_store()
    server = validate_server(new)
    names = stored(store, validate_server(old))
    if len(names) > 1 and old not in names:
        raise ConfigurationError(
            f"{printable(old)} is stored as {', '.join(map(printable, names))}", "name one of them"
        )
    if names[0] == server:
        raise ConfigurationError(f"{printable(server)} is what it is called already")
    there = store.all_entries(server)
    if there and not replace:
        raise ConfigurationError(
            f"{printable(server)} has a credential, of {printable(there[0].username)}",
            f"run: passhelper rename --replace {operands(printable(old), printable(new))}",
        )
    # By its exact name, or the new one, which may mean the same registry, would go too.
    helper = PassHelper({**os.environ, settings.STRICT: "1"}, output.warn, shared_erase=True)
    found = helper.get(names[0])
    helper.store(Credentials(server, found.username, found.secret))
    helper.erase(names[0])
    if not settings.is_on(os.environ, settings.IGNORE_WRITES):
        output.say(f"renamed {printable(names[0])} to {printable(server)} ({printable(found.username)})")
