"""Read files, pipes and descriptors that a user names to their end, and never wait for them without a limit.

A pipe is as good as a file: ``<(command)`` of a shell is one. But one whose writer never comes, or never closes it,
would keep a verb for ever.
"""

import errno
import os
import sys
import time

MAX_WAIT = 120.0  # seconds for a writer, where no verb's deadline says less


def read_file(path: str, limit: int, seconds: float = MAX_WAIT) -> "tuple[bytes, os.stat_result]":
    """Read a file or a pipe.

    Args:
        path: which.
        limit: bytes to read at most.
        seconds: how long its writer may take.

    Returns:
        what it holds, and what the system says of it.

    Raises:
        OSError: it cannot be read; a TimeoutError if its writer did not finish.
    """
    # A pipe is then opened at once, whether there is a writer or not.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(path, flags)
    try:
        return read(descriptor, limit, seconds), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read(descriptor: int, limit: int, seconds: float = MAX_WAIT) -> bytes:
    """Read an open descriptor; arguments and errors are those of :func:`read_file`."""
    end = time.monotonic() + seconds
    chunks = []
    while limit > 0:
        _wait(descriptor, end, seconds)
        try:
            chunk = os.read(descriptor, min(limit, 1 << 16))
        except BlockingIOError:
            continue
        if not chunk:
            break
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)


def _wait(descriptor: int, end: float, seconds: float) -> None:
    if sys.platform == "win32":
        return
    import select  # this system only

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(max(end - time.monotonic(), 0) * 1000):
        raise TimeoutError(errno.ETIMEDOUT, f"its writer did not finish within {seconds:.2g} s")
