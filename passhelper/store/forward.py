"""Takes over what automatic sync has fetched, if that is a descendant of what is here and only entries differ."""

import os
import time

from passhelper.store import journal, treepolicy, trust, unfinished
from passhelper.store.journal import Change
from passhelper.store.layout import SUFFIX
from passhelper.store.remote import DoubtError, Remote, patience
from passhelper.store.repository import STATUS, changed_paths
from passhelper.store.transaction import Transaction

# Of the commit that keeps a change of others, should HEAD have moved on before a pull or a sync that was killed is
# finished: the next merge then knows that nobody here has decided anything by it.
SUBJECT = "Take over what others have changed\n\nPasshelper-Sync: merge"
_MOST = 500  # files of one fast-forward; more than a few seconds of a verb are sync's
_LIMIT = 16 << 20  # bytes of their contents


def forward(remote: Remote, head: str, theirs: str) -> None:
    """Take over new commits that were fetched, if they only change entries.

    Args:
        remote: where it came from.
        head: our newest commit.
        theirs: the remote's newest commit.

    Raises:
        PasshelperError: it is something else; nothing has changed.
    """
    _check_history(remote, head, theirs)
    changes = _changes(remote, head, theirs)
    store, repository = remote.store, remote.repository
    with Transaction(store, repository, patience(store)):
        known = trust.load_all(repository.state)
        if unfinished.find(repository):
            raise DoubtError("something is not finished here")
        if known is None or remote.revision("HEAD") != head or not remote.is_accepted():
            raise DoubtError("something else has changed here")
        accepted = known.commit(remote.tracking)
        if accepted and not remote.is_ancestor(accepted, theirs):
            raise DoubtError("the history was rewritten")
        _check_work_tree(remote, head, changes)
        known.commits = trust.newer(known.commits, remote.tracking, theirs)
        plan = journal.Plan(SUBJECT, changes)
        plan.commit, plan.previous = theirs, head
        plan.state = {trust.FILE: trust.text(known)}
        journal.write(store, repository, plan)
        journal.finish(store, repository)


def _check_history(remote: Remote, head: str, theirs: str) -> None:
    if not remote.is_ancestor(head, theirs):
        raise DoubtError("both sides have commits of their own")
    stamps = remote.run("rev-list", "--timestamp", theirs, f"^{head}").split(b"\n")
    if any(int(line.split()[0]) > time.time() + treepolicy.MAX_AHEAD for line in stamps if line):
        raise DoubtError("a commit comes from the future")


def _changes(remote: Remote, head: str, theirs: str) -> "list[Change]":
    """List the entries that differ, new ones first; anything that is not an entry raises."""
    # It prints while it looks, so a tree that names one folder over and over is not a burden to it.
    remote.run("ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", theirs)
    fields = remote.run("diff-tree", "-r", "-z", "--raw", "--no-renames", head, theirs).split(b"\0")
    paths = [os.fsdecode(name) for name in fields[1::2]]
    if len(paths) > _MOST or len(set(paths)) < len(paths):
        raise DoubtError("too much at once")
    folder = os.path.relpath(remote.store.folder, remote.repository.root).replace(os.sep, "/")
    blobs: dict[str, str] = {}
    gone: list[str] = []
    for facts, path in zip(fields[::2], paths, strict=False):
        _, mode, _, blob, status = facts.decode().split(" ")
        is_entry = path.endswith(SUFFIX) and (folder == "." or path.startswith(f"{folder}/"))
        if not is_entry or treepolicy.decides_readers(path):
            raise DoubtError("more than entries has changed")
        if status == "D":
            gone.append(path)
        elif treepolicy.complaint(mode, path) or mode == treepolicy.PROGRAM:
            raise DoubtError("a path is odd")
        else:
            blobs[path] = blob
    contents = _contents(remote, list(dict.fromkeys(blobs.values())))
    # Of each file, though several may have one content: each is written to the disk.
    if sum(len(contents[blob]) for blob in blobs.values()) > _LIMIT:
        raise DoubtError("too much at once")
    if any(len(contents[blob]) > treepolicy.limit(path) for path, blob in blobs.items()):
        raise DoubtError("a file is too large")
    return [*(Change(path, contents[blob]) for path, blob in blobs.items()), *(Change(path, None) for path in gone)]


def _contents(remote: Remote, blobs: "list[str]") -> "dict[str, bytes]":
    """Read objects from git."""
    found: dict[str, bytes] = {}
    if not blobs:
        return found
    answer = remote.run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    at = 0
    for blob in blobs:
        end = answer.index(b"\n", at)
        _, kind, size = answer[at:end].decode().split(" ")
        if kind != "blob":
            raise DoubtError("what should be a file is something else")
        found[blob] = answer[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


def _check_work_tree(remote: Remote, head: str, changes: "list[Change]") -> None:
    """Make sure that nobody's uncommitted work is in the way."""
    root = remote.repository.root
    changed = remote.run("diff-index", "-z", "--name-only", "--no-renames", head)
    if changed:  # or only the times of files: status looks closer
        changed = remote.run(*STATUS, "--untracked-files=no")
    touched = set(changed_paths(changed))
    known = {os.fsdecode(name) for name in
             remote.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", head).split(b"\0")}  # fmt: skip
    for change in changes:
        if change.path in touched or (change.path not in known and os.path.lexists(os.path.join(root, change.path))):
            raise DoubtError("a file is in the way")
        place = os.path.dirname(os.path.join(root, change.path))
        while len(place) > len(root):
            if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
                raise DoubtError("what should be a folder is something else")
            place = os.path.dirname(place)
