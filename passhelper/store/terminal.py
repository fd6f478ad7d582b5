"""Find out whether anybody can answer a passphrase prompt, and on which terminal.

Docker calls the helper with pipes for stdin and stdout. ``pass`` then tells gpg that the terminal is
called "not a tty" and every prompt fails, which is the most frequent complaint about Docker's helper
(pain G1). The terminal is still there: as stderr, or as the controlling terminal.
"""

import os
import stat
import sys

from passhelper import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def can_prompt(environ: "Mapping[str, str]") -> bool:
    """Return whether somebody could answer a prompt.

    ``PASSHELPER_NONINTERACTIVE`` decides where it is set (1: nobody, 0: somebody); then ``CI`` says
    nobody; then, on Linux and BSD, there must be a controlling terminal or a display.
    """
    nobody = settings.switch(environ, settings.NONINTERACTIVE)
    if nobody is not None:
        return not nobody
    if settings.is_ci(environ):
        return False
    if sys.platform in ("win32", "darwin") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def gpg_tty(environ: "Mapping[str, str]") -> "str | None":
    """Find the terminal to name in ``GPG_TTY``.

    Returns:
        the caller's own setting where it is a terminal; else the terminal of stderr; else the
        controlling terminal's device; None when there is none. Never ``/dev/tty``, which means
        another terminal to the agent, and never stdin, which belongs to Docker.
    """
    set_by_user = environ.get("GPG_TTY", "")
    if _is_terminal(set_by_user):
        return set_by_user
    if sys.platform == "win32":
        return None
    try:
        return os.ttyname(2)
    except OSError:
        return _controlling_terminal()


def _controlling_terminal() -> "str | None":
    if sys.platform == "win32":
        return None
    try:
        with open("/proc/self/stat", "rb") as file:
            # proc(5): the fields after the command's closing parenthesis; tty_nr is the fifth.
            number = int(file.read().rpartition(b")")[2].split()[4])
    except (OSError, ValueError, IndexError):
        return _ask_ps()
    if number == 0:
        return None
    major = number >> 8 & 0xFFF
    minor = number & 0xFF | number >> 12 & 0xFFF00
    first = 136  # Unix98 terminals: Documentation/admin-guide/devices.txt of Linux
    if first <= major < first + 8:
        candidates = [f"/dev/pts/{(major - first) * 256 + minor}"]
    else:
        candidates = [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("tty")]
    for path in candidates:
        if _is_terminal(path) and os.stat(path).st_rdev == os.makedev(major, minor):
            return path
    return None


def _ask_ps() -> "str | None":
    """Ask ps(1), on systems without /proc."""
    from passhelper.store.child import Child, finish  # rare
    from passhelper.store.programs import clean_environ, find_program  # rare

    program = find_program(("ps",), os.environ)
    if program is None:
        return None
    child = Child([program, "-o", "tty=", "-p", str(os.getpid())], clean_environ(os.environ))
    finish([child], 2.0)
    path = "/dev/" + child.stdout.decode(errors="replace").strip()
    return path if _is_terminal(path) else None


def _is_terminal(path: str) -> bool:
    if not path or path == "/dev/tty":
        return False
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
