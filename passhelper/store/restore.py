"""Puts back what git has undone before it was committed; see :mod:`passhelper.store.kept`."""

import os

from passhelper.errors import PasshelperError, StoreError
from passhelper.store import layout, unfinished
from passhelper.store import repository as git
from passhelper.store.binding import digest
from passhelper.store.content import held
from passhelper.store.files import Files
from passhelper.store.journal import Change, replay
from passhelper.store.kept import Kept, is_there, load, save
from passhelper.store.layout import SUFFIX
from passhelper.store.runner import Runner
from passhelper.store.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


_FILES = ("100644", "100755")  # git's modes of plain files


def _forget(repository: "Repository", files: "Files", kept: Kept, path: str) -> None:
    """Stop waiting for a file that can be neither put back nor committed, so that the others need not wait for it."""
    del kept.files[path]
    left = [other for other in repository.load_pending() if other != path]
    files.replace(repository.pending, git.lines(left), repository.state)
    save(repository, files, kept)


def restore(store: "PassStore", repository: "Repository") -> None:
    """Put back what git has undone before it was committed; the caller holds the store's lock.

    Nothing happens while something is unfinished in the repository: what git is going to do there is not yet known.
    Nor does anything where git does not answer: the copies stay, and so do the commits that wait for them.
    """
    if unfinished.find(repository):
        return
    kept = load(repository)
    log = unfinished.aborted(repository)
    if not log and is_there(repository, kept):
        return
    try:
        changes = _compared(kept, _Questions(store, repository), repository, log)
    except PasshelperError:
        return
    if kept.messages or kept.files:
        save(repository, Files(store.environ), kept)
    for change in changes:
        try:
            replay(store, repository, [change])
            is_back = held(repository.root, change.path) == change.data
        except StoreError:  # a link leads elsewhere
            is_back = False
        if is_back:
            store.warn(f"git had undone {change.path} before it was committed; it is again as it was stored")
        else:
            store.warn(f"git had undone {change.path} before it was committed, and something is in its place now")
            _forget(repository, Files(store.environ), kept, change.path)
    if log:
        line = log[log.rfind(b"\n", 0, log.rfind(b"(abort)")) + 1 : log.rfind(b"(abort)")]
        Files(store.environ).put(repository.aborted, line, repository.state, durable=False)


def _compared(kept: Kept, ask: "_Questions", repository: "Repository", log: bytes) -> "list[Change]":
    """Find out what git has undone, and forget the copies of what somebody has changed since."""
    if log:
        _add_dropped(kept, ask, log)
    changes = []
    for path, (data, stamp) in list(kept.files.items()):
        current = held(repository.root, path)
        if current == data:
            continue
        is_undone = current == ask.committed(path) and ask.changed(path) <= stamp
        if is_undone and (data is None or not ask.has_been_committed(path, data)):
            changes.append(Change(path, data, "" if current is None else digest(current)))
        else:
            del kept.files[path]
    return changes


def undone(store: "PassStore", repository: "Repository") -> "list[Entry]":
    """List the entries that wait for their commit and are not on the disk, since git has undone them."""
    found = []
    folder = os.path.relpath(store.folder, repository.root)
    for path, (data, _) in load(repository).files.items():
        name, _, file = (path if folder == "." else path.removeprefix(folder + os.sep)).partition(os.sep)
        server, username = layout.decode_server(name), layout.decode_username(file.replace(os.sep, "/"))
        if data is not None and server and username and held(repository.root, path) is None:
            found.append(Entry(server, username, os.path.join(repository.root, path)))
    return found


