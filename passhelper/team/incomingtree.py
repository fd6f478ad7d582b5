"""The files that a commit of others brings: plain ones in sane places, or the commit is refused.

git's own checks refuse much of this while it fetches; this look does not depend on them, and sees what they
let pass. There is no way around it but to mend the remote.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from passhelper.errors import TrustError, printable
from passhelper.store import foreign, layout, recipients
from passhelper.team import commits, trees

if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.team.gitrepo import Git

_OBJECT = re.compile(r"[0-9a-f]{40,64}")
MAX_COMMITS = 100_000  # that come in at once, all of a first clone's among them
MAX_FILES = 250_000  # and folders, of the whole tree: a store of 100,000 servers fits
MAX_LISTS = 2_000  # files with keys among them; each may cost a gpg that checks its signature
MAX_BYTES = 256 << 20  # of all files that differ; a merge holds them in memory twice, and a runner's disk is memory too
MEND = "do not merge it; find out who pushed it and take it out of the remote"


def check(git: Git, theirs: str, head: str = "") -> None:
    """Refuse a tree that holds anything but plain files in sane places, or more of them than a store ever needs.

    All of it is counted before any content is read.

    Args:
        git: the repository.
        theirs: the commit to look at.
        head: a commit whose files are there already and so need no second look; empty for none.

    Raises:
        TrustError: something in it is refused.
    """
    theirs = commit_id(git, theirs)
    if commits.count(git, theirs, head) > MAX_COMMITS:  # which is quick: what is in them is not
        raise _too_much(theirs, f"more than {MAX_COMMITS} commits")
    _check_number(git, theirs)
    new: dict[str, str] = {}
    for path, _, after in trees.difference(git, head or trees.empty(theirs), theirs):
        if after is None:
            continue
        why = foreign.complaint(after[0], path) or ("a path that is there twice" if path in new else "")
        if why:
            raise _refused(theirs, path, why)
        new[path] = after[1]
    if sum(path.rpartition("/")[2] == recipients.FILE for path in new) > MAX_LISTS:
        raise _too_much(theirs, f"more than {MAX_LISTS} lists of keys")
    _check_sizes(git, theirs, new)
    if new and git.is_on("core.ignorecase"):
        _check_spellings(git, theirs, set(new))


def _refused(commit: str, path: str, why: str) -> TrustError:
    return TrustError(f"commit {commit[:12]} brings {why}: {printable(path)}", MEND)


def _too_much(commit: str, what: str) -> TrustError:
    return TrustError(f"commit {commit[:12]} brings {what} at once", MEND)


def _check_number(git: Git, theirs: str) -> None:
    """Refuse a tree that has no end: a small one may name one folder over and over, on every level.

    git ls-tree prints while it looks, and so can be stopped; what compares trees would first hold it all in memory.
    """
    child = git.ask("ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", theirs)
    if child.overflow or child.stdout.count(0) > MAX_FILES:
        raise _too_much(theirs, f"more than {MAX_FILES} files and folders")


def _check_sizes(git: Git, theirs: str, new: dict[str, str]) -> None:
    asked = "".join(f"{blob}\n" for blob in new.values()).encode()
    sizes = git.run("cat-file", "--batch-check=%(objectsize)", stdin=asked).split()
    if sum(map(int, sizes)) > MAX_BYTES:  # of each file, though several may have one content
        raise _too_much(theirs, f"more than {MAX_BYTES} bytes")
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
