"""When each credential was last changed, from the store's git history, through GitPython.

What a clone brings along must not run or aim anywhere: GitPython gets the same settings and the same
cleaned environment as the git children of the verb path, and it is imported only after git was found.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.errors import GitError
from passhelper.store import layout, repository

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        git = repository.program(store.environ)
    except GitError:
        return None
    with _process_environment({**repository.environment(place, store.environ), "GIT_PYTHON_GIT_EXECUTABLE": git}):
        return _read(place, git)


def _read(place: Repository, git: str) -> dict[str, int] | None:
    from git import Repo  # noqa: PLC0415 - needs the program, and takes a tenth of a second
    from git.exc import GitCommandError, InvalidGitRepositoryError, NoSuchPathError  # noqa: PLC0415

    try:
        with Repo(place.root, search_parent_directories=False) as repo:
            options = repository.command(place, git)[3:]
            repo.git.set_persistent_git_options(c=options[1::2])
            if repo.git.rev_parse("--is-shallow-repository") == "true" or not repo.head.is_valid():
                return None
            text = repo.git.log(
                "--format=%x01%ct", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv",
                "--", _pathspec(place), kill_after_timeout=_SECONDS,
            )  # fmt: skip
    except (InvalidGitRepositoryError, NoSuchPathError) as error:
        raise GitError(f"{place.root} is no repository that git can read") from error
    except GitCommandError as error:
        lines = [line for line in str(error.stderr).splitlines() if line.strip()]
        reason = lines[-1].strip(" '") if lines else f"exit status {error.status}"
        raise GitError(f"git cannot read the history of {place.root}: {reason}") from error
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


@contextmanager
def _process_environment(environ: dict[str, str]) -> Iterator[None]:
    """Give GitPython, which copies the process's environment for its children, nothing else than this."""
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
