"""Check the files of others' commits: plain files in allowed places, or the commit is refused.

git's own checks refuse much of this while it fetches; this look does not depend on them, and sees what they
let pass. There is no way around it but to mend the remote.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper import settings, shellwords
from passhelper.errors import StoreError, TrustError, printable
from passhelper.store import layout, recipients, treepolicy
from passhelper.team.git import commits, trees
from passhelper.team.git.objects import MEND

if TYPE_CHECKING:
    from passhelper.team.git.gitrepo import Git

# What may come in at once; PASSHELPER_INCOMING multiplies it. Our limits, from what an honest team of 20,000 servers
# makes, and from what the machine of whoever syncs can bear.
MAX_COMMITS = 100_000  # commits: each of 20,000 credentials changed five times since the last sync
MAX_FIRST_COMMITS = 1_000_000  # commits of a first clone, its whole history: the same each year, for ten years
MAX_FILES = 250_000  # files and folders of the whole tree: a store of 100,000 servers fits
MAX_LISTS = 20_000  # lists of keys that differ: each server has its own; each may cost a gpg that checks its signature
MAX_BYTES = 256 << 20  # bytes of all files that differ: 65,000 of 4 kB, which 6 readers make of a password. A merge
# holds them in memory twice, and a runner's disk is memory too.
_FEW = 20  # files that are read for their sizes
_FOLDERS = (
    4  # how many files and folders a file of the index stands for at most: a server's, and those in a user's name
)


class TooMuchError(TrustError):
    """More comes in at once than is allowed."""


def check_outgoing(git: Git, head: str, theirs: str) -> None:
    """Refuse to push what every other clone would refuse to merge.

    Args:
        git: the repository.
        head: the commit to push.
        theirs: the commit that the remote has; empty if it has none.

    Raises:
        StoreError: something in it would be refused.
    """
    root = shellwords.word(git.repository.root)
    try:
        _check(git, head, theirs, is_ours=True)
    except TooMuchError as error:
        remedy = (
            f"push it in parts that others sync one by one: git -C {root} push REMOTE COMMIT:BRANCH; or set "
            f"{settings.INCOMING}={git.times + 1} or more, here and wherever it is synced"
        )
        raise StoreError(f"not pushed, because no other clone would accept it: {error.cause}", remedy) from None
    except TrustError as error:
        remedy = f"remove it, commit that, and sync again; look: git -C {root} show --stat {head[:12]}"
        raise StoreError(f"not pushed, because no other clone would accept it: {error.cause}", remedy) from None


def check(git: Git, theirs: str, head: str = "") -> None:
    """Refuse a tree that holds anything but plain files in sane places, or more of them than a store ever needs.

    All of it is counted before any content is read.

    Args:
        git: the repository.
        theirs: the commit to look at.
        head: a commit whose files are there already and so need no second look; empty for none, as in a first clone.

    Raises:
        TooMuchError: it is more than may come in at once.
        TrustError: something in it is refused.
    """
    _check(git, commit_id(git, theirs), head, is_ours=False)


def _check(git: Git, theirs: str, head: str, *, is_ours: bool) -> None:
    most = git.times * (MAX_COMMITS if head else MAX_FIRST_COMMITS)
    if commits.count(git, theirs, head) > most:  # which is quick: what is in them is not
        raise _too_much(git, theirs, f"more than {most} commits")
    if not is_ours or not head or _are_many(git):
        _check_number(git, theirs)
    new: dict[str, str] = {}
    for path, _, after in trees.difference(git, head or trees.empty(theirs), theirs):
        if after is None:
            continue
        why = treepolicy.complaint(after[0], path) or ("a path that is there twice" if path in new else "")
        if why:
            raise _refused(theirs, path, why)
        new[path] = after[1]
    most = git.times * MAX_LISTS
    if sum(path.rpartition("/")[2] == recipients.FILE for path in new) > most:
        raise _too_much(git, theirs, f"more than {most} lists of keys")
    _check_sizes(git, theirs, new, is_ours=is_ours)
    if new and git.is_on("core.ignorecase"):
        _check_spellings(git, theirs, set(new))


def _refused(commit: str, path: str, why: str) -> TrustError:
    return TrustError(f"commit {commit[:12]} brings {why}: {printable(path)}", MEND)


def _too_much(git: Git, commit: str, what: str) -> TooMuchError:
    return TooMuchError(
        f"commit {commit[:12]} brings {what} at once",
        f"find out who pushed it and take it out of the remote; if it is right, set {settings.INCOMING}={git.times + 1}"
        " or more, which lets so many times as much in",
    )


def _check_number(git: Git, theirs: str) -> None:
    """Refuse a tree that has no end: a small one may name one folder over and over, on every level.

    git ls-tree prints while it looks, and so can be stopped; what compares trees would first hold it all in memory.
    """
    most = git.times * MAX_FILES
    child = git.ask("ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", theirs)
    if child.overflow or child.stdout.count(0) > most:
        raise _too_much(git, theirs, f"more than {most} files and folders")


def _are_many(git: Git) -> bool:
    """Return whether the index lists so many files that with their folders there may be more than may come in."""
    try:
        with open(os.path.join(git.repository.git_dir, "index"), "rb") as file:
            count = int.from_bytes(file.read(12)[8:], "big")  # gitformat-index(5)
    except OSError:
        return True
    return count * _FOLDERS > git.times * MAX_FILES


def _check_sizes(git: Git, theirs: str, new: dict[str, str], *, is_ours: bool) -> None:
    if is_ours and len(new) <= _FEW:  # a process less for each change that is pushed
        found = map(git.objects.find, new.values())
        # What is too large to be read is too large for any file, too.
        sizes = [MAX_BYTES if each is None or each.data is None else len(each.data) for each in found]
    else:
        asked = "".join(f"{blob}\n" for blob in new.values()).encode()
        sizes = [int(size) for size in git.run("cat-file", "--batch-check=%(objectsize)", stdin=asked).split()]
    most = git.times * MAX_BYTES
    if sum(sizes) > most:  # of each file, though several may have one content
        raise _too_much(git, theirs, f"more than {most} bytes")
    for path, size in zip(new, sizes, strict=True):
        if size > treepolicy.limit(path):
            raise _refused(theirs, path, f"a file larger than {treepolicy.limit(path)} bytes")


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


def commit_id(git: Git, name: str) -> str:
    """Give the full id of a commit; empty for a HEAD that has none yet."""
    found = git.revision(f"{name}^{{commit}}")
    if not found and name != "HEAD":
        raise TrustError(f"there is no commit {printable(name)} in {git.repository.root}", "run: passhelper sync")
    return found
