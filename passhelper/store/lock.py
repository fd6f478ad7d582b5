"""One writer at a time, across processes.

The lock is an flock(2) on the store directory itself: no file to leave behind, nothing that git or
another reader could see, gone with the process that held it. Network file systems that refuse to
lock a directory get a lock file opened for writing instead (Linux emulates flock on NFS with byte-range
locks, which need that). Descriptors are close-on-exec, so no gpg or git ever inherits a lock.
"""

import errno
import os
import sys
import time

from passhelper.errors import StoreBusyError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 10.0  # seconds that a writer waits for another
_REFUSED = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.EACCES, errno.EPERM)


class StoreLock:
    """A lock on a store, for use in a ``with`` statement.

    Args:
        root: the store's directory; it must exist.
        fallback: a path for the lock file where directories cannot be locked, or what gives one when it is needed.
        shared: for a reader that met a vanished file and wants to look again between two writers.
        timeout: seconds to wait.
        umask: for the lock file, which the others of a group must be able to open.
    """

    def __init__(
        self,
        root: str,
        fallback: "str | Callable[[], str]",
        *,
        shared: bool = False,
        timeout: float = TIMEOUT,
        umask: int = 0o077,
    ) -> None:
        self._root = root
        self._fallback = fallback
        self._shared = shared
        self._timeout = timeout
        self._umask = umask
        self._descriptor = -1

    def __enter__(self) -> "StoreLock":
        try:
            self._take()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _take(self) -> None:
        if sys.platform != "win32":
            self._descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
            if self._acquire():
                return
            os.close(self._descriptor)
            self._descriptor = -1  # should the other not open, its complaint is the one that counts
        path = self._fallback if isinstance(self._fallback, str) else self._fallback()
        self._descriptor = self._open_file(path)
        if not self._acquire():
            raise StoreError(f"the file system cannot lock {path}", "keep the store on another file system")

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)  # closing unlocks
            self._descriptor = -1

    def _open_file(self, path: str) -> int:
        from passhelper.store.files import make_private  # only where a directory cannot be locked

        make_private(os.path.dirname(path))
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, os.O_RDWR)
        if sys.platform != "win32":
            os.fchmod(descriptor, 0o666 & ~self._umask)
        return descriptor

    def _acquire(self) -> bool:
        """Take the lock; False if the file system does not lock this kind of file."""
        end = time.monotonic() + self._timeout
        pause = 0.001
        while True:
            try:
                self._try()
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
                return False
            else:
                return True
            if time.monotonic() >= end:
                raise StoreBusyError(f"store is busy: {self._holder()}", "try again when it has finished")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.025)

    if sys.platform == "win32":

        def _try(self) -> None:
            import msvcrt  # this system only

            try:
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError as error:
                raise BlockingIOError from error

        def _holder(self) -> str:
            return "another program is writing"

    else:

        def _try(self) -> None:
            import fcntl  # this system only

            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

        def _holder(self) -> str:
            """Name the program that holds the lock, from /proc/locks."""
            facts = os.fstat(self._descriptor)
            place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
            try:
                with open("/proc/locks", encoding="ascii") as file:
                    fields = [line.split() for line in file]
            except OSError:
                fields = []
            for line in fields:
                if place in line and "->" not in line:
                    pid = line[line.index(place) - 1]
                    return f"{_command(pid)} (pid {pid})"
            return "another program is writing"


def _command(pid: str) -> str:
    """Name a process without its arguments, which are not ours to show."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
    except OSError:
        return "another program"
    names = [os.path.basename(os.fsdecode(word)) for word in words if word and not word.startswith(b"-")]
    # An interpreter's first argument says more than the interpreter.
    return names[1] if len(names) > 1 and names[0].startswith("python") else (names or ["another program"])[0]
