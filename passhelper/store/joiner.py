"""Commits that exist before they are the current one: merges, which a journal puts in place."""

import os
import time

from passhelper.store import repository as git
from passhelper.store.child import finish, start
from passhelper.store.commit import IDENTITY, OWN_IDENTITY, Committer, NoIdentityError, is_on, path_lines


class Joiner(Committer):
    """Makes and adopts merges; see :class:`passhelper.store.commit.Committer`."""

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
        settings = self._read_settings()
        begin = git.command(self._repository, self._program)
        commit = ["commit-tree", *(word for parent in parents for word in ("-p", parent)), "-F", "-"]
        begin += self._signing(settings, commit)
        if is_on(settings, "commit.gpgsign") and "--gpg-sign" not in commit:
            commit.append("--gpg-sign")  # which this command does not look up
        end = time.monotonic() + self.seconds
        text = message.encode(errors="surrogateescape")
        try:
            identity = OWN_IDENTITY if self._may_have_identity(settings) else IDENTITY
            made = self._run([*begin, *identity, *commit, tree], text, end)
        except NoIdentityError:
            made = self._run([*begin, *IDENTITY, *commit, tree], text, end)
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
        end = time.monotonic() + self.seconds
        umask = os.umask(self._files.umask)
        try:
            begin = git.command(self._repository, git.program(self._environ))
            self._repository.prepare(self._files)
            child = start([*begin, "rev-parse", "--verify", "--quiet", "HEAD"], self._child_environ)
            finish([child], self.seconds)
            if child.timed_out:
                raise self._failure(child)
            head = child.stdout.decode().strip() or "0" * len(previous)
            if head not in (commit, previous):
                return False
            if head != commit:
                self._run([*begin, "update-ref", "HEAD", commit, previous], b"", end)
            reset = ["reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul", commit]
            self._run([*begin, *reset], path_lines(self._paths), end)
        finally:
            os.umask(umask)
        self.cancel()
        return True