def _add_dropped(kept: Kept, ask: "_Questions", log: bytes) -> None:
    """Keep what was committed while a rebase began that was then aborted: the branch no longer has it."""
    made: list[str] = []
    dropped: list[str] = []
    for line in log.split(b"\n"):
        ids, _, what = line.decode(errors="replace").partition("\t")
        if what.startswith("commit"):
            made = [*(made[:-1] if what.startswith("commit (amend)") else made), *ids.split()[1:2]]
        elif "(abort)" in what:
            dropped += made
            made = []
        elif "(finish)" in what or what.startswith(("reset:", "checkout:")):  # the user's own decision
            made = []
    for commit in dropped:
        if ask.is_in_head(commit):
            continue
        message, stamp, changes = ask.commit(commit)
        paths = []
        for path, (before, data) in changes.items():
            current, since = kept.files.get(path) or (ask.committed(path), ask.changed(path))
            # What it has changed is what is there now, or the later one counts: times alone are whole seconds.
            if before == current or since < stamp:
                kept.files[path] = (data, stamp)
                paths.append(path)
        if paths:
            kept.messages.append((message, paths))


class _Questions(Runner):
    """What git knows about some files. A git that fails says neither yes nor no: then each of these raises."""

    SECONDS = 10.0
    LIMIT = 4 << 20
    FETCHES = False

    def __init__(self, store: "PassStore", repository: "Repository") -> None:
        super().__init__(repository, store.environ, store.deadline)
        self._folder = os.path.relpath(store.folder, repository.root).replace(os.sep, "/")
        self._head = self.run("rev-parse", "--verify", "--quiet", "HEAD", codes=(0, 1)).strip().decode()

    def committed(self, path: str) -> "bytes | None":
        """Read a file of the last commit."""
        if not self._head:
            return None
        facts = self.run("ls-tree", "-z", self._head, "--", path).partition(b"\t")[0].split()
        return self._blob(facts[2].decode()) if facts and facts[1] == b"blob" else None

    def changed(self, path: str) -> int:
        """Return when the last change of a file that is committed was made; a rebase keeps that time."""
        if not self._head:
            return 0
        words = self.run("log", "-1", "--no-show-signature", "--format=%at", self._head, "--", path).split()
        return int(words[0]) if words else 0

    def has_been_committed(self, path: str, data: bytes) -> bool:
        """Return whether the branch once had these bytes there: all that came after them was decided after them.

        Times do not tell it where a clock is behind, or where a merge took an earlier erasure.
        """
        if not self._head:
            return False
        blob = self.run("hash-object", "--stdin", stdin=data).decode().strip()
        find = ("log", "-1", "-m", "--full-history", "--no-show-signature", "--format=%H", f"--find-object={blob}")
        return bool(self.run(*find, self._head, "--", path).strip())

    def is_in_head(self, commit: str) -> bool:
        """Return whether a commit is part of the branch, or not here at all."""
        child = self.ask("merge-base", "--is-ancestor", commit, "HEAD")
        if child.timed_out or child.returncode not in (0, 1, 128):
            raise self.failure("merge-base", child)
        return child.returncode != 1

    def commit(self, commit: str) -> "tuple[str, int, dict[str, tuple[bytes | None, bytes | None]]]":
        """Read a commit's message, its author's time, and the entries that it changed: before it, and in it."""
        said = self.run("log", "-1", "--no-show-signature", "--format=%at%n%B", commit)
        stamp, _, message = said.decode(errors="replace").partition("\n")
        listing = self.run("diff-tree", "--root", "--no-commit-id", "-r", "-z", "--raw", "--no-renames", commit)
        fields = listing.split(b"\0")
        found: dict[str, tuple[bytes | None, bytes | None]] = {}
        for facts, name in zip(fields[::2], fields[1::2], strict=False):
            path = os.fsdecode(name)
            old_mode, mode, old, new, status = facts.decode().lstrip(":").split()
            is_file = status == "D" or mode in _FILES
            if is_file and path.endswith(SUFFIX) and (path.startswith(f"{self._folder}/") or self._folder == "."):
                before = self._blob(old) if old_mode in _FILES else None
                found[path.replace("/", os.sep)] = before, None if status == "D" else self._blob(new)
        return message.strip(), int(stamp or 0), found

    def _blob(self, name: str) -> bytes:
        return self.run("cat-file", "blob", name)
