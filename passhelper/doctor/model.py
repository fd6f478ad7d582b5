"""What a check is, and what it can find."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from passhelper.doctor.context import Context


class Severity(enum.Enum):
    """How bad a finding is: the word that is shown, and the exit code if there is nothing worse."""

    FAILED = ("failed", 1)
    DRIFT = ("drift", 3)
    UNACCEPTED = ("not accepted", 4)
    EXPIRING = ("expiring", 5)
    UNREACHABLE = ("unreachable", 6)
    WARNING = ("warning", 0)
    NOTE = ("ok", 0)

    @property
    def word(self) -> str:
        """What to show."""
        return self.value[0]

    @property
    def exit_code(self) -> int:
        """What to exit with when this is the worst."""
        return self.value[1]


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        cause: what is wrong with which file, key or program.
        remedy: what to type or change; empty for a mere note.
        severity: None for the severity of its check.
    """

    cause: str
    remedy: str = ""
    severity: Severity | None = None


@dataclass(frozen=True)
class Check:
    """One question about a machine.

    Attributes:
        id: its stable name, ``area.subject``.
        looks_at: what it looks at, for people.
        severity: of its findings, unless one says otherwise.
        run: answers it; no findings mean that all is well. A raised PasshelperError is a finding.
        needs: the checks that must not have failed.
        fix: repairs what is safe to repair and says what it did; None if nothing is.
    """

    id: str
    looks_at: str
    severity: Severity
    run: Callable[[Context], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    fix: Callable[[Context], Iterable[str]] | None = None
