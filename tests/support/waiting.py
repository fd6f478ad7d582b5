"""Waiting for what another process does, with one limit for all: only what hangs reaches it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 60.0
"""Seconds for one step of a test; a busy machine takes a small part of it."""


def until(condition: Callable[[], object], what: str = "", *, pause: float = 0.01) -> None:
    """Wait until a condition holds; fail where it never does.

    Args:
        condition: asked again and again.
        what: what has never happened, for the failure.
        pause: seconds between two questions.
    """
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what or "it never happened"
        time.sleep(pause)
