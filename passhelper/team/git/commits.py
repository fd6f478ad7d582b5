"""How commits, named by their full ids, relate to each other; git is asked each question once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import GitError
from passhelper.team.git.objects import is_id

if TYPE_CHECKING:
    from passhelper.team.git.gitrepo import Git

MARK = "Passhelper-Sync: merge"
"""A line in the message of every commit that only joins what others have done; such commits decide nothing."""

SAME = "Passhelper-Sync: re-encryption"
"""A line in the message of every commit that encrypts anew what was there."""


def is_ancestor(git: Git, commit: str, of: str) -> bool:
    """Return whether a commit is in another's history or is the same; False if one of them is not here."""
    if not is_id(commit) or not is_id(of):
        return False
    if commit == of:
        return git.has_commit(commit)
    if any(of in pair and commit in found for pair, found in git.joined.items()):
        return True  # what two commits come from is part of both
    apart = _apart(git, commit, of)
    if apart is not None and 0 in apart:
        git.joined[frozenset((commit, of))] = [commit if apart[0] == 0 else of]
    return apart is not None and apart[0] == 0


def bases(git: Git, ours: str, theirs: str) -> list[str]:
    """Find the merge bases of two commits; none of no commit (an empty id).

    Raises:
        GitError: git cannot say; that two histories have nothing in common is another thing.
    """
    if not ours or not theirs:
        return []
    pair = frozenset((ours, theirs))
    if pair not in git.joined and ours == theirs:
        git.joined[pair] = [ours] if git.has_commit(ours) else []
    elif pair not in git.joined:
        child = git.ask("merge-base", "--all", ours, theirs)
        if child.timed_out or child.returncode not in (0, 1):
            raise git.failure("merge-base", child)
        git.joined[pair] = child.stdout.decode().split()
    return git.joined[pair]


def count(git: Git, commit: str, without: str) -> int:
    """Count the commits that one commit's history has and another's has not; all of them if there is no other.

    Raises:
        GitError: one of them is not here.
    """
    if not without:
        return int(git.run_once("rev-list", "--count", commit))
    if commit == without:
        return 0
    apart = _apart(git, commit, without)
    if apart is None:
        raise GitError(f"git cannot compare {commit[:12]} and {without[:12]} in {git.repository.root}")
    return apart[0]


def _apart(git: Git, one: str, other: str) -> tuple[int, int] | None:
    """Count the commits that each of two has alone; None if one of them is not here."""
    first, second = sorted((one, other))
    child = git.ask_once("rev-list", "--left-right", "--count", f"{first}...{second}")
    if child.returncode != 0:
        return None
    left, right = map(int, child.stdout.split())
    return (left, right) if one == first else (right, left)
