"""Automatic sync on the verb path: push after a commit, fetch before a miss, each within a few seconds.

Both are off unless ``git config passhelper.sync`` or ``PASSHELPER_SYNC`` names them (``push``, ``pull``). A remote that
is away, hangs or refuses costs seconds and a warning at most: no verb fails because of it. What could not be
pushed is noted in ``<git dir>/passhelper/unpushed`` and goes out with the next command that can.

A fetch only ever moves the store forward to a descendant of what is here, and only over entries: anything else that
came in (recipients, keys, other files, odd names, two histories) is left to ``passhelper sync``, which can ask.
"""

import os
import time

from passhelper import settings
from passhelper.errors import PasshelperError
from passhelper.store import repository as git
from passhelper.store.child import Child, finish
from passhelper.store.files import Files
from passhelper.store.lock import StoreLock
from passhelper.store.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.journal import Change
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

PAUSE = 60.0  # seconds after a fetch, failed or not, during which a miss asks nobody
SUBJECT = "Take over what others have changed\n\nPasshelper-Sync: merge"
_QUICK = 5.0  # seconds for a git that talks to nobody
_ASKED = "asked"  # in <git dir>/passhelper; its time is that of the last fetch
_MOST = 500  # files of one fast-forward; more than a few seconds of a verb are sync's
_LIMIT = 16 << 20  # bytes of their contents
_LISTING = 64 << 20  # bytes of a listing of all files, as for sync: 250,000 of them with paths of 256 bytes
_AHEAD = 3600  # seconds that a commit may be ahead of this clock, as for sync
_SAFE = "transfer.fsckObjects=true"


class _DoubtError(PasshelperError):
    """What came in needs a closer look, which ``passhelper sync`` takes."""


def push(store: "PassStore", repository: "Repository", config: "Mapping[str, str] | None" = None) -> None:
    """Push what is committed, if this clone does so by itself; the caller no longer holds the lock.

    Args:
        store: warned when the push failed, which is no failure of the verb.
        repository: where to push from.
        config: what ``git config --list`` says, if the caller knows it.
    """
    try:
        remote = _Remote(store, repository, config)
        why = remote.push() if remote.may("push") else ""
    except (PasshelperError, OSError) as error:
        why = str(error)
    if why:
        store.warn(f"changed here but not pushed, the next change or passhelper sync pushes it: {why}")


def pull(store: "PassStore") -> bool:
    """Fetch before a miss, if this clone does so by itself and has not just done it.

    Returns:
        whether the store may have changed, so that a second look is worth while.
    """
    try:
        store.check_user()
        repository = store.repository("")
        return repository is not None and _pull(store, repository)
    except (PasshelperError, OSError, ValueError):
        return False  # not found is still the right answer; sync will say what is wrong


def _pull(store: "PassStore", repository: "Repository") -> bool:
    asked = os.path.join(repository.state, _ASKED)
    if _is_recent(asked):
        return False
    Files(store.environ).make_directory(repository.state)
    # One process asks, and those that miss meanwhile wait for its answer.
    with StoreLock(repository.state, asked + ".lock", timeout=store.deadline.left(_seconds(store))):
        if _is_recent(asked):
            return True
        remote = _Remote(store, repository, None)
        if not remote.may("pull"):
            return False
        try:
            theirs = remote.fetch()
        finally:
            Files(store.environ).replace(asked, b"", repository.state, durable=False)
    changed = remote.forward(theirs)
    if os.path.exists(repository.unpushed):
        try:
            if remote.may("push"):
                remote.push()
        except (PasshelperError, OSError):
            pass  # a miss has nothing to say about it
    return changed


def _is_recent(path: str) -> bool:
    try:
        return 0 <= time.time() - os.stat(path).st_mtime < PAUSE
    except FileNotFoundError:
        return False


def _seconds(store: "PassStore") -> float:
    return settings.seconds(store.environ, settings.SYNC_TIMEOUT)


