"""Encrypt entries anew: they are decrypted and encrypted in parallel, through pipes, and every result is checked.

Nothing is written here. The results are ciphertexts in memory, encrypted to exactly the keys that were asked for. A
new ciphertext is bound to its place if the old one was, or if a person has said that it belongs there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.errors import EntryError, LockedKeyError, NoSecretKeyError, PasshelperError, printable
from passhelper.store import cipher, packets
from passhelper.store.binding import BINDING, binding, digest
from passhelper.store.child import finish
from passhelper.store.keynames import is_fingerprint
from passhelper.team.entries.drift import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from passhelper.store.child import Child
    from passhelper.store.cipher import Plaintext
    from passhelper.store.store import PassStore
    from passhelper.team.entries.drift import Recipient
    from passhelper.team.entries.survey import Record
    from passhelper.team.keyring.key import Key


class UnboundError(EntryError):
    """The entry may have been copied here from elsewhere, and a reader could be added to it."""


@dataclass(frozen=True)
class Task:
    """One entry to encrypt anew.

    Attributes:
        record: which, and who can read it now.
        readers: who is to read it.
        adds: whether that may give it to somebody for whom it was not meant when it was written.
        kept: its readers if it turns out not to be bound to its place; empty if the task then fails.
        binds: whether to bind it to its place, because a person has said that it belongs there.
    """

    record: Record
    readers: tuple[Recipient, ...]
    adds: bool = False
    kept: tuple[Recipient, ...] = ()
    binds: bool = False


@dataclass(frozen=True)
class Renewed:
    """A new ciphertext.

    Attributes:
        before: the digest of the file that it comes from.
        readers: whom it is encrypted to.
        binds: whether a person has said of that file that it belongs there.
        data: what the file will hold.
    """

    before: str
    readers: tuple[Recipient, ...]
    binds: bool
    data: bytes


@dataclass
class _Running:
    """A task under way: ``child`` decrypts first, then encrypts."""

    task: Task
    before: bytes
    child: Child
    readers: tuple[Recipient, ...] = ()
    is_open: bool = False


@dataclass
class Outcome:
    """The results of some tasks.

    Attributes:
        renewed: the new ciphertexts, by the entry's path.
        failed: why there is none, likewise.
    """

    renewed: dict[str, Renewed] = field(default_factory=dict)
    failed: dict[str, PasshelperError] = field(default_factory=dict)


class Reencryption:
    """Encrypts entries anew.

    Args:
        store: whose.
        known: the keys of the keyring by the ids that they encrypt to.
        jobs: how many gpg processes run side by side.
        tick: called for each entry that is done.
    """

    def __init__(
        self, store: PassStore, known: Mapping[str, Key], jobs: int, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._gpg = store.gpg
        self._known = known
        self._own = {key_id for key_id, key in known.items() if key_id in key.own_ids} | {packets.HIDDEN}
        self._jobs = jobs
        self._tick = tick
        self._outcome = Outcome()
        self._unlocked: set[frozenset[str]] = set()

    def run(self, tasks: Sequence[Task]) -> Outcome:
        """Do all tasks.

        Raises:
            LockedKeyError: a key that opens some of them is locked, and nobody can open it.
            PasshelperError: gpg cannot be run.
        """
        self._outcome = Outcome()
        waiting = list(reversed(tasks))
        running: list[_Running] = []
        try:
            while waiting or running:
                while waiting and len(running) < self._jobs:
                    self._begin(waiting.pop(), running)
                if running:
                    finish([each.child for each in running], self._gpg.deadline.seconds, first=True)
                for each in [each for each in running if each.child.returncode is not None]:
                    running.remove(each)
                    self._go_on(each, running)
        finally:
            for each in running:
                each.child.kill()
        return self._outcome

    def _begin(self, task: Task, running: list[_Running]) -> None:
        """Start a decryption; the first one with each of our keys alone, for it may ask for a passphrase."""
        own = self._own.intersection(task.record.ids)
        try:
            if not own:
                ids = " ".join(dict.fromkeys(task.record.ids))
                raise NoSecretKeyError(f"it is encrypted to {ids}, none of which is this machine's")
            with open(self._store.open(task.record.entry), "rb") as file:
                before = file.read()
            if frozenset(own) in self._unlocked:
                running.append(_Running(task, before, self._gpg.start_decrypt(before)))
                return
            plaintext = cipher.decrypt(self._gpg, before, self._label(task))
            self._unlocked.add(frozenset(own))
            running.append(self._encrypt(task, before, plaintext))
        except (PasshelperError, OSError) as error:
            self._fail(task, error)

    def _go_on(self, each: _Running, running: list[_Running]) -> None:
        """Take a child's result: a plaintext is encrypted, a ciphertext is checked and kept."""
        task = each.task
        try:
            if not each.is_open:
                plaintext = cipher.finish_decrypt(self._gpg, each.child, each.before, self._label(task))
                running.append(self._encrypt(task, each.before, plaintext))
                return
            lines = [recipient.line for recipient in each.readers]
            data = cipher.ciphertext(self._gpg, each.child, lines, self._label(task))
            self._check(each.readers, data)
        except (PasshelperError, OSError) as error:
            self._fail(task, error)
        else:
            self._outcome.renewed[task.record.entry.path] = Renewed(digest(each.before), task.readers, task.binds, data)
            self._tick()

    def _encrypt(self, task: Task, before: bytes, plaintext: Plaintext) -> _Running:
        entry = task.record.entry
        bound = plaintext.name.startswith(BINDING)
        if bound and plaintext.name != binding(entry.server, entry.username):
            raise EntryError("it was moved here from another server")
        readers = task.readers
        if not bound and task.adds:
            if not task.kept:
                raise UnboundError(
                    "it is not bound to its server, so it may have been copied here to be read by others"
                )
            readers = task.kept
        lines = [recipient.line for recipient in readers]
        name = binding(entry.server, entry.username) if bound or task.binds else ""
        trusted = all(map(is_fingerprint, lines))
        child = self._gpg.start_encrypt(plaintext.data, lines, name, trusted=trusted, beside=True)
        return _Running(task, before, child, readers, is_open=True)

    def _check(self, readers: Sequence[Recipient], data: bytes) -> None:
        """Make sure that the new ciphertext is for exactly the readers."""
        drift = compare(packets.key_ids(data), readers, self._known)
        if drift.is_there or drift.unknown:
            raise EntryError("gpg encrypted it to other keys than it was told")

    def _fail(self, task: Task, error: PasshelperError | OSError) -> None:
        # Somebody else may have encrypted an entry to a key that its list does not name and that nobody opens.
        if isinstance(error, LockedKeyError) and not self._is_strange(task):
            raise error
        if isinstance(error, FileNotFoundError):  # erased meanwhile
            self._tick()
            return
        if isinstance(error, OSError):
            error = EntryError(f"it cannot be read: {error.strerror}")
        self._outcome.failed[task.record.entry.path] = error
        self._tick()

    def _is_strange(self, task: Task) -> bool:
        """Return whether this machine can open an entry only with keys that are not a recipient's."""
        wanted = {key_id for recipient in task.record.wanted for key_id in recipient.key_ids}
        return self._own.isdisjoint(wanted.intersection(task.record.ids))

    def _label(self, task: Task) -> str:
        return f"the entry of {printable(task.record.entry.server)}"
