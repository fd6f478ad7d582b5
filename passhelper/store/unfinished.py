"""Find out from git's own directory whether a merge, a rebase or the like has begun and is not finished.

Our commit would end up in the middle of it, and ending or undoing it would take staged files along. So in such a state
nothing is staged or committed: a change is kept beside the repository (:mod:`passhelper.store.kept`) and committed when
the state has ended. No git is started to find out.
"""

import os
import time

from passhelper.errors import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.repository import Repository

# What git leaves in its directory (gitrepository-layout(5), git's wt-status.c), the outermost first: a rebase picks.
_MARKS = (
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer", "cherry-pick or revert"),
    ("BISECT_LOG", "bisect"),
)
_TAIL = 1 << 16  # bytes of HEAD's log to look at; some 400 of its lines
_RECENT = 86400  # seconds; what was aborted before that is history


def find(repository: "Repository") -> str:
    """Say what is not finished; empty if nothing is, and on a branch without a commit."""
    for name, what in _MARKS:
        if os.path.lexists(os.path.join(repository.git_dir, name)):
            if name == "rebase-apply" and os.path.lexists(os.path.join(repository.git_dir, name, "applying")):
                what = "am"  # noqa: PLW2901 - the one kind that shares its mark
            return f"a git {what} in {repository.root} is not finished"
    path = os.path.join(repository.git_dir, "HEAD")
    try:
        if os.path.islink(path):  # as git made it once
            is_branch = os.readlink(path).startswith("refs/")
        else:
            with open(path, "rb") as file:
                is_branch = file.read(5) == b"ref: "
    except OSError:
        return ""  # git will say what is wrong
    return "" if is_branch else f"{repository.root} is on no branch (detached HEAD)"


def refuse(repository: "Repository") -> None:
    """Refuse to work in such a state, for a command whose user can end it first.

    Raises:
        GitError: something is not finished.
    """
    what = find(repository)
    if what:
        raise GitError(what, remedy(repository))


def remedy(repository: "Repository") -> str:
    """Say how to end the state; nothing that was stored or committed is lost by that."""
    from passhelper.shellwords import word  # only for messages

    root = word(repository.root)
    if "is on no branch" not in find(repository):
        return (
            f"run: git -C {root} status, and finish or abort it as that says; what was stored meanwhile is kept, "
            "also where git wants such a file removed"
        )
    return (
        f"run: git -C {root} branch detached, then git -C {root} switch main (or whatever its branch is called), "
        f"then git -C {root} merge detached"
    )


def aborted(repository: "Repository") -> bytes:
    """Give the end of HEAD's log if a rebase was aborted there that nobody has looked at; else nothing.

    A rebase that is aborted puts the branch back to where it began, also over a commit that was made while it began.
    """
    try:
        with open(os.path.join(repository.git_dir, "logs", "HEAD"), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            text = file.read()
    except OSError:
        return b""
    at = text.rfind(b"(abort)")
    if at < 0:
        return b""
    line = text[text.rfind(b"\n", 0, at) + 1 : at]
    words = line.partition(b"\t")[0].split()
    if len(words) < 2 or not words[-2].isdigit() or int(words[-2]) < time.time() - _RECENT:
        return b""
    try:
        with open(repository.aborted, "rb") as file:
            if file.read() == line:
                return b""
    except FileNotFoundError:
        pass
    return text
