"""A group of commands that imports a command's module only when that command runs.

``passhelper --help`` needs names and one line each; the libraries behind the commands (GitPython, httpx,
python-gnupg, rich) would cost it half a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lazy(NamedTuple):
    """Where a command is, as ``module:attribute`` below :mod:`passhelper.cli`, and the first line of its help."""

    home: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands come from a table, by name and in the order of the help."""

    def __init__(self, *arguments: Any, table: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks so
        """Give the names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click asks so
        """Import a command; None if there is no such command."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.home.partition(":")
        command = getattr(import_module(f"passhelper.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.home} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click asks so
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])
