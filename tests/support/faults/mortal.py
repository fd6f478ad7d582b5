"""Runs ``sync`` in children that are to die: loaded once, forked for each, so that hundreds can die in a minute.

Reads one JSON object a line, ``{"environ": ..., "die_at": n, "report": path}``; writes a line with the child's process
id when it has begun, and one with its exit status (negative: the signal) when it has ended. A child
kills itself in the place of its n-th step that changes something or starts a program; one that lives (n is 0) writes
how many there were into the report.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

STEPS = ("posix_spawn", "replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "chmod", "open", "write")


def main() -> None:
    # What every sync loads, before any of them begins.
    import git  # noqa: F401, PLC0415

    from passhelper.cli import sync  # noqa: F401, PLC0415

    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order)
        _say(pid)
        _, status = os.waitpid(pid, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _live(order: dict[str, Any]) -> None:
    code = 70
    try:
        os.setsid()
        from passhelper.errors import PasshelperError  # noqa: PLC0415
        from passhelper.store.store import PassStore  # noqa: PLC0415
        from passhelper.team.sync.exchange import sync  # noqa: PLC0415
        from passhelper.team.sync.report import Options  # noqa: PLC0415

        count = _count_steps(order["die_at"])
        os.environ.clear()
        os.environ.update(order["environ"])
        try:
            sync(PassStore(dict(os.environ), lambda _: None), Options())
            code = 0
        except PasshelperError as error:
            sys.stderr.write(f"{error}\n")
            code = error.exit_code
        if not order["die_at"]:
            with open(order["report"], "w", encoding="utf-8") as file:
                file.write(str(count[0]))
    finally:
        os._exit(code)


def _count_steps(last: int) -> list[int]:
    """Count the calls that change something; die in the place of one."""
    count = [0]

    def counting(name: str) -> Any:
        call = getattr(os, name)

        def step(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & os.O_CREAT:
                count[0] += 1
                if count[0] == last:
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return step

    for name in STEPS:
        setattr(os, name, counting(name))
    return count


if __name__ == "__main__":
    main()
