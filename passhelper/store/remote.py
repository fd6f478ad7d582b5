"""The remote of a store's branch, for automatic sync: what it has, pushing to it, fetching from it, in time."""

import os

from passhelper import settings
from passhelper.errors import PasshelperError
from passhelper.store import repository as git
from passhelper.store.child import Child, finish
from passhelper.store.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

_QUICK = 5.0  # seconds for a git that talks to nobody
_LISTING = 64 << 20  # bytes of a listing of all files, as for sync: 250,000 of them with paths of 256 bytes
_SAFE = "transfer.fsckObjects=true"


class DoubtError(PasshelperError):
    """What came in needs a closer look, which ``passhelper sync`` takes."""


def patience(store: "PassStore") -> float:
    """Read how many seconds an automatic fetch or push may take."""
    return settings.seconds(store.environ, settings.SYNC_TIMEOUT)


class Remote:
    """The remote of a store's branch.

    Attributes:
        settings: what git is configured to.
    """

    def __init__(self, store: "PassStore", repository: "Repository", config: "Mapping[str, str] | None") -> None:
        self.store = store
        self.repository = repository
        self._program = git.program(store.environ)
        self._environ = git.environment(repository, store.environ)
        self._command = git.command(repository, self._program)
        self.settings: Mapping[str, str] = config or {}
        if config is None:
            found = self.answer("config", "--null", "--list").decode(errors="surrogateescape")
            self.settings = git.parse_settings(found)
        self._environ = git.environment(repository, store.environ, self.settings)
        self._name = self._branch = self._ref = self._tracking = ""

    def _find(self) -> None:
        """Find the branch and where it is shared: its own remote, else ``origin``, else the only one."""
        # Its exit status is 1 where HEAD is on no branch.
        branch = self.answer("symbolic-ref", "--quiet", "HEAD", codes=(0, 1)).decode(errors="surrogateescape").strip()
        short = branch.removeprefix("refs/heads/")
        names = [key[len("remote.") : -len(".url")] for key in self.settings
                 if key.startswith("remote.") and key.endswith(".url")]  # fmt: skip
        name = self.settings.get(f"branch.{short}.remote") or ("origin" if "origin" in names else "")
        if not name and len(names) == 1:
            name = names[0]
        if branch and name:
            self._name = name
            self._branch = branch
            self._ref = self.settings.get(f"branch.{short}.merge") or branch
            self._tracking = f"refs/remotes/{name}/{self._ref.removeprefix('refs/heads/')}"

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
        if head == self.revision(self._tracking):
            return ""  # sync has done it
        if not self.is_accepted():
            return "the recipients here are not the accepted ones"
        child = self._talk(*git.PUSH, "--quiet", "--", self._name, f"{head}:{self._ref}")
        return self._why(child)

    def fetch(self) -> str:
        """Fetch the branch; gives its newest commit.

        Raises:
            PasshelperError: the remote does not answer.
        """
        child = self._talk("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--refmap=", "--", self._name,
                           f"+{self._ref}:{self._tracking}")  # fmt: skip
        if child.returncode != 0:
            raise DoubtError(self._why(child))
        return self.revision(f"{self._tracking}^{{commit}}")  # a server may give a tag a branch's name

    def behind(self, theirs: str) -> str:
        """Give our newest commit if one of the remote is not part of it; else nothing."""
        head = self.revision("HEAD")
        return "" if theirs in ("", head) or self.is_ancestor(theirs, head) else head

    def is_accepted(self) -> bool:
        """Return whether every ``.gpg-id`` here is as it was accepted."""
        from passhelper.store import pinning, trust  # only with automatic sync

        known = trust.load_all(self.repository.state)
        return known is not None and pinning.current(self.store.root) == known.pins

    # git

    def _ask(self, *arguments: str, stdin: bytes = b"") -> Child:
        child = git.start([*self._command, *arguments], self._environ, stdin=stdin, limit=_LISTING)
        finish([child], self.store.deadline.left(_QUICK))
        return child

    def answer(self, *arguments: str, stdin: bytes = b"", codes: "tuple[int, ...]" = (0,)) -> bytes:
        """Give what git prints; any exit status but those is not an answer."""
        child = self._ask(*arguments, stdin=stdin)
        if child.timed_out or child.returncode not in codes:
            raise DoubtError(f"git {arguments[0]} failed")
        return bytes(child.stdout)

    def revision(self, name: str) -> str:
        """Give the id that a name stands for; empty if that is nothing yet."""
        return self.answer("rev-parse", "--verify", "--quiet", name, codes=(0, 1)).decode().strip()

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Return whether one commit is part of the history of another."""
        return self._ask("merge-base", "--is-ancestor", commit, of).returncode == 0

    def _talk(self, *arguments: str) -> Child:
        """Run a git that talks to the remote: no questions, in time, nothing left running."""
        command = [*self._command, "-c", _SAFE]
        environ = dict(self._environ)
        told = environ.get("GIT_SSH_COMMAND") or self.settings.get("core.sshcommand", "")
        if told or not environ.get("GIT_SSH"):
            environ["GIT_SSH_COMMAND"] = f"{told or 'ssh'} -oBatchMode=yes"
        seconds = self.store.deadline.left(patience(self.store))
        umask = os.umask(Files(self.store.environ).umask)
        try:
            child = git.start([*command, *arguments], environ, group=True)
            finish([child], seconds)
        finally:
            os.umask(umask)
        return child

    def _why(self, child: Child) -> str:
        """Say why a remote did not do what it was asked; empty if it did."""
        if child.timed_out:
            seconds = self.store.deadline.most(patience(self.store))
            return f"no answer from {self._name} within {seconds:g} s"
        if child.returncode == 0:
            return ""
        from passhelper.store import gitwords  # only for a failure

        return gitwords.reason(child.stderr, child.returncode)
