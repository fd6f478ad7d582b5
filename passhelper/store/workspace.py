"""What every writer needs in a store: its lock, its commits, and the removal of what killed writers left."""

import os

from passhelper.settings import home_directory
from passhelper.store import lock
from passhelper.store.binding import digest
from passhelper.store.files import Files, remove_hollow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.commit import Committer
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


class Lock(lock.StoreLock):
    """The lock of a store, for use in a ``with`` statement.

    Args:
        store: which.
        repository: the store's repository, if there is one.
        shared: for a reader that wants to look between two writers.
        timeout: seconds to wait for another program.
    """

    def __init__(
        self,
        store: "PassStore",
        repository: "Repository | None",
        *,
        shared: bool = False,
        timeout: float = lock.TIMEOUT,
    ) -> None:
        def file() -> str:  # only a store without git needs a home for it
            if repository is not None:
                return os.path.join(repository.state, "lock")
            name = f"{digest(os.fsencode(store.root))[:32]}.lock"
            return os.path.join(home_directory(store.environ), ".cache", "passhelper", name)

        # The others of a group must be able to open that file.
        umask = 0o077 if repository is None else Files(store.environ).umask
        super().__init__(store.root, file, shared=shared, timeout=store.deadline.left(timeout), umask=umask)


def committer_for(store: "PassStore", repository: "Repository | None") -> "Committer | None":
    """Prepare commits to the repository of a store, if it has one."""
    if repository is None:
        return None
    from passhelper.store.commit import Committer  # only in a git store

    return Committer(repository, store.environ, Files(store.environ), store.warn, store.deadline)


def sweep(store: "PassStore", repository: "Repository | None") -> None:
    """Remove what a killed writer left: its temporary files, and directories it made or had emptied."""
    files = Files(store.environ)
    left = files.sweep(store.folder)
    if repository is not None:
        left = files.sweep(repository.state) or left
    if left and os.path.isdir(store.folder):
        with os.scandir(store.folder) as listing:
            folders = [item.path for item in listing if item.is_dir(follow_symlinks=False)]
        for folder in folders:
            remove_hollow(folder)
