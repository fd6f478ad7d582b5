"""The history of the credentials: which commit changed which file, who made it, and when.

Only what git itself knows is read; nothing of a clone runs for it. A commit that re-encrypts entries changes their
files and not what they say, so it makes no credential younger.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from passhelper.errors import GitError, printable
from passhelper.store import layout, recipients
from passhelper.store.programs import find_program
from passhelper.store.treepolicy import KEYS
from passhelper.team.git import blobs, gitrepo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git

_SECONDS = 60.0  # for what the commits of one answer changed; with folders of 20,000 servers git takes some seconds
_LIST_SECONDS = 600.0  # for the list of all commits, for which git compares as many folders
_WINDOWS = (50, 500)  # commits of the first answer, for who wants the newest, and of each later one
MAX_COMMITS_LISTED = 256 << 20  # bytes of the list of their ids: some 6 million of SHA-1, 4 million of SHA-256
MAX_CHANGES = 256 << 20  # bytes of what one commit changed: some 1.3 million files of 200 bytes each
MAX_COMMIT = 1 << 20  # bytes of a commit whose words are read; a merge of ours names 10,000 conflicts in that
_MARK = b"\x01"
_FORMAT = "%x01%H%x00%ct%x00%an%x00%ae%x00%s%x00"
_SHORT = "%x01%H%x00%ct%x00?%x00?%x00%x00"  # of one that is larger
_FIELDS = 5  # of a commit in it
_NOTHING = ("000000", "160000")  # git's modes of what has no content here: no file, and a submodule
_REKEYED = ("re-encrypt ", "reencrypt ")  # our own subjects, and those of pass and gopass


@dataclass(frozen=True)
class Change:
    """What one commit did to one file.

    Attributes:
        path: below the work tree.
        before: the id of its content before; empty if it was not there.
        after: the id of its content after; empty if it is gone.
    """

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Revision:
    """One commit.

    Attributes:
        commit: its id.
        when: the committer's time, in seconds since 1970.
        author, email: who made it, as it says.
        subject: its first line.
        changes: what it did to the files that were asked for; of a merge, against each of its parents.
        is_rekeying: whether it changes who can read entries and not what they say, as far as a commit shows that.
    """

    commit: str
    when: int
    author: str
    email: str
    subject: str
    changes: tuple[Change, ...]
    is_rekeying: bool

    @property
    def bare(self) -> Revision:
        """The same without what it changed, for who keeps many of them."""
        return replace(self, changes=())


def _is_rekeying(subject: str, changes: Sequence[Change]) -> bool:
    """Return whether a commit changes who can read entries and not what they say, as far as it shows that."""
    if subject.lower().startswith(_REKEYED):
        return True
    if any(os.path.basename(change.path) == recipients.FILE for change in changes):
        return True
    # A neutral subject: a verb changes one server at a time.
    entries = [change for change in changes if change.path.endswith(layout.SUFFIX)]
    return len({os.path.dirname(change.path) for change in entries}) > 1 and all(
        change.before and change.after for change in entries
    )


def revisions(
    git: Git, head: str, *, whole: bool = False, is_oldest_first: bool = False, paths: tuple[str, ...] = ()
) -> Iterator[Revision]:
    """List the commits that changed something of ours, newest first.

    Args:
        git: the store's repository.
        head: the newest commit, by its full id: a name could mean another one in the next question.
        whole: both sides of every merge, and what merges did themselves.
        is_oldest_first: the other way round.
        paths: only what lies there, below the work tree; credentials, recipients and public keys by default.

    Raises:
        GitError: a part of the history cannot be read.
    """
    wanted = paths or _ours(git.repository)
    # Not git log: signatures, root commits, merges and names there are as the user's settings want them shown.
    listing = git.run(
        "rev-list", "--topo-order", *(("--full-history",) if whole else ()), head, "--", *wanted, seconds=_LIST_SECONDS,
        limit=MAX_COMMITS_LISTED,
    )  # fmt: skip
    commits = listing.decode().split()
    if is_oldest_first:
        commits.reverse()
    options = ("-m",) if whole else ()
    first, later = _WINDOWS
    starts = [0, *range(first, len(commits), later)]
    for begin, end in zip(starts, [*starts[1:], len(commits)], strict=True):
        window = commits[begin:end]
        large = blobs.larger(git, window, MAX_COMMIT)
        for is_large, group in groupby(window, large.__contains__):
            form = _SHORT if is_large else _FORMAT
            yield from _changed(git, list(group), (*options, f"--format={form}", "--", *wanted))


def _changed(git: Git, commits: list[str], arguments: tuple[str, ...]) -> Iterator[Revision]:
    """Read what some commits changed; those whose changes are too many for one answer, one by one."""
    child = git.ask(
        "diff-tree", "--stdin", "--root", "-r", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff",
        "--encoding=UTF-8", *arguments, stdin="".join(f"{commit}\n" for commit in commits).encode(), seconds=_SECONDS,
        limit=gitrepo.Git.LIMIT if len(commits) > 1 else MAX_CHANGES,
    )  # fmt: skip
    if child.overflow and len(commits) > 1:
        middle = len(commits) // 2
        for part in (commits[:middle], commits[middle:]):
            yield from _changed(git, part, arguments)
        return
    if child.returncode != 0 or child.timed_out:
        raise git.failure("diff-tree", child, _SECONDS)
    try:
        yield from _parse(bytes(child.stdout).split(b"\0"))
    except ValueError as error:
        raise GitError(f"git diff-tree in {git.repository.root} says what nobody can read: {error}") from None


def _ours(repository: Repository) -> tuple[str, ...]:
    if os.path.basename(repository.root) == layout.FOLDER:
        return (".",)
    return (layout.FOLDER, recipients.FILE, KEYS)


def _parse(tokens: list[bytes]) -> Iterator[Revision]:
    """Read the tokens of ``git diff-tree -z --raw``: five of a commit, then two of each file; ValueError if not."""
    at = 0
    fields: list[str] = []
    changes: list[Change] = []
    while at < len(tokens):
        token = tokens[at].lstrip(b"\n")
        if token.startswith(_MARK):
            if fields:
                yield _revision(fields, changes)
            fields = [part.decode(errors="replace") for part in (token[1:], *tokens[at + 1 : at + _FIELDS])]
            changes = []
            at += _FIELDS
        elif token.startswith(b":") and fields and at + 1 < len(tokens):
            before, after, old, new, _ = token[1:].decode().split(" ")
            path = os.fsdecode(tokens[at + 1])
            changes.append(Change(path, "" if before in _NOTHING else old, "" if after in _NOTHING else new))
            at += 2
        elif token:
            raise ValueError(printable(token[:80].decode(errors="replace")))
        else:
            at += 1
    if fields:
        yield _revision(fields, changes)


def _revision(fields: list[str], changes: list[Change]) -> Revision:
    commit, when, author, email, subject = fields
    return Revision(commit, int(when), author, email, subject, tuple(changes), _is_rekeying(subject, changes))


def is_shallow(git: Git) -> bool:
    """Return whether the oldest commits are missing, so that history says nothing for certain."""
    return git.run("rev-parse", "--is-shallow-repository").strip() == b"true"


def head_of(git: Git) -> str:
    """Give the id of the newest commit, from which all questions about the history start; empty if there is none.

    Raises:
        GitError: git does not say, or the branch is damaged; the repository may be another user's.
    """
    # Only whether HEAD leads to an id: that the commit is there is for those to see who read it.
    child = git.ask("rev-parse", "--verify", "--quiet", "HEAD")
    if child.timed_out or child.stderr or child.returncode not in (0, 1):
        raise git.failure("rev-parse", child)
    if child.returncode == 1:
        # A branch that is not born yet, or one whose file a crash has left empty.
        branch = os.fsdecode(git.run("symbolic-ref", "HEAD")).rstrip("\n")
        child = git.ask("for-each-ref", branch)
        if child.timed_out or child.stderr or child.returncode != 0:
            raise git.failure("for-each-ref", child)
        return ""
    return child.stdout.decode().strip()


def credential(git: Git, store: PassStore, path: str) -> tuple[str, str] | None:
    """Read the path of an entry, whether it is still there or not.

    Returns:
        the server and the username; None if it is not an entry.
    """
    inside = os.path.relpath(os.path.join(git.repository.root, path), store.folder)
    directory, _, file = inside.replace(os.sep, "/").partition("/")
    server = layout.decode_server(directory) if file and directory != os.pardir else None
    username = layout.decode_username(file) if server is not None else None
    return (server, username) if server is not None and username is not None else None


def last_changes(store: PassStore) -> dict[str, int] | None:
    """Find when what each file says was last changed.

    Returns:
        seconds since 1970 by absolute path; None where there is no history to ask: no git, no
        repository, no commit yet, or a shallow clone, whose oldest commit seems to have made everything.
    """
    repository = store.repository("")
    if repository is None or find_program(("git",), store.environ) is None:
        return None
    with gitrepo.opened(repository, store.environ) as git:
        head = head_of(git)
        if not head or is_shallow(git):
            return None
        found: dict[str, int] = {}
        for revision in revisions(git, head):
            is_rekeying = revision.is_rekeying
            for change in revision.changes:
                if not is_rekeying or not change.before:
                    found.setdefault(os.path.join(repository.root, change.path), revision.when)
        return found
