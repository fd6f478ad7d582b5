"""Replaces all that a server had by one credential: one atomic step and one commit, under the lock.

Loaded while gpg encrypts.
"""

import os

from passhelper.errors import StoreError
from passhelper.store import layout
from passhelper.store.change import TRIES, Change, content, remove_files
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction, undone_entries
from passhelper.store.workspace import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.commit import Committer
    from passhelper.store.repository import Repository
    from passhelper.store.store import Entry, PassStore
    from passhelper.store.trust import Accepted


class Exchange:
    """One credential on its way to the disk.

    Args:
        store: where to.
        target: which.
        repository: the repository that it is in, if there is one.
        committer: commits to that.
    """

    def __init__(
        self, store: "PassStore", target: "Entry", repository: "Repository | None", committer: "Committer | None"
    ) -> None:
        self.store = store
        self.target = target
        self.repository = repository
        self.committer = committer
        self.accepted: Accepted | None = None

    def replace(self, ciphertext: bytes, accepted: "Accepted | None") -> None:
        """Put the new file in place, remove older usernames, commit; under the lock.

        Args:
            ciphertext: the file's content.
            accepted: what to pin together with the write, if anything changed.
        """
        store, target = self.store, self.target
        self.accepted = accepted
        sweep(store, self.repository)
        if layout.twin(*os.path.split(target.path)):
            self._replace_twin(ciphertext, self._older())
            return
        for _ in range(TRIES):
            self._exchange(ciphertext, self._older())
            if self.committer is None:
                return
            self.committer.commit(self.subject)
            if not self.committer.has_committed or content(target.path) == ciphertext:
                return
        raise StoreError(f"git has undone the change of {target.path} while it was made", "try again")

    def _older(self) -> "list[str]":
        """List the other entries of the server."""
        return [entry.path for entry in self.store.all_entries(self.target.server) if entry.path != self.target.path]

    def _exchange(self, ciphertext: bytes, older: "list[str]") -> None:
        """Put the new file in place of the older ones; if that fails, no new directory is left."""
        files = Files(self.store.environ)
        made = files.make_directory(self.store.folder)
        try:
            self._put(files, ciphertext, older)
        except BaseException:
            files.remove_directories(made)
            raise

    def _put(self, files: Files, ciphertext: bytes, older: "list[str]") -> None:
        """Write the new file and remove the older ones; if that fails, the old ones are there again."""
        store, target, repository = self.store, self.target, self.repository
        temporary = store.folder
        if repository is not None:
            temporary = repository.state
            files.make_directory(temporary)
            self._write_down(files)
        undone = [entry.path for entry in undone_entries(store) if entry.server == target.server]
        with Change(files, temporary, self.committer, [target.path, *older, *undone]) as change:
            before = {path: content(path) for path in (target.path, *older)} if older else {}
            below: list[str] = []
            try:
                below = files.put(target.path, ciphertext, temporary)
                change.has_begun = True
                remove_files(store, older)
            except BaseException as error:
                change.has_begun = content(target.path) == ciphertext
                if change.has_begun and isinstance(error, OSError):
                    change.has_begun = not self._put_back(files, before, temporary)
                elif change.has_begun:  # interrupted: what is begun is brought to its end
                    remove_files(store, older)
                    store.warn("the credential is stored, and the next change will commit it")
                files.remove_directories(below)
                raise

    def _write_down(self, files: Files) -> None:
        """Pin what was accepted together with the write, in a git store."""
        if self.repository is not None and self.accepted is not None:
            from passhelper.store import trust  # only in a git store

            trust.write_down(self.repository.state, self.accepted, files)

    def _put_back(self, files: Files, before: "dict[str, bytes | None]", temporary: str) -> bool:
        """Undo a change, some of whose older files could not be removed; return whether that was possible."""
        try:
            for path, data in before.items():
                if data is not None and content(path) != data:
                    files.put(path, data, temporary)
            if before.get(self.target.path) is None:
                os.unlink(self.target.path)
        except OSError:
            return False
        return True

    def _replace_twin(self, ciphertext: bytes, older: "list[str]") -> None:
        """Put the new file in place of one that this disk takes for it, ``Bob.gpg`` for ``bob.gpg``.

        Some disks would keep the old name. So the old file goes first, and a journal makes both steps one.
        """
        from passhelper.store import journal  # only on such a disk

        store, repository = self.store, self.repository
        base = store.root if repository is None else repository.root
        self._write_down(Files(store.environ))
        changes = [journal.Change(os.path.relpath(path, base), None) for path in older]
        changes.append(journal.Change(os.path.relpath(self.target.path, base), ciphertext))
        journal.write(store, repository, journal.Plan(self.subject, changes))
        journal.finish(store, repository)

    def commit_pending(self) -> None:
        """Commit what an earlier writer could not, and nothing else; takes the lock."""
        if self.committer is None:
            return
        with Transaction(self.store, self.repository):
            sweep(self.store, self.repository)
            self.committer.plan([])
            self.committer.commit(self.subject)

    @property
    def subject(self) -> str:
        """The commit's first line."""
        return f"Store credential for {self.target.server} ({self.target.username})"
