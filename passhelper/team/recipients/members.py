"""Add a key to the recipients or remove one, for the whole store or for one server."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GitError, TrustError, printable
from passhelper.store import keyinfo, layout, pinning, recipients, repository, treepolicy
from passhelper.team.entries import leaving
from passhelper.team.entries.batch import Batch, Edit, Result
from passhelper.team.entries.drift import Policy, directories
from passhelper.team.entries.leaving import Left
from passhelper.team.entries.limits import is_odd
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients import gpgid, publickeys, renewal, scope
from passhelper.team.recipients.edits import Editor
from passhelper.team.recipients.gpgid import Signer

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from passhelper.errors import PasshelperError
    from passhelper.store.store import PassStore
    from passhelper.team.entries.drift import Recipient
    from passhelper.team.keyring.key import Key


@dataclass(frozen=True)
class Report:
    """What a change of the recipients did.

    Attributes:
        keys: those that were added, or, by fingerprint or as they were written, removed.
        files: the ``.gpg-id`` files that changed, by their path in the store.
        result: the entries that were encrypted anew.
        strays: files among the credentials that are none and stayed as they were.
        lists: the ``.gpg-id`` files that still name a removed key, and why.
        left: the entries that are not encrypted to exactly their recipients now, and why.
        renewed: the fingerprints of keys whose file in the store was renewed, since they have changed.
    """

    keys: tuple[str, ...]
    files: tuple[str, ...]
    result: Result
    strays: tuple[str, ...] = ()
    lists: tuple[tuple[str, PasshelperError], ...] = ()
    left: tuple[Left, ...] = ()
    renewed: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left for anybody to do."""
        return not self.lists and not self.left


@dataclass(frozen=True)
class Signed:
    """What was signed.

    Attributes:
        files: the ``.gpg-id`` files, by their path in the store.
        identity: the store's.
        serial: of all of them.
        is_committed: False if the change waits for its commit, which could not be made.
    """

    files: tuple[str, ...]
    identity: str
    serial: int
    is_committed: bool


