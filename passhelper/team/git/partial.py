"""A work tree that holds only a part of what is committed: what is not there cannot be encrypted anew or compared."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import GitError
from passhelper.store import layout, recipients
from passhelper.store.programs import find_program
from passhelper.store.treepolicy import KEYS
from passhelper.team.git import gitrepo

if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

_OURS = (layout.FOLDER, KEYS, recipients.FILE, f"{recipients.FILE}.sig")
_SKIPPED = b"S "  # git-ls-files(1), -t: its skip-worktree bit is set


def refuse(store: PassStore) -> None:
    """Refuse to look at all entries of a store if some are not checked out.

    Raises:
        GitError: git leaves files of the store out of its work tree.
    """
    repository = store.repository("")
    if repository is None or not _may_be_partial(repository) or find_program(("git",), store.environ) is None:
        return
    with gitrepo.opened(repository, store.environ) as git:
        listing = git.run("ls-files", "-t", "-z", "--", *_OURS).split(b"\0")
    count = sum(line.startswith(_SKIPPED) for line in listing)
    if count:
        what = f"{count} of the store's files {'are' if count > 1 else 'is'} not checked out in {repository.root}"
        raise GitError(what, f"run: git -C {shellwords.word(repository.root)} sparse-checkout disable")


def _may_be_partial(repository: Repository) -> bool:
    """Return whether git's index can hold that bit, without a process: an index of version 2 has no place for it.

    See gitformat-index(5). Where the index is split, the other part of it may.
    """
    try:
        with open(os.path.join(repository.git_dir, "index"), "rb") as file:
            header = file.read(8)
    except OSError:
        return False  # nothing is staged, or git will say what is wrong
    is_split = bool(glob.glob(os.path.join(glob.escape(repository.git_dir), "sharedindex.*")))
    return is_split or header != b"DIRC\0\0\0\2"
