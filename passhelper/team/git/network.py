"""The remote of a shared store: which one it is, and fetch and push without a question and within a time limit.

If the remote cannot be reached, nothing is lost: every failure here is a RemoteError, exit 6, and what was done
locally stays.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import ConfigurationError, GitError, RemoteError, StoreError, printable
from passhelper.store import gitwords
from passhelper.store.repository import FETCH, PUSH
from passhelper.store.runner import remotes, shared_branch
from passhelper.team.git import objects

if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.team.git.gitrepo import Git

BRANCH = "main"  # what a store that passhelper makes calls it
SECONDS = 120.0  # for one fetch or push; a store of 10,000 entries takes a few
ALL_SECONDS = 300.0  # for all of them in one command: one that is slow each time could keep it for as long as it likes
# What a server says to the slower one of two that push at once; asking again helps.
_RACES = ("fetch first", "non-fast-forward", "incorrect old value", "stale info", "already exists")
_OVERTAKEN = " but expected "  # what it says besides: the branch is at one commit, and was at another a moment ago
# What it says of a lock in its way, which another push may hold for a moment, or nobody any more. In a clone of ours,
# another fetch may hold it, a verb's perhaps.
_LOCKED = ("cannot lock ref", "failed to lock", "failed to update ref", ".lock': File exists")
_NO_ROOM = "; cannot create "  # of a branch where a folder of branches is, or the other way round: no lock
_PAUSES = (0.1, 0.3, 1.0)  # seconds to wait for it


class RejectedError(RemoteError):
    """Others have pushed meanwhile; another merge and push may succeed."""


class LockedError(RemoteError):
    """A lock at the remote is in the way: of a push that ends in a moment, or of one that was killed."""


@dataclass(frozen=True)
class Upstream:
    """Where a branch is shared.

    Attributes:
        branch: the branch that is checked out here.
        remote: the name of the remote.
        their_branch: what the branch is called there.
        is_new: whether git does not know yet that the two belong together.
    """

    branch: str
    remote: str
    their_branch: str
    is_new: bool

    @property
    def tracking(self) -> str:
        """The reference that remembers what was last seen there."""
        return f"refs/remotes/{self.remote}/{self.their_branch}"

    def __str__(self) -> str:
        """Name it as git does."""
        return printable(f"{self.remote}/{self.their_branch}")


def find(git: Git, wanted: str = "") -> Upstream:
    """Find out where the store is shared.

    Args:
        git: the store's repository.
        wanted: a remote's name; empty for the branch's own, or the only one.

    Raises:
        GitError: the store is on no branch, or has no remote.
        ConfigurationError: it has several, or not the wanted one.
    """
    root = git.repository.root
    branch = git.branch()
    if not branch:
        switch = f"git -C {shellwords.word(root)} switch main"
        raise GitError(f"{root} is on no branch", f"run: {switch}, or whatever its branch is called")
    there = remotes(git.settings)
    if not there:
        raise GitError(
            f"{root} has no remote to sync with", f"run: git -C {shellwords.word(root)} remote add origin URL"
        )
    chosen, ref = shared_branch(git.settings, branch)
    remote = wanted or chosen
    if remote not in there:
        listed = ", ".join(map(printable, there))
        if remote:
            raise ConfigurationError(f"{root} has no remote {printable(remote)}", f"use one of: {listed}")
        raise ConfigurationError(f"{root} has several remotes: {listed}", "name one: passhelper sync --remote NAME")
    own = git.settings.get(f"branch.{branch}.remote", "")
    is_set = remote == own and f"branch.{branch}.merge" in git.settings
    theirs = ref.removeprefix("refs/heads/") if is_set else branch
    return Upstream(branch, remote, theirs, is_new=not own or (remote == own and not is_set))


def fetch(git: Git, upstream: Upstream, *more: str) -> str:
    """Fetch the shared branch.

    Args:
        git: the store's repository.
        upstream: which branch.
        more: options of ``git fetch``.

    Returns:
        its newest commit; empty if the branch is not there yet.

    Raises:
        RemoteError: the remote cannot be reached.
        TrustError: it sends objects that git's own checks refuse.
    """
    source = f"refs/heads/{upstream.their_branch}"
    for pause in (*_PAUSES, 0.0):
        child = _talk(git, *FETCH, *more, "--", upstream.remote, f"+{source}:{upstream.tracking}")
        if not pause or child.returncode == 0 or not _is_locked(child):
            break
        time.sleep(pause)
    git.forget()
    if child.returncode == 0:
        # A server may give a tag a branch's name; what is looked at from here on is the commit.
        theirs = git.revision(f"{upstream.tracking}^{{commit}}")
        if not theirs:
            raise GitError(f"git has fetched {upstream} and has no {upstream.tracking} in {git.repository.root}")
        return theirs
    if b"couldn't find remote ref" in child.stderr:
        return ""
    if _is_locked(child):
        path = gitwords.lock_in_the_way(git.repository, child.stderr)
        is_there = bool(path) and os.path.lexists(path)  # or a server could have written the words and the path
        raise GitError(
            f"another git is at work in {git.repository.root}",
            f"run: passhelper doctor, should {path} stay" if is_there else "try again",
        )
    objects.refuse_malformed(child)
    raise _unreachable(git, upstream, child, "fetched from")


def branches(git: Git, upstream: Upstream) -> tuple[list[str], str]:
    """List the branches of a remote.

    Returns:
        their names, and the one that a clone would check out; empty where the remote's HEAD names none of them.

    Raises:
        RemoteError: the remote cannot be reached.
    """
    child = _talk(git, "ls-remote", "--symref", "--", upstream.remote, "HEAD", "refs/heads/*")
    if child.returncode != 0:
        raise _unreachable(git, upstream, child, "asked for its branches")
    found, first = [], ""
    for line in child.stdout.decode(errors="surrogateescape").splitlines():
        left, _, name = line.partition("\t")
        if left.startswith("ref: refs/heads/"):
            first = left.removeprefix("ref: refs/heads/")
        elif name.startswith("refs/heads/"):
            found.append(name.removeprefix("refs/heads/"))
    return sorted(found), first if first in found else ""


def is_first(git: Git, upstream: Upstream) -> bool:
    """Return whether the branch here is the only one, so that it may be the team's under a name of its own.

    Any other is a branch that somebody has made beside it, and is shared under its own name.
    """
    there = git.run("for-each-ref", "--format=%(refname)", "refs/heads/").decode(errors="surrogateescape").splitlines()
    return not {*there} - {f"refs/heads/{upstream.branch}"}


def choose(git: Git, upstream: Upstream) -> str:
    """Choose which branch of a remote is the team's, where it has none of the name here; empty if it has none at all.

    Raises:
        RemoteError: the remote cannot be reached.
        StoreError: it has several, and does not say which one counts.
    """
    there, first = branches(git, upstream)
    if not there or upstream.their_branch in there:
        return ""
    name = first or first_choice(there)
    if not name:
        raise undecided(f"the remote {printable(upstream.remote)}", there)
    return name


def first_choice(names: list[str]) -> str:
    """Choose the branch of a team where the remote does not say which one counts; empty if it could be several."""
    if len(names) == 1:
        return names[0]
    return BRANCH if BRANCH in names else ""


def undecided(where: str, names: list[str]) -> StoreError:
    """Say that a remote has several branches and does not say which one counts."""
    return StoreError(
        f"{where} does not say which of its branches counts: {', '.join(map(printable, names))}",
        "let its HEAD name one, there: git symbolic-ref HEAD refs/heads/NAME",
    )


def push(git: Git, upstream: Upstream, commit: str) -> None:
    """Push a commit to the shared branch; never overwrite commits that it does not contain.

    Raises:
        RejectedError: others have pushed meanwhile.
        RemoteError: the remote cannot be reached, or does not take it.
    """
    target = f"refs/heads/{upstream.their_branch}"
    child = _talk(git, *PUSH, "--porcelain", "--", upstream.remote, f"{commit}:{target}")
    if child.returncode == 0:
        if git.revision(upstream.tracking) != commit:  # git does it where the remote has a refspec for it
            git.run("update-ref", upstream.tracking, commit)
        return
    answer = child.stdout.decode(errors="replace")
    refusal = next((line for line in answer.splitlines() if line.startswith("!")), "")
    if refusal:
        said = f"{refusal}\n{child.stderr.decode(errors='replace')}"
        if _OVERTAKEN in said or any(word in refusal.rpartition("\t")[2] for word in _RACES):
            raise RejectedError(f"others keep pushing to {upstream}", "run: passhelper sync")
        raise (LockedError if _is_locked(child, refusal) else RemoteError)(
            f"{upstream} does not take the push: {gitwords.reason(said, child.returncode)}",
            "ask whoever runs the remote; the commits stay here",
        )
    raise _unreachable(git, upstream, child, "pushed to")


def remember(git: Git, upstream: Upstream) -> Upstream:
    """Tell git that the two branches belong together, if it does not know; return what it knows now."""
    if upstream.is_new:
        git.run("config", f"branch.{upstream.branch}.remote", upstream.remote)
        git.run("config", f"branch.{upstream.branch}.merge", f"refs/heads/{upstream.their_branch}")
    return replace(upstream, is_new=False)


def _is_locked(child: Child, said: str = "") -> bool:
    text = child.stderr.decode(errors="replace") + said
    return any(word in text for word in _LOCKED) and _NO_ROOM not in text


def _talk(git: Git, *arguments: str) -> Child:
    """Run a git that talks to the remote, as long as all of them together may take."""
    begin = time.monotonic()
    try:
        return git.talk(*arguments, seconds=_left(git))
    finally:
        git.talked += time.monotonic() - begin


def _left(git: Git) -> float:
    return min(SECONDS, max(ALL_SECONDS - git.talked, 0.0))


def _unreachable(git: Git, upstream: Upstream, child: Child, what: str) -> RemoteError:
    remote = printable(upstream.remote)
    look = f"look: git -C {shellwords.word(git.repository.root)} fetch {shellwords.word(remote)}"
    if child.timed_out:
        late = f"no answer within {SECONDS:g} s" if _left(git) else f"it has kept us for {ALL_SECONDS:g} s in all"
        return RemoteError(f"the remote {remote} cannot be {what}: {late}", look)
    why = gitwords.reason(child.stderr, child.returncode)
    return RemoteError(f"the remote {remote} cannot be {what}: {why}", gitwords.remedy(child.stderr, look))
