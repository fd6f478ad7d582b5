"""Run a program to its end, within a time limit and in a process group of its own.

This is for programs of other people: ``subprocess`` starts them, and where one takes too long or says too much, its
whole group is ended, also what has lost its parent and still holds a pipe. It is a group and not a session, so the
program keeps the terminal: a helper of ours finds out which one it is, and tells gpg. The group is in the background
there: a program that reads the terminal itself is stopped by the system until its time is up.
"""

from __future__ import annotations

import os
import select
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from passhelper.errors import PasshelperError
from passhelper.store import ending
from passhelper.store.programs import collect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_OUTPUT = 4 << 20  # bytes of stdout; twice what a request may have, since JSON may escape
MAX_NOTES = 1 << 18  # bytes kept of stderr
_CHUNK = 1 << 16  # bytes read at once, the size of a Linux pipe
_ROOM: int = getattr(select, "PIPE_BUF", 512)  # bytes that a pipe takes without blocking when it is ready
_TICK = 0.05  # seconds between looks at a program that says nothing
_SOON = 0.002  # the same for one that has closed its streams, and is about to end

_GROUP: dict[str, Any]
if sys.platform == "win32":
    _GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
elif sys.version_info >= (3, 11):
    _GROUP = {"process_group": 0}
else:
    _GROUP = {"preexec_fn": os.setpgrp}  # a system call and nothing else, which is safe after a fork


class Ended(NamedTuple):
    """How a program has ended.

    Attributes:
        code: its exit status; negative for the signal that ended it.
        out, err: what it said.
        is_late: it was ended because its time was up.
        is_too_long: it was ended because it said more than :data:`MAX_OUTPUT` bytes.
    """

    code: int
    out: bytes
    err: bytes
    is_late: bool = False
    is_too_long: bool = False


def run(argv: Sequence[str], environ: Mapping[str, str], request: bytes | int, seconds: float) -> Ended:
    """Run a program.

    Args:
        argv: its absolute path and its arguments.
        environ: its whole environment.
        request: what it reads; or a descriptor that it reads from.
        seconds: how long it may take.

    Raises:
        PasshelperError: it cannot be started, or how it has ended cannot be found out.
    """
    try:
        process = subprocess.Popen(
            argv, env=environ, stdin=subprocess.PIPE if isinstance(request, bytes) else request,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **_GROUP,
        )  # fmt: skip
    except OSError as error:
        raise PasshelperError(f"cannot start {argv[0]}: {error.strerror}") from error
    serve = _serve_on_windows if sys.platform == "win32" else _serve
    return serve(process, request if isinstance(request, bytes) else b"", seconds)


def _serve(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> Ended:
    """Give a program its request and take what it says, until it has ended or has to be ended."""
    out, err = bytearray(), bytearray()
    try:
        with selectors.DefaultSelector() as selector:
            for stream, data in ((process.stdout, out), (process.stderr, err)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, data)
            if process.stdin is not None:
                selector.register(process.stdin, selectors.EVENT_WRITE, memoryview(request))
            is_late = not _exchange(process, selector, out, err, time.monotonic() + seconds)
        if is_late or len(out) > MAX_OUTPUT:
            _end(process)
    except BaseException:  # the user's Ctrl-C too must not leave it behind
        _end(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    code = -9 if process.returncode is None else process.returncode  # nobody can collect it yet
    return Ended(code, bytes(out[:MAX_OUTPUT]), bytes(err), is_late, len(out) > MAX_OUTPUT)


def _exchange(
    process: subprocess.Popen[bytes], selector: selectors.BaseSelector, out: bytearray, err: bytearray, end: float
) -> bool:
    """Move what the pipes hold until the program has ended or says too much; return whether that was before the end."""
    has_ended = False
    while len(out) <= MAX_OUTPUT:
        left = end - time.monotonic()
        if left <= 0:
            return False
        pause = _TICK if selector.get_map() else _SOON
        ready = selector.select(0 if has_ended else min(left, pause))
        for key, _ in ready:
            _move(selector, key)
        del err[MAX_NOTES:]
        if ready:
            continue
        # It may have ended while something that it has started still holds a pipe; what it said just before is read.
        if has_ended:
            break
        has_ended = _has_ended(process)
    return True


def _move(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Read from a pipe, or write to it; forget the pipe at its end."""
    if isinstance(key.data, bytearray):
        data = os.read(key.fd, _CHUNK)
        key.data.extend(data)
        if data:
            return
    else:
        try:
            rest = key.data[os.write(key.fd, key.data[:_ROOM]) :] if key.data else key.data
        except BrokenPipeError:  # it does not read
            rest = b""
        if rest:
            selector.modify(key.fileobj, selectors.EVENT_WRITE, rest)
            return
        selector.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr] # a pipe of Popen
        return
    selector.unregister(key.fileobj)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Collect the exit status if there is one; PasshelperError if another has, which ``Popen.poll`` takes for 0."""
    if process.returncode is None and sys.platform != "win32":
        try:
            process.returncode = collect(process.pid)
        except PasshelperError:
            process.returncode = -9  # as good as killed: nothing that it said counts
            raise
    return process.returncode is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and its group."""
    try:
        ending.end(process.pid, lambda: _has_ended(process), group=True)
    except PasshelperError:
        pass  # somebody else has collected it, so it has ended


def _serve_on_windows(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> Ended:
    """Do the same as :func:`_serve` where pipes cannot be waited for; what the program has started goes on."""
    try:
        out, err = process.communicate(request or None, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return Ended(process.wait(), b"", b"", is_late=True)
    return Ended(process.returncode, out[:MAX_OUTPUT], err[:MAX_NOTES], is_too_long=len(out) > MAX_OUTPUT)
