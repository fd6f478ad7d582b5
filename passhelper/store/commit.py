"""The git commit after a change: two git children, bounded in time, and nothing lost when they fail.

The credential is on disk before git is asked. If git cannot commit it (no git, a hung signing key, somebody's
``index.lock``, a rebase that is not finished, a kill), that only costs a warning: the paths were written down in
``<git dir>/passhelper/pending`` before they changed and go into the next commit that works (pain T1). A lock of git's
is never removed, because somebody may hold it.
"""

import os

from passhelper.errors import GitError, PasshelperError
from passhelper.settings import Deadline
from passhelper.store import commitgit, layout, unfinished
from passhelper.store import repository as git
from passhelper.store.child import finish
from passhelper.store.commitgit import SHORT, CommitGit, NoIdentityError, NothingToCommitError, is_on
from passhelper.store.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from passhelper.store.repository import Repository

TIMEOUT = 10.0  # seconds for one commit of a few files
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
        deadline = deadline or Deadline(environ, shared=False)
        self._git = CommitGit(repository, environ, files, deadline, TIMEOUT)
        self._before: list[str] = []
        self._paths: list[str] = []
        self._own: list[str] = []
        self._has_new = True
        self.has_committed = False

    def begin(self) -> None:
        """Ask git for its settings, which it tells while files are written; :meth:`commit` does so at the latest."""
        self._git.begin()

    def allow(self, seconds: float) -> None:
        """Give the commit more time, for many files."""
        self._git.seconds += seconds

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

    def commit(self, subject: str) -> bool:
        """Commit what was planned and has happened; the caller still holds the store's lock.

        Never raises for a commit that fails: the credential is stored, so the verb has succeeded. What could
        not be committed is kept, so that nothing which git does meanwhile can undo it.

        Args:
            subject: the commit's first line; what follows it names nobody.

        Returns:
            whether it is committed, and nothing that git does now can undo it.
        """
        trouble = unfinished.find(self._repository)
        if trouble:
            lost = self._keep(subject)
            self._warn(
                f"changed but not committed, the next change after that or passhelper sync will: {trouble}{lost}"
            )
            return False
        umask = os.umask(self._files.umask)
        try:
            self._commit_all(subject)
            os.unlink(self._repository.pending)
            if os.path.exists(self._repository.kept):
                os.unlink(self._repository.kept)
            self.has_committed = True
        except (PasshelperError, OSError) as error:
            self._unstage()
            lost = self._keep(subject)
            self._warn(f"changed but not committed, the next change will commit it: {error}{lost}")
            return False
        except BaseException:  # interrupted, maybe at the prompt for the passphrase of a key that signs
            self._keep(subject)
            raise
        finally:
            os.umask(umask)
        trouble = unfinished.find(self._repository)
        if trouble:  # it has begun meanwhile, and its end may put the branch back to what it was before
            lost = self._keep(subject)
            self._warn("changed and committed, but a git operation that has begun meanwhile may undo it; the next "
                       f"change puts it back: {trouble}{lost}")  # fmt: skip
        return not trouble

    def _keep(self, subject: str) -> str:
        """Copy what waits for its commit to where git does not look; says what follows if that cannot be done."""
        from passhelper.store import kept  # only where git could not commit

        try:
            kept.add(self._repository, self._files, subject, self._own)
        except OSError as error:  # the paths are on the list of pending ones
            why = error.strerror or error
            return (
                f"; no copy of it could be kept ({why}), so until then git loses it when it aborts or resets anything"
            )
        return ""

    def _unstage(self) -> None:
        """Take our files out of git's index: what is staged goes when git is told to abort or to reset something."""
        if not self._has_new or self._git.trouble is not None:
            return
        argv = [*git.command(self._repository, self._git.program), *git.without_filters(self.settings()), "reset"]
        try:
            argv += ["--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"]
            child = git.start(argv, self._git.child_environ, stdin=git.lines(self._paths))
            finish([child], SHORT)
        except PasshelperError:
            pass  # git is not there, so it has staged nothing

    def _commit_all(self, subject: str) -> None:
        """Commit what is planned together with what waits; a change that a merge treats in its own way goes alone."""
        if not os.path.exists(self._repository.kept):
            self._commit(self._paths, subject)
            return
        from passhelper.store import kept  # only after a commit that failed

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
        if self._git.trouble is not None:
            raise self._git.trouble
        end = self._git.end()
        settings = self._git.read_settings(end)
        commit = ["commit-tree", *(word for parent in parents for word in ("-p", parent)), "-F", "-"]
        begin = [*git.command(self._repository, self._git.program), *self._git.signing(settings, commit)]
        if is_on(settings, "commit.gpgsign") and "--gpg-sign" not in commit:
            commit.append("--gpg-sign")  # which this command does not look up
        text = commitgit.with_trailer(settings, message).encode(errors="surrogateescape")
        try:
            identity = _OWN_IDENTITY if self._git.may_have_identity(settings) else _IDENTITY
            made = self._git.run([*begin, *identity, *commit, tree], text, end)
        except NoIdentityError:
            made = self._git.run([*begin, *_IDENTITY, *commit, tree], text, end)
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
        end = self._git.end()
        umask = os.umask(self._files.umask)
        try:
            begin = [*git.command(self._repository, git.program(self._environ)), *git.without_filters(self.settings())]
            self._repository.prepare(self._files)
            head = self._git.head(begin, end) or "0" * len(previous)
            if head not in (commit, previous):
                return False
            if head != commit:
                self._git.run([*begin, "update-ref", "HEAD", commit, previous], b"", end)
            self._git.take_into_index(begin, self._paths, commit, end)
        finally:
            os.umask(umask)
        self.cancel()
        return True

    def close(self) -> None:
        """Collect the question to git, if nothing was committed."""
        self._git.close()

    def settings(self) -> "Mapping[str, str]":
        """Return what git is configured to. Empty where git could not be asked."""
        self.begin()
        try:
            return self._git.read_settings(self._git.end())
        except PasshelperError:
            return {}

    def has_pending(self) -> bool:
        """Return whether an earlier change waits for its commit."""
        return bool(self._repository.load_pending())

    def _commit(self, paths: "list[str]", subject: str, others: "Sequence[str]" = ()) -> None:
        self.begin()
        if self._git.trouble is not None:
            raise self._git.trouble
        self._repository.prepare(self._files)
        end = self._git.end()
        settings = self._git.read_settings(end)
        subject = commitgit.in_words(settings, subject, others)
        has_hooks = is_on(settings, "passhelper.hooks")
        if has_hooks:
            self._git.open_to_hooks(settings)
        begin = git.command(self._repository, self._git.program, hooks=has_hooks)
        begin += git.without_filters(settings)
        if any(layout.twin(self._repository.root, path) for path in paths):
            self._commit_twins(begin, paths, subject, end)
            return
        if is_on(settings, "core.ignorecase"):
            from passhelper.store import twins  # only on a disk that takes two names for one, or was

            if twins.differ_in_case(self._repository, paths):
                begin += ["-c", "core.ignorecase=false"]
        if self._has_new:  # commit --only takes what git knows, changed or gone, without this
            self._git.add(begin, paths, end)
        # Every user of the machine can read arguments, and a message names servers: it goes through the pipe.
        commit = ["commit", "--quiet", "--no-status", "--only", "--file=-", "--pathspec-file-nul"]
        begin += self._git.signing(settings, commit)
        identity = _OWN_IDENTITY if self._git.may_have_identity(settings) else _IDENTITY
        self._commit_until_done((begin, identity, commit), commitgit.with_trailer(settings, subject), paths, end)

    def _commit_twins(self, begin: "list[str]", paths: "list[str]", subject: str, end: float) -> None:
        """Commit where the disk takes two of the paths for one."""
        from passhelper.store import twins  # only on such a disk

        def run(arguments: "list[str]", stdin: bytes, more: "Mapping[str, str] | None" = None) -> bytes:
            return self._git.run([*begin, *arguments], stdin, end, more)

        previous = self._git.head(begin, end)
        tree = twins.write_tree(self._repository, paths, previous, run)
        commit = self.join(tree, [previous] if previous else [], subject)
        self._git.run([*begin, "update-ref", "HEAD", commit, previous or "0" * len(commit)], b"", end)
        self._git.take_into_index(begin, paths, commit, end)

    def _commit_until_done(
        self, parts: "tuple[list[str], tuple[str, ...], list[str]]", message: str, paths: "list[str]", end: float
    ) -> None:
        """Commit; where git has a reason not to that can be removed, remove it and try again."""
        begin, identity, commit = parts
        text = message.encode(errors="surrogateescape")
        while True:
            try:
                listed = f"--pathspec-from-file={self._listed(paths)}"
                self._git.run([*begin, *identity, *commit, listed], text, end)
                return
            except NoIdentityError:
                if identity == _IDENTITY:
                    raise
                identity = _IDENTITY
            except NothingToCommitError:
                if not self._has_new:  # what was there had never been added
                    self._has_new = True
                    self._git.add(begin, paths, end)
                    continue
                # A path that git never knew and that is gone again, or one that was committed meanwhile. Or somebody's
                # rebase has begun since and has put the index back: what is not in it would pass for unchanged.
                self._git.add(begin, paths, end)
                changed = self._git.changed(begin, paths, end)
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

    def _save_pending(self, paths: "list[str]") -> None:
        self._files.replace(self._repository.pending, git.lines(paths), self._repository.state, durable=False)
