"""A change of many files that happens completely or not at all, even if the program is killed.

The new contents of all files are first written into one journal, in one step. Until that is on the disk nothing has
changed. From then on the change will be made: the writer of the journal, or whoever takes the store's lock next (a
verb too), puts the files in place one by one, commits, and removes the journal. At every moment each file is either
the old one or the new one.

The journal is ``<git dir>/passhelper/journal``, or ``.passhelper.journal`` beside the servers where there is no
git: one line of JSON, then the new contents one after the other. It names what each file held before, so
that what another program has written meanwhile is never undone.
"""

import os

from passhelper.errors import GitError, PasshelperError, StoreError
from passhelper.jsontext import parse, render
from passhelper.store import unfinished
from passhelper.store.binding import digest
from passhelper.store.content import held, read
from passhelper.store.files import Files, remove_empty, remove_hollow, sync_directory
from passhelper.store.layout import twin
from passhelper.store.workspace import committer_for, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.commit import Committer
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

VERSION = 1
_SECONDS = 0.02  # more for git to commit each file, beside its usual time
_GONE = -1  # in place of a size: the file is removed


class Change:
    """What one file will be.

    Attributes:
        path: relative to the repository's work tree, or to the store where there is no git.
        data: its new content, None to remove it.
        before: the digest of what it holds when the journal is written; empty if it is not there.
    """

    __slots__ = ("before", "data", "path")

    def __init__(self, path: str, data: "bytes | None", before: str = "") -> None:
        self.path = path
        self.data = data
        self.before = before


class Plan:
    """A change of many files.

    Args:
        subject: of the commit.
        changes: the files, in the order in which they are to change.

    Attributes:
        state: new contents of files in ``repository.state``, by name; they change first and are not committed.
        before: the digests of what those hold when the journal is written; empty for one that is not there.
        commit: a commit that exists already and holds exactly this change, to be taken instead of a new one.
        previous: where HEAD is while ``commit`` is not yet taken; ``"0" * 40`` before the first commit.
    """

    def __init__(self, subject: str, changes: "Sequence[Change]") -> None:
        self.subject = subject
        self.changes = changes
        self.state: dict[str, bytes] = {}
        self.before: dict[str, str] = {}
        self.commit = ""
        self.previous = ""


def write(store: "PassStore", repository: "Repository | None", plan: Plan) -> None:
    """Write a journal; from here on the change will happen, and :func:`finish` makes it happen now.

    The caller has held the store's lock since before it decided what to change, and holds it until ``finish``
    is done. All files are in the one repository, if there is one.

    Raises:
        GitError: something in the repository is not finished, or another journal; nothing has changed.
        OSError: it cannot be written; nothing has changed.
    """
    base = _base(store, repository)
    if repository is not None:
        unfinished.refuse(repository)
    if os.path.exists(store.journal(repository)):  # whoever took the lock should have finished it
        raise GitError(f"another change of many files in {base} is not finished", "try again")
    contents = list(plan.state.values())
    files: list[list[object]] = []
    for change in plan.changes:
        before = _digest(held(base, change.path))
        files.append([change.path, before, _GONE if change.data is None else len(change.data)])
        contents.append(change.data or b"")
    path = store.journal(repository)
    folder = os.path.dirname(path)
    header = {
        "version": VERSION,
        "subject": plan.subject,
        "commit": plan.commit,
        "previous": plan.previous,
        "state": [[name, len(data), _digest(read(os.path.join(folder, name)))] for name, data in plan.state.items()],
        "files": files,
    }
    Files(store.environ).put(path, b"".join([render(header).encode(), b"\n", *contents]), folder)


def finish(store: "PassStore", repository: "Repository | None") -> bool:
    """Make the change that the journal describes, if there is one; the caller holds the store's lock.

    Returns:
        whether nothing is left to do; False if its commit could not be made, which is a warning, and waits.

    Raises:
        GitError: git cannot do its part now, or something in the repository is not finished; the journal stays.
        StoreError: the journal is damaged, or a path in it leads out of the store.
        OSError: a file cannot be written; the journal stays for the next one who tries.
    """
    path = store.journal(repository)
    text = read(path)
    if text is None:
        return True
    if repository is not None:
        unfinished.refuse(repository)
    written = os.stat(path).st_mtime
    sweep(store, repository)
    plan = _parse(path, text)
    del text
    base = _base(store, repository)
    targets = [_target(base, change.path, path) for change in plan.changes]
    committer = committer_for(store, repository)
    try:
        if committer is not None:
            committer.allow(len(targets) * _SECONDS)
            committer.begin()
            committer.plan(targets)
        _replay_state(store, plan, os.path.dirname(path), written)
        replay(store, repository, plan.changes)
        is_committed = committer is None or _commit(committer, plan, base)
        os.unlink(path)
        sync_directory(os.path.dirname(path))
        return is_committed
    finally:
        if committer is not None:
            committer.close()


