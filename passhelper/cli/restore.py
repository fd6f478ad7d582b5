"""``passhelper restore``."""

from __future__ import annotations

import os

import click

from passhelper import settings
from passhelper.cli import output
from passhelper.cli.common import json_option, open_store
from passhelper.cli.servers import logged_out_of
from passhelper.credentials import validate_server
from passhelper.errors import printable
from passhelper.store import loggedout
from passhelper.store.helper import PassHelper
from passhelper.team.entries import undo


@click.command()
@click.argument("server")
@click.option("--commit", default="", metavar="COMMIT", help="As of this commit; passhelper log names them.")
@json_option
def restore(*, server: str, commit: str, as_json: bool) -> None:
    """Bring a credential back from the history of the store.

    Without --commit it is the newest one of a credential that is no longer there, whoever erased it. It is stored
    again as it was, for today's readers, and the next sync shares it. Where this clone has logged out of the registry
    and the store has the credential, this clone serves it again.

    \b
    Examples:
      passhelper restore registry.example
      passhelper restore registry.example --commit 0123456789ab
    """
    store = open_store()
    left = [] if commit else logged_out_of(store, validate_server(server))
    if left:
        loggedout.end(store, left)
        if as_json:
            output.envelope("restore", {"server": left[0], "logged_in": left})
        else:
            output.say(f"this clone serves the credential for {printable(', '.join(left))} again")
        return
    version = undo.find(store, validate_server(server), commit)
    found = version.credentials
    PassHelper(dict(os.environ), output.warn).store(found)
    is_stored = not settings.is_on(os.environ, settings.IGNORE_WRITES)
    if as_json:
        data = {"server": found.server, "username": found.username, "commit": version.commit, "stored": is_stored}
        output.envelope("restore", data)
    elif is_stored:
        names = f"{printable(found.username)} for {printable(found.server)}"
        output.say(f"restored the credential of {names}, as it was in commit {version.commit[:12]}")
