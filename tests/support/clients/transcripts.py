"""Commands as a person types them, what they said, and which calls of the helper they made."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from support.clients.callers import Client


class Shell:
    """Runs commands one after the other and keeps the transcript.

    Args:
        client: runs them.
        names: what differs from run to run, such as a port, and what is shown instead.
    """

    def __init__(self, client: Client, names: Mapping[str, str]) -> None:
        self.client = client
        self.transcript = ""
        self.names = dict(names)

    def __call__(self, command: str, *, stdin: str = "", code: int = 0, **options: Any) -> str:
        """Run one command, split as a shell does; return what it printed, without the log lines of Docker.

        Those (``time="..." level=info``) only tell that it tried HTTPS first.

        Args:
            command: the program and its arguments.
            stdin: what it reads.
            code: the exit status that it must have.
            options: for :func:`support.programs.run`.
        """
        lines = self.client(*shlex.split(command), stdin=stdin, code=code, **options).splitlines(keepends=True)
        said = self.shown("".join(line for line in lines if not line.startswith('time="')))
        self._add(f"printf %s {stdin!r} | {command}" if stdin else command, said)
        if code:
            self.transcript += f"[exit status {code}]\n"
        for call in self.calls:
            self.transcript += f"    [docker-credential-pass {call}]\n"
        return said

    @property
    def calls(self) -> list[str]:
        """The calls of the last command, in short; see :attr:`support.clients.callers.Call.short`."""
        return [self.shown(call) for call in self.client.short]

    def note(self, command: str, said: Iterable[str] | str) -> None:
        """Put into the transcript what a test has looked at in another way."""
        self._add(command, self.shown(said if isinstance(said, str) else "".join(f"{line}\n" for line in said)))

    def shown(self, text: str) -> str:
        """A text without what differs from run to run."""
        for name, shown in self.names.items():
            text = text.replace(name, shown)
        return text

    def _add(self, command: str, said: str) -> None:
        self.transcript += f"$ {self.shown(command)}\n{said}"
        if said and not said.endswith("\n"):
            self.transcript += "\n"
