"""``passhelper link`` and ``unlink``: helpers for other places than the pass store, on PATH."""

from __future__ import annotations

import os

import click

from passhelper.cli import output
from passhelper.client import short_name
from passhelper.errors import ConfigurationError
from passhelper.setup import link as linking

_DIR = "The directory; ~/.local/bin by default."


@click.command()
@click.argument("name")
@click.argument("choices", nargs=-1)
@click.option("--dir", "folder", default="", metavar="DIR", help=_DIR)
@click.option("--store", default="", metavar="DIR", help="With --as: for this pass store alone.")
@click.option("--as", "called", default="", metavar="NAME", help="What Docker calls the helper of that store.")
@click.option("--self-test", is_flag=True, help="Try the backend with throw-away credentials, and write nothing.")
def link(  # noqa: PLR0913 - one for each option
    *, name: str, choices: tuple[str, ...], folder: str, store: str, called: str, self_test: bool
) -> None:
    """Put docker-credential-NAME on PATH.

    NAME is a backend of this installation. Docker uses it where config.json names it. With the
    name auto, the first of the CHOICES that can be used is chosen at each call. A second account for one registry
    needs a store of its own: link pass --store DIR --as NAME makes docker-credential-NAME for it.

    \b
    Examples:
      passhelper link secretservice --dir ~/bin
      passhelper link auto secretservice pass
      passhelper link pass --store ~/.password-store-work --as work
    """
    is_auto = short_name(name) == linking.AUTO
    if is_auto != bool(choices):
        raise click.UsageError("name the backends that auto tries" if is_auto else "name one backend")
    if bool(store) != bool(called) or (store and (short_name(name) != "pass" or self_test)):
        raise click.UsageError("a helper for a store of its own is: passhelper link pass --store DIR --as NAME")
    if self_test:
        if not linking.self_test(name, output.say):
            raise ConfigurationError(f"the self-test of {name} failed", "report what it says above")
        return
    if store:
        place = os.path.abspath(os.path.expanduser(store))
        path, changed = linking.link_store(called, os.environ, place, folder)
    else:
        path, changed = linking.link(name, os.environ, folder, choices)
    output.say(f"{'wrote' if changed else 'found'} {path}")
    other = linking.shadow(path, os.environ)
    if other == "":
        output.warn(f"{os.path.dirname(path)} is not on PATH, so docker does not find it")
    elif other is not None:
        output.warn(f"PATH leads docker to another program: {other}")


@click.command()
@click.argument("name")
@click.option("--dir", "folder", default="", metavar="DIR", help=_DIR)
def unlink(*, name: str, folder: str) -> None:
    """Remove what link has put on PATH.

    A program that link did not write stays.

    \b
    Example:
      passhelper unlink memory --dir ~/bin
    """
    path, removed = linking.unlink(name, os.environ, folder)
    output.say(f"removed {path}" if removed else f"there is no {path}")
