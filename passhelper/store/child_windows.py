"""The same child processes on Windows, where there is no ``posix_spawn`` and no ``poll``.

Unproven: no Windows with gpg was at hand (README, "What is unproven"). gpg's status lines share
stderr here, since a C run-time's descriptor numbers are not inherited; gpg escapes line ends in
everything else that it prints there.
"""

import subprocess
import time

from passhelper.errors import ConfigurationError, PasshelperError
from passhelper.store.programs import MAX_OUTPUT, STATUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STATUS_PREFIX = b"[GNUPG:] "


class Child:
    """One running program; see ``child.Child`` for the arguments and attributes."""

    def __init__(  # noqa: PLR0913 - as child.Child
        self,
        argv: "Sequence[str | int]",
        environ: "Mapping[str, str]",
        *,
        stdin: "bytes | int" = b"",
        passphrase: "bytes | None" = None,
        limit: int = MAX_OUTPUT,
        keep: "Sequence[int]" = (),  # noqa: ARG002 - numbers of descriptors mean nothing to another program
        group: bool = False,  # noqa: ARG002 - there are no process groups
    ) -> None:
        if passphrase is not None:
            raise ConfigurationError("passphrases from a file or variable are not supported on Windows")
        self.stdout = bytearray()
        self.status = bytearray()
        self.stderr = bytearray()
        self.returncode: int | None = None
        self.overflow = False
        self.timed_out = False
        self.limit = limit
        self.forbidden = b""  # looked at by nobody: communicate() tells nothing before the end
        self.least = 0
        self._input = stdin if isinstance(stdin, bytes) else None
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
        command = ["2" if item == STATUS else str(item) for item in argv]
        try:
            self._process = subprocess.Popen(
                command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ)
            )
        except OSError as error:
            raise PasshelperError(f"cannot start {argv[0]}: {error.strerror}") from error

    def collect(self, seconds: float) -> None:
        """Serve it to its end."""
        try:
            out, err = self._process.communicate(self._input, timeout=max(seconds, 0))
        except subprocess.TimeoutExpired:
            self.timed_out = True
            self.kill()
            self.returncode = self.returncode or 1
            return
        self.overflow = len(out) > self.limit
        self.stdout += out[: self.limit]
        for line in err.splitlines(keepends=True):
            (self.status if line.startswith(_STATUS_PREFIX) else self.stderr).extend(line)
        self.returncode = self._process.returncode
        if self.overflow:
            self.returncode = self.returncode or 1  # half an answer is none

    def kill(self) -> None:
        """End it now. Harmless when it has ended."""
        self._process.kill()
        self.returncode = self._process.wait()


def finish(children: "Sequence[Child]", seconds: float, *, first: bool = False) -> None:
    """Serve children, one after the other, until all have ended or the time is up; ``first``: until one has."""
    end = time.monotonic() + seconds
    for child in children:
        if child.returncode is None:
            child.collect(end - time.monotonic())
        if first:
            return
