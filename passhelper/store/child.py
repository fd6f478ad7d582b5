"""Child processes for the verb path: start, feed, collect, end in time, without ``subprocess``.

``subprocess`` costs a fifth of the whole time budget to import, so children are started with
``posix_spawn`` and served by one ``poll`` loop, several at once where one need not wait for the other.
Nothing secret goes into argv or the environment: input and passphrases travel through pipes.
"""

import os
import sys
import time

from passhelper.errors import PasshelperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

STATUS = -1  # in argv: the number of the descriptor that gpg writes its status lines to
PASSPHRASE = -2  # in argv: the number of the descriptor that gpg reads the passphrase from

MAX_OUTPUT = 4 << 20  # bytes kept of a child's stdout unless the caller says otherwise
MAX_NOTES = 1 << 18  # bytes kept of its status lines and of its stderr
_CHUNK = 1 << 16  # bytes per read, the size of a Linux pipe
_NOTE = 1 << 13  # bytes of notes at once, above which more come than can wait
_TICK = 0.05  # seconds between looks at a child that says nothing

# What children must never inherit: passphrases, secret keys and a URL that may hold a password; only passhelper
# reads them.
_PRIVATE = ("PASSHELPER_PASSPHRASE", "PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD",
            "PASSHELPER_GPG_KEY", "PASSHELPER_GPG_KEY_FILE", "PASSHELPER_STORE_URL")  # fmt: skip


def search_path(environ: "Mapping[str, str]") -> str:
    """Give the PATH of all that we start: its absolute directories that are there.

    Relative entries, the empty one among them, would run what lies in the current directory: git works in the store,
    and whoever can push decides what lies there.
    """
    # An empty PATH would mean the current directory, too.
    return os.pathsep.join(filter(os.path.isdir, _absolute(environ))) or os.devnull


def _absolute(environ: "Mapping[str, str]") -> "list[str]":
    return [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]


def clean_environ(environ: "Mapping[str, str]") -> "dict[str, str]":
    """Copy an environment for a child: without secrets, with messages in one language, with a PATH that is safe."""
    cleaned = {name: value for name, value in environ.items() if name not in _PRIVATE}
    cleaned["PATH"] = search_path(environ)
    cleaned["LC_ALL"] = "C"
    cleaned.pop("LANGUAGE", None)
    return cleaned


def find_program(names: "Iterable[str]", environ: "Mapping[str, str]") -> "str | None":
    """Find the first program of several in the directories of :func:`search_path`."""
    folders = _absolute(environ)
    suffixes = (".exe", "") if sys.platform == "win32" else ("",)
    for name in names:
        for folder in folders:
            for suffix in suffixes:
                path = os.path.join(folder, name + suffix)
                if os.access(path, os.X_OK) and os.path.isfile(path):
                    return path
    return None


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
        """

        def __init__(  # noqa: PLR0913 - all that a program can need
            self,
            argv: "Sequence[str | int]",
            environ: "Mapping[str, str]",
            *,
            stdin: "bytes | int" = b"",
            passphrase: "bytes | None" = None,
            limit: "int | None" = None,
            keep: "Sequence[int]" = (),
            group: bool = False,
        ) -> None:
            self.stdout = bytearray()
            self.status = bytearray()
            self.stderr = bytearray()
            self.returncode: int | None = None
            self.overflow = False
            self.timed_out = False
            self.limit = MAX_OUTPUT if limit is None else limit
            self.forbidden = b""
            self.least = 0
            self.readers: dict[int, bytearray] = {}
            self.writers: dict[int, memoryview] = {}
            self._group = group
            self._is_loud = False
            theirs: list[int] = []
            pipes: dict[int, int] = {}
            try:
                out = self._reader(self.stdout, theirs)
                err = self._reader(self.stderr, theirs)
                if STATUS in argv:
                    pipes[STATUS] = self._reader(self.status, theirs)
                if passphrase is not None:
                    pipes[PASSPHRASE] = self._writer(passphrase, theirs)
                source = self._writer(stdin, theirs) if isinstance(stdin, bytes) else stdin
                # Nothing is made inheritable here, or a child of another thread would get it too.
                taken = (*theirs, source, *keep)
                free = (number for number in range(3, 3 + len(taken) + len(pipes)) if number not in taken)
                numbers = {item: next(free) for item in pipes}
                redirect = {0: source, 1: out, 2: err, **{numbers[item]: pipes[item] for item in pipes}}
                actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, number, at) for at, number in redirect.items()]
                others = (*redirect, *keep)
                actions += [(os.POSIX_SPAWN_CLOSE, number) for number in _inheritable() if number not in others]
                command = [str(numbers[item]) if isinstance(item, int) else item for item in argv]
                more: dict[str, Any] = {"setpgroup": 0} if group else {}
                self.pid = os.posix_spawn(
                    command[0], command, environ, file_actions=actions, setsigdef=_NOT_IGNORED, **more
                )
            except BaseException:
                self.close()
                raise
            finally:
                for number in theirs:
                    os.close(number)

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
            if self._is_loud:
                return list(self.readers)
            speaking = [number for number, buffer in self.readers.items() if buffer is self.stdout]
            return speaking or list(self.readers)

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
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:
                    self.returncode = -SIGKILL  # as good as killed: nothing that it said counts
                    raise PasshelperError(
                        "how a program has ended cannot be told: this process ignores SIGCHLD, or collects children "
                        "that it has not started",
                        "set SIGCHLD to its default before using passhelper",
                    ) from None
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode is not None

        def kill(self) -> None:
            """End it now, and what it has started. Harmless when it has ended."""
            try:
                if not self.ended():
                    from passhelper.store import ending  # noqa: PLC0415 - only what does not end by itself

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
        """End a child of which not all was read. Should it have ended well meanwhile: half an answer is none."""
        child.kill()
        child.returncode = child.returncode or -SIGKILL

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


def start(  # noqa: PLR0913 - as Child
    argv: "Sequence[str | int]",
    environ: "Mapping[str, str]",
    *,
    stdin: "bytes | int" = b"",
    passphrase: "bytes | None" = None,
    limit: "int | None" = None,
    keep: "Sequence[int]" = (),
    group: bool = False,
) -> Child:
    """Start a child; see :class:`Child` for the arguments.

    Raises:
        PasshelperError: the system refused to start it.
    """
    if "_CONTAINERS_ROOTLESS_UID" in environ:
        from passhelper.store import rootless  # noqa: PLC0415 - only below rootless podman or buildah

        argv = [*rootless.prefix(environ), *argv]
    try:
        return Child(argv, environ, stdin=stdin, passphrase=passphrase, limit=limit, keep=keep, group=group)
    except OSError as error:
        raise PasshelperError(f"cannot start {argv[0]}: {error.strerror}") from error


def last_line(child: Child) -> str:
    """Quote the last line that a program wrote to stderr."""
    from passhelper.protocol import printable  # noqa: PLC0415 - only for messages

    lines = [line for line in child.stderr.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip()) if lines else f"exit status {child.returncode}"
