"""The git commit after a change: two git children, bounded in time, and nothing lost when they fail.

The credential is on disk before git is asked. Whatever keeps git from committing it (no git, a
hung signing key, somebody's ``index.lock``) is one warning; the paths are written down in
``<git dir>/passhelper/pending`` and go into the next commit that works (pain T1).
"""

import os
import time

from passhelper.errors import GitError, PasshelperError
from passhelper.store import repository as git
from passhelper.store.child import Child, finish, start
from passhelper.store.files import Files
from passhelper.store.terminal import can_prompt, gpg_tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passhelper.store.repository import Repository

TIMEOUT = 10.0  # seconds for one commit, waiting for somebody's index.lock included
STALE_LOCK = 60.0  # seconds after which an index.lock has no living owner
_WATCH = 1.0  # seconds for which such a lock must not change while we hold the store's lock
_PENDING = "pending"
_SIGNER = "gpg-without-prompt"
_IDENTITY = ("-c", "user.name=passhelper", "-c", "user.email=passhelper@localhost")
_TRUE = ("true", "yes", "on", "1")


class Committer:
    """Commits to one repository.

    Args:
        repository: where to.
        environ: the caller's environment.
        files: writes with the store's modes.
        warn: takes one line for the user when something could not be committed.
    """

    def __init__(
        self,
        repository: "Repository",
        environ: "Mapping[str, str]",
        files: Files,
        warn: "Callable[[str], None]",
    ) -> None:
        self._repository = repository
        self._environ = environ
        self._files = files
        self._warn = warn
        self._child_environ = git.environment(repository, environ)
        self._settings: Child | None = None
        self._program = ""
        self._trouble: PasshelperError | None = None
        try:
            self._program = git.program(environ)
            # Asked for now and read later: git answers while gpg encrypts.
            self._settings = start([self._program, "-C", repository.root, "config", "--null", "--list"],
                                   self._child_environ)  # fmt: skip
        except PasshelperError as error:
            self._trouble = error

    def commit(self, paths: "list[str]", subject: str) -> None:
        """Commit what happened to some paths; the caller holds the store's lock.

        Never raises for a commit that fails: the credential is stored, so the verb has succeeded.

        Args:
            paths: absolute; each was written or removed.
            subject: the commit's first line.
        """
        pending = self._load_pending()
        inside = [os.path.relpath(path, self._repository.root) for path in paths]
        everything = list(dict.fromkeys([*pending, *inside]))
        umask = os.umask(self._files.umask)
        try:
            self._commit(everything, subject)
        except (PasshelperError, OSError) as error:
            self._files.make_directory(self._repository.state)
            data = "".join(f"{path}\0" for path in everything).encode(errors="surrogateescape")
            self._files.replace(self._pending_path(), data, self._repository.state)
            self._warn(f"stored but not committed, the next change will commit it: {error}")
        else:
            if pending:
                os.unlink(self._pending_path())
        finally:
            os.umask(umask)

    def _commit(self, paths: "list[str]", subject: str) -> None:
        if self._trouble is not None:
            raise self._trouble
        self._repository.prepare(self._files)
        settings = self._read_settings()
        if _is_on(settings, "passhelper.neutralcommits"):
            subject = "Update credential"
        begin = git.command(self._repository, self._program, hooks=_is_on(settings, "passhelper.hooks"))
        names = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
        self._clear_stale_lock()
        end = time.monotonic() + TIMEOUT
        self._run([*begin, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"], names, end)
        commit = ["commit", "--quiet", "--no-status", "--only", "--message", subject]
        commit += ["--pathspec-from-file=-", "--pathspec-file-nul"]
        begin += self._signing(settings, commit)
        try:
            self._run([*begin, "-c", "user.useConfigOnly=true", *commit], names, end)
        except _NoIdentityError:
            self._run([*begin, *_IDENTITY, *commit], names, end)

    def _read_settings(self) -> "dict[str, str]":
        """Collect the answer of ``git config --list``: names in lower case, the last value of each."""
        if self._settings is None:
            return {}
        finish([self._settings], TIMEOUT)
        if self._settings.returncode != 0:
            raise self._failure(self._settings)
        pairs = self._settings.stdout.decode(errors="replace").split("\0")
        found = {}
        for pair in pairs:
            name, separator, value = pair.partition("\n")
            found[name.lower()] = value if separator else "true"
        return found

    def _signing(self, settings: "dict[str, str]", commit: "list[str]") -> "list[str]":
        """Sign where the user's settings say so, with a gpg that fails instead of asking nobody."""
        if _is_on(settings, "pass.signcommits"):
            commit.append("--gpg-sign")
        elif not _is_on(settings, "commit.gpgsign"):
            return []
        terminal = gpg_tty(self._environ)
        if terminal:
            self._child_environ["GPG_TTY"] = terminal
        if can_prompt(self._environ) or settings.get("gpg.format", "openpgp") != "openpgp":
            return []
        signer = settings.get("gpg.openpgp.program") or settings.get("gpg.program") or "gpg"
        script = f'#!/bin/sh\nexec {_quoted(signer)} --pinentry-mode error "$@"\n'
        path = os.path.join(self._repository.state, _SIGNER)
        self._files.make_directory(self._repository.state)
        self._files.replace(path, script.encode(), self._repository.state)
        os.chmod(path, 0o700)
        return ["-c", f"gpg.program={path}", "-c", f"gpg.openpgp.program={path}"]

    def _run(self, argv: "list[str]", stdin: bytes, end: float) -> None:
        """Run git once; wait while somebody else holds the index."""
        pause = 0.02
        while True:
            child = start(argv, self._child_environ, stdin=stdin)
            finish([child], max(end - time.monotonic(), 0.001))
            if child.returncode == 0:
                return
            locked = b"index.lock" in child.stderr and not child.timed_out
            if not locked or time.monotonic() + pause >= end:
                raise self._failure(child)
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _failure(self, child: Child) -> GitError:
        text = child.stderr.decode(errors="replace")
        root = self._repository.root
        if child.timed_out:
            return GitError(f"git did not finish within {TIMEOUT:g} s in {root}")
        if "dubious ownership" in text:
            return GitError(
                f"git refuses the store: it belongs to uid {os.stat(root).st_uid}",
                f"run: git config --global --add safe.directory {root}",
            )
        if "tell me who you are" in text or "auto-detection is disabled" in text or "empty ident" in text:
            return _NoIdentityError("git knows no user.name and user.email")
        if "index.lock" in text:
            path = os.path.join(self._repository.git_dir, "index.lock")
            return GitError(f"another git is at work in {root}", f"if not, remove {path}")
        if "failed to sign" in text or "gpg failed" in text:
            return GitError(f"git could not sign the commit in {root}", "run: passhelper unlock")
        lines = [line for line in text.splitlines() if line.strip()]
        return GitError(f"git failed in {root}: {lines[-1] if lines else f'exit status {child.returncode}'}")

    def _clear_stale_lock(self) -> None:
        path = os.path.join(self._repository.git_dir, "index.lock")
        try:
            before = os.stat(path)
        except FileNotFoundError:
            return
        if time.time() - before.st_mtime < STALE_LOCK:
            return
        time.sleep(_WATCH)
        try:
            after = os.stat(path)
            if (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns):
                os.unlink(path)
                self._warn(f"removed {path}, which a git that no longer runs left behind")
        except FileNotFoundError:
            return

    def _pending_path(self) -> str:
        return os.path.join(self._repository.state, _PENDING)

    def _load_pending(self) -> "list[str]":
        try:
            with open(self._pending_path(), "rb") as file:
                text = file.read().decode(errors="surrogateescape")
        except FileNotFoundError:
            return []
        # Only paths below the repository: the file is ours, but what is damaged must not aim elsewhere.
        paths = [path for path in text.split("\0") if path]
        return [path for path in paths if not os.path.isabs(path) and ".." not in path.split("/")]


class _NoIdentityError(GitError):
    """git has no name to commit with; passhelper then commits under its own."""


def _is_on(settings: "Mapping[str, str]", name: str) -> bool:
    return settings.get(name, "").lower() in _TRUE


def _quoted(word: str) -> str:
    """Quote a word for sh."""
    return "'" + word.replace("'", "'\\''") + "'"
