"""When each credential was last changed, from the store's git history."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError
from passhelper.store import layout, repository
from passhelper.team import gitrepo

if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

_SECONDS = 60.0  # for reading the history of all credentials


def last_changes(store: PassStore) -> dict[str, int] | None:
    """Find when each file of the store was last committed.

    Returns:
        seconds since 1970 by absolute path; None where there is no history to ask: no git, no
        repository, no commit yet, or a shallow clone, whose oldest commit seems to have made everything.
    """
    place = store.repository("")
    if place is None:
        return None
    try:
        repository.program(store.environ)
    except GitError:
        return None
    with gitrepo.opened(place, store.environ) as git:
        if git.repo.git.rev_parse("--is-shallow-repository") == "true" or not git.repo.head.is_valid():
            return None
        text = git.repo.git.log(
            "--format=%x01%ct", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv",
            "--", _pathspec(place), kill_after_timeout=_SECONDS,
        )  # fmt: skip
    return _parse(place.root, text)


def _pathspec(place: Repository) -> str:
    return "." if os.path.basename(place.root) == layout.FOLDER else layout.FOLDER


def _parse(root: str, text: str) -> dict[str, int]:
    """Read ``git log``: newest first, so the first commit that names a file is the last that changed it."""
    found: dict[str, int] = {}
    for record in text.split("\x01"):
        stamp, _, names = record.replace("\n", "\0").partition("\0")
        if not stamp.isdigit():
            continue
        for name in names.split("\0"):
            if name:
                found.setdefault(os.path.join(root, name), int(stamp))
    return found
