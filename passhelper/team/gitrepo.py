"""git for the commands: GitPython for what a repository holds, and one runner for git's plumbing.

What a clone brings along must not run or aim anywhere: both get the same settings and the same cleaned
environment as the git children of the verb path, and GitPython is imported only after git was found.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.errors import GitError
from passhelper.protocol import printable
from passhelper.store import repository
from passhelper.store.child import finish, start
from passhelper.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from git import Repo

    from passhelper.store.child import Child
    from passhelper.store.repository import Repository

SECONDS = 60.0  # for one git that talks to nobody
MAX_ANSWER = 64 << 20  # bytes that one may print; a listing of 100,000 entries has some 20 MB


class Git:
    """git in one repository; :func:`opened` makes one.

    Attributes:
        repo: GitPython's view of it: commits, trees, references, remotes.
        place: where it is.
        environ: the cleaned environment of its children.
    """

    def __init__(self, repo: Repo, place: Repository, program: str, environ: Mapping[str, str], umask: int) -> None:
        self.repo = repo
        self.place = place
        self._begin = repository.command(place, program)
        self.environ = environ
        self._umask = umask

    def ask(
        self,
        *arguments: str,
        stdin: bytes = b"",
        seconds: float = SECONDS,
        settings: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        group: bool = False,
    ) -> Child:
        """Run one command whose failure is an answer too.

        Args:
            arguments: the command and its own arguments.
            stdin: what it reads.
            seconds: how long it may take; then it is ended.
            settings: more settings (``name=value``) for this command alone.
            environ: more variables, such as ``GIT_INDEX_FILE``.
            group: whether what it starts ends with it; for one that talks to somebody.
        """
        command = [*self._begin, *(word for setting in settings for word in ("-c", setting)), *arguments]
        umask = os.umask(self._umask)
        try:
            child = start(command, {**self.environ, **(environ or {})}, stdin=stdin, limit=MAX_ANSWER, group=group)
            finish([child], seconds)
        finally:
            os.umask(umask)
        return child

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        seconds: float = SECONDS,
        settings: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one command and give what it printed; the arguments are those of :meth:`ask`.

        Raises:
            GitError: it failed, or took too long.
        """
        child = self.ask(*arguments, stdin=stdin, seconds=seconds, settings=settings, environ=environ)
        if child.returncode != 0 or child.timed_out:
            raise failure(self.place.root, arguments[0], child, seconds)
        return bytes(child.stdout)


def failure(root: str, command: str, child: Child, seconds: float) -> GitError:
    """Say why a git command failed, with the last line of its complaint."""
    if child.timed_out:
        return GitError(f"git {command} did not finish within {seconds:g} s in {root}")
    return _explained(root, f"git {command} failed", child.stderr.decode(errors="replace"), child.returncode)


def _explained(root: str, what: str, complaint: str, code: object) -> GitError:
    if "dubious ownership" in complaint:
        return GitError(
            f"git refuses the store: it belongs to uid {os.stat(root).st_uid}",
            f"run: git config --global --add safe.directory {root}",
        )
    lines = [line for line in complaint.splitlines() if line.strip(" '") and not line.startswith("hint:")]
    reason = printable(lines[-1].strip(" '")) if lines else f"exit status {code}"
    return GitError(f"{what} in {root}: {reason}")


@contextmanager
def opened(place: Repository, environ: Mapping[str, str]) -> Iterator[Git]:
    """Open a store's repository.

    While it is open, this process's environment is the cleaned one: GitPython copies it for its children.

    Args:
        place: which.
        environ: the caller's environment.

    Raises:
        GitError: git is not installed, or finds no repository there.
    """
    program = repository.program(environ)
    cleaned = repository.environment(place, environ)
    with _process_environment({**cleaned, "GIT_PYTHON_GIT_EXECUTABLE": program}):
        from git import Repo  # noqa: PLC0415 - needs the program, and takes a tenth of a second
        from git.exc import GitCommandError, InvalidGitRepositoryError, NoSuchPathError  # noqa: PLC0415

        try:
            with Repo(place.root, search_parent_directories=False) as repo:
                options = repository.command(place, program)[3:]
                repo.git.set_persistent_git_options(c=options[1::2])
                yield Git(repo, place, program, cleaned, Files(environ).umask)
        except (InvalidGitRepositoryError, NoSuchPathError) as error:
            raise GitError(f"{place.root} is no repository that git can read") from error
        except GitCommandError as error:
            raise _explained(place.root, "git failed", str(error.stderr), error.status) from error


@contextmanager
def _process_environment(environ: dict[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
