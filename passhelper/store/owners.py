"""The owner of a store: root in a user's store, a group that shares one, and remedies when the system refuses."""

import os
import stat
import sys

from passhelper.errors import StoreError
from passhelper.shellwords import word


def refusal(root: str, owner: int) -> StoreError:
    """Say why root does not write into another user's store: its owner could not change what root has made."""
    user = name(owner)
    return StoreError(
        f"the store {root} belongs to {user}, who could not change what root writes there",
        f"run it as its owner: sudo -u {user} COMMAND",
    )


def name(uid: int) -> str:
    """Name a user as sudo and chown take him: by name, else ``#`` and his number."""
    if sys.platform != "win32":
        import pwd  # only for messages

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            pass
    return f"'#{uid}'"


def remedy(path: str, root: str) -> str:
    """Say what helps if the system refuses a path of the store below ``root``."""
    if sys.platform == "win32":
        return "check its owner and mode"
    this = f"this is uid {os.geteuid()}"
    try:
        store, facts = os.stat(root), os.lstat(path)
    except OSError:
        return f"check its owner and mode; {this}"
    mode = stat.S_IMODE(facts.st_mode)
    told = f"it belongs to uid {facts.st_uid} and gid {facts.st_gid}, with mode {mode:04o}; {this}"
    if store.st_mode & stat.S_ISGID and os.geteuid() != facts.st_uid:
        return f"{told}; as uid {facts.st_uid} or root run: {group_command(root, store.st_gid, facts.st_uid)}"
    return f"check its owner and mode; {told}"


def group_command(root: str, gid: int, uid: "int | None" = None) -> str:
    """Write the command that gives a store back to its group; members set ``PASSWORD_STORE_UMASK=007``.

    Args:
        root: the store.
        gid: its group.
        uid: whose files alone, since a member can change no other's; without it, root's command for all.
    """
    whose = "" if uid is None else f" -uid {uid}"
    changes = f"-exec chgrp {gid} {{}} + -exec chmod g+rwX {{}} + -type d -exec chmod g+s {{}} +"
    return f"find {word(root)}{whose} {changes}"
