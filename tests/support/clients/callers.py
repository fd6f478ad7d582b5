"""Watching the programs that call us: a helper that notes each call, and the rows of the README's "Works with".

``tests/clients`` and ``tests/engine`` put :attr:`Recorder.folder` first on ``PATH``. A note has what a client sent and
what it got; the helper behind it is the installed one, with the arguments, standard input, environment and working
directory of the call.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import run

if TYPE_CHECKING:
    from collections.abc import Mapping

# `list` and `version` must not wait for standard input, so it is passed on unread.
_WRAPPER = """\
#!{python} -IS
import json, os, subprocess, sys
data = None if sys.argv[1:] in (["list"], ["version"]) else sys.stdin.buffer.read()
done = subprocess.run([{helper!r}, *sys.argv[1:]], input=data, capture_output=True)
note = dict(arguments=sys.argv[1:], stdin=(data or b"").decode(), code=done.returncode,
            out=done.stdout.decode(), err=done.stderr.decode(), user=os.geteuid(), cwd=os.getcwd(),
            environ=dict(os.environ))
file = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
os.write(file, (json.dumps(note) + "\\n").encode())
sys.stderr.buffer.write(done.stderr)
sys.stderr.flush()
sys.stdout.buffer.write(done.stdout)
sys.stdout.flush()
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Call:
    """One call of the helper."""

    verb: str
    stdin: str
    code: int
    out: str
    err: str
    user: int
    environ: Mapping[str, str]

    @property
    def short(self) -> str:
        """The verb, what it was asked for, and ``!`` where it failed: ``get 127.0.0.1:5000 !``."""
        asked = json.loads(self.stdin)["ServerURL"] if self.verb == "store" else self.stdin
        return f"{self.verb} {asked}{' !' if self.code else ''}".replace("list unused", "list").rstrip(" ")


class Recorder:
    """Stands before the installed helper, under its name, and notes its calls."""

    def __init__(self, folder: Path, helper: str) -> None:
        self.folder = folder
        self._log = folder / "calls.json"
        folder.mkdir()
        folder.chmod(0o777)  # some clients run the helper as another user
        program = folder / Path(helper).name
        program.write_text(_WRAPPER.format(python=sys.executable, helper=helper, log=str(self._log)))
        program.chmod(0o755)

    def take(self) -> list[Call]:
        """The calls since the last time, and forget them."""
        if not self._log.exists():
            return []
        notes: list[dict[str, Any]] = [json.loads(line) for line in self._log.read_text().splitlines()]
        self._log.unlink()
        return [
            Call(" ".join(note["arguments"]), note["stdin"], note["code"], note["out"], note["err"], note["user"],
                 note["environ"])
            for note in notes
        ]  # fmt: skip


class Client:
    """A program that calls the helper, in one environment.

    Attributes:
        environ: its environment; the helper that notes calls comes first on its ``PATH``.
        verbs: what it has called so far.
    """

    def __init__(self, environ: dict[str, str], recorder: Recorder) -> None:
        self.environ = {**environ, "PATH": f"{recorder.folder}:{environ['PATH']}"}
        self.verbs: set[str] = set()
        self._recorder = recorder
        self.calls: list[Call] = []

    def __call__(self, *command: str, stdin: bytes | str = b"", code: int | None = 0, **options: Any) -> str:
        """Run a command; return what it printed on both streams. Its calls are then in :attr:`calls`.

        Args:
            command: the program and its arguments.
            stdin: what it reads.
            code: the exit status that it must have; None for any but 0.
            options: for :func:`support.programs.run`.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        answer = run(list(command), self.environ, data, **options)
        self.calls = self._recorder.take()
        self.verbs |= {call.verb for call in self.calls}
        said = (answer.out + answer.err).decode()
        assert answer.code == code if code is not None else answer.code, (command, answer.code, said, self.short)
        return said

    @property
    def short(self) -> list[str]:
        """The calls of the last command, in short; see :attr:`Call.short`."""
        return [call.short for call in self.calls]
