"""A credential helper with one fault at a time, to see that each is found out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from passhelper.client import ProgramHelper
from support.programs import script

NO_FAULT = "none"


class Faulty:
    """Makes programs with one fault, all with one place to keep things.

    Args:
        folder: where the program and its place are.
        environ: what it is started with.
    """

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self.place = folder / "place.json"

    def environ(self, fault: str) -> dict[str, str]:
        """Give the variables that choose the fault."""
        return {**self._environ, "FAULT": fault, "FAULTY_PLACE": str(self.place)}

    def __call__(self, fault: str, seconds: float = 10) -> ProgramHelper:
        code = Path(__file__).parents[2] / "contract" / "faulty_program.py"
        text = f'exec "{sys.executable}" -ISXutf8 "{code}" "$@"'
        return ProgramHelper(script(self._folder / "docker-credential-faulty", text), self.environ(fault), seconds)

    @property
    def kept(self) -> list[str]:
        """The servers that the place holds."""
        return sorted(json.loads(self.place.read_text())) if self.place.exists() else []
