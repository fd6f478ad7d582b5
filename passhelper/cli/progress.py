"""What happens now, on a terminal and nowhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - takes a while, which the reading of options need not

    return Console(stderr=True, highlight=False)


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar beside a text; give what to call with the number of things done, and of all things."""
    from rich.progress import Progress  # noqa: PLC0415 - as above

    console = _console()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line of text; give what to call with the next one."""
    console = _console()
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(text) as shown:
        yield shown.update