def _commit(committer: "Committer", plan: Plan, base: str) -> bool:
    """Take the commit that exists already, or make one."""
    try:
        is_done = bool(plan.commit) and committer.adopt(plan.commit, plan.previous)
    except PasshelperError as error:
        # Whoever has the lock must not go on: what it would decide now, the journal would undo.
        committer.cancel()
        raise GitError(
            f"a merge in {base} has begun and cannot be finished now: {error}",
            "run: passhelper sync, once git can work there",
        ) from error
    return is_done or committer.commit(plan.subject)


def _parse(path: str, text: bytes) -> Plan:
    end = text.find(b"\n") + 1
    first, left = text[:end], memoryview(text)[end:]  # no copy: it may be large

    def take(size: int) -> bytes:
        nonlocal left
        taken, left = bytes(left[:size]), left[size:]
        if len(taken) != size:
            raise ValueError("it ends too early")
        return taken

    try:
        document = parse(first.decode())
        if not isinstance(document, dict) or document["version"] != VERSION:
            raise ValueError("unknown format")
        plan = Plan(document["subject"], [])
        plan.commit, plan.previous = document["commit"], document["previous"]
        for name, size, *before in document["state"]:
            plan.state[name] = take(size)
            if before:
                plan.before[name] = str(before[0])
        plan.changes = [
            Change(name, None if size == _GONE else take(size), before) for name, before, size in document["files"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    return plan


def _digest(data: "bytes | None") -> str:
    return "" if data is None else digest(data)


def _damaged(path: str, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}", "remove it, then run: passhelper recipients check")


def _base(store: "PassStore", repository: "Repository | None") -> str:
    return store.root if repository is None else repository.root


def _target(base: str, name: str, journal: str) -> str:
    """Give a file's absolute path, if that is inside and no link on the way leads elsewhere."""
    parts = name.split(os.sep)
    inside = not os.path.isabs(name) and not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
    folder = os.path.dirname(os.path.join(base, name))
    if not inside or os.path.realpath(folder) != os.path.join(os.path.realpath(base), *parts[:-1]).rstrip(os.sep):
        raise _damaged(journal, f"{name!r} is not a path in the store")
    return os.path.join(base, name)


def _replay_state(store: "PassStore", plan: Plan, folder: str, written: float) -> None:
    """Put the files beside the repository in place, except those that have changed since the journal was written."""
    files = Files(store.environ)
    for name, data in plan.state.items():
        path = os.path.join(folder, os.path.basename(name))
        current = read(path)
        before = plan.before.get(name)
        if before is not None:
            is_other = before != _digest(current)
        else:  # an earlier version, which did not write down what it replaces
            is_other = current is not None and os.stat(path).st_mtime > written
        if current == data:
            continue
        if is_other:
            store.warn(f"{path} was changed since and left as it is")
        else:
            files.replace(path, data, folder)


def replay(store: "PassStore", repository: "Repository | None", changes: "Sequence[Change]") -> None:
    """Put every file in place that is not yet what it will be; the caller holds the store's lock.

    Raises:
        StoreError: a path leads out of the store.
        OSError: a file cannot be written.
    """
    base, journal = _base(store, repository), store.journal(repository)
    for change in changes:
        _target(base, change.path, journal)
    folder = os.path.dirname(journal)
    files = Files(store.environ)
    waiting: list[tuple[str, bytes]] = []
    for change in changes:
        target = os.path.join(base, change.path)
        if change.data is None:  # in its turn: what takes its place is there first
            files.replace_many(waiting, folder)
            waiting = []
        current = held(base, change.path)
        is_other = current != change.data and _digest(current) != change.before
        if is_other or (change.data is not None and not _has_room(base, target)):
            store.warn(f"{change.path} was written by another program meanwhile and left as it is")
        elif change.data is None:
            if current is not None:
                try:
                    os.unlink(target)
                except FileNotFoundError:
                    pass  # somebody, git for one, was quicker
                sync_directory(os.path.dirname(target))
            remove_empty(os.path.dirname(target), base)
        elif current != change.data:
            waiting.append((target, change.data))
    files.replace_many(waiting, folder)


def _has_room(base: str, target: str) -> bool:
    """Return whether a file can be put in its place; folders there are removed if no file is in them."""
    above = os.path.dirname(target)
    while above.startswith(base + os.sep) and not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        return False
    if twin(base, os.path.relpath(target, base)):
        return False  # it would go into what has another name
    if os.path.islink(target) or not os.path.isdir(target):
        return True
    return remove_hollow(target)
