"""What ``sync`` repairs by itself after others' changes: it removes readers, and adds one only if that is safe.

Whoever can push can copy a restricted ciphertext into a directory that includes him, with key ids before it that look
right, and wait for a member's sync to open it. So an entry that is not bound to its place is encrypted anew only for
this machine's own keys. Everything else is reported for ``passhelper reencrypt SERVER``, which asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.errors import LockedKeyError, printable
from passhelper.store.keynames import is_fingerprint
from passhelper.team.entries.batch import Batch
from passhelper.team.entries.choose import can_mend, may_add, present
from passhelper.team.entries.drift import Policy
from passhelper.team.entries.failures import name
from passhelper.team.entries.pipeline import Task, UnboundError
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.entries.survey import survey
from passhelper.team.keyring.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.store import PassStore
    from passhelper.team.entries.drift import Recipient
    from passhelper.team.entries.survey import Record
    from passhelper.team.git.gitrepo import Git

    _Choose = Callable[[Record, str], "Task | None"]


@dataclass
class RepairReport:
    """What was repaired.

    Attributes:
        removed: entries that lost a reader.
        added: entries that got a reader.
        reported: entries that a person has to look at, and why.
    """

    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)


def repair(store: PassStore, git: Git) -> RepairReport:
    """Repair what can be repaired safely; nothing in a runner's clone, whose writes are not the team's.

    Args:
        store: the store.
        git: its repository.

    Raises:
        TrustError: the recipients are not the accepted ones.
        PasshelperError: gpg or git cannot be run.
    """
    if store.environ.get("PASSWORD_STORE_KEY", "").split() or git.is_on("passhelper.ci"):
        return RepairReport()
    return _Repair(store).run()


class _Repair:
    """One look at all entries."""

    def __init__(self, store: PassStore) -> None:
        self._store = store
        self._report = RepairReport()

    def run(self) -> RepairReport:
        records = list(survey(self._store, Policy(self._store, KeyRing(self._store.gpg))))
        self._report.reported += [f"{name(record)}: {record.trouble}" for record in records if record.is_directory]
        drifted = {record.entry.path: record for record in records if record.drift.is_there}
        for record in drifted.values():
            why = _obstacle(record)
            if why:
                self._report.reported.append(f"{name(record)}: {why}")
            elif record.closed is not None and record.is_short:
                self._report.reported.append(
                    f"{name(record)}: {record.closed.error.cause}; {record.closed.error.remedy}"
                )
        if drifted:
            rekey = Rekey(self._store)
            unbound = self._mend(rekey, drifted, self._choose)
            # Who may not be added is one thing; who has to go, another.
            self._mend(rekey, unbound, self._choose_certain)
        return self._report

    def _mend(self, rekey: Rekey, records: dict[str, Record], choose: _Choose) -> dict[str, Record]:
        """Encrypt some entries anew; return those that may not get a reader."""
        tasks = {path: task for path, record in records.items() if (task := choose(record, "")) is not None}
        if not tasks:
            return {}
        subject = f"Re-encrypt {len(tasks)} credential{'s' * (len(tasks) > 1)}"
        servers = list(dict.fromkeys(task.record.entry.server for task in tasks.values()))
        batch = Batch(subject, servers=servers, paths=set(tasks), choose=choose, skip_failed=True)
        try:
            result = rekey.apply(batch)
        except LockedKeyError as error:
            self._report.reported += [f"{name(task.record)}: {error.cause}" for task in tasks.values()]
            return {}
        if not result.is_committed:
            self._report.reported.append("what was encrypted anew waits for its commit")
        for record in result.changed:
            task = tasks[record.entry.path]
            if any(each not in present(record) for each in task.readers):
                self._report.added.append(record.entry.server)
            if record.drift.extra or record.drift.surplus:
                self._report.removed.append(record.entry.server)
        unbound = {path: records[path] for path, why in result.failed.items() if isinstance(why, UnboundError)}
        for path, why in result.failed.items():
            server = printable(tasks[path].record.entry.server)
            remedy = f"; run: passhelper reencrypt {shellwords.operands(server)}" if path in unbound else ""
            self._report.reported.append(f"{name(tasks[path].record)}: {why.cause}{remedy}")
        return unbound

    def _choose(self, record: Record, _source: str) -> Task | None:
        """Decide about one entry: keep the readers who may read it, and add missing ones that can be encrypted to."""
        if not record.drift.is_there or _obstacle(record):
            return None
        closed = record.closed.lines if record.closed is not None else ()
        add = tuple(each for each in record.drift.missing if each.is_usable and each.line not in closed)
        if not add:
            return self._choose_removal(record)
        return Task(record, (*_staying(record), *add), adds=True)

    def _choose_removal(self, record: Record) -> Task | None:
        """Decide about one entry: keep only the readers who may read it, if there are any others."""
        readers = _staying(record)
        if not readers or not (record.drift.extra or record.drift.surplus):
            return None
        return Task(record, readers, adds=may_add(readers))

    def _choose_certain(self, record: Record, _source: str) -> Task | None:
        """Decide about one entry that may get no reader, not even one that it already names."""
        task = self._choose_removal(record)
        return None if task is None or task.adds else task


def _staying(record: Record) -> tuple[Recipient, ...]:
    """List the recipients who are readers and are not kept out by the list of another name of the registry."""
    closed = record.closed.lines if record.closed is not None else ()
    return tuple(each for each in present(record) if each.line not in closed)


def _obstacle(record: Record) -> str:
    """Say why a person has to look at an entry; empty if nobody has to."""
    drift = record.drift
    if drift.hidden:
        return "its readers are hidden, and not as many as its recipients"
    is_due = can_mend(drift)
    for each in record.wanted:
        # Who cannot be found here may read it: under an id that is unknown, or, by a name that is not a fingerprint
        # (gpg's own groups are such), as anybody. Encrypting anew would shut him out.
        if is_due and not each.keys and (drift.unknown or not is_fingerprint(each.line)):
            return f"it cannot be encrypted anew for {each}"
    if drift.missing and drift.unknown:  # it may be his newer key
        return f"{drift.missing[0]} cannot read it, but a key that is not in this keyring can"
    unusable = [each for each in present(record) if not each.is_usable]
    if unusable and is_due:
        return f"it cannot be encrypted anew for {unusable[0]}"
    return ""
