"""Check the path of a file that a user names: no other user may redirect it, or replace the file."""

from __future__ import annotations

import os
import stat
import sys

from passhelper.errors import ConfigurationError
from passhelper.store.owners import name as name_of

ELSEWHERE = (
    'make a directory of your own with "mktemp -d" and name a file in it, or leave --output out to write to a pipe'
)
_MAX_LINKS = 40  # as Linux: path_resolution(7)
_REMEDY = "remove it, or name another path"


def resolve(path: str, remedy: str = _REMEDY) -> str:
    """Follow the links of an absolute path, as long as they are this user's or root's; its end may be missing.

    Raises:
        ConfigurationError: a link belongs to another user, who chooses where it leads.
    """
    if sys.platform == "win32":
        return os.path.realpath(path)
    done, left = "/", path.split("/")[::-1]
    followed = 0
    while left:
        word = left.pop()
        if word in ("", "."):
            continue
        if word == "..":
            done = os.path.dirname(done)
            continue
        step = os.path.join(done, word)
        try:
            facts = os.lstat(step)
        except OSError:  # missing or closed, which whoever opens it will be told
            facts = None
        if facts is None or not stat.S_ISLNK(facts.st_mode):
            done = step
            continue
        if is_foreign(facts):
            raise ConfigurationError(f"{step} is a symbolic link that belongs to {name_of(facts.st_uid)}", remedy)
        followed += 1
        if followed > _MAX_LINKS:
            raise ConfigurationError(
                f"{path} leads through more than {_MAX_LINKS} symbolic links", "name the file itself"
            )
        target = os.readlink(step)
        left += target.split("/")[::-1]
        done = "/" if target.startswith("/") else done
    return done


def is_foreign(facts: os.stat_result) -> bool:
    """Return whether something belongs to a user who is neither this one nor root."""
    return sys.platform != "win32" and facts.st_uid not in (0, os.geteuid())


def check_folder(folder: str, facts: os.stat_result) -> None:
    """Refuse a directory, given with its ``stat`` result, in which another user could replace our file.

    There is one exception: if root names a user's directory, such as the work space of a job, that user may, since
    whoever runs as root in a container has the directory from that user.

    Raises:
        ConfigurationError: it is one.
    """
    why = _weakness(folder, facts)
    if why:
        raise ConfigurationError(f"others can replace a file in {folder}: {why}", ELSEWHERE)


if sys.platform == "win32":

    def _weakness(folder: str, facts: os.stat_result) -> str:  # noqa: ARG001 - modes say nothing there
        return ""

else:
    import grp
    import pwd

    def _weakness(folder: str, facts: os.stat_result) -> str:
        if is_foreign(facts) and (os.geteuid() != 0 or not hasattr(os, "O_PATH")):  # see privatefile.py
            return f"it belongs to {name_of(facts.st_uid)}"
        if facts.st_mode & stat.S_ISVTX:
            return ""  # what is ours there only we, root and the directory's owner can take away
        if facts.st_mode & stat.S_IWOTH:
            return "every user may write it"
        if facts.st_mode & stat.S_IWGRP and not _is_group_of_one(folder, facts):
            return f"the group {_group(facts.st_gid)} may write it"
        return ""

    def _is_group_of_one(folder: str, facts: os.stat_result) -> bool:
        """Return whether the directory's owner is the only member of its group, as where each user has a group."""
        owner = os.geteuid() if facts.st_uid == 0 else facts.st_uid
        try:
            found = grp.getgrgid(facts.st_gid)
        except KeyError:
            return False
        name = name_of(owner)
        if found.gr_name != name or {*found.gr_mem} - {name} or _has_acl(folder):
            return False
        # Whose primary group it is does not stand in the group's own line.
        return all(user.pw_uid in (0, owner) for user in pwd.getpwall() if user.pw_gid == facts.st_gid)

    def _has_acl(folder: str) -> bool:
        """Return whether the group's bits stand for an access control list, which may name anybody."""
        if sys.platform != "linux":
            return False
        try:
            return "system.posix_acl_access" in os.listxattr(folder)
        except OSError:
            return False

    def _group(gid: int) -> str:
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return str(gid)
