"""End a program and everything that it has started.

If git is ended alone, its ssh goes on; so does a program that a script runs. The system is asked which process started
which. Process groups are not enough, since a program in its own group cannot ask on the terminal. A daemon, such as
gpg-agent, has no parent any more and goes on.

Loaded only where something is ended before its time.
"""

import os
import sys
import time

from passhelper.store.programs import clean_environ, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 2.0  # seconds between TERM and KILL, and after that for a program that the system cannot end
_PAUSE = 0.005  # seconds between looks
_TERM, _KILL = 15, 9  # signal numbers of POSIX; the signal module costs an enum


def end(process: int, has_ended: "Callable[[], bool]", *, group: bool = False) -> None:
    """End a child: TERM, then KILL. Give up if not even KILL ends it, since it waits for a file system that is away.

    Args:
        process: its number; it has not been collected.
        has_ended: collects it; True when that is done: then only what it has started is ended.
        group: whether it leads a process group, which ends as a whole, those too whose parents have ended.
    """
    if sys.platform == "win32":
        return
    import signal  # something has gone wrong already

    leader = -process if group else process
    known: dict[int, str] = {}
    for number in (_TERM, _KILL):
        known.update(below(process))
        for told in (number, signal.SIGCONT):  # what is stopped would not notice
            _tell(told, *([] if has_ended() else [leader]), *_alive(known))
        end_of_grace = time.monotonic() + GRACE
        while not has_ended() or _alive(known):
            if time.monotonic() >= end_of_grace:
                break
            time.sleep(_PAUSE)
        else:
            break
    if group:
        _tell(_KILL, leader)  # what has lost its parent, and did not care for TERM


def end_all() -> None:
    """End all that this process has started; for a program that was told to end."""
    end(os.getpid(), lambda: True)


def _tell(number: int, *processes: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended meanwhile, or has become somebody else, such as a setuid program


def below(process: int) -> "dict[int, str]":
    """Find the descendants of a process: their numbers, and when they began, since a number is used again."""
    children: dict[int, list[tuple[int, str]]] = {}
    for number, parent, begun in _processes():
        children.setdefault(parent, []).append((number, begun))
    found: dict[int, str] = {}
    waiting = [process]
    while waiting:
        for number, begun in children.get(waiting.pop(), []):
            if number not in found:
                found[number] = begun
                waiting.append(number)
    return found


def _alive(known: "dict[int, str]") -> "list[int]":
    """Choose those of some processes that have not ended."""
    if not known:
        return []
    now = {number: begun for number, _, begun in _processes() if number in known}
    return [number for number, begun in known.items() if now.get(number) == begun]


def _processes() -> "list[tuple[int, int, str]]":
    """List the processes that run: number, parent, and when it began. Those that wait to be collected are left out."""
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        numbers = []
    found = [facts for number in numbers if (facts := _look(number)) is not None]
    return found or _ask_ps()


def _look(number: int) -> "tuple[int, int, str] | None":
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            # proc(5): after the command's closing parenthesis: state, parent, ...; the twentieth is the start time.
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else (number, int(fields[1]), fields[19].decode())
    except (OSError, ValueError, IndexError):
        return None


def _ask_ps() -> "list[tuple[int, int, str]]":
    """Ask ps(1), on systems without /proc."""
    if sys.platform == "win32":
        return []
    import subprocess  # rare

    program = find_program(("ps",), os.environ)
    if program is None:
        return []
    command = [program, "-A", "-o", "pid=,ppid=,stat=,lstart="]
    try:
        with subprocess.Popen(
            command, env=clean_environ(os.environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:  # fmt: skip
            try:
                listing, _ = child.communicate(timeout=GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                return []
    except OSError:
        return []
    found = []
    for line in listing.decode(errors="replace").splitlines():
        fields = line.split(None, 3)
        if len(fields) == 4 and not fields[2].startswith("Z") and int(fields[0]) != child.pid:
            found.append((int(fields[0]), int(fields[1]), fields[3]))
    return found
