"""A person at a terminal: run a program on a pseudo terminal while its stdin and stdout are pipes."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from support import Answer
from support.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The leader of a new session that opens a terminal owns it from then on (tty(4)).
_TAKE_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR | (os.O_NOCTTY if sys.argv[2] == "-" else 0))
if sys.argv[2] not in ("", "-"):
    os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600), 2)
else:
    os.dup2(terminal, 2)
os.close(terminal)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Person:
    """Who sits at the terminal.

    Args:
        answers: pairs of what the screen shows and what is typed then, in this order.

    Attributes:
        screen: everything that the terminal showed.
        terminal: the device's name during the last run.
    """

    def __init__(self, *answers: tuple[bytes, bytes]) -> None:
        self._answers = list(answers)
        self.screen = b""
        self.terminal = ""

    def run(
        self,
        command: list[str],
        environ: Mapping[str, str],
        stdin: bytes,
        *,
        stderr: Path | None = None,
        controlling: bool = True,
        timeout: float = LIMIT,
    ) -> Answer:
        """Run a program as Docker runs a helper in somebody's shell.

        Args:
            command: program, as an absolute path, and arguments.
            environ: its environment.
            stdin: what the pipe to it holds.
            stderr: a file for stderr; the terminal by default.
            controlling: whether the terminal controls the program's session; else it is only its stderr.
            timeout: seconds until the program is ended.
        """
        ours, theirs = pty.openpty()
        place = str(stderr or "") if controlling else "-"
        self.terminal = os.ttyname(theirs)
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _TAKE_TERMINAL, self.terminal, place, *command],
            env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        watcher = threading.Thread(target=self._watch, args=(ours, process))
        watcher.start()
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        watcher.join()
        os.close(theirs)
        os.close(ours)
        return Answer(process.returncode, out, err)

    def _watch(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        """Read the screen until the program has ended; type each answer when its cue appears."""
        since = 0
        while True:
            ended = process.poll() is not None
            ready, _, _ = select.select([terminal], [], [], 0 if ended else 0.05)
            if ready:
                self.screen += os.read(terminal, 65536)
            elif ended:
                return
            if self._answers and self._answers[0][0] in self.screen[since:]:
                since = len(self.screen)
                time.sleep(0.1)  # a curses program reads keys only after it has drawn its window
                os.write(terminal, self._answers.pop(0)[1])
