"""What git's complaints mean, said the same way for every git that the commands run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError
from passhelper.protocol import printable

if TYPE_CHECKING:
    from passhelper.store.child import Child


def failure(root: str, command: str, child: Child, seconds: float) -> GitError:
    """Say why a git command failed, with the last line of its complaint."""
    if child.timed_out:
        return too_slow(root, command, seconds)
    return explained(root, command, child.stderr.decode(errors="replace"), child.returncode)


def too_slow(root: str, command: str, seconds: float) -> GitError:
    """Say that a git command was ended because its time was up."""
    return GitError(f"git {command} did not finish within {seconds:g} s in {root}")


def explained(root: str, command: str, complaint: str, code: object) -> GitError:
    """Say why a git command failed.

    Args:
        root: the work tree.
        command: which command it was.
        complaint: what it wrote to its standard error.
        code: its exit status, for one that wrote nothing.
    """
    if "dubious ownership" in complaint:
        return GitError(
            f"git refuses the store: it belongs to uid {os.stat(root).st_uid}",
            f"run: git config --global --add safe.directory {root}",
        )
    if "not a git repository" in complaint or "not in a git directory" in complaint:
        return GitError(f"{root} is no repository that git can read")
    lines = [line for line in complaint.splitlines() if line.strip(" '") and not line.startswith("hint:")]
    reason = printable(lines[-1].strip(" '")) if lines else f"exit status {code}"
    return GitError(f"git {command} failed in {root}: {reason}")
