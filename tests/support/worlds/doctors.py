"""A doctor to call, and what it says."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import OWN_GIT, Answer, run

SERVER = "https://registry.example"


@dataclass
class Report:
    """What ``passhelper doctor --json`` said."""

    answer: Answer

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        document = self.answer.json
        assert (document["version"], document["command"]) == (1, "doctor")
        return {check["id"]: check for check in document["data"]["checks"]}

    @property
    def code(self) -> int:
        return self.answer.code

    def status(self, name: str) -> str:
        return str(self.checks[name]["status"])

    def finding(self, name: str) -> tuple[str, str, str]:
        """The only finding of a check: severity, cause, remedy."""
        (found,) = self.checks[name]["findings"]
        return found["severity"], found["cause"], found["remedy"]

    def causes(self, name: str) -> list[str]:
        return [found["cause"] for found in self.checks[name]["findings"]]

    def blocked_by(self, cause: str) -> set[str]:
        """The checks that were not made because of another one."""
        return {name for name, check in self.checks.items() if f"{cause} failed" in check["reason"].split(", ")}

    def troubled(self) -> set[str]:
        return {name for name, check in self.checks.items() if check["findings"]}


class Doctor:
    """The installed doctor in one environment."""

    def __init__(self, program: str, environ: dict[str, str]) -> None:
        self.program = program
        self.environ = environ
        self.prefix: list[str] = []

    def run(self, *options: str, **environ: str) -> Answer:
        """stdin closed, no terminal, twenty seconds."""
        command = [*self.prefix, "sh", "-c", 'exec "$0" "$@" <&-', self.program, "doctor", *options]
        return run(command, {**self.environ, **environ})

    def __call__(self, *options: str, **environ: str) -> Report:
        answer = self.run("--json", *options, **environ)
        assert answer.err == b"", answer.err
        return Report(answer)


def git(folder: Path, *arguments: str) -> str:
    home = {"HOME": str(folder.parent), "PATH": "/usr/local/bin:/usr/bin:/bin", **OWN_GIT}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=home, check=True, capture_output=True, text=True).stdout


def config_of(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(settings))
