"""Objects and references of a repository, asked of one ``git cat-file`` that stays for as long as they are needed.

A command asks for HEAD, for a commit or for a file dozens of times; a process for each question would take most
of its time. git looks every name up anew, so the answer is that of the moment in which it is asked.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from passhelper.errors import GitError, TrustError, printable
from passhelper.store import ending, gitwords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from passhelper.store.child import Child

MEND = "do not merge it; find out who pushed it and take it out of the remote"  # what no honest git makes
_COMMAND = ("cat-file", "--batch")
_KINDS = (b"blob", b"tree", b"commit", b"tag")
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WINDOW = 4096  # bytes of questions before their answers are read: what any system's pipe takes without waiting
_NOTES = 1 << 16  # bytes of complaints
_GRACE = 2.0  # seconds between the end of its input and a kill


@dataclass(frozen=True)
class Object:
    """One object.

    Attributes:
        id: its full id.
        kind: ``blob``, ``tree``, ``commit`` or ``tag``.
        data: its content; None if that is larger than the limit.
    """

    id: str
    kind: str
    data: bytes | None


class Objects:
    """The objects of one repository; :meth:`close` ends the process, and so does the end of this one.

    Args:
        begin: git, ``-C`` and the work tree, and the other options that every git child gets.
        environ: the cleaned environment.
        umask: of what it writes: a partial clone fetches what is asked for.
        seconds: how long one answer may take.
        limit: bytes that one object may have.
    """

    def __init__(
        self, begin: Sequence[str], environ: Mapping[str, str], umask: int, *, seconds: float, limit: int
    ) -> None:
        self._root = begin[2]
        self._begin = begin
        self._environ = environ
        self._umask = umask
        self._seconds = seconds
        self._limit = limit
        self._process: subprocess.Popen[bytes] | None = None
        self._notes = _Notes()
        self._is_late = False

    def find(self, name: str) -> Object | None:
        """Find one object by any name that git understands; None if there is none.

        Raises:
            ValueError: the name has a line end in it, so it cannot be asked for.
            GitError: git cannot read the repository, or took too long.
        """
        if "\n" in name:
            raise ValueError(name)
        (found,) = self._exchange([name])
        return found

    def read(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Read many objects; gives each id with its content, None if there is no such object.

        Raises:
            GitError: one is too large, or git fails.
        """
        for names in _windows(ids):
            # Nothing comes after one that is too large.
            for name, found in zip(names, self._exchange(names), strict=False):
                if found is not None and found.data is None:
                    raise GitError(f"object {name} in {self._root} is larger than {self._limit} bytes")
                yield name, None if found is None else found.data

    def close(self) -> None:
        """End the process; it starts again with the next question."""
        process = self._process
        self._process = None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):  # the end of both ends it, whatever it does now
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            _end(process)
        self._notes.wait()

    def _exchange(self, names: Sequence[str]) -> list[Object | None]:
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - it was started with pipes
        assert process.stdout is not None  # noqa: S101
        self._is_late = False
        watch = threading.Timer(self._seconds, self._expire, [process])
        watch.daemon = True
        watch.start()
        try:
            process.stdin.write("".join(f"{name}\n" for name in names).encode(errors="surrogateescape"))
            process.stdin.flush()
            found = []
            for _ in names:
                one = self._answer(process.stdout)
                found.append(one)
                if one is not None and one.data is None:
                    break  # the process is gone
        except (OSError, EOFError):
            raise self._failure(process) from None
        except BaseException:  # half an answer is left in the pipe
            _end(process)
            self.close()
            raise
        finally:
            watch.cancel()
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        umask = os.umask(self._umask)
        try:
            self._process = subprocess.Popen(
                [*self._begin, *_COMMAND], env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )  # fmt: skip
        finally:
            os.umask(umask)
        self._notes = _Notes()
        self._notes.take(self._process.stderr)
        return self._process

    def _answer(self, pipe: IO[bytes]) -> Object | None:
        """Read one answer: an id, a kind and a size in a line, then the content; or that there is no such object."""
        line = pipe.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        fields = line.split()
        if len(fields) != 3 or fields[1] not in _KINDS:
            return None
        size = int(fields[2])
        data = None
        if size > self._limit:
            self.close()  # rather than read all of it
        else:
            data = pipe.read(size)
            if len(data) != size or pipe.read(1) != b"\n":
                raise EOFError
        return Object(fields[0].decode(), fields[1].decode(), data)

    def _expire(self, process: subprocess.Popen[bytes]) -> None:
        self._is_late = True
        _end(process)

    def _failure(self, process: subprocess.Popen[bytes]) -> GitError:
        """Say why the process ended before it had answered."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        self.close()
        complaint = self._notes.text()
        if self._is_late:
            return gitwords.too_slow(self._root, _COMMAND[0], self._seconds)
        return gitwords.explained(self._root, _COMMAND[0], complaint, process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and the git that fetches for it in a partial clone."""
    ending.end(process.pid, lambda: process.poll() is not None)
    process.kill()  # on Windows; elsewhere it has ended


class _Notes:
    """What a process writes to its standard error, taken as it comes: a full pipe would stop it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._thread: threading.Thread | None = None

    def take(self, pipe: IO[bytes] | None) -> None:
        """Begin to read a pipe."""
        self._thread = threading.Thread(target=self._read, args=[pipe], daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), _NOTES):
                self._data += data[: _NOTES - len(self._data)]

    def wait(self) -> None:
        """Wait for its end; the process has ended, but what it started may hold the pipe."""
        if self._thread is not None:
            self._thread.join(_GRACE)

    def text(self) -> str:
        """Give it as far as it has come."""
        self.wait()
        return self._data.decode(errors="replace")


def is_id(name: str) -> bool:
    """Return whether a name is the full id of an object."""
    return _ID.fullmatch(name) is not None


def _windows(ids: Iterable[str]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name in ids:
        if names and size + len(name) + 1 > _WINDOW:
            yield names
            names, size = [], 0
        names.append(name)
        size += len(name) + 1
    if names:
        yield names


def refuse_malformed(child: Child) -> None:
    """Raise an error if git's own checks refused an object; otherwise the remote could not be reached.

    Args:
        child: a fetch or clone that failed.

    Raises:
        TrustError: it was refused.
    """
    for line in child.stderr.decode(errors="replace").splitlines():
        name, _, why = line.removeprefix("error: object ").partition(": ")
        if why and is_id(name):
            raise TrustError(f"the remote sends what git refuses: object {name[:12]}: {printable(why)}", MEND)
