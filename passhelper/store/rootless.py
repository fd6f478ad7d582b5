"""Back to the user's own id, where rootless podman or buildah called us as root of a user namespace.

There gpg believes that it is root: it looks for the agent of root, finds none that the user has unlocked, and leaves
one of its own behind; ssh reads root's home. A user namespace inside that one, in which the user has their own id
again, lets both find what they find in every shell of this user. Files belong to the same user in all three.

Loaded only where ``_CONTAINERS_ROOTLESS_UID`` is set, which podman and buildah do for the programs that they run there,
and where gpg has failed and the remedy is looked for.
"""

import os
import sys

from passhelper.errors import PasshelperError
from passhelper.store import child
from passhelper.store.programs import ROOTLESS, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

GID = "_CONTAINERS_ROOTLESS_GID"
_SECONDS = 5.0  # for the trial

_found: "dict[tuple[str, str], list[str]]" = {}


def start(argv: "Sequence[str]", environ: "Mapping[str, str]", **more: "Any") -> child.Child:
    """Start a program with the user's own id; the arguments are those of :class:`passhelper.store.child.Child`."""
    return child.Child([*prefix(environ), *argv], environ, **more)


def prefix(environ: "Mapping[str, str]") -> "list[str]":
    """Find what to put before a command so that it runs with the user's own id.

    Returns:
        words to put there; none where we are not root of such a namespace, and none where unshare(1) is missing, is
        older than util-linux 2.36, or is refused: the program then runs as what we are.
    """
    if not is_mapped(environ):
        return []
    ids = (environ[ROOTLESS], environ.get(GID, ""))
    if ids not in _found:
        _found[ids] = _find(*ids, environ)
    return _found[ids]


def is_mapped(environ: "Mapping[str, str]") -> bool:
    """Return whether we are root of a user namespace, and the user that the variable names outside of it."""
    if sys.platform == "win32":
        return False
    user = environ.get(ROOTLESS, "")
    if not user.isdecimal() or user == "0" or os.geteuid() != 0:
        return False
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.readline().split()[:2] == ["0", user]
    except OSError:
        return False


def remedy(environ: "Mapping[str, str]") -> str:
    """Say what to do where gpg has to run as root of the namespace; empty where it need not."""
    if not is_mapped(environ) or prefix(environ):
        return ""
    user = environ[ROOTLESS]
    return f"install unshare of util-linux 2.36 or newer: without it, the agent of user {user} is out of reach"


def _find(user: str, group: str, environ: "Mapping[str, str]") -> "list[str]":
    unshare, true = find_program(("unshare",), environ), find_program(("true",), environ)
    if unshare is None or true is None:
        return []
    words = [unshare, "--user", f"--map-user={user}"]
    words += [f"--map-group={group}"] if group.isdecimal() else []
    words += ["--"]
    try:
        trial = child.Child([*words, true], {"LC_ALL": "C"})
        child.finish([trial], _SECONDS)
    except PasshelperError:
        return []
    return words if trial.returncode == 0 else []
