"""Remedies for errors of the operating system: one for each reason, wherever it was met."""

import errno

_BY_REASON = {
    "EROFS": "mount its file system writable, or choose another place",
    "ENOSPC": "free some space on its file system",
    "EDQUOT": "free some of your quota on its file system",
    "EMFILE": "raise the limit of open files, as with: ulimit -n 4096",
    "ENFILE": "end other programs, for all open files that this machine allows are in use",
    "ENOTDIR": "move away the file that is in the place of a directory",
    "EISDIR": "name a file, or move the directory away",
    "ENOTEMPTY": "move away the directory that is in its place",
    "EEXIST": "move away what is in its place",
    "ELOOP": "remove the symbolic link that leads to itself",
    "ENAMETOOLONG": "choose a shorter path",
    "ENOENT": "check its path",
    "EBUSY": "unmount it, or mount the directory that it is in instead",
    "EBADF": "check that it is open, and for this",
    "ETIMEDOUT": "check that somebody writes to it, and ends",
    "EIO": "check the disk that it is on",
}


def cause(error: OSError) -> str:
    """Say what was refused, with the file if it is known."""
    path = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return f"{path}{error.strerror or type(error).__name__}"


def remedy(error: OSError) -> str:
    """Return what helps where the system has refused something."""
    return _BY_REASON.get(errno.errorcode.get(error.errno or 0, ""), "check its owner and mode")
