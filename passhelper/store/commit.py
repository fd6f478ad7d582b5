"""The git commit after a change: two git children, bounded in time, and nothing lost when they fail.

The credential is on disk before git is asked. Whatever keeps git from committing it (no git, a
hung signing key, somebody's ``index.lock``, a rebase that is not finished, a kill) costs nothing but a warning: the
paths were written down in ``<git dir>/passhelper/pending`` before they changed and go into the next commit that works
(pain T1). A lock of git's is never removed, for somebody may hold it.
"""

import os
import time

from passhelper.errors import GitError, PasshelperError
from passhelper.settings import Deadline
from passhelper.store import layout, unfinished
from passhelper.store import repository as git
from passhelper.store.child import Child, finish, start
from passhelper.store.files import Files
from passhelper.store.terminal import can_prompt, gpg_tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from passhelper.store.repository import Repository

TIMEOUT = 10.0  # seconds for one commit of a few files
_LASTING = (
    10.0  # seconds that a lock is old that will not go in the next few: a person's editor, or a kill, has left it
)
_SHORT = 1.0  # seconds for which such a lock is waited for all the same
_SIGNER = "gpg-without-prompt"
_PATHS = "paths"  # in the state directory: some of the pending ones
_IDENTITY = ("-c", "user.name=passhelper", "-c", "user.email=passhelper@localhost")
_OWN_IDENTITY: "tuple[str, ...]" = ("-c", "user.useConfigOnly=true")


