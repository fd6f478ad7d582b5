"""What a program and its children asked of the kernel, as strace(1) saw it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import Answer, require, run

if TYPE_CHECKING:
    from collections.abc import Mapping

# An execve beside other processes' calls is shown in two halves, the first one "<unfinished ...>".
_EXEC = re.compile(r'^(\d+) +execve\("([^"]*)"(?!.* = -1 )')


@dataclass
class Trace:
    """One traced run.

    Attributes:
        answer: what the program said.
        lines: strace's lines, each beginning with a process id.
    """

    answer: Answer
    lines: list[str]

    @property
    def main(self) -> str:
        """The id of the program that was started, which it keeps when sh becomes Python."""
        return self.lines[0].split()[0]

    @property
    def processes(self) -> set[str]:
        """The ids of all processes but the first; threads would count too."""
        return {line.split()[0] for line in self.lines} - {self.main}

    @property
    def children(self) -> list[str]:
        """The names of the programs that other processes became, in order."""
        found = [_EXEC.match(line) for line in self.lines]
        return [os.path.basename(match[2]) for match in found if match and match[1] != self.main]

    @property
    def own_programs(self) -> list[str]:
        """The names of the programs that the first process became."""
        found = [_EXEC.match(line) for line in self.lines]
        return [os.path.basename(match[2]) for match in found if match and match[1] == self.main]


def require_strace() -> None:
    """Skip where strace is missing or the system does not let it trace."""
    require("strace")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here: " + tried.stderr.decode(errors="replace").strip())


def trace(
    command: list[str],
    environ: Mapping[str, str],
    stdin: bytes = b"",
    *,
    calls: str = "%process",
    options: tuple[str, ...] = ("-f",),
) -> Trace:
    """Run a program under strace.

    Args:
        command: program and arguments.
        environ: its environment.
        stdin: what it is sent.
        calls: the system calls to record, as strace's ``trace=`` takes them.
        options: more for strace; ``-f`` follows children.
    """
    require_strace()
    descriptor, name = tempfile.mkstemp(prefix="ph-trace")
    os.close(descriptor)
    try:
        prefix = ["strace", "-qq", "-o", name, "-e", f"trace={calls}", "-e", "signal=none", *options, "--"]
        answer = run([*prefix, *command], environ, stdin)
        text = Path(name).read_text(errors="replace")
    finally:
        os.unlink(name)
    lines = text.splitlines()
    if "-f" not in options:
        lines = [f"0 {line}" for line in lines]
    return Trace(answer, lines)
