"""The processes of this machine: those that a test has started, and those that it looks for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_older: set[int] = set()


def children() -> set[int]:
    """The processes that this test has started and not collected; servers that tests share are older."""
    return _children() - _older


def begin_counting() -> None:
    """Count only children that start from now on."""
    _older.clear()
    _older.update(_children())


def _children() -> set[int]:
    found = set()
    tasks = Path("/proc/self/task")
    for task in os.listdir(tasks) if tasks.exists() else ():  # only Linux tells
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found |= {int(word) for word in (tasks / task / "children").read_text().split()}
    return found


def is_alive(process: int) -> bool:
    """Return whether a process does anything; one that has ended may still wait for init."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it ends while it is looked at
        return False


def descriptors() -> int:
    """How many descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))


def running(marker: str) -> list[str]:
    """The processes whose command line holds a word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if marker.encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found
