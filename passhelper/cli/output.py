"""How ``passhelper`` prints results, errors, hints and warnings.

Results on stdout; ``error:``, ``hint:`` and ``warning:`` on stderr, lower case, without a full stop; colours only
on a terminal and never with ``NO_COLOR``. ``--json`` prints one envelope, ``{"version":1,"command":...,"data":...}``,
whose version changes when a field changes its meaning or is removed.

Every line goes through :func:`passhelper.errors.one_line`, because names in it may come from elsewhere. The
exceptions are :func:`raw` and :func:`secret`, whose output other programs read byte by byte.
"""

from __future__ import annotations

import io
import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any

import click

from passhelper import moments
from passhelper.errors import one_line, printable, unobeyed
from passhelper.jsontext import inert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.errors import PasshelperError

ENVELOPE_VERSION = 1
_LONGEST = 4000  # characters of a table's cell: as many readers as a team has, or a reason with its remedy
_WIDE = 100_000  # columns where the output is a file, so that no line is wrapped


class _WholeWrites(io.FileIO):
    """A stream that the caller may have made non-blocking, as Node.js does: each write waits until it is taken."""

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            left = view.cast("B")
            while left:
                written = super().write(left)  # None: it takes nothing now
                if written is None:
                    select.select([], [self], [])
                else:
                    left = left[written:]
            return view.nbytes


def whole_writes(stream: Any) -> Any:
    """Prepare a standard stream: it writes ``?`` for characters that it does not know, and takes all of a text."""
    if not hasattr(stream, "reconfigure"):
        return stream
    if sys.platform == "win32" or os.get_blocking(stream.fileno()):
        stream.reconfigure(errors="replace")
        return stream
    raw = _WholeWrites(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, errors="replace", line_buffering=stream.line_buffering
    )


def say(text: str, mark: str = "") -> None:
    """Print one line of a result.

    Args:
        text: the line.
        mark: what stands before it, with its colours.
    """
    click.echo(mark + one_line(text))


def raw(text: str) -> None:
    """Print lines for another program exactly as they are."""
    click.echo(text)


def secret(text: str) -> None:
    """Print a secret that another program may read: every character as it is, whatever the terminal's encoding."""
    click.echo(text if sys.stdout.isatty() else text.encode())


def note(text: str) -> None:
    """Print lines that are not part of the result."""
    click.echo("\n".join(map(one_line, text.split("\n"))), err=True)


def warn(text: str) -> None:
    """Print a warning."""
    _marked("warning", "yellow", text)


def error(shown: PasshelperError) -> None:
    """Print what went wrong and what to do about it."""
    _marked("error", "red", shown.cause)
    if shown.remedy:
        _marked("hint", "cyan", shown.remedy)


def _marked(mark: str, colour: str, text: str) -> None:
    styled = mark if os.environ.get("NO_COLOR") else click.style(mark, fg=colour)
    click.echo(f"{styled}: {one_line(' '.join(text.split()))}", err=True)


def stamp(seconds: int) -> str:
    """Write a moment, in seconds since 1970, in UTC."""
    return moments.utc(seconds, "%Y-%m-%dT%H:%M:%SZ")


def envelope(command: str, data: Any) -> None:
    """Print a result as JSON."""
    document({"version": ENVELOPE_VERSION, "command": command, "data": data})


def document(data: Any) -> None:
    """Print a JSON document."""
    click.echo(inert(json.dumps(data)))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: as wide as the terminal, or as wide as it needs where there is none."""
    from rich.console import Console  # noqa: PLC0415 - only commands that report need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE, color_system=None)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: server names come from elsewhere.
        grid.add_row(*(Text(printable(cell, _LONGEST)) for cell in row))
    with console.capture() as capture:
        console.print(grid)
    click.echo("\n".join(unobeyed(line.rstrip()) for line in capture.get().splitlines()))
