"""The lock of a writer: who takes it first finishes what a killed writer has begun, or fails."""

import os

from passhelper.errors import PasshelperError
from passhelper.store.lock import TIMEOUT
from passhelper.store.workspace import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.repository import Repository
    from passhelper.store.store import Entry, PassStore


class Transaction(Lock):
    """A store's lock to write under, for use in a ``with`` statement.

    Args:
        store: which.
        repository: the repository that is written to, if there is one.
        timeout: seconds to wait for another writer.

    Raises:
        StoreError: this is root, who must not write into a store of somebody else.
    """

    def __init__(self, store: "PassStore", repository: "Repository | None", timeout: float = TIMEOUT) -> None:
        store.check_user()
        self._store = store
        self._repository = repository
        super().__init__(store, repository, timeout=timeout)

    def __enter__(self) -> "Transaction":
        super().__enter__()
        try:
            self._settle()
        except BaseException:
            self._release()
            raise
        return self

    def _settle(self) -> None:
        """Finish a change of many files whose writer was killed, and put back what git has undone."""
        store, repository = self._store, self._repository
        if os.path.exists(store.journal(repository)):
            from passhelper.store import journal  # after a kill only

            journal.finish(store, repository)
        if repository is None:
            return
        from passhelper.store import unfinished  # only in a git store

        if os.path.exists(repository.kept) or unfinished.aborted(repository):
            from passhelper.store import restore  # only after a commit that failed, or an aborted rebase

            restore.restore(store, repository)


def settle(store: "PassStore") -> bool:
    """Put back what git has undone before it was committed, if something waits; False if that cannot be done."""
    try:
        with Transaction(store, store.repository("")):
            return True
    except (PasshelperError, OSError):
        return False  # a store that is only read from, or in use: who writes next does it


def undone_entries(store: "PassStore") -> "list[Entry]":
    """List the entries that wait for their commit and are not on the disk, since git has undone them."""
    repository = store.repository("") if store.has_copies() else None
    if repository is None:
        return []
    from passhelper.store import restore  # only after a commit that failed

    return restore.undone(store, repository)
