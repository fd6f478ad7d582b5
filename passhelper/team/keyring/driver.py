"""python-gnupg with a time limit: without one it waits for gpg for ever, and gpg for the keyring's lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import gnupg

from passhelper.errors import GpgError
from passhelper.store import ending

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


# Where str.splitlines() ends a line besides; gpg writes the last three as they are in a user id.
_ENDS = dict.fromkeys((0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029), "?")


class Driver(gnupg.GPG):  # type: ignore[misc]  # it comes without types
    """The same, but each gpg that takes too long is ended.

    Args:
        seconds: how long one may take.
        explain: tells from what gpg wrote what held it, if it knows.
        settings: what python-gnupg takes.

    Raises:
        GpgError: from any method: one took longer.
    """

    decode_errors = "replace"  # not every user id is UTF-8

    def __init__(self, seconds: float, explain: Callable[[str], GpgError | None], **settings: Any) -> None:
        self._seconds = seconds
        self._explain = explain
        super().__init__(**settings)

    def _decode_result(self, result: Any) -> Any:
        """Read a listing whose lines end where gpg has ended them: no user id can look like the next line."""
        result.data = result.data.decode(self.encoding, self.decode_errors).translate(_ENDS).encode(self.encoding)
        return super()._decode_result(result)

    def _collect_output(self, process: subprocess.Popen[bytes], *arguments: Any, **more: Any) -> Any:
        is_late = threading.Event()

        def expire() -> None:
            is_late.set()
            ending.end(process.pid, lambda: process.poll() is not None)
            process.kill()  # on Windows; elsewhere it has ended

        watch = threading.Timer(self._seconds, expire)
        watch.daemon = True
        watch.start()
        try:
            code = super()._collect_output(process, *arguments, **more)
        finally:
            watch.cancel()
        if is_late.is_set():
            said = str(getattr(arguments[0], "stderr", "")) if arguments else ""
            raise self._explain(said) or GpgError(
                f"gpg did not answer within {self._seconds:g} s",
                "see what holds it: gpg --list-keys, or set PASSHELPER_TIMEOUT",
            )
        return code
