"""gpg's home: whether it can be read, and who holds a lock in it.

gpg keeps a lock beside each file that it changes: ``pubring.kbx.lock``, ``public-keys.d/pubring.db.lock`` (keyboxd's,
for as long as that runs) and, while it starts a daemon, ``gnupg_spawn_agent_sentinel.lock``. It holds two lines, a
process id and a host's name. Of a holder on another host, or in a container, gpg cannot tell whether it still runs: it
waits, some commands for ten seconds and others for ever. Imported only after a failure, and by the commands.
"""

import os
import socket

from passhelper.errors import GpgError, printable
from passhelper.shellwords import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.gpg import Gpg

MAX_SOCKET_PATH = 107  # bytes: sun_path of unix(7) without its final NUL
_WAITING = "waiting for lock"
_FOLDERS = ("", "public-keys.d")
_MAX_LOCK = 4096  # bytes; a process id and a host's name


def unreadable(gpg: "Gpg") -> "GpgError | None":
    """Return an error if the home is another user's: gpg then only says that it finds no key."""
    home = gpg.home
    if not os.path.isdir(home) or os.access(home, os.R_OK | os.X_OK):
        return None
    return GpgError(
        f"GNUPGHOME {home} belongs to uid {os.stat(home).st_uid} and cannot be read",
        "run as its owner, or set GNUPGHOME to a directory of your own",
    )


def socket_error(home: str, path: str = "") -> "GpgError | None":
    """Return an error if no agent can listen for a home, since the name of its socket is too long.

    Args:
        home: the directory.
        path: the socket, if it lies elsewhere.
    """
    size = len(os.fsencode(path or os.path.join(home, "S.gpg-agent")))
    if size <= MAX_SOCKET_PATH:
        return None
    return GpgError(
        f"GNUPGHOME path too long: its agent socket needs {size} bytes, at most {MAX_SOCKET_PATH} fit",
        f"use a shorter GNUPGHOME than {home}",
    )


def lock_error(gpg: "Gpg", stderr: "bytes | bytearray") -> "GpgError | None":
    """Name the lock that gpg has waited for, and who holds it; None if it has not said that it waits."""
    if _WAITING.encode() not in stderr:
        return None
    words = stderr.decode(errors="replace").rpartition(f"{_WAITING} (held by ")[2].partition(")")[0]
    for file, holder, host in _locks(gpg.home):
        if holder != words:
            continue
        if host == socket.gethostname() and _is_keyboxd(holder):
            # It keeps the lock for as long as it runs. One of this home would have answered: that is a copy's.
            return GpgError(f"gpg waits for {file}, which keyboxd (process {holder}) holds", f"end it: kill {holder}")
        if host == socket.gethostname():
            return GpgError(f"gpg waits for {file}, which process {holder} holds", f"wait until process {holder} ends")
        return GpgError(
            f"gpg waits for {file}, which process {holder} on {printable(host)} holds",
            f"end it there (gpgconf --kill all); only if that host or container is gone, run: rm {word(file)}",
        )
    return GpgError(f"gpg waits for a lock in {gpg.home}, which process {printable(words)} holds", "try again")


def _is_keyboxd(process: str) -> bool:
    """Return whether a process of this machine is gpg's daemon for public keys."""
    try:
        with open(f"/proc/{int(process)}/comm", "rb") as opened:
            return opened.read() == b"keyboxd\n"
    except (OSError, ValueError):  # ended meanwhile, or a system without /proc
        return False


def _locks(home: str) -> "list[tuple[str, str, str]]":
    """List the locks of a home: the file, the process, its host."""
    found = []
    for folder in (os.path.join(home, name) for name in _FOLDERS):
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".lock"))
            for name in names:
                file = os.path.join(folder, name)
                with open(file, "rb") as opened:
                    lines = opened.read(_MAX_LOCK).decode(errors="replace").split("\n")
                if len(lines) > 1:
                    found.append((file, lines[0].strip(), lines[1].strip()))
        except OSError:  # none, or ended meanwhile
            continue
    return found