class _Remote:
    """The remote of a store's branch.

    Attributes:
        settings: what git is configured to.
    """

    def __init__(self, store: "PassStore", repository: "Repository", config: "Mapping[str, str] | None") -> None:
        self._store = store
        self._repository = repository
        self._program = git.program(store.environ)
        self._environ = git.environment(repository, store.environ)
        self._command = git.command(repository, self._program)
        self.settings: Mapping[str, str] = config or {}
        if config is None:
            found = self._answer("config", "--null", "--list").decode(errors="surrogateescape")
            self.settings = git.parse_settings(found)
        self._environ = git.environment(repository, store.environ, self.settings)
        self._name = self._branch = self._ref = self._tracking = ""

    def _find(self) -> None:
        """Find the branch and where it is shared: its own remote, else ``origin``, else the only one."""
        # Its exit status is 1 where HEAD is on no branch.
        branch = self._answer("symbolic-ref", "--quiet", "HEAD", codes=(0, 1)).decode(errors="surrogateescape").strip()
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
        """Tell whether this clone pushes or pulls by itself; a runner's never does.

        Raises:
            PasshelperError: git does not say where to; what is to be pushed is noted.
        """
        wanted = self._store.environ.get(settings.SYNC, "")
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
            os.unlink(self._repository.unpushed)
        return why

    def _note(self) -> None:
        # Not opened for writing: another member of a group may have made it.
        files = Files(self._store.environ)
        files.replace(self._repository.unpushed, b"", self._repository.state, durable=False)

    def _push(self) -> str:
        # Of the branch whose remote was looked for, and by its id: whoever switches to another one meanwhile would have
        # that pushed in its place.
        head = self._revision(self._branch)
        if not head:
            return "the branch has no commit"
        if head == self._revision(self._tracking):
            return ""  # sync has done it
        if not self._is_accepted():
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
            raise _DoubtError(self._why(child))
        return self._revision(f"{self._tracking}^{{commit}}")  # a server may give a tag a branch's name

    def forward(self, theirs: str) -> bool:
        """Take over what was fetched, if that is nothing but newer entries; True if the store has changed.

        Raises:
            PasshelperError: it is something else; nothing has changed.
        """
        head = self._revision("HEAD")
        if theirs in ("", head) or self._is_ancestor(theirs, head):
            return False
        from passhelper.store import journal, trust, unfinished  # after a fetch that brought something

        self._check_history(head, theirs)
        changes = self._changes(head, theirs)
        store, repository = self._store, self._repository
        with Transaction(store, repository, _seconds(store)):
            known = trust.load_all(repository.state)
            if unfinished.find(repository):
                raise _DoubtError("something is not finished here")
            if known is None or self._revision("HEAD") != head or not self._is_accepted():
                raise _DoubtError("something else has changed here")
            if known.commit and not self._is_ancestor(known.commit, theirs):
                raise _DoubtError("the history was rewritten")
            self._check_work_tree(head, changes)
            known.commit = theirs
            plan = journal.Plan(SUBJECT, changes)
            plan.commit, plan.previous = theirs, head
            plan.state = {trust.FILE: trust.text(known)}
            journal.write(store, repository, plan)
            journal.finish(store, repository)
        return True

    def _is_accepted(self) -> bool:
        """Tell whether every ``.gpg-id`` here is as it was accepted."""
        from passhelper.store import pinning, trust  # only with automatic sync

        known = trust.load_all(self._repository.state)
        return known is not None and pinning.current(self._store.root) == known.pins

    def _check_history(self, head: str, theirs: str) -> None:
        if not self._is_ancestor(head, theirs):
            raise _DoubtError("both sides have commits of their own")
        stamps = self._answer("rev-list", "--timestamp", theirs, f"^{head}").split(b"\n")
        if any(int(line.split()[0]) > time.time() + _AHEAD for line in stamps if line):
            raise _DoubtError("a commit comes from the future")

    def _changes(self, head: str, theirs: str) -> "list[Change]":
        """List the entries that differ, new ones first; anything that is no entry raises."""
        from passhelper.store import foreign
        from passhelper.store.journal import Change
        from passhelper.store.layout import SUFFIX

        # It prints while it looks, so a tree that names one folder over and over is no burden to it.
        self._answer("ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", theirs)
        fields = self._answer("diff-tree", "-r", "-z", "--raw", "--no-renames", head, theirs).split(b"\0")
        paths = [os.fsdecode(name) for name in fields[1::2]]
        if len(paths) > _MOST or len(set(paths)) < len(paths):
            raise _DoubtError("too much at once")
        folder = os.path.relpath(self._store.folder, self._repository.root).replace(os.sep, "/")
        blobs: dict[str, str] = {}
        gone: list[str] = []
        for facts, path in zip(fields[::2], paths, strict=False):
            _, mode, _, blob, status = facts.decode().split(" ")
            is_entry = path.endswith(SUFFIX) and (folder == "." or path.startswith(f"{folder}/"))
            if not is_entry or foreign.decides_readers(path):
                raise _DoubtError("more than entries has changed")
            if status == "D":
                gone.append(path)
            elif foreign.complaint(mode, path) or mode == foreign.PROGRAM:
                raise _DoubtError("a path is odd")
            else:
                blobs[path] = blob
        contents = self._contents(list(dict.fromkeys(blobs.values())))
        # Of each file, though several may have one content: each is written to the disk.
        if sum(len(contents[blob]) for blob in blobs.values()) > _LIMIT:
            raise _DoubtError("too much at once")
        if any(len(contents[blob]) > foreign.limit(path) for path, blob in blobs.items()):
            raise _DoubtError("a file is too large")
        return [*(Change(path, contents[blob]) for path, blob in blobs.items()), *(Change(path, None) for path in gone)]

    def _contents(self, blobs: "list[str]") -> "dict[str, bytes]":
        """Read objects from git."""
        found: dict[str, bytes] = {}
        if not blobs:
            return found
        answer = self._answer("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
        at = 0
        for blob in blobs:
            end = answer.index(b"\n", at)
            _, kind, size = answer[at:end].decode().split(" ")
            if kind != "blob":
                raise _DoubtError("a file is no file")
            found[blob] = answer[end + 1 : end + 1 + int(size)]
            at = end + 2 + int(size)
        return found

    def _check_work_tree(self, head: str, changes: "list[Change]") -> None:
        """Make sure that nobody's uncommitted work is in the way."""
        root = self._repository.root
        changed = self._answer("diff-index", "-z", "--name-only", "--no-renames", head)
        if changed:  # or only the times of files: status looks closer
            changed = self._answer("status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
        touched = {os.fsdecode(line[3:]) for line in changed.split(b"\0")}
        known = {os.fsdecode(name) for name in
                 self._answer("ls-tree", "-r", "-z", "--name-only", "--full-tree", head).split(b"\0")}  # fmt: skip
        for change in changes:
            if change.path in touched or (
                change.path not in known and os.path.lexists(os.path.join(root, change.path))
            ):
                raise _DoubtError("a file is in the way")
            place = os.path.dirname(os.path.join(root, change.path))
            while len(place) > len(root):
                if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
                    raise _DoubtError("a folder is no folder")
                place = os.path.dirname(place)

    # git

    def _ask(self, *arguments: str, stdin: bytes = b"") -> Child:
        child = git.start([*self._command, *arguments], self._environ, stdin=stdin, limit=_LISTING)
        finish([child], self._store.deadline.left(_QUICK))
        return child

    def _answer(self, *arguments: str, stdin: bytes = b"", codes: "tuple[int, ...]" = (0,)) -> bytes:
        """Give what git prints; any exit status but those is no answer."""
        child = self._ask(*arguments, stdin=stdin)
        if child.timed_out or child.returncode not in codes:
            raise _DoubtError(f"git {arguments[0]} failed")
        return bytes(child.stdout)

    def _revision(self, name: str) -> str:
        """Give the id that a name stands for; empty if that is nothing yet."""
        return self._answer("rev-parse", "--verify", "--quiet", name, codes=(0, 1)).decode().strip()

    def _is_ancestor(self, commit: str, of: str) -> bool:
        return self._ask("merge-base", "--is-ancestor", commit, of).returncode == 0

    def _talk(self, *arguments: str) -> Child:
        """Run a git that talks to the remote: no questions, in time, nothing left running."""
        command = [*self._command, "-c", _SAFE]
        environ = dict(self._environ)
        told = environ.get("GIT_SSH_COMMAND") or self.settings.get("core.sshcommand", "")
        if told or not environ.get("GIT_SSH"):
            environ["GIT_SSH_COMMAND"] = f"{told or 'ssh'} -oBatchMode=yes"
        seconds = self._store.deadline.left(_seconds(self._store))
        umask = os.umask(Files(self._store.environ).umask)
        try:
            child = git.start([*command, *arguments], environ, group=True)
            finish([child], seconds)
        finally:
            os.umask(umask)
        return child

    def _why(self, child: Child) -> str:
        """Say why a remote did not do what it was asked; empty if it did."""
        if child.timed_out:
            seconds = self._store.deadline.most(_seconds(self._store))
            return f"no answer from {self._name} within {seconds:g} s"
        if child.returncode == 0:
            return ""
        from passhelper.store import gitwords  # only for a failure

        return gitwords.reason(child.stderr, child.returncode)