class Committer:
    """Commits to one repository.

    Args:
        repository: where to.
        environ: the caller's environment.
        files: writes with the store's modes.
        warn: takes one line for the user when something could not be committed.
        deadline: of what the commit is a part of.

    Attributes:
        has_committed: whether :meth:`commit` has made a commit.
        seconds: how long one commit may take, waiting for somebody's ``index.lock`` included.
    """

    def __init__(
        self,
        repository: "Repository",
        environ: "Mapping[str, str]",
        files: Files,
        warn: "Callable[[str], None]",
        deadline: "Deadline | None" = None,
    ) -> None:
        self._repository = repository
        self._environ = environ
        self._files = files
        self._warn = warn
        self._deadline = deadline or Deadline(environ, shared=False)
        self._child_environ = git.environment(repository, environ)
        self._settings: Child | None = None
        self._program = ""
        self._before: list[str] = []
        self._paths: list[str] = []
        self._own: list[str] = []
        self._has_new = True
        self._trouble: PasshelperError | None = None
        self.has_committed = False
        self.seconds = TIMEOUT

    def begin(self) -> None:
        """Ask git for its settings, which it tells while files are written; :meth:`commit` does so at the latest."""
        if self._settings is not None:
            return
        try:
            self._program = git.program(self._environ)
            self._settings = start([self._program, "-C", self._repository.root, "config", "--null", "--list"],
                                   self._child_environ)  # fmt: skip
        except PasshelperError as error:
            self._trouble = error

    def plan(self, paths: "list[str]") -> None:
        """Write down what is about to change; the caller holds the store's lock.

        A writer that is killed between its change and the commit so leaves a note for the next one,
        and a disk too full for the note stops the change before it begins.

        Args:
            paths: absolute; each will be written or removed.
        """
        self._before = self._repository.load_pending()
        self._has_new = bool(self._before) or not all(map(os.path.exists, paths))
        inside = [os.path.relpath(path, self._repository.root) for path in paths]
        self._own = list(dict.fromkeys(inside))
        self._paths = list(dict.fromkeys([*self._before, *inside]))
        self._files.make_directory(self._repository.state)
        self._save_pending(self._paths)

    def cancel(self) -> None:
        """Take back the plan: the change did not happen."""
        if self._before:
            self._save_pending(self._before)
        else:
            os.unlink(self._repository.pending)

    def commit(self, subject: str) -> None:
        """Commit what was planned and has happened; the caller still holds the store's lock.

        Never raises for a commit that fails: the credential is stored, so the verb has succeeded. What could
        not be committed is kept, so that nothing which git does meanwhile can undo it.

        Args:
            subject: the commit's first line; what follows it names nobody.
        """
        trouble = unfinished.find(self._repository)
        if trouble:
            self._keep(subject)
            self._warn(f"changed but not committed, the next change after that or passhelper sync will: {trouble}")
            return
        umask = os.umask(self._files.umask)
        try:
            self._commit_all(subject)
            os.unlink(self._repository.pending)
            if os.path.exists(self._repository.kept):
                os.unlink(self._repository.kept)
            self.has_committed = True
        except (PasshelperError, OSError) as error:
            self._unstage()
            self._keep(subject)
            self._warn(f"changed but not committed, the next change will commit it: {error}")
        except BaseException:  # interrupted, maybe at the prompt for the passphrase of a key that signs
            self._keep(subject)
            raise
        finally:
            os.umask(umask)

    def _keep(self, subject: str) -> None:
        """Copy what waits for its commit to where git does not look."""
        from passhelper.store import kept  # noqa: PLC0415 - only where git could not commit

        try:
            kept.add(self._repository, self._files, subject, self._own)
        except OSError:
            pass  # the paths are on the list of pending ones

    def _unstage(self) -> None:
        """Take our files out of git's index: what is staged goes when git is told to abort or to reset something."""
        if not self._has_new or self._trouble is not None:
            return
        argv = [*git.command(self._repository, self._program), *git.without_filters(self.settings()), "reset"]
        try:
            child = start([*argv, "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"], self._child_environ,
                          stdin=git.lines(self._paths))  # fmt: skip
            finish([child], _SHORT)
        except PasshelperError:
            pass  # git is not there, so it has staged nothing

    def _commit_all(self, subject: str) -> None:
        """Commit what is planned together with what waits; a change that a merge treats in its own way goes alone."""
        if not os.path.exists(self._repository.kept):
            self._commit(self._paths, subject)
            return
        from passhelper.store import kept  # noqa: PLC0415 - only after a commit that failed

        copies = kept.load(self._repository)
        if not kept.is_there(self._repository, copies, self._own):  # who takes the lock next puts it back
            raise GitError(f"git has undone what waits for its commit in {self._repository.root}")
        waiting = copies.messages
        alone = [(message, paths) for message, paths in waiting if "\nPasshelper-" in message]
        others = [message for message, _ in waiting if "\nPasshelper-" not in message]
        taken = {*self._own, *(path for message, paths in waiting if message in others for path in paths)}
        done: set[str] = set()
        for message, paths in alone:
            left = [path for path in paths if path not in taken]
            if left:
                self._commit(left, message)
                done.update(left)
        left = [path for path in self._paths if path not in done]
        if not self._own and others:
            subject, *others = others
        if left:
            self._commit(left, subject, others)

    def join(self, tree: str, parents: "list[str]", message: str) -> str:
        """Make a commit of a tree that exists already; no branch, no index and no file changes.

        Args:
            tree: its id.
            parents: the commits that it joins, ours first.
            message: what it says.

        Returns:
            its id.

        Raises:
            GitError: git cannot make or sign it.
        """
        self.begin()
        if self._trouble is not None:
            raise self._trouble
        end = self._end()
        settings = self._read_settings(end)
        commit = ["commit-tree", *(word for parent in parents for word in ("-p", parent)), "-F", "-"]
        begin = [*git.command(self._repository, self._program), *self._signing(settings, commit)]
        if _is_on(settings, "commit.gpgsign") and "--gpg-sign" not in commit:
            commit.append("--gpg-sign")  # which this command does not look up
        text = message.encode(errors="surrogateescape")
        try:
            identity = _OWN_IDENTITY if self._may_have_identity(settings) else _IDENTITY
            made = self._run([*begin, *identity, *commit, tree], text, end)
        except _NoIdentityError:
            made = self._run([*begin, *_IDENTITY, *commit, tree], text, end)
        return made.decode().strip()

    def adopt(self, commit: str, previous: str) -> bool:
        """Make a commit that holds what was planned the current one; the caller still holds the store's lock.

        Args:
            commit: which, an ancestor of nothing that HEAD has since gained.
            previous: where HEAD was when the commit was made, zeros before the first commit.

        Returns:
            whether HEAD is there now; False if it has moved elsewhere, so that an ordinary commit is due.

        Raises:
            GitError: git cannot do it now.
        """
        end = self._end()
        umask = os.umask(self._files.umask)
        try:
            begin = [*git.command(self._repository, git.program(self._environ)), *git.without_filters(self.settings())]
            self._repository.prepare(self._files)
            head = self._head(begin, end) or "0" * len(previous)
            if head not in (commit, previous):
                return False
            if head != commit:
                self._run([*begin, "update-ref", "HEAD", commit, previous], b"", end)
            self._take_into_index(begin, self._paths, commit, end)
        finally:
            os.umask(umask)
        self.cancel()
        return True

    def close(self) -> None:
        """Collect the question to git, if nothing was committed."""
        if self._settings is not None:
            self._settings.kill()

    def settings(self) -> "Mapping[str, str]":
        """Tell what git is configured to. Empty where git could not be asked."""
        self.begin()
        try:
            return self._read_settings(self._end())
        except PasshelperError:
            return {}

    def has_pending(self) -> bool:
        """Tell whether an earlier change waits for its commit."""
        return bool(self._repository.load_pending())

    def _commit(self, paths: "list[str]", subject: str, others: "Sequence[str]" = ()) -> None:
        self.begin()
        if self._trouble is not None:
            raise self._trouble
        self._repository.prepare(self._files)
        end = self._end()
        settings = self._read_settings(end)
        if _is_on(settings, "passhelper.neutralcommits"):
            subject = "Update credential" + "".join(subject.partition("\n")[1:])
        elif others:
            listed = "".join(f"- {other.partition(chr(10))[0]}\n" for other in others)
            subject = f"{subject}\n\nWith what had waited for its commit:\n\n{listed}"
        begin = git.command(self._repository, self._program, hooks=_is_on(settings, "passhelper.hooks"))
        begin += git.without_filters(settings)
        if any(layout.twin(self._repository.root, path) for path in paths):
            self._commit_twins(begin, paths, subject, end)
            return
        if _is_on(settings, "core.ignorecase") and self._has_case(paths):
            begin += ["-c", "core.ignorecase=false"]
        if self._has_new:  # commit --only takes what git knows, changed or gone, without this
            self._add(begin, paths, end)
        # Every user of the machine can read arguments, and a message names servers: it goes through the pipe.
        commit = ["commit", "--quiet", "--no-status", "--only", "--file=-", "--pathspec-file-nul"]
        begin += self._signing(settings, commit)
        identity = _OWN_IDENTITY if self._may_have_identity(settings) else _IDENTITY
        self._commit_until_done((begin, identity, commit), subject, paths, end)

    def _commit_twins(self, begin: "list[str]", paths: "list[str]", subject: str, end: float) -> None:
        """Commit where the disk takes two of the paths for one."""
        from passhelper.store import twins  # noqa: PLC0415 - only on such a disk

        def run(arguments: "list[str]", stdin: bytes, more: "Mapping[str, str] | None" = None) -> bytes:
            child = start([*begin, *arguments], {**self._child_environ, **(more or {})}, stdin=stdin)
            finish([child], max(end - time.monotonic(), 0.001))
            if child.returncode != 0:
                raise self._failure(child)
            return bytes(child.stdout)

        previous = self._head(begin, end)
        tree = twins.write_tree(self._repository, paths, previous, run)
        commit = self.join(tree, [previous] if previous else [], subject)
        self._run([*begin, "update-ref", "HEAD", commit, previous or "0" * len(commit)], b"", end)
        self._take_into_index(begin, paths, commit, end)

    def _head(self, begin: "list[str]", end: float) -> str:
        """Ask git for the current commit; empty before the first one."""
        child = start([*begin, "rev-parse", "--verify", "--quiet", "HEAD"], self._child_environ)
        finish([child], max(end - time.monotonic(), 0.001))
        if child.timed_out or child.returncode not in (0, 1):  # 1: no commit yet
            raise self._failure(child)
        return child.stdout.decode().strip()

    def _take_into_index(self, begin: "list[str]", paths: "list[str]", commit: str, end: float) -> None:
        reset = ["reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul", commit]
        self._run([*begin, *reset], git.lines(paths), end)

    def _commit_until_done(
        self, parts: "tuple[list[str], tuple[str, ...], list[str]]", subject: str, paths: "list[str]", end: float
    ) -> None:
        """Commit; where git has a reason not to that can be removed, remove it and try again."""
        begin, identity, commit = parts
        text = subject.encode(errors="surrogateescape")
        while True:
            try:
                listed = f"--pathspec-from-file={self._listed(paths)}"
                self._run([*begin, *identity, *commit, listed], text, end)
                return
            except _NoIdentityError:
                if identity == _IDENTITY:
                    raise
                identity = _IDENTITY
            except _NothingToCommitError:
                if not self._has_new:  # what was there had never been added
                    self._has_new = True
                    self._add(begin, paths, end)
                    continue
                # A path that git never knew and that is gone again, or one that was committed meanwhile. Or somebody's
                # rebase has begun since and has put the index back: what is not in it would pass for unchanged.
                self._add(begin, paths, end)
                changed = self._changed(begin, paths, end)
                if not changed:
                    return
                if len(changed) == len(paths):
                    raise
                paths = changed

    def _listed(self, paths: "list[str]") -> str:
        """Give a file that lists paths: the pending ones are in one already."""
        if paths == self._paths:
            return self._repository.pending
        path = os.path.join(self._repository.state, _PATHS)
        self._files.replace(path, git.lines(paths), self._repository.state, durable=False)
        return path

    def _has_case(self, paths: "list[str]") -> bool:
        """Tell whether two paths differ in case alone and only one is there: the setting came from another disk."""
        found: dict[str, bool] = {}
        for path in paths:
            is_there = os.path.lexists(os.path.join(self._repository.root, path))
            if found.setdefault(path.casefold(), is_there) != is_there:
                return True
        return False

    def _add(self, begin: "list[str]", paths: "list[str]", end: float) -> None:
        """Tell git's index of new files, and of those that are gone, be it for a folder whose files are new."""
        full = {path: os.path.join(self._repository.root, path) for path in paths}
        paths = [path for path in paths if os.path.islink(full[path]) or not os.path.isdir(full[path])]
        self._run([*begin, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"], git.lines(paths), end)

    def _may_have_identity(self, settings: "Mapping[str, str]") -> bool:
        """Tell whether git could know a name to commit with; where nothing says so, asking it costs a process."""
        return any(name.startswith(("user.", "author.", "committer.")) for name in settings) or any(
            name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) or name == "EMAIL" for name in self._child_environ
        )

    def _changed(self, begin: "list[str]", paths: "list[str]", end: float) -> "list[str]":
        """Ask git which of some paths differ from the last commit."""
        status = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=no"]
        lines = self._run([*begin, *status], b"", end).decode(errors="surrogateescape").split("\0")
        found = {line[3:].replace("/", os.sep) for line in lines}
        return [path for path in paths if path in found]

    def _end(self) -> float:
        """Tell when a commit that begins now must have ended."""
        return time.monotonic() + self._deadline.left(self.seconds)

    def _read_settings(self, end: float) -> "dict[str, str]":
        """Collect the answer of ``git config --list``."""
        child = self._settings
        if child is None:
            return {}
        finish([child], end - time.monotonic())
        if child.returncode != 0:
            raise self._failure(child)
        return git.parse_settings(child.stdout.decode(errors="replace"))

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
        from passhelper.store.gitwords import quoted  # noqa: PLC0415 - only to sign

        script = f'#!/bin/sh\nexec {quoted(signer)} --pinentry-mode error "$@"\n'
        path = os.path.join(self._repository.state, _SIGNER)
        if not _is_script(path, script):
            self._files.make_directory(self._repository.state)
            self._files.replace(path, script.encode(), self._repository.state)
            os.chmod(path, 0o777 & ~self._files.umask)
        return ["-c", f"gpg.program={path}", "-c", f"gpg.openpgp.program={path}"]

    def _run(self, argv: "list[str]", stdin: bytes, end: float) -> bytes:
        """Run git; again and again while somebody else holds the index or a ref. Gives what it printed."""
        pause, locked = 0.02, None
        while True:
            child = start(argv, self._child_environ, stdin=stdin)
            finish([child], max(end - time.monotonic(), 0.001))
            if child.returncode == 0:
                return bytes(child.stdout)
            lock = "" if child.timed_out else self._lock_in_the_way(child)
            if child.timed_out and locked is not None:  # too little time was left to try once more
                child = locked
            if not lock or time.monotonic() + pause >= end:
                raise self._failure(child)
            if locked is None and _is_lasting(lock):
                end = min(end, time.monotonic() + _SHORT)
            locked = child
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _failure(self, child: Child) -> GitError:
        text = child.stderr.decode(errors="replace")
        root = self._repository.root
        if "tell me who you are" in text or "auto-detection is disabled" in text or "empty ident" in text:
            return _NoIdentityError("git knows no user.name and user.email")
        if "did not match any file" in text or (child.returncode == 1 and not text.strip()):
            return _NothingToCommitError(f"git found nothing to commit in {root}")
        path = self._lock_in_the_way(child)
        if path:
            return GitError(f"another git is at work in {root}", f"run: passhelper doctor, should {path} stay")
        if "failed to sign" in text or "gpg failed" in text:
            return GitError(f"git could not sign the commit in {root}", "run: passhelper unlock")
        from passhelper.store import gitwords  # noqa: PLC0415 - only for a failure

        return gitwords.failure(root, "", child, self._deadline.most(self.seconds))

    def _lock_in_the_way(self, child: Child) -> str:
        """Read from git's complaint which lock file is held by another git; empty if it is about something else."""
        from passhelper.store import gitwords  # noqa: PLC0415 - only for a failure

        return gitwords.lock_in_the_way(self._repository, child.stderr)

    def _save_pending(self, paths: "list[str]") -> None:
        self._files.replace(self._repository.pending, git.lines(paths), self._repository.state, durable=False)


class _NothingToCommitError(GitError):
    """At least one path is not known to git, or nothing differs from the last commit."""


class _NoIdentityError(GitError):
    """git has no name to commit with; passhelper then commits under its own."""


def _is_script(path: str, text: str) -> bool:
    """Tell whether a file is this script already, so that another process that runs it is not disturbed."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _is_lasting(path: str) -> bool:
    """Tell whether a lock is older than a git takes that asks nobody. Whose it is, nobody can tell: it stays."""
    try:
        return time.time() - os.stat(path).st_mtime >= _LASTING
    except OSError:
        return False


def _is_on(settings: "Mapping[str, str]", name: str) -> bool:
    return settings.get(name, "").lower() in git.TRUE
