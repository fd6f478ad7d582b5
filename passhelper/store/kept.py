"""Copies of changes that wait for their commit, so that nothing which git does meanwhile can lose them.

``git merge --abort``, ``git rebase --abort``, ``git reset --hard`` and ``git switch --force`` put files back to what
was committed last, and remove what was staged. So what could not be committed is copied to
``<git dir>/passhelper/kept``, with the message of its commit, and whoever takes the store's lock next puts back what
git has undone. Something newer always wins: a commit of the same file that was written after the change, or a file
that somebody has changed since.

:mod:`passhelper.store.restore` does that. The file is one line of JSON, then the contents one after the other. Its
paths stand in ``pending`` too.
"""

import time

from passhelper.jsontext import parse, render
from passhelper.store import repository as git
from passhelper.store.content import held, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.files import Files
    from passhelper.store.repository import Repository

VERSION = 1
_GONE = -1  # in place of a size: the file is removed


class Kept:
    """What waits.

    Attributes:
        messages: of the commits that could not be made, each with its paths; the oldest first.
        files: what each path should hold, None for one that is removed, and since when.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[str]]] = []
        self.files: dict[str, tuple[bytes | None, int]] = {}


def load(repository: "Repository") -> Kept:
    """Read what waits; nothing if the file is not there or damaged, the paths are in ``pending`` all the same."""
    kept = Kept()
    text = read(repository.kept)
    if text is None:
        return kept
    first, _, rest = text.partition(b"\n")
    try:
        document = parse(first.decode())
        if not isinstance(document, dict) or document["version"] != VERSION:
            return kept
        messages = [(str(message), [str(path) for path in paths]) for message, paths in document["messages"]]
        files: dict[str, tuple[bytes | None, int]] = {}
        for path, size, stamp in document["files"]:
            if size != _GONE and len(rest) < size:
                return kept
            files[path] = (None if size == _GONE else rest[:size], int(stamp))
            rest = rest[max(size, 0) :]
    except (KeyError, TypeError, ValueError):
        return kept
    kept.messages = messages
    kept.files = {path: file for path, file in files.items() if git.is_inside(path)}
    return kept


def save(repository: "Repository", files: "Files", kept: Kept) -> None:
    """Write what waits; the caller holds the store's lock."""
    header = {
        "version": VERSION,
        "messages": [[message, paths] for message, paths in kept.messages],
        "files": [[path, _GONE if data is None else len(data), stamp] for path, (data, stamp) in kept.files.items()],
    }
    contents = [data for data, _ in kept.files.values() if data]
    text = b"".join([render(header).encode(), b"\n", *contents])
    files.put(repository.kept, text, repository.state)
    files.replace(repository.pending, git.lines([*dict.fromkeys([*repository.load_pending(), *kept.files])]),
                  repository.state)  # fmt: skip


def add(repository: "Repository", files: "Files", message: str, paths: "list[str]") -> None:
    """Keep a change as it is on the disk now; the caller holds the store's lock.

    Args:
        repository: where it could not be committed.
        files: writes with the store's modes.
        message: of its commit.
        paths: the files that it wrote or removed, relative to the work tree.
    """
    kept = load(repository)
    now = int(time.time())
    for path in dict.fromkeys([*paths, *(path for path in repository.load_pending() if path not in kept.files)]):
        kept.files[path] = (held(repository.root, path), now)
    if paths:
        kept.messages = [(text, there) for text, there in kept.messages if text != message or there != paths]
        kept.messages.append((message, paths))
    save(repository, files, kept)


def is_there(repository: "Repository", kept: Kept, but: "Sequence[str]" = ()) -> bool:
    """Return whether the disk holds all that waits as it was stored; ``but`` names paths to leave out."""
    return all(held(repository.root, path) == data for path, (data, _) in kept.files.items() if path not in but)
