"""The files that a commit of others brings: plain ones in sane places, or the commit is refused.

git's own checks refuse much of this while it fetches; this look does not depend on them, and sees what they
let pass. There is no way around it but to mend the remote.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from passhelper.errors import TrustError
from passhelper.protocol import printable
from passhelper.store import foreign, layout
from passhelper.team import trees

if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.team.gitrepo import Git

_OBJECT = re.compile(r"[0-9a-f]{40,64}")
MEND = "do not merge it; find out who pushed it and take it out of the remote"


def check(git: Git, theirs: str, head: str = "") -> None:
    """Refuse a tree that holds anything but plain files in sane places.

    Args:
        git: the repository.
        theirs: the commit to look at.
        head: a commit whose files are there already and so need no second look; empty for none.

    Raises:
        TrustError: something in it is refused.
    """
    theirs = commit_id(git, theirs)
    new: dict[str, str] = {}
    for path, _, after in trees.difference(git, head or trees.empty(theirs), theirs):
        if after is None:
            continue
        why = foreign.complaint(after[0], path) or ("a path that is there twice" if path in new else "")
        if why:
            raise _refused(theirs, path, why)
        new[path] = after[1]
    _check_sizes(git, theirs, new)
    if new and git.is_on("core.ignorecase"):
        _check_spellings(git, theirs, set(new))


def _refused(commit: str, path: str, why: str) -> TrustError:
    return TrustError(f"commit {commit[:12]} brings {why}: {printable(path)}", MEND)


def _check_sizes(git: Git, theirs: str, new: dict[str, str]) -> None:
    asked = "".join(f"{blob}\n" for blob in new.values()).encode()
    sizes = git.run("cat-file", "--batch-check=%(objectsize)", stdin=asked).split()
    for path, size in zip(new, sizes, strict=True):
        if int(size) > foreign.limit(path):
            raise _refused(theirs, path, f"a file larger than {foreign.limit(path)} bytes")


def _check_spellings(git: Git, theirs: str, changed: set[str]) -> None:
    """Refuse two paths that this file system takes for one."""
    names: dict[str, str] = {}
    # Folders too: two servers' directories may differ in nothing else.
    for path in os.fsdecode(git.run("ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", theirs)).split("\0"):
        other = names.setdefault(layout.folded(path), path)
        if other != path and any(_is_at(one, place) for one in changed for place in (path, other)):
            raise _refused(theirs, path, f"a path that this file system takes for {printable(other)}")


def _is_at(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def refuse_malformed(child: Child) -> None:
    """Tell objects that no honest git makes, which git's own checks have refused, from a remote that is away.

    Args:
        child: a fetch or clone that failed.

    Raises:
        TrustError: it was refused.
    """
    for line in child.stderr.decode(errors="replace").splitlines():
        name, _, why = line.removeprefix("error: object ").partition(": ")
        if why and _OBJECT.fullmatch(name):
            raise TrustError(f"the remote sends what git refuses: object {name[:12]}: {printable(why)}", MEND)


def commit_id(git: Git, name: str) -> str:
    """Give the full id of a commit; empty for a HEAD that has none yet."""
    found = git.revision(f"{name}^{{commit}}")
    if not found and name != "HEAD":
        raise TrustError(f"there is no commit {printable(name)} in {git.place.root}", "run: passhelper sync")
    return found
