"""``passhelper runner``: the keys of CI runners."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

import click

from passhelper import moments
from passhelper.ci import enrol
from passhelper.cli import members, output
from passhelper.cli.common import json_option, open_store
from passhelper.errors import ConfigurationError, PasshelperError, printable
from passhelper.machine.privatefile import PrivateFile
from passhelper.shellwords import operands
from passhelper.team.sync.exchange import sync
from passhelper.team.sync.report import Options

if TYPE_CHECKING:
    from passhelper.ci.enrol import Enrolled
    from passhelper.store.store import PassStore


@click.group()
def runner() -> None:
    """Make, list and remove the keys of CI runners.

    \b
    Examples:
      passhelper runner create ci-linux --output ci-linux.env
      passhelper runner list
      passhelper runner remove ci-linux
    """


@runner.command()
@click.argument("name")
@click.option("--expire", default="1y", metavar="TIME", help="When the key ends, as gpg takes it; 0 for never.")
@click.option("--path", "server", default="", metavar="SERVER", help="Let it read this server only.")
@click.option("--output", "path", default="", metavar="FILE", help="Write the variables to a new private file.")
def create(*, name: str, expire: str, server: str, path: str) -> int:
    """Make a runner's key, let it read the store, and print what to give to the CI system.

    The key is made in a throw-away keyring: its secret part is nowhere but in what is printed. That goes to a
    terminal, or to a file. What is new is shared by a sync, so that the runner's clone has it.

    \b
    Examples:
      passhelper runner create ci-linux --output ci-linux.env
      passhelper runner create deploy --path registry.example --expire 90d
    """
    if not path and not sys.stdout.isatty():
        raise ConfigurationError(
            "the runner's secret key is shown on a terminal only", f"add: --output {operands(printable(name))}.env"
        )
    if path:
        _refuse_file(path)
    store = open_store()
    if any(one.name == name for one in enrol.find(store)):
        raise ConfigurationError(
            f"a runner {printable(name)} can read the store already",
            f"choose another name, or run: passhelper runner remove {operands(printable(name))}",
        )
    new = enrol.make(store.environ, name, expire, output.warn)
    with tempfile.NamedTemporaryFile(suffix=".asc") as file:
        file.write(new.public)
        file.flush()
        report = members.added(store, (file.name,), server)
    status = members.tell("add", report)
    _share(store)
    text = "".join(f"{variable}={value}\n" for variable, value in enrol.settings(store, new).items())
    if path:
        with PrivateFile(os.path.abspath(path)) as target:
            target.write(text.encode())
        output.say(f"wrote {printable(path)}: give each line to the CI system, then remove the file")
    else:
        output.secret(text.rstrip("\n"))
    return status


def _refuse_file(path: str) -> None:
    """Refuse a file that is there, or that cannot be made, before there is a key that nobody would get."""
    with PrivateFile(os.path.abspath(path)) as target:
        if target.read() is not None:
            raise ConfigurationError(f"{printable(target.path)} is there already", "name a new file")


def _share(store: PassStore) -> None:
    """Let the remote have what a runner needs; where that cannot be, say so."""
    repository = store.repository("")
    if repository is None:
        return
    try:
        sync(store, Options())
    except PasshelperError as error:
        output.warn(f"not shared yet: {error.cause}; before the runner's first job, run: passhelper sync")


@runner.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the runners that can read the store, with the end of their keys.

    \b
    Example:
      passhelper runner list --json
    """
    found = enrol.find(open_store())
    if as_json:
        output.envelope("runner list", [
            {"name": one.name, "fingerprint": one.key.fingerprint, "expires": _end(one) or None,
             "files": list(one.files)}
            for one in found
        ])  # fmt: skip
    elif found:
        rows = [[one.name, one.key.fingerprint, _end(one) or "never", ", ".join(one.files)] for one in found]
        output.table(["NAME", "FINGERPRINT", "EXPIRES", "FILES"], rows)
    else:
        output.note("no runner that passhelper runner create has made can read this store")


def _end(one: Enrolled) -> str:
    return moments.utc(one.key.ends, "%Y-%m-%d") if one.key.ends else ""


@runner.command()
@click.argument("name")
@json_option
@click.pass_context
def remove(context: click.Context, *, name: str, as_json: bool) -> int:
    """Remove a runner's key from the recipients, and say which credentials to change.

    As passhelper recipients remove does; the CI system's variables are to be removed there.

    \b
    Example:
      passhelper runner remove ci-linux
    """
    keys = tuple(one.key.fingerprint for one in enrol.find(open_store()) if one.name == name)
    if not keys:
        raise ConfigurationError(f"no runner is called {printable(name)}", "run: passhelper runner list")
    status: int = context.invoke(members.remove, keys=keys, server="", is_sure=False, as_json=as_json)
    return status
