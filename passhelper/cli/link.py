"""``passhelper link`` and ``unlink``: helpers for other places than the pass store, on PATH."""

from __future__ import annotations

import os

import click

from passhelper.cli import output
from passhelper.machine import link as linking

_DIR = "The directory; ~/.local/bin by default."


@click.command()
@click.argument("name")
@click.option("--dir", "folder", default="", metavar="DIR", help=_DIR)
def link(*, name: str, folder: str) -> None:
    """Put docker-credential-NAME on PATH.

    NAME is a backend of this installation. Docker uses it where config.json names it.

    \b
    Example:
      passhelper link memory --dir ~/bin
    """  # noqa: D301 - click marks a verbatim paragraph so
    path, changed = linking.link(name, os.environ, folder)
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
    """  # noqa: D301 - click marks a verbatim paragraph so
    path, removed = linking.unlink(name, os.environ, folder)
    output.say(f"removed {path}" if removed else f"there is no {path}")
