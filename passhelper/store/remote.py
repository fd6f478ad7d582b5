"""The remote of a store's branch, for automatic sync: what it has, pushing to it, fetching from it, in time."""

import os

from passhelper import settings
from passhelper.errors import PasshelperError
from passhelper.store import repository as git
from passhelper.store.files import Files
from passhelper.store.runner import Runner, shared_branch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


class DoubtError(PasshelperError):
    """What came in needs a closer look, which ``passhelper sync`` takes."""


def patience(store: "PassStore") -> float:
    """Read how many seconds an automatic fetch or push may take."""
    return settings.seconds(store.environ, settings.SYNC_TIMEOUT)


class Remote(Runner):
    """The remote of a store's branch, and git in the store's repository.

    Args:
        store: the store.
        repository: its repository.
        config: what git is configured to, if the caller knows it.
    """

    SECONDS = 5.0

    def __init__(self, store: "PassStore", repository: "Repository", config: "Mapping[str, str] | None") -> None:
        super().__init__(repository, store.environ, store.deadline, config)
        self.store = store
        self._name = self._branch = self._ref = self.tracking = ""

    def _find(self) -> None:
        """Find the branch and where it is shared; nothing where HEAD is on no branch."""
        branch = self.branch()
        name, ref = shared_branch(self.settings, branch)
        if branch and name:
            self._name, self._branch, self._ref = name, f"refs/heads/{branch}", ref
            self.tracking = f"refs/remotes/{name}/{ref.removeprefix('refs/heads/')}"

    def may(self, verb: str) -> bool:
        """Return whether this clone pushes or pulls by itself; a runner's never does.

        Raises:
            PasshelperError: git does not say where to; what is to be pushed is noted.
        """
        wanted = self.store.environ.get(settings.SYNC, "")
        name = settings.SYNC if wanted else "git config passhelper.sync"
        wanted = wanted or self.settings.get("passhelper.sync", "")
        words = settings.sync_words(wanted, name) if wanted else []
        is_runner = self.settings.get("passhelper.ci", "").lower() in git.TRUE
        if is_runner or verb not in words:
            return False
        if not self._name:
            try:
                self._find()
            except PasshelperError:
                if verb == "push":
                    self._note()
                raise
        return bool(self._name)

    def push(self) -> str:
        """Push the branch; gives the reason why not, empty if it was. Until then, a note says that it is to be done."""
        self._note()
        why = self._push()
        if not why:
            os.unlink(self.repository.unpushed)
        return why

    def _note(self) -> None:
        # Not opened for writing: another member of a group may have made it.
        files = Files(self.store.environ)
        files.replace(self.repository.unpushed, b"", self.repository.state, durable=False)

    def _push(self) -> str:
        # Of the branch whose remote was looked for, and by its id: whoever switches to another one meanwhile would have
        # that pushed in its place.
        head = self.revision(self._branch)
        if not head:
            return "the branch has no commit"
        if head == self.revision(self.tracking):
            return ""  # sync has done it
        if not self.is_accepted():
            return "the recipients here are not the accepted ones"
        return self._talk(*git.PUSH, "--quiet", "--", self._name, f"{head}:{self._ref}")

    def fetch(self) -> str:
        """Fetch the branch; gives its newest commit.

        Raises:
            PasshelperError: the remote does not answer.
        """
        why = self._talk(*git.FETCH, "--", self._name, f"+{self._ref}:{self.tracking}")
        if why:
            raise DoubtError(why)
        return self.revision(f"{self.tracking}^{{commit}}")  # a server may give a tag a branch's name

    def behind(self, theirs: str) -> str:
        """Give our newest commit if one of the remote is not part of it; else nothing."""
        head = self.revision("HEAD")
        return "" if theirs in ("", head) or self.is_ancestor(theirs, head) else head

    def is_accepted(self) -> bool:
        """Return whether every ``.gpg-id`` here is as it was accepted."""
        from passhelper.store import pinning, trust  # only with automatic sync

        known = trust.load_all(self.repository.state)
        return known is not None and pinning.current(self.store.root) == known.pins

    def revision(self, name: str) -> str:
        """Give the id that a name stands for; empty if that is nothing yet."""
        return self.run("rev-parse", "--verify", "--quiet", name, codes=(0, 1)).decode().strip()

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Return whether one commit is part of the history of another."""
        return self.ask("merge-base", "--is-ancestor", commit, of).returncode == 0

    def _talk(self, *arguments: str) -> str:
        """Ask the remote for something; gives the reason why it did not do it, empty if it did."""
        child = self.talk(*arguments, seconds=self._deadline.left(patience(self.store)))
        if child.timed_out:
            seconds = self._deadline.most(patience(self.store))
            return f"no answer from {self._name} within {seconds:g} s"
        if child.returncode == 0:
            return ""
        from passhelper.store import gitwords  # only for a failure

        return gitwords.reason(child.stderr, child.returncode)
