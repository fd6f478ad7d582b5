"""Runs git in one repository, for all that is not a commit, and answers what its settings say about remotes."""

import os

from passhelper.errors import GitError
from passhelper.settings import Deadline
from passhelper.store.child import finish
from passhelper.store.files import Files
from passhelper.store.repository import (
    Repository,
    command,
    environment,
    is_partial,
    parse_settings,
    program,
    start,
    transports,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from passhelper.store.child import Child


class Runner:
    """Runs git in one repository: all of ours but those of a commit, which wait for each other's locks.

    Args:
        repository: where; it need not exist yet.
        environ: the caller's environment.
        deadline: of what the git is a part of, if anything.
        settings: what git is configured to, if the caller knows it.

    Attributes:
        repository: where.
        environ: the cleaned environment of the git children.

    Raises:
        GitError: git is not installed.
    """

    SECONDS = 60.0  # for one that talks to nobody
    LIMIT = 64 << 20  # bytes that one may print: 250,000 files that differ, with paths of 120 bytes and SHA-256
    FETCHES = True  # whether any git may fetch the objects that a partial clone lacks

    def __init__(
        self,
        repository: Repository,
        environ: "Mapping[str, str]",
        deadline: "Deadline | None" = None,
        settings: "Mapping[str, str] | None" = None,
    ) -> None:
        self.repository = repository
        self._program = program(environ)
        self._begin = command(repository, self._program)
        self._given = environ
        self._umask = Files(environ).umask
        self._deadline = deadline or Deadline(environ, shared=False)
        self._settings = settings
        self.environ = environment(repository, environ)
        if self.FETCHES and is_partial(repository):
            self.environ = environment(repository, environ, self.settings)

    @property
    def settings(self) -> "Mapping[str, str]":
        """What git is configured to, read once."""
        if self._settings is None:
            listing = self.run("config", "--null", "--list")
            self._settings = parse_settings(listing.decode(errors="surrogateescape"))
        return self._settings

    def ask(  # noqa: PLR0913 - all that a git can need
        self,
        *arguments: str,
        stdin: bytes = b"",
        seconds: "float | None" = None,
        settings: "tuple[str, ...]" = (),
        environ: "Mapping[str, str] | None" = None,
        group: bool = False,
        limit: "int | None" = None,
        keep: "Sequence[int]" = (),
    ) -> "Child":
        """Run one command; its failure is an answer too, not an error.

        Args:
            arguments: the command and its own arguments.
            stdin: what it reads.
            seconds: how long it may take, if not the usual time; then it is ended.
            settings: more settings (``name=value``) for this command alone.
            environ: more variables, such as ``GIT_INDEX_FILE``.
            group: whether what it starts ends with it; for one that talks to somebody.
            limit: bytes that it may print, if not the usual number; then it is ended.
            keep: descriptors that it gets besides.
        """
        argv = [*self._begin, *(word for setting in settings for word in ("-c", setting)), *arguments]
        umask = os.umask(self._umask)
        try:
            child = start(argv, {**self.environ, **(environ or {})}, stdin=stdin, limit=limit or self.LIMIT,
                          group=group, keep=keep)  # fmt: skip
            finish([child], self._deadline.left(self.SECONDS) if seconds is None else seconds)
        finally:
            os.umask(umask)
        return child

    def run(self, *arguments: str, codes: "tuple[int, ...]" = (0,), **how: "Any") -> bytes:
        """Run one command and give what it printed; the others of the arguments are those of :meth:`ask`.

        Raises:
            GitError: it took too long, or ended with another exit status than those.
        """
        child = self.ask(*arguments, **how)
        if child.timed_out or child.overflow or child.returncode not in codes:
            raise self.failure(arguments[0], child, how.get("seconds"))
        return bytes(child.stdout)

    def talk(self, *arguments: str, seconds: float, keep: "Sequence[int]" = ()) -> "Child":
        """Run one command that talks to a remote: no questions, and nothing left running after it."""
        environ = {
            **ssh_without_questions(self.environ, self.settings),
            "GIT_ALLOW_PROTOCOL": transports(self._given, self.settings),
        }
        checked = ("transfer.fsckObjects=true",)
        return self.ask(*arguments, seconds=seconds, settings=checked, environ=environ, group=True, keep=keep)

    def branch(self) -> str:
        """Name the branch that HEAD is on, without ``refs/heads/``; empty if it is on none, where git exits with 1.

        Never by git's own short name: that is ``heads/main`` where a tag is called ``main``.
        """
        name = self.run("symbolic-ref", "--quiet", "HEAD", codes=(0, 1)).decode(errors="surrogateescape")
        return name.rstrip("\n").removeprefix("refs/heads/")

    def failure(self, command: str, child: "Child", seconds: "float | None" = None) -> GitError:
        """Say why a command failed that talks to nobody."""
        from passhelper.store import gitwords  # only for a failure

        return gitwords.failure(self.repository.root, command, child, seconds or self._deadline.most(self.SECONDS))


def ssh_without_questions(environ: "Mapping[str, str]", settings: "Mapping[str, str]") -> "dict[str, str]":
    """Give the variable that adds to the ssh command in force the option that keeps it from asking.

    git takes the first of ``GIT_SSH_COMMAND``, ``core.sshCommand`` and ``GIT_SSH``, which may be no ssh at all.
    """
    told = environ.get("GIT_SSH_COMMAND") or settings.get("core.sshcommand", "").strip()
    if not told and environ.get("GIT_SSH"):
        return {}
    return {"GIT_SSH_COMMAND": f"{told or 'ssh'} -oBatchMode=yes"}


def shared_branch(settings: "Mapping[str, str]", branch: str) -> "tuple[str, str]":
    """Find the remote, and the branch there, that a branch is shared with, as git does.

    Args:
        settings: what git is configured to.
        branch: its name, without ``refs/heads/``.

    Returns:
        the remote, its own, else ``origin``, else the only one, or empty; and the full name of the branch there.
    """
    names = remotes(settings)
    only = names[0] if len(names) == 1 else ""
    remote = settings.get(f"branch.{branch}.remote") or ("origin" if "origin" in names else only)
    return remote, settings.get(f"branch.{branch}.merge") or f"refs/heads/{branch}"


def has_remote(settings: "Mapping[str, str]") -> bool:
    """Return whether a repository has a remote; that of a branch may be a URL or a path (git-config(1), ``branch``)."""
    for name, value in settings.items():
        kind = (name.partition(".")[0], name.rpartition(".")[2])
        if kind == ("remote", "url") or (kind == ("branch", "remote") and value != "."):
            return True
    return False


def remotes(settings: "Mapping[str, str]") -> "list[str]":
    """List the remotes that git knows a URL of."""
    return [key[len("remote.") : -len(".url")] for key in settings
            if key.startswith("remote.") and key.endswith(".url")]  # fmt: skip
