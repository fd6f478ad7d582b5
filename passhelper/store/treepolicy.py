"""What a tree from elsewhere must not hold, path by path. Pure functions, cheap enough for the verbs.

git's own checks (``transfer.fsckObjects``) refuse much of this while it fetches; whoever fetched without
them, or made the objects here, is caught too.
"""

import os

from passhelper.credentials import has_control
from passhelper.store.layout import FOLDER, MAX_ENTRY, MAX_NAME, SUFFIX, decode_server
from passhelper.store.recipients import FILE
from passhelper.store.recipients import MAX_FILE as MAX_RECIPIENTS

KEYS = ".public-keys"
MAX_KEY = 64 << 10  # bytes of one file in there
MAX_OTHER = 4 << 20  # bytes of any other file, which is not ours
MAX_PATH = 1024  # bytes of a path; the shortest limit of a system in use, macOS's, which the store's own path shares

MAX_AHEAD = 3600  # seconds that a commit may be ahead of this clock

PROGRAM = "100755"  # git's mode of a file that may be run; it is written without that right
_FILES = ("100644", PROGRAM)
_LINK = "120000"
# Names that mean something to git, to pass or to us; another spelling means the same on some file systems.
_NAMES = (".git", FILE, f"{FILE}.sig", KEYS, FOLDER)
_LISTS = frozenset((FILE, f"{FILE}.sig"))
# What HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_IGNORED = dict.fromkeys((*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF))


def complaint(mode: str, path: str) -> str:
    """Say why a file may not come into the store; empty if it may.

    Args:
        mode: what git calls its kind: six octal digits.
        path: where it would go, below the work tree, with ``/`` between the names.

    Returns:
        what it is, as the end of a sentence.
    """
    if mode not in _FILES:
        return "a symbolic link" if mode == _LINK else "a submodule"  # git takes every unknown kind for one
    if has_control(path):
        return "a path with a control character"
    names = path.split("/")
    if len(os.fsencode(path)) > MAX_PATH or any(len(os.fsencode(name)) > MAX_NAME for name in names):
        return "a path that is too long"  # begun to be written, it could never be finished
    why = _misplaced(path, names)
    if why:
        return why
    for name in names:
        if name in ("", ".", "..") or (os.name == "nt" and not {"\\", ":"}.isdisjoint(name)):
            return "a path that leaves the store"
        if name == ".git":
            return "a path into a git directory"
        plain = _fold(name)
        if plain in _NAMES and name != plain:
            return f"a name that some file systems take for {plain}"
        if plain == "git~1":
            return "a name that some file systems take for .git"
    return ""


def _misplaced(path: str, names: "list[str]") -> str:
    """Say which file is in a folder's place, or the reverse: then nobody can write there and no command starts."""
    if not _LISTS.isdisjoint(names[:-1]):
        return "a folder in the place of a list of keys"
    if path in (FOLDER, KEYS) or (names[:-1] == [FOLDER] and decode_server(names[-1]) is not None):
        return "a file in the place of a folder"
    return ""


def _fold(name: str) -> str:
    """Write a name as the laxest file systems compare it: no case, no ignorable characters, no final dots or spaces."""
    if name.isascii() and name.islower() and not name.endswith((".", " ")) and ":" not in name and "\\" not in name:
        return name
    # git takes a backslash for the end of a name on every system: core.protectNTFS.
    return name.translate(_IGNORED).casefold().replace("\\", ":").partition(":")[0].rstrip(". ")


def limit(path: str) -> int:
    """Give the size that a file may have, in bytes."""
    name = path.rpartition("/")[2]
    if name == FILE:
        return MAX_RECIPIENTS
    if path.startswith(f"{KEYS}/"):
        return MAX_KEY
    return MAX_ENTRY if name.endswith(SUFFIX) else MAX_OTHER


def decides_readers(path: str) -> bool:
    """Return whether a file is a list of recipients, a signature of one, or holds public keys."""
    return path.rpartition("/")[2] in _LISTS or path.startswith(f"{KEYS}/")
