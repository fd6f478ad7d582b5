"""Write counts and lists of names for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def count(number: int, noun: str, plural: str = "") -> str:
    """Write how many there are, such as "1 entry" and "2 entries"; most plurals end in "s"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def few(names: Sequence[str], most: int) -> str:
    """List the first names, made printable, and count the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
