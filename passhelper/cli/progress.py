"""A progress bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of some work.

    Args:
        text: what is being done.

    Returns:
        a function to call with the number of things done, and of all things.
    """
    from rich.console import Console  # noqa: PLC0415 - takes a while, which the reading of options need not
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
