"""Child processes for the verb path: start, feed, collect, end in time, without ``subprocess``.

``subprocess`` costs a fifth of the whole time budget to import, so children are started with
``posix_spawn`` and served by one ``poll`` loop, several at once where one need not wait for the other.
Nothing secret goes into argv or the environment: input and passphrases travel through pipes.
"""

import os
import sys
import time

from passhelper.errors import PasshelperError, printable
from passhelper.store.programs import MAX_OUTPUT, PASSPHRASE, STATUS, collect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

MAX_NOTES = 1 << 18  # bytes kept of its status lines and of its stderr
_CHUNK = 1 << 16  # bytes per read, the size of a Linux pipe
_NOTE = 1 << 13  # bytes of notes at once, above which more come than can wait
_TICK = 0.05  # seconds between looks at a child that says nothing

if sys.platform == "win32":
    from passhelper.store.child_windows import Child as Child  # noqa: PLC0414 - exported
    from passhelper.store.child_windows import finish as finish  # noqa: PLC0414 - exported
else:
    import select
    from _signal import SIGCHLD, SIGKILL, SIGPIPE  # loaded at start-up; the signal module costs an enum

    # Python ignores SIGPIPE, and the caller may ignore SIGCHLD: a child that inherited that would write to nobody for
    # ever, or could not tell how its own children have ended.
    _NOT_IGNORED = (SIGPIPE, SIGCHLD)

    class Child:
        """One running program and what it has said so far.

        Args:
            argv: the program's absolute path and its arguments; :data:`STATUS` and :data:`PASSPHRASE` stand
                for descriptor numbers.
            environ: its whole environment.
            stdin: bytes to send, or an open descriptor to read from.
            passphrase: bytes for the :data:`PASSPHRASE` descriptor.
            limit: bytes of stdout to keep; a child that says more is ended (``overflow``).
            keep: descriptors of ours that it gets besides, by the same numbers; each is inheritable.
            group: whether it leads a process group: with it ends even what has lost its parent, such as an ssh whose
                git has died. Such a child cannot ask on the terminal.

        Attributes:
            stdout, status, stderr: what was read.
            returncode: its exit status (negative: the signal that ended it), None while it runs. Never 0 where not all
                that it said was read.
            overflow: it said more than ``limit``.
            timed_out: it was ended because its time was up.
            forbidden: what it may not say on its status descriptor; it is ended if it does. Set by the caller.
            least: how many bytes at least the caller expects of it. Set by the caller, for the caller.
            readers, writers: our open ends of its pipes, for :func:`finish`.

        Raises:
            PasshelperError: the system refused to start it.
        """

        def __init__(  # noqa: PLR0913 - all that a program can need
            self,
            argv: "Sequence[str | int]",
            environ: "Mapping[str, str]",
            *,
            stdin: "bytes | int" = b"",
            passphrase: "bytes | None" = None,
            limit: int = MAX_OUTPUT,
            keep: "Sequence[int]" = (),
            group: bool = False,
        ) -> None:
            self.stdout = bytearray()
            self.status = bytearray()
            self.stderr = bytearray()
            self.returncode: int | None = None
            self.overflow = False
            self.timed_out = False
            self.limit = limit
            self.forbidden = b""
            self.least = 0
            self.readers: dict[int, bytearray] = {}
            self.writers: dict[int, memoryview] = {}
            self._group = group
            self._is_loud = False
            theirs: list[int] = []  # their ends of the pipes
            try:
                streams, pipes = self._connect(argv, stdin, passphrase, theirs)
                command, redirect = _numbered(argv, streams, pipes, (*theirs, *keep))
                more: dict[str, Any] = {"setpgroup": 0} if group else {}
                self.pid = os.posix_spawn(
                    command[0], command, environ, file_actions=_actions(redirect, keep), setsigdef=_NOT_IGNORED, **more
                )
            except BaseException as error:
                self.close()
                if isinstance(error, OSError):
                    raise PasshelperError(f"cannot start {argv[0]}: {error.strerror}") from error
                raise
            finally:
                for number in theirs:
                    os.close(number)
            for number in list(self.writers):  # it begins to work at once, whatever its caller does before it waits
                self.write(number)

        def _connect(
            self, argv: "Sequence[str | int]", stdin: "bytes | int", passphrase: "bytes | None", theirs: "list[int]"
        ) -> "tuple[dict[int, int], dict[int, int]]":
            """Make the pipes; give their ends for its standard streams, and for what stands in argv."""
            pipes: dict[int, int] = {}
            out = self._reader(self.stdout, theirs)
            err = self._reader(self.stderr, theirs)
            if STATUS in argv:
                pipes[STATUS] = self._reader(self.status, theirs)
            if passphrase is not None:
                pipes[PASSPHRASE] = self._writer(passphrase, theirs)
            source = self._writer(stdin, theirs) if isinstance(stdin, bytes) else stdin
            return {0: source, 1: out, 2: err}, pipes

        def _reader(self, into: bytearray, theirs: "list[int]") -> int:
            ours, his = _pipe()
            os.set_blocking(ours, False)
            self.readers[ours] = into
            theirs.append(his)
            return his

        def _writer(self, data: bytes, theirs: "list[int]") -> int:
            his, ours = _pipe()
            os.set_blocking(ours, False)
            self.writers[ours] = memoryview(data)
            theirs.append(his)
            return his

        def read(self, number: int) -> None:
            """Take what one of its pipes holds."""
            try:
                data = os.read(number, _CHUNK)
            except BlockingIOError:
                return
            buffer = self.readers[number]
            if not data:
                os.close(number)
                del self.readers[number]
            elif buffer is not self.stdout:
                buffer += data[: MAX_NOTES - len(buffer)]
                self._is_loud = self._is_loud or len(data) > _NOTE
            elif len(buffer) + len(data) > self.limit:
                self.overflow = True
            else:
                buffer += data

        def write(self, number: int) -> None:
            """Give one of its pipes what it takes; close it when all is sent or nobody reads."""
            try:
                sent = os.write(number, self.writers[number][:_CHUNK])
            except BlockingIOError:
                return
            except BrokenPipeError:
                sent = len(self.writers[number])
            self.writers[number] = self.writers[number][sent:]
            if not self.writers[number]:
                os.close(number)
                del self.writers[number]

        def awaited(self) -> "list[int]":
            """Choose the pipes to wait for: stdout, and the notes when that is closed or when there are many.

            gpg writes some twenty status lines; waking up for each would cost both sides a switch.
            """
            stdout = [number for number, buffer in self.readers.items() if buffer is self.stdout]
            return list(self.readers) if self._is_loud or not stdout else stdout

        def close(self) -> None:
            """Close our ends of its pipes."""
            for number in (*self.readers, *self.writers):
                os.close(number)
            self.readers.clear()
            self.writers.clear()

        def ended(self) -> bool:
            """Collect the exit status if there is one.

            Raises:
                PasshelperError: somebody else has collected it.
            """
            if self.returncode is None:
                try:
                    self.returncode = collect(self.pid)
                except PasshelperError:
                    self.returncode = -SIGKILL  # as good as killed: nothing that it said counts
                    raise
            return self.returncode is not None

        def kill(self) -> None:
            """End it now, and what it has started. Harmless when it has ended."""
            try:
                if not self.ended():
                    from passhelper.store import ending  # only what does not end by itself

                    ending.end(self.pid, self.ended, group=self._group)
                    if self.returncode is None:
                        self.returncode = -SIGKILL  # nobody can collect it yet
            finally:
                self.close()

    def finish(children: "Sequence[Child]", seconds: float, *, first: bool = False) -> None:
        """Serve children until all have ended; end those that take longer or say too much.

        Args:
            children: started together or one after the other.
            seconds: time for all of them, from now.
            first: return as soon as one of them has ended.
        """
        end = time.monotonic() + seconds
        try:
            while running := [child for child in children if child.returncode is None]:
                if first and len(running) < len(children):
                    return
                left = end - time.monotonic()
                if left <= 0:
                    for child in running:
                        child.timed_out = True
                        _cut_short(child)
                    return
                _serve(running, min(left, _TICK))
        except BaseException:  # the user's Ctrl-C too must not leave gpg behind
            for child in children:
                child.kill()
            raise

    def _serve(children: "Sequence[Child]", seconds: float) -> None:
        """Move what can be moved within some seconds, then see who has ended."""
        poll = select.poll()
        owners: dict[int, Child] = {}
        for child in children:
            for number in child.awaited():
                poll.register(number, select.POLLIN)
                owners[number] = child
            for number in child.writers:
                poll.register(number, select.POLLOUT)
                owners[number] = child
        ready = poll.poll(seconds * 1000) if owners else []
        for number, _ in ready:
            child = owners[number]
            if number in child.readers:
                child.read(number)
            else:
                child.write(number)
        for child in children:
            _look_after(child, idle=not ready)

    def _look_after(child: Child, *, idle: bool) -> None:
        ended = idle and child.ended()
        if idle:
            for number in list(child.readers):  # it may wait for us to take its notes
                child.read(number)
        if child.overflow or (child.forbidden and child.forbidden in child.status):
            _cut_short(child)
        elif not child.readers:  # it has closed its ends, so it is about to end
            _await_end(child)
        elif ended:  # and something that it started still holds a pipe
            child.close()

    def _cut_short(child: Child) -> None:
        """End a child whose output was not all read. Even if it has just succeeded, half an answer does not count."""
        child.kill()
        child.returncode = child.returncode or -SIGKILL

    def _numbered(
        argv: "Sequence[str | int]", streams: "dict[int, int]", pipes: "dict[int, int]", taken: "Sequence[int]"
    ) -> "tuple[list[str], dict[int, int]]":
        """Choose a child's numbers for pipes that are not standard streams; give its argv and all numbers with ours."""
        used = (*taken, *streams.values())
        free = (number for number in range(3, 3 + len(used) + len(pipes)) if number not in used)
        numbers = {item: next(free) for item in pipes}
        command = [str(numbers[item]) if isinstance(item, int) else item for item in argv]
        return command, {**streams, **{numbers[item]: pipes[item] for item in pipes}}

    def _actions(redirect: "dict[int, int]", keep: "Sequence[int]") -> "list[tuple[int, ...]]":
        """List what posix_spawn does to descriptors. None is made inheritable here, or another child would get it."""
        actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, number, at) for at, number in redirect.items()]
        others = (*redirect, *keep)
        return actions + [(os.POSIX_SPAWN_CLOSE, number) for number in _inheritable() if number not in others]

    def _pipe() -> "tuple[int, int]":
        """Make a pipe. Where a standard stream is closed, its number is not for a pipe."""
        pair = os.pipe()
        if min(pair) > 2:
            return pair
        better = _pipe()
        for number in pair:
            os.close(number)
        return better

    def _inheritable() -> "list[int]":
        """List the descriptors that a child would get unasked: what our caller has left open for us, as a rule."""
        numbers: Iterable[str | int] = range(256)
        for folder in ("/proc/self/fd", "/dev/fd"):
            try:
                numbers = os.listdir(folder)
                break
            except OSError:
                continue
        found = []
        for number in map(int, numbers):
            try:
                if os.get_inheritable(number):
                    found.append(number)
            except OSError:
                continue  # it is closed: the one that has listed them
        return found

    def _await_end(child: Child) -> None:
        for pause in (0, 0.0002, 0.0005, 0.001, 0.004):
            if child.ended():
                child.close()
                return
            time.sleep(pause)


def last_line(child: Child) -> str:
    """Quote the last line that a program wrote to stderr."""
    lines = [line for line in child.stderr.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip()) if lines else f"exit status {child.returncode}"
