"""A change of several steps under the lock, which a kill does not leave half done, and the push after it."""

import os

from passhelper import settings
from passhelper.store import layout
from passhelper.store.files import remove_empty, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.commit import Committer
    from passhelper.store.files import Files
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


TRIES = 3  # how often a change is made that a git beside us undoes while it is made


class Change:
    """A change of several steps, for use in a ``with`` statement, under the lock.

    While it lasts, a mark lies among the temporary files and the paths stand in git's list of pending
    ones: should this process be killed, the next writer tidies up and commits.

    Attributes:
        has_begun: whether a file has changed; a failure after that leaves the paths on the list.
    """

    def __init__(self, files: "Files", temporary: str, committer: "Committer | None", paths: "list[str]") -> None:
        self._files = files
        self._temporary = temporary
        self._committer = committer
        self._paths = paths
        self._mark = ""
        self.has_begun = False

    def __enter__(self) -> "Change":
        self._mark = self._files.mark(self._temporary)
        try:
            if self._committer is not None:
                self._committer.plan(self._paths)
        except BaseException:
            os.unlink(self._mark)
            raise
        return self

    def __exit__(self, kind: object, error: "BaseException | None", traceback: object) -> None:
        try:
            os.unlink(self._mark)
            if error is not None and self._committer is not None and not self.has_begun:
                self._committer.cancel()
        except OSError:
            pass  # the next writer takes away either; what came before counts


def content(path: str) -> "bytes | None":
    """Read a file; None if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove_files(store: "PassStore", paths: "list[str]") -> None:
    """Unlink files and the directories that become empty, up to the folder of all credentials."""
    folders = set()
    for path in paths:
        if not layout.holds(*os.path.split(path)):
            continue  # gone, or the disk would take another for it
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # somebody, git for one, was quicker
        folders.add(os.path.dirname(path))
    for folder in sorted(folders, key=len, reverse=True):
        sync_directory(remove_empty(folder, store.folder))


def share(store: "PassStore", repository: "Repository | None", committer: "Committer | None") -> None:
    """Push what was committed, or what could not be pushed before, where the clone pushes by itself.

    The caller has let the lock go; whatever comes of it, the change is made.
    """
    if repository is None:
        return
    config = committer.settings() if committer is not None and committer.has_committed else None
    wanted = config is not None and (store.environ.get(settings.SYNC, "") or config.get("passhelper.sync", ""))
    if (wanted and "push" in wanted.lower()) or os.path.exists(repository.unpushed):
        from passhelper.store import autosync  # only with automatic sync

        autosync.push(store, repository, config)