class Members:
    """Changes the recipients of one store.

    Args:
        rekey: how its entries are encrypted anew.
    """

    def __init__(self, rekey: Rekey) -> None:
        rekey.settle()
        self._rekey = rekey
        self._store: PassStore = rekey.store
        self._ring = rekey.ring
        self._policy = Policy(rekey.store, rekey.ring)
        self._editor = Editor(rekey.store, rekey.ring, self._policy)

    def add(self, wanted: Sequence[str], server: str = "", may_add: Container[str] = ()) -> Report:
        """Add keys to the recipients; of one that is a recipient, put into the store what has changed in it since.

        Args:
            wanted: fingerprints, e-mail addresses or key files.
            server: one server's; the whole store's if empty.
            may_add: see :class:`passhelper.team.entries.reencrypt.Batch`.

        Raises:
            UnsureOwnerError: nobody vouches that a key with that address is its owner's.
            ConfigurationError: one of them means no key, or several.
            RecipientsError: one cannot encrypt to one of them, or to one who is a recipient already.
            UnboundEntriesError: nobody has said of some entries that they belong where they are.
            PasshelperError: see :meth:`Rekey.apply`.
        """
        self._check_git()
        keys = {key.line("".join(one.split())): key for one in wanted for key in [self._ring.resolve(one)]}
        path = self._file(server)
        signer = Signer(self._store, self._rekey.accept([path]))
        before = self._current(path)
        new = {line: key for line, key in keys.items() if not any(_means(each, line, key) for each in before)}
        renewed = self._outdated(keys.values())
        if not new:
            return self._renew(renewed, signer) if renewed else Report((), (), Result())
        edits = {path: self._editor.edit(path, before, [], new)}
        where = f" of {server}" if server else ""
        told = [f"{line} {key.uid}".rstrip() for line, key in new.items()]
        subject = f"Add {_count(told)}{where}: {', '.join(told)}"
        sealed = self._seal(edits, signer, [*new.values(), *renewed])
        batch = Batch(subject, *sealed, self._servers(server), may_add=may_add)
        result = self._rekey.apply(batch)
        left = tuple(Left(result.records[path], error, is_readable=False) for path, error in result.left.items())
        names = tuple(key.fingerprint for key in renewed)
        return Report(tuple(told), tuple(edits), result, self._strays(edits, server), left=left, renewed=names)

    def _outdated(self, keys: Iterable[Key]) -> list[Key]:
        """List the keys that have changed since they were put into the store."""
        return renewal.outdated(self._store, dict.fromkeys(keys)) if self._rekey.repository is not None else []

    def _renew(self, keys: Sequence[Key], signer: Signer) -> Report:
        """Put what has changed in keys into the store; signed lists name the new files by their digests."""
        fingerprints = {key.fingerprint for key in keys}
        lists = self._files() if signer.is_wanted else []
        edits = {
            path: self._as_it_is(path)
            for path in lists
            if any(key.fingerprint in fingerprints for each in self._current(path) for key in each.keys)
        }
        batch = Batch(renewal.subject(keys), *self._seal(edits, signer, keys))
        result = Result(is_committed=self._rekey.put(batch))
        return Report((), tuple(edits), result, renewed=tuple(key.fingerprint for key in keys))

    def remove(self, wanted: Sequence[str], server: str = "", may_add: Container[str] = ()) -> Report:
        """Remove keys from every ``.gpg-id`` that names them, or from that of one server.

        Nobody can prevent his own removal: an entry that this machine cannot encrypt anew, and a server's own list
        that would name nobody, stay as they are and are reported.

        Args:
            wanted: fingerprints, e-mail addresses, key files, or lines as they are written there.
            server: one server's; if empty, everywhere.
            may_add: see :class:`passhelper.team.entries.reencrypt.Batch`.

        Raises:
            UnsureOwnerError: nobody vouches that a recipient with that address is its owner.
            ConfigurationError: one of them is not a recipient, or nobody, or nobody here, would be left.
            PasshelperError: see :meth:`Rekey.apply`.
        """
        self._check_git()
        paths = [self._file(server)] if server else self._files()
        signer = Signer(self._store, self._rekey.accept(paths))
        edits: dict[str, Edit] = {}
        kept: dict[str, ConfigurationError] = {}
        found: dict[str, list[Recipient]] = {one: [] for one in wanted}
        for path in paths:
            before = self._current(path)
            gone = []
            for one in wanted:
                meant = self._editor.match(one, before, path)
                found[one] += meant
                gone += meant
            if gone:
                try:
                    edits[path] = self._editor.edit(path, before, gone, {})
                except ConfigurationError as error:
                    if path == paths[0]:
                        raise
                    kept[path] = error
        for one, meant in found.items():
            if not meant:
                where = f" of {printable(server)}" if server else ""
                said = f"{printable(one)} is not a recipient{where}"
                raise ConfigurationError(said, "run: passhelper recipients list")
        if not edits:
            raise next(iter(kept.values()))
        dropped = list(dict.fromkeys(each for several in found.values() for each in several))
        keys = [self._told(each.line) for each in dropped]
        where = f" of {server}" if server else ""
        subject = f"Remove {_count(keys)}{where}: {', '.join(keys)}"
        sealed = self._seal(edits, signer)
        batch = Batch(subject, *sealed, self._servers(server), may_add=may_add, skip_failed=True, is_removal=True)
        result = self._rekey.apply(batch)
        left = tuple(leaving.left(self._store, self._ring, result, dropped, self._servers(server)))
        return Report(tuple(keys), tuple(edits), result, self._strays(edits, server), tuple(kept.items()), left)

    def sign(self, *, other_store: bool = False) -> Signed:
        """Sign every list of recipients anew, as they are accepted on this machine: with what a signed list says now.

        Args:
            other_store: whether the store gets another identity, as a copy that goes its own way should.

        Raises:
            ConfigurationError: nothing says who signs.
            TrustError: a list is not the accepted one or may be of another store, or this machine cannot sign.
            PasshelperError: see :meth:`Rekey.apply`.
        """
        self._check_git()
        paths = self._files()
        signer = Signer(self._store, self._rekey.unchanged(paths), gpgid.new_identity() if other_store else "")
        if not signer.is_wanted:
            raise ConfigurationError(
                "nothing says who signs the lists of recipients",
                "set PASSWORD_STORE_SIGNING_KEY to the full fingerprint of the key that does",
            )
        if not signer.identity:
            self._refuse_claims()
            signer.identity = gpgid.new_identity()
        edits = {path: self._as_it_is(path) for path in paths}
        is_committed = self._rekey.put(Batch("Sign the lists of recipients", *self._seal(edits, signer)))
        return Signed(tuple(edits), signer.identity, signer.serial, is_committed)

    def _as_it_is(self, path: str) -> Edit:
        """Write a list anew with the keys that it names."""
        lines = tuple(each.line for each in self._current(path))
        return Edit(self._editor.base(path), None, lines, recipients.read_file(self._store.root, path))

    def _refuse_claims(self) -> None:
        """Stop if a signed list names a store but its signature cannot be checked here."""
        for path, named in gpgid.headers(self._store).items():
            if named.store and self._is_there(f"{path}.sig"):
                raise TrustError(
                    f"{path} says that it is a list of store {named.store}, and it is not signed by a key in "
                    "PASSWORD_STORE_SIGNING_KEY that this keyring holds",
                    "import the key that has signed it, or run: passhelper recipients sign --new-store",
                )

    def _told(self, line: str) -> str:
        keys = self._policy.recipient(line).keys
        return f"{keys[0].line(line)} {keys[0].uid}".rstrip() if keys else line

    # Which files

    def _file(self, server: str) -> str:
        """Choose the ``.gpg-id`` to change; it need not exist yet."""
        if not server:
            return scope.recipients_file(self._store)
        directory = layout.encode_server(server)
        odd = next((path for path in map(recipients.own, layout.spellings(server)[1:]) if self._is_there(path)), "")
        if odd:
            raise ConfigurationError(
                f"{odd} limits who reads {printable(server)}, but its directory does not have its usual name",
                f"move it to {os.path.join(layout.FOLDER, directory)}",
            )
        similar = self._store.equivalents(server)
        # Where another name has a list, this one may need its own, so that more cannot read what is stored for it.
        has_list = any(self._is_there(recipients.own(layout.encode_server(other))) for other in similar)
        if not os.path.isdir(os.path.join(self._store.folder, directory)) and similar and not has_list:
            raise ConfigurationError(
                f"nothing is stored for {printable(server)}, but for {', '.join(map(printable, similar))}",
                "name the server as it is stored",
            )
        return recipients.own(directory)

    def _servers(self, server: str) -> list[str] | None:
        """List the servers that a change of one's list may be about: all names of its registry; None for all."""
        return [server, *self._store.equivalents(server)] if server else None

    def _files(self) -> list[str]:
        """List every ``.gpg-id`` that decides about credentials and is ours to change, the whole store's first."""
        ours = scope.recipients_file(self._store)
        nested = [
            path
            for path in pinning.current(self._store.root)
            if path.startswith(layout.FOLDER + os.sep) and not is_odd(recipients.directory_of(path))
        ]
        return list(dict.fromkeys([ours, *nested]))

    def _is_there(self, path: str) -> bool:
        return recipients.read_file(self._store.root, path) is not None

    def _current(self, path: str) -> tuple[Recipient, ...]:
        """Find the recipients of a file, or, if it does not exist, those of the list that applies now."""
        return self._policy.of(recipients.directory_of(path))

    # What goes with them

    def _seal(
        self, edits: Mapping[str, Edit], signer: Signer, new: Iterable[Key] = ()
    ) -> tuple[dict[str, Edit], list[tuple[str, bytes]]]:
        """Sign the new files where that is demanded, and export the keys that go with them."""
        exported = self._public_keys(new, edits, every=signer.is_wanted)
        digests = {os.path.basename(path): publickeys.digest(data) for path, data in exported}
        sealed = {}
        for path, edit in edits.items():
            named = {key.fingerprint for line in edit.lines for key in self._policy.recipient(line).keys}
            own = {fingerprint: digests[fingerprint] for fingerprint in named if fingerprint in digests}
            text, signature = signer.seal(path, edit.text, own, lists=signer.beside(path, edits))
            sealed[path] = replace(edit, text=text, signature=signature)
        return sealed, exported

    def _public_keys(self, new: Iterable[Key], edits: Mapping[str, Edit], *, every: bool) -> list[tuple[str, bytes]]:
        """Export the keys that others need: new ones, and those that are not in the store, or all for a signer."""
        if self._rekey.repository is None:
            return []
        wanted = {key.fingerprint: key for key in new}
        for edit in edits.values():
            for line in edit.lines:
                wanted |= {
                    key.fingerprint: key
                    for key in self._policy.recipient(line).keys
                    if every or not os.path.lexists(os.path.join(self._store.root, treepolicy.KEYS, key.fingerprint))
                }
        folder = os.path.join(self._store.root, treepolicy.KEYS)
        return [(os.path.join(folder, name), publickeys.united(self._store, key)) for name, key in wanted.items()]

    def _strays(self, edits: dict[str, Edit], server: str) -> tuple[str, ...]:
        """List the files among the credentials that are not entries, so that nobody thinks they were encrypted anew."""
        if server or not edits or not os.path.isdir(self._store.folder):
            return ()
        entries: set[str] = set()
        for name, decoded in directories(self._store):
            with suppress(OSError):  # who could be in there has been settled: the change would have been refused
                entries.update(entry.path for entry in self._store.entries(decoded, name))
        return tuple(scope.strays(self._store, entries))

    def _check_git(self) -> None:
        """Refuse to change a git store in which nothing can be committed."""
        if self._rekey.repository is not None:
            try:
                repository.program(self._store.environ)
            except GitError as error:
                raise GitError(f"{error.cause}, which {self._store.root} is kept with", error.remedy) from error


def _means(recipient: Recipient, line: str, key: Key) -> bool:
    """Return whether a recipient means exactly one usable key; a single subkey means only itself."""
    if keyinfo.is_pinned(line) or keyinfo.is_pinned(recipient.line):
        return recipient.line == line
    return key in recipient.keys and all(other == key or not other.can_encrypt for other in recipient.keys)


def _count(keys: Sequence[object]) -> str:
    return f"{len(keys)} recipients" if len(keys) > 1 else "recipient"
