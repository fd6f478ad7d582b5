"""The commit of a change of names that this disk does not tell apart, such as ``Bob.gpg`` to ``bob.gpg``.

``git commit --only`` asks the disk about each path, finds the new file by its old name too, and would keep both in
its tree. So the tree is made in an index of its own, of what the directories list.
"""

import os

from passhelper.store import layout
from passhelper.store.files import TEMPORARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.repository import Repository


def write_tree(repository: "Repository", paths: "list[str]", head: str, run: "Callable[..., bytes]") -> str:
    """Write the tree of a commit with some files as they are on the disk.

    Args:
        repository: where they are.
        paths: relative to its work tree.
        head: the commit; empty before the first one.
        run: runs git with some arguments, bytes for its stdin, and more environment.

    Returns:
        the tree's id.
    """
    there = [path for path in paths if layout.holds(repository.root, path)]
    names = "".join(f"{path}\n" for path in there).encode(errors="surrogateescape")
    ids = run(["hash-object", "-w", "--no-filters", "--stdin-paths"], names).decode().split()
    lines = [f"0 {'0' * 40}\t{path}\0" for path in paths if path not in there]
    lines += [f"100644 {identity}\t{path}\0" for path, identity in zip(there, ids, strict=True)]
    index = os.path.join(repository.state, f"{TEMPORARY}{os.getpid()}-index")
    own = {"GIT_INDEX_FILE": index}
    try:
        run(["read-tree", *([head] if head else ["--empty"])], b"", own)
        run(["update-index", "-z", "--index-info"], "".join(lines).encode(errors="surrogateescape"), own)
        return run(["write-tree"], b"", own).decode().strip()
    finally:
        try:
            os.unlink(index)
        except FileNotFoundError:
            pass


def differ_in_case(repository: "Repository", paths: "list[str]") -> bool:
    """Return whether two paths differ in case alone and only one is there: git's setting came from another disk."""
    found: dict[str, bool] = {}
    for path in paths:
        is_there = os.path.lexists(os.path.join(repository.root, path))
        if found.setdefault(path.casefold(), is_there) != is_there:
            return True
    return False
