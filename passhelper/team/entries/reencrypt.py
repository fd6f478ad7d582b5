"""Bring entries in line with their recipients, as one change that happens as a whole or not at all.

First everything that could go wrong is looked at; then the entries are encrypted anew, in memory, and each result
is checked; then, under the lock, it is made sure that nothing has changed meanwhile, and a journal makes the
change (:mod:`passhelper.store.journal`). Until that is written a kill leaves the old state; after it, whoever writes
next finishes. What is not a Docker credential is never touched.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from passhelper.errors import (
    ConfigurationError,
    GitError,
    RecipientsError,
    StoreError,
    TrustError,
)
from passhelper.oserrors import remedy
from passhelper.store import claims, journal, pinning, recipients, signature, trust, unfinished
from passhelper.store.binding import digest
from passhelper.store.journal import Change, Plan
from passhelper.store.transaction import Transaction
from passhelper.team.entries.batch import Batch, Result
from passhelper.team.entries.choose import Chooser
from passhelper.team.entries.drift import Policy
from passhelper.team.entries.failures import failure, refuse_broken_gpg
from passhelper.team.entries.pipeline import Reencryption, Renewed, Task
from passhelper.team.entries.survey import survey
from passhelper.team.git import gitrepo, partial
from passhelper.team.git.commits import SAME
from passhelper.team.keyring.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.batch import Edit
    from passhelper.team.entries.survey import Record

_AT_ONCE = 500  # entries in one commit of a re-encryption
_TRIES = 3  # encryptions of a store that keeps changing


class Rekey:
    """Changes who can read the entries of one store.

    Args:
        store: which.
        jobs: how many gpg processes run side by side; one for each processor if 0.
        progress: called with the number of entries that are done and that there are.
        sure: fingerprints of keys whose owner a person has confirmed.

    Raises:
        ConfigurationError: ``PASSWORD_STORE_KEY`` overrides what the files say.
    """

    def __init__(
        self,
        store: PassStore,
        *,
        jobs: int = 0,
        progress: Callable[[int, int], None] | None = None,
        sure: Collection[str] = (),
    ) -> None:
        if store.environ.get("PASSWORD_STORE_KEY", "").split():
            raise ConfigurationError("PASSWORD_STORE_KEY overrides every .gpg-id", "unset PASSWORD_STORE_KEY")
        store.check_folder()
        self.store = store
        self.ring = KeyRing(store.gpg, sure)
        self.repository = store.repository("")
        self._jobs = jobs or os.cpu_count() or 1
        self._progress = progress or (lambda _done, _all: None)
        self._done = self._total = 0
        self._trust: trust.Trust | None = None

    def settle(self) -> None:
        """Finish what a killed command has begun, before anything is looked at; all of it has to be there.

        Raises:
            GitError: only a part of the store is checked out.
        """
        partial.refuse(self.store)
        if os.path.exists(self.store.journal(self.repository)):
            with Transaction(self.store, self.repository):
                pass

    def apply(self, batch: Batch) -> Result:
        """Change all entries of a batch.

        Raises:
            RecipientsError: one cannot encrypt to all recipients; all that are unusable are named.
            TrustError: recipients are not the accepted ones, or change meanwhile.
            StoreError: an entry cannot be encrypted anew; all such are named, and nothing has changed.
            GitError: something in the repository is not finished, such as a merge.
        """
        if self.repository is not None:
            unfinished.refuse(self.repository)
        renewed: dict[str, Renewed] = {}
        result = Result()
        for _ in range(_TRIES):
            todo = [task for task in self._tasks(batch, result) if not self._is_done(task, renewed)]
            self._renew(todo, batch, renewed, result)
            if batch.is_removal and not renewed:
                refuse_broken_gpg(self.store.gpg, self.ring, result)
            with Transaction(self.store, self.repository):
                self._check_unchanged(batch)
                tasks = [task for task in self._tasks(batch, Result()) if task.record.entry.path not in result.failed]
                if all(self._is_done(task, renewed) for task in tasks):
                    result.changed = [task.record for task in tasks]
                    if tasks or batch.edits:
                        result.is_committed = self._write(
                            batch, [(task.record.entry.path, renewed[task.record.entry.path].data) for task in tasks]
                        )
                    return result
        raise StoreError("the store keeps changing while its entries are encrypted anew", "try again")

    # What there is to do

    def _tasks(self, batch: Batch, result: Result) -> list[Task]:
        """List the entries whose readers are not those that the files will name."""
        known = trust.load(self.repository.state) if self.repository is not None else None
        after = Policy(self.store, self.ring, {path: edit.lines for path, edit in batch.edits.items()}, known or ())
        choose = batch.choose or self._chooser(batch).choose
        tasks, sources = [], dict.fromkeys(batch.edits)
        for record in survey(self.store, after, batch.servers):
            path = record.entry.path
            if batch.paths is not None and path not in batch.paths:
                continue
            # Which file counts for a directory that cannot be looked into, nobody can tell either.
            if batch.edits and not record.is_directory and not after.decides(batch.edits, record.directory):
                continue
            result.records[path] = record
            if record.closed is not None and record.is_short:
                result.left[path] = record.closed.error
            try:
                if record.trouble:
                    raise StoreError(record.trouble, record.remedy)
                task = choose(record, after.source(record.directory))
            except (RecipientsError, StoreError) as error:
                if batch.edits and isinstance(error, RecipientsError):
                    raise
                result.failed[path] = error
                continue
            if task is not None:
                self._check_repository(record)
                tasks.append(task)
                sources.update(dict.fromkeys(after.sources(record.directory)))
        self._trust = self.accept(sources)
        return tasks

    def _chooser(self, batch: Batch) -> Chooser:
        return Chooser(self.store, Policy(self.store, self.ring), batch, lambda: self._is_private)

    @cached_property
    def _is_private(self) -> bool:
        """Whether nobody else can put an entry into the store: it is shared with no remote."""
        if self.repository is None:
            return True
        try:
            with gitrepo.opened(self.repository, self.store.environ) as git:
                return not git.is_shared
        except GitError:
            return False

    def reencrypt(self, servers: Sequence[str] | None = None, may_add: Container[str] = ()) -> Result:
        """Bring entries in line with the files as they are: some hundred at a time, so that a kill loses little.

        Args:
            servers: whose; None for all.
            may_add: see :class:`Batch`.

        Returns:
            what was done; an entry that fails is left as it is, and hinders no other.

        Raises:
            TrustError: recipients are not the accepted ones.
            LockedKeyError: this machine's key is locked.
        """
        self.settle()
        records = survey(self.store, Policy(self.store, self.ring), servers)
        todo = [record for record in records if record.trouble or record.drift.is_there]
        self._total = len(todo)
        result = Result()
        for at in range(0, len(todo), _AT_ONCE):
            part = todo[at : at + _AT_ONCE]
            batch = Batch(
                f"Re-encrypt {len(part)} credential{'s' * (len(part) > 1)}",
                servers=list(dict.fromkeys(record.entry.server for record in part)),
                paths={record.entry.path for record in part},
                may_add=may_add,
                skip_failed=True,
            )
            done = self.apply(batch)
            result.changed += done.changed
            result.failed |= done.failed
            result.left |= done.left
            result.records |= done.records
            result.is_committed &= done.is_committed
        return result

    def put(self, batch: Batch) -> bool:
        """Change lists that name the same keys as before, so that no entry has to be encrypted anew.

        Returns:
            whether that is committed.

        Raises:
            TrustError: a list is not the accepted one, or changes meanwhile.
            GitError: something in the repository is not finished, such as a merge.
        """
        if self.repository is not None:
            unfinished.refuse(self.repository)
        with Transaction(self.store, self.repository):
            self._check_unchanged(batch)
            self._trust = self.unchanged(batch.edits)
            return self._write(batch, [])

    def unchanged(self, sources: Iterable[str]) -> trust.Trust | None:
        """Make sure that some ``.gpg-id`` files name the accepted keys, whoever has signed them.

        Returns:
            what is accepted; None in a store without git.

        Raises:
            TrustError: one of them names others.
        """
        known = self._known()
        for source in sources:
            pins = known.pins if known is not None else pinning.current(self.store.root)
            changed = pinning.differences(self.store.root, recipients.directory_of(source), pins)
            if changed:
                raise TrustError(
                    f"recipients changed: {claims.describe(changed, self.store.gpg, claims.on_disk(self.store.root))}",
                    "run: passhelper recipients accept",
                )
        return known

    def _known(self) -> trust.Trust | None:
        if self.repository is None:
            return None
        return trust.load_all(self.repository.state) or trust.Trust(pinning.current(self.store.root))

    def accept(self, sources: Iterable[str]) -> trust.Trust | None:
        """Make sure that this machine has accepted what some ``.gpg-id`` files say now.

        Returns:
            what is accepted then; None in a store without git.

        Raises:
            TrustError: it has not, or a signature is missing or bad.
        """
        known = self._known()
        for source in dict.fromkeys(sources):
            directory = recipients.directory_of(source)
            found = recipients.find(self.store.root, directory, {})
            signature.verify_signature(self.store.root, found, self.store.gpg)
            if known is not None:
                accepted = pinning.check(self.store.root, directory, found, known, self.store.gpg)
                if accepted is not None:
                    pins = {**known.pins, **accepted.pins}
                    known.pins = {path: keys for path, keys in pins.items() if keys is not None}
                    known.serials.update(accepted.serials)
                    known.store = known.store or accepted.store
        return known

    def _check_repository(self, record: Record) -> None:
        folder = os.path.join(self.store.folder, record.directory)
        if os.path.lexists(os.path.join(folder, ".git")):
            raise StoreError(f"{folder} is a git repository of its own", "move its entry into the store's repository")

    # Encrypting

    def _is_done(self, task: Task, renewed: Mapping[str, Renewed]) -> bool:
        """Return whether a new ciphertext is there, for these readers and from what the entry holds now."""
        path = task.record.entry.path
        if path not in renewed or (renewed[path].readers, renewed[path].binds) != (task.readers, task.binds):
            return False
        try:
            with open(path, "rb") as file:
                return digest(file.read()) == renewed[path].before
        except FileNotFoundError:  # erased meanwhile
            return False

    def _renew(self, tasks: Sequence[Task], batch: Batch, renewed: dict[str, Renewed], result: Result) -> None:
        total = max(self._total, self._done + len(tasks))

        def tick() -> None:
            self._done += 1
            self._progress(self._done, total)

        known = Policy(self.store, self.ring).known
        outcome = Reencryption(self.store, known, self._jobs, tick).run(tasks)
        renewed.update(outcome.renewed)
        result.failed.update(outcome.failed)
        if result.failed and not batch.skip_failed:
            raise failure(result.failed, result.records)

    # Writing

    def _check_unchanged(self, batch: Batch) -> None:
        for path, edit in batch.edits.items():
            if recipients.read_file(self.store.root, path) != edit.before:
                raise TrustError(f"{path} was changed by another program meanwhile", "try again")

    def _write(self, batch: Batch, entries: Sequence[tuple[str, bytes]]) -> bool:
        """Make the change; under the lock. Returns whether it is committed."""
        files: list[tuple[str, bytes]] = []
        for path, edit in batch.edits.items():
            files.append((os.path.join(self.store.root, path), edit.text))
            if edit.signature is not None:
                files.append((os.path.join(self.store.root, f"{path}.sig"), edit.signature))
        base = self.repository.root if self.repository is not None else self.store.root
        changes = [Change(os.path.relpath(path, base), data) for path, data in [*files, *batch.others, *entries]]
        # A merge lets whatever was changed elsewhere win over this, which changed nothing but the readers.
        subject = f"{batch.subject}\n\n{SAME}"
        plan = Plan(subject, [change for change in changes if not change.path.startswith(os.pardir)])
        if self._trust is not None:
            plan.state[trust.FILE] = trust.text(_pinned(self._trust, batch.edits))
        try:
            journal.write(self.store, self.repository, plan)
        except OSError as error:
            raise StoreError(
                f"nothing was changed, the new entries cannot be written: {error.strerror}", remedy(error)
            ) from error
        try:
            return journal.finish(self.store, self.repository)
        except OSError as error:
            raise StoreError(
                f"the change has begun and is not finished: {error.strerror}",
                f"{remedy(error)}; the next command that changes the store finishes it",
            ) from error


def _pinned(known: trust.Trust, edits: Mapping[str, Edit]) -> trust.Trust:
    """Accept what was edited here: the user has just said so."""
    for path, edit in edits.items():
        known.pins[path] = pinning.keys_of(edit.text, path)
        named = recipients.header(edit.text)
        if edit.signature is not None and named is not None:
            known.serials[path] = named.serial
            known.store = named.store
    return known
