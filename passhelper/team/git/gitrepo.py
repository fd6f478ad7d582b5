"""git for the commands: one runner for git's plumbing, and GitPython for what a commit says.

What a clone brings along must not run or aim anywhere: every git gets the same settings and the same cleaned
environment as the git children of the verb path, and GitPython is imported only where it is needed.
"""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, cast

from passhelper import settings
from passhelper.errors import GitError
from passhelper.store.repository import TRUE
from passhelper.store.runner import Runner, has_remote
from passhelper.team.git.objects import Objects, is_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from git import Commit, Repo
    from git import Git as GitOfGitPython

    from passhelper.store.child import Child
    from passhelper.store.repository import Repository

_NUMBER = re.compile(r"[+-]?0*[1-9][0-9]*[kmg]?")  # what git takes for true beside the words


class Git(Runner):
    """git in one repository; :func:`opened` makes one.

    Attributes:
        times: the factor by which more than the default may come in from a remote at once.
        joined: the merge bases of pairs of commits, as far as they were asked for.
        talked: for how many seconds remotes were talked to.
    """

    def __init__(self, repository: Repository, environ: Mapping[str, str]) -> None:
        self.times = settings.times(environ)
        self.LIMIT = Runner.LIMIT * self.times
        super().__init__(repository, environ)
        self._answers: dict[tuple[str, ...], Child] = {}
        self.joined: dict[frozenset[str], list[str]] = {}
        self.talked = 0.0

    @cached_property
    def objects(self) -> Objects:
        """What the repository holds."""
        return Objects(self._begin, self.environ, self._umask, seconds=self.SECONDS, limit=Runner.LIMIT)

    def close(self) -> None:
        """End what runs."""
        if "objects" in self.__dict__:
            self.objects.close()

    def ask_once(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Child:
        """Run one command about commits and trees named by full ids; the answer is kept, since it cannot change."""
        if arguments not in self._answers:
            child = self.ask(*arguments, environ=environ)
            if child.timed_out:
                raise self.failure(arguments[0], child)
            self._answers[arguments] = child
        return self._answers[arguments]

    def run_once(self, *arguments: str, environ: Mapping[str, str] | None = None) -> bytes:
        """Run one command as :meth:`ask_once` does, and give what it printed.

        Raises:
            GitError: it failed, or took too long.
        """
        child = self.ask_once(*arguments, environ=environ)
        if child.returncode != 0:
            raise self.failure(arguments[0], child)
        return bytes(child.stdout)

    def has_asked(self, *arguments: str) -> bool:
        """Return whether the answer to a command is known."""
        return arguments in self._answers

    def forget(self) -> None:
        """Forget the answers that were kept, after commits of a shallow clone got parents."""
        self._answers.clear()
        self.joined.clear()

    def is_on(self, name: str) -> bool:
        """Return whether a setting is true, as git reads it: a word for it, or a number that is not 0."""
        value = self.settings.get(name, "").lower()
        return value in TRUE or _NUMBER.fullmatch(value) is not None

    @property
    def is_shared(self) -> bool:
        """Whether it has a remote; see :func:`passhelper.store.runner.has_remote`."""
        return has_remote(self.settings)

    def revision(self, name: str) -> str:
        """Give the full id of what a name stands for now; empty if that is nothing."""
        found = self.objects.find(name) if "\n" not in name else None
        if found is not None:
            return found.id
        # Nothing yet, or a reference to an object that is missing: two things, which this tells apart.
        child = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return child.stdout.decode().strip() if child.returncode == 0 else ""

    def has_commit(self, commit: str) -> bool:
        """Return whether a commit is here, by its full id."""
        found = self.objects.find(commit) if is_id(commit) else None
        return found is not None and found.kind == "commit"

    def file(self, commit: str, path: str) -> bytes | None:
        """Read a file of a commit; None if it is not there."""
        name = f"{commit}:{path}"
        if "\n" in name:
            child = self.ask("cat-file", "blob", name)
            return bytes(child.stdout) if child.returncode == 0 else None
        found = self.objects.find(name)
        return found.data if found is not None and found.kind == "blob" else None

    def commit(self, commit: str) -> Commit:
        """Read what a commit says, by its full id."""
        repo = self._repo
        from git import Commit  # noqa: PLC0415 - imported with the repository

        return Commit(repo, bytes.fromhex(commit))

    @cached_property
    def _repo(self) -> Repo:
        """GitPython's view of the repository, which reads objects through :attr:`objects`."""
        # GitPython starts git while it is imported, with a copy of this process's environment.
        with _process_environment({**self.environ, "GIT_PYTHON_GIT_EXECUTABLE": self._program}):
            from git import GitCmdObjectDB, Repo  # noqa: PLC0415 - takes a tenth of a second, most commands need none

            repo = Repo(self.repository.root, search_parent_directories=False)
            repo.git.set_persistent_git_options(c=self._begin[3:][1::2])
        repo.odb = GitCmdObjectDB(repo.odb.root_path(), cast("GitOfGitPython", _Reader(self)))
        return repo


class _Reader:
    """The part of GitPython's own git that its database asks for objects."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def get_object_header(self, ref: bytes) -> tuple[bytes, bytes, int]:
        """Give the id, the kind and the size of an object."""
        return self.stream_object_data(ref)[:3]

    def stream_object_data(self, ref: bytes) -> tuple[bytes, bytes, int, BytesIO]:
        """Give the same and the content."""
        found = self._git.objects.find(ref.decode())
        if found is None or found.data is None:
            raise GitError(f"object {ref.decode()} is missing in {self._git.repository.root}")
        data = found.data
        if found.kind == "commit":  # which may claim an encoding that Python has not, or one that hides what it says
            head, end, message = data.partition(b"\n\n")
            lines = [line for line in head.split(b"\n") if not line.startswith(b"encoding ")]
            data = b"\n".join(lines) + end + message
        return found.id.encode(), found.kind.encode(), len(data), BytesIO(data)


@contextmanager
def opened(repository: Repository, environ: Mapping[str, str]) -> Iterator[Git]:
    """Open a store's repository.

    Args:
        repository: which; it need not exist yet.
        environ: the caller's environment.

    Raises:
        GitError: git is not installed.
    """
    with closing(Git(repository, environ)) as git:
        yield git


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
