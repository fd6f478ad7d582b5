"""What to do when gpg-agent is out of secure memory: try again, for it comes back as soon as other decryptions end.

The agent has 64 KiB of it, which some thirty decryptions with RSA-4096 use up. Then it says so, or, where it could not
hold the cached passphrase there, that it has nobody to ask for one. Imported only after a failure.
"""

import os
import time

from passhelper.store.child import finish
from passhelper.store.gpg import Gpg, status_lines
from passhelper.store.gpg_codes import CANNOT_ALLOCATE, NO_PINENTRY, error_codes
from passhelper.store.programs import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.child import Child

CONF, OPTION = "gpg-agent.conf", "auto-expand-secmem"  # no other spelling of it counts there; a number may follow
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before another try; others take as long and half as long again
_SECONDS = 5.0  # for one question to the agent


def has_run_out(lines: "list[list[str]]") -> bool:
    """Return whether a decryption failed because the agent had no memory for it."""
    return CANNOT_ALLOCATE in error_codes(lines)


def more_memory(gpg: Gpg) -> str:
    """Say how to give the agent more; it takes the option only when it starts, so that a reload is not enough."""
    conf = os.path.join(gpg.home, CONF)
    return f"add the line {OPTION} to {conf}, then run: gpgconf --kill gpg-agent && passhelper unlock"


def retried(gpg: Gpg, child: "Child", again: "Callable[[], Child]") -> "Child":
    """Decrypt again while the agent may be short of memory.

    Args:
        gpg: what decrypts.
        child: a decryption that has ended.
        again: makes another one and waits for it.

    Returns:
        the last one.
    """
    for pause in _PAUSES:
        lines = status_lines(child)
        if child.returncode == 0 or child.timed_out or gpg.deadline.left() < 2 * pause:
            break
        if not has_run_out(lines) and not (NO_PINENTRY in error_codes(lines) and _has_passphrase(gpg, lines)):
            break
        time.sleep(pause * (1 + os.getpid() % 16 / 16))
        child = again()
    return child


def _has_passphrase(gpg: Gpg, lines: "list[list[str]]") -> bool:
    """Return whether the agent holds the passphrase of a key that opens a message: then it need not have asked."""
    wanted = {line[1] for line in lines if line[0] == "ENC_TO"}
    program = find_program(("gpg-connect-agent",), gpg.environ)
    if program is None:
        return False
    listing = gpg.ask("--with-colons", "--with-keygrip", "--list-secret-keys").stdout.decode(errors="replace")
    key_id, questions = "", []
    for field in (line.split(":") for line in listing.split("\n")):
        if field[0] in ("sec", "ssb"):
            key_id = field[4]
        elif field[0] == "grp" and key_id in wanted:
            questions.append(f"KEYINFO {field[9]}\n")
    if not questions:
        return False
    child = gpg.start([program, "--no-autostart"], stdin="".join(questions).encode())
    finish([child], _SECONDS)
    # S KEYINFO <keygrip> <type> <serial number> <id> <cached> <protection> ...
    words = [line.split() for line in child.stdout.decode(errors="replace").splitlines()]
    return any(line[:2] == ["S", "KEYINFO"] and line[6:7] == ["1"] for line in words)
