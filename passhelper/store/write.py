"""Changes to a store: one credential in, some out, each as one atomic step and one commit.

The order of a write is what makes it safe: recipients are compared with the pin before anything is
encrypted; everything is encrypted before the lock is taken; nothing is created before the lock; the
new file is in place before an older username is removed.
"""

import errno
import os
import time

from passhelper import settings
from passhelper.errors import PasshelperError, StoreError, TrustError
from passhelper.store import layout, recipients
from passhelper.store.child import finish
from passhelper.store.gpg import QUICK
from passhelper.store.store import Entry, PassStore, binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from passhelper.store.child import Child
    from passhelper.store.commit import Committer
    from passhelper.store.files import Files
    from passhelper.store.neighbours import Neighbours
    from passhelper.store.recipients import Recipients
    from passhelper.store.repository import Repository
    from passhelper.store.trust import Accepted, Pins

_NAME_REFUSED = (errno.ENOENT, errno.EINVAL, errno.EILSEQ)
_TRIES = 3  # encryptions for a store whose recipients keep changing


def write(store: PassStore, server: str, username: str, secret: bytes) -> None:
    """Keep a credential and remove every other username of its server.

    Raises:
        StoreNotInitializedError: the store names no recipients.
        TrustError: its recipients are not the accepted ones.
        RecipientsError: one of them cannot be encrypted to.
        StoreError, GpgError, OSError: anything else; the store is as it was.
    """
    store.check_folder()
    store.check_user()
    writer = _Writer(store, server, username, layout.encode_username(username), secret)
    try:
        writer.write()
    except OSError as error:
        if error.errno not in _NAME_REFUSED or not layout.is_refused_by_some(username):
            raise
        # The disk cannot hold the name as it is (``<token>`` on exFAT), though this is not Windows.
        writer = _Writer(store, server, username, layout.encode_username(username, windows=True), secret)
        writer.write()
    share(store, writer.repository, writer.committer)


class _Writer:
    """One credential on its way into the store."""

    def __init__(self, store: PassStore, server: str, username: str, file: str, secret: bytes) -> None:
        self.store = store
        self.secret = secret
        self.directory = layout.encode_server(server)
        path = os.path.join(store.folder, self.directory, layout.native(file))
        self.target = Entry(server, username, path)
        self.place = binding(server, username)
        self.repository = store.repository(self.directory)
        self.committer: Committer | None = None
        self.accepted: Accepted | None = None  # what to pin together with the write, if anything changed
        self.pins: Pins = {}
        self.neighbours: Neighbours | None = None
        self.children: list[Child] = []

    def write(self) -> None:
        try:
            self._write()
        finally:
            for child in self.children:  # what a failure or an early answer left running
                child.kill()
            if self.committer is not None:
                self.committer.close()

    def _write(self) -> None:
        store = self.store
        self._refuse_shadowed_recipients()
        self._refuse_twin()
        for _ in range(_TRIES):
            found = self._settled_recipients()
            ciphertext = self._encrypt(found)
            if ciphertext is None:  # in a git store: what is there says the same to the same keys
                self._commit_pending()
                return
            self._load_the_rest()
            if self.committer is not None:
                self.committer.begin()
            with store.lock(self.repository):
                if recipients.find(store.root, self.directory, store.environ).keys == found.keys:
                    if self.neighbours is None or self.neighbours.have_changed():
                        self._look_around(found)
                    self._replace(ciphertext)
                    return
        raise TrustError("the recipients keep changing while a credential is stored", "try again")

    def _refuse_shadowed_recipients(self) -> None:
        """Refuse to widen the readers of a server whose own ``.gpg-id`` lies in a hand-made spelling."""
        for other in layout.spellings(self.target.server)[1:]:
            path = recipients.own(other)
            if os.path.lexists(os.path.join(self.store.root, path)):
                raise StoreError(
                    f"{path} limits who reads this server, but its directory is not spelled as it is written",
                    f"move it to {os.path.join(layout.FOLDER, self.directory)}",
                )

    def _refuse_twin(self) -> None:
        """Refuse a server whose directory this disk takes for the one of another server, and that is there."""
        folder, directory = self.store.folder, self.directory
        twin = layout.twin(folder, directory)
        if twin:
            path, other = os.path.join(folder, directory), layout.decode_server(twin) or twin
            raise StoreError(
                f"{path} is the directory of {other} on this disk, which takes capital and small letters for the same",
                "set PASSWORD_STORE_DIR to a store on another disk",
            )

    def _settled_recipients(self) -> "Recipients":
        """Find the recipients, and not in the middle of a change of many files, nor before what git undid is back."""
        waiting = [self.store.journal(self.repository)]
        if self.repository is not None:
            waiting.append(self.repository.kept)
        if any(map(os.path.exists, waiting)):
            with self.store.lock(self.repository):
                pass  # it is finished, by whoever makes it or by us
        try:
            return self._accepted_recipients()
        except TrustError:
            if self.repository is None:
                raise
        with self.store.lock(self.repository):  # they may have been about to be pinned
            return self._accepted_recipients()

    def _accepted_recipients(self) -> "Recipients":
        """Find the recipients and make sure that this machine has accepted them."""
        store = self.store
        found = recipients.find(store.root, self.directory, store.environ)
        recipients.verify_signature(store.root, found, store.gpg)
        if self.repository is not None and found.path:
            from passhelper.store import trust  # noqa: PLC0415 - only in a git store

            known = trust.load_all(self.repository.state)
            self.pins = known.pins if known is not None else {}
            if known is None:
                self.accepted = trust.first(store.root, found, store.gpg)
            else:
                self.accepted = trust.check(store.root, self.directory, found, known, store.gpg)
        return found

    def _encrypt(self, found: "Recipients") -> "bytes | None":
        """Encrypt; None when the store already says the same to the same keys."""
        gpg = self.store.gpg
        keys = list(found.keys)
        started = time.monotonic()
        # First what takes longer.
        current = self._start_comparison() if self.repository is not None else None
        encrypting = gpg.start_encrypt(self.secret, keys, self.place, trusted=found.all_fingerprints)
        self.children.append(encrypting)
        self._look_around(found)
        if current is None:
            self._load_the_rest()
        finish([encrypting], gpg.deadline.left())
        if encrypting.returncode != 0 and settings.is_on(self.store.environ, settings.SKIP_UNUSABLE):
            from passhelper.store import keyinfo  # noqa: PLC0415 - only on failure

            keys = keyinfo.usable_recipients(gpg, keys, found.label, self.store.warn)
            trusted = all(map(recipients.is_fingerprint, keys))
            encrypting = gpg.start_encrypt(self.secret, keys, self.place, trusted=trusted)
            finish([encrypting], gpg.deadline.left())
        ciphertext = gpg.ciphertext(encrypting, keys, found.label)
        if current is not None:
            decrypting, existing = current
            finish([decrypting], gpg.deadline.left(max(QUICK - (time.monotonic() - started), 0.0)))
            if self._is_same(decrypting, existing, ciphertext):
                return None
        return ciphertext

    def _look_around(self, found: "Recipients") -> None:
        """Refuse readers whom the list of another name of this registry keeps out; a listing, while gpg is busy."""
        from passhelper.store.neighbours import Neighbours  # noqa: PLC0415 - reading needs none of it

        self.neighbours = Neighbours(self.store, self.target.server, self.pins)
        self.neighbours.refuse(found)

    def _load_the_rest(self) -> None:
        """Import what comes after the encryption, while gpg is busy where it is known to be needed."""
        from passhelper.store import files, lock  # noqa: F401, PLC0415

        if self.committer is None:
            self.committer = committer_for(self.store, self.repository)

    def _start_comparison(self) -> "tuple[Child, bytes] | None":
        """Start decrypting what is there now, beside the encryption; only if it could be the same."""
        store, target = self.store, self.target
        if settings.is_on(store.environ, settings.ALWAYS_WRITE) or self._is_waited_for():
            return None
        if [entry.path for entry in store.all_entries(target.server)] != [target.path]:
            return None
        try:
            descriptor = store.open(target)
        except (StoreError, OSError):
            return None
        with open(descriptor, "rb") as file:
            existing = file.read()
        decrypting = store.gpg.start_decrypt(existing, prompt=False)
        self.children.append(decrypting)
        return decrypting, existing

    def _is_waited_for(self) -> bool:
        """Tell whether git may have undone a later change: what is on the disk is not what was stored last."""
        from passhelper.store import unfinished  # noqa: PLC0415 - whoever takes the lock needs it too

        place = self.repository
        return place is not None and (os.path.exists(place.kept) or bool(unfinished.aborted(place)))

    def _is_same(self, decrypting: "Child", existing: bytes, ciphertext: bytes) -> bool:
        """Compare what is there with what would be written. Any doubt means "write"."""
        from passhelper.store import packets  # noqa: PLC0415 - only in a git store

        try:
            plaintext = self.store.gpg.plaintext(decrypting, "")
        except PasshelperError:
            return False
        if plaintext.data != self.secret or plaintext.name != self.place:
            return False
        before, after = sorted(packets.key_ids(existing)), sorted(packets.key_ids(ciphertext))
        return before == after and packets.HIDDEN not in before

    def _replace(self, ciphertext: bytes) -> None:
        """Put the new file in place, remove older usernames, commit; under the lock."""
        store, target, repository = self.store, self.target, self.repository
        files = store.files()
        sweep(store, repository)
        older = [entry.path for entry in store.all_entries(target.server) if entry.path != target.path]
        if layout.twin(*os.path.split(target.path)):
            self._replace_twin(ciphertext, older)
            return
        made = files.make_directory(store.folder)
        temporary = store.folder
        try:
            if repository is not None:
                temporary = repository.state
                files.make_directory(temporary)
                if self.accepted is not None:
                    from passhelper.store import trust  # noqa: PLC0415 - only in a git store

                    trust.write_down(temporary, self.accepted, files)
            undone = [entry.path for entry in store.undone() if entry.server == target.server]
            with _Change(files, temporary, self.committer, [target.path, *older, *undone]) as change:
                before = {path: _content(path) for path in (target.path, *older)} if older else {}
                below: list[str] = []
                try:
                    below = files.put(target.path, ciphertext, temporary)
                    change.has_begun = True
                    _remove_files(store, older)
                except BaseException as error:
                    change.has_begun = _content(target.path) == ciphertext
                    if change.has_begun and isinstance(error, OSError):
                        change.has_begun = not self._put_back(before, temporary)
                    elif change.has_begun:  # interrupted: what is begun is brought to its end
                        _remove_files(store, older)
                        store.warn("the credential is stored, and the next change will commit it")
                    files.remove_directories(below)
                    raise
        except BaseException:
            files.remove_directories(made)
            raise
        if self.committer is not None:
            self.committer.commit(self._subject())
            if self.committer.has_committed and _content(target.path) != ciphertext:
                raise StoreError(f"git has undone the change of {target.path} while it was made", "try again")

    def _put_back(self, before: "dict[str, bytes | None]", temporary: str) -> bool:
        """Undo a change, some of whose older files could not be removed; tells whether that was possible."""
        files = self.store.files()
        try:
            for path, data in before.items():
                if data is not None and _content(path) != data:
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
        from passhelper.store import journal  # noqa: PLC0415 - only on such a disk

        store, repository = self.store, self.repository
        base = store.root if repository is None else repository.root
        if repository is not None and self.accepted is not None:
            from passhelper.store import trust  # noqa: PLC0415 - only in a git store

            trust.write_down(repository.state, self.accepted, store.files())
        changes = [journal.Change(os.path.relpath(path, base), None) for path in older]
        changes.append(journal.Change(os.path.relpath(self.target.path, base), ciphertext))
        journal.write(store, repository, journal.Plan(self._subject(), changes))
        journal.finish(store, repository)

    def _subject(self) -> str:
        return f"Store credential for {self.target.server} ({self.target.username})"

    def _commit_pending(self) -> None:
        """Commit what an earlier writer could not; this one changes nothing."""
        if self.repository is None or not os.path.exists(self.repository.pending):
            return
        self._load_the_rest()
        if self.committer is not None and self.committer.has_pending():
            self.committer.begin()
            with self.store.lock(self.repository):
                sweep(self.store, self.repository)
                self.committer.plan([])
                self.committer.commit(self._subject())


class _Change:
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

    def __enter__(self) -> "_Change":
        self._mark = self._files.mark(self._temporary)
        try:
            if self._committer is not None:
                self._committer.plan(self._paths)
        except BaseException:
            os.unlink(self._mark)
            raise
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", traceback: "TracebackType | None"
    ) -> None:
        try:
            os.unlink(self._mark)
            if error is not None and self._committer is not None and not self.has_begun:
                self._committer.cancel()
        except OSError:
            pass  # the next writer takes away either; what came before counts


def _content(path: str) -> "bytes | None":
    """Read a file; None if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def share(store: PassStore, repository: "Repository | None", committer: "Committer | None") -> None:
    """Push what was committed, or what could not be pushed before, where the clone pushes by itself.

    The caller has let the lock go; whatever comes of it, the change is made.
    """
    if repository is None:
        return
    config = committer.settings() if committer is not None and committer.has_committed else None
    wanted = config is not None and (store.environ.get(settings.SYNC, "") or config.get("passhelper.sync", ""))
    if (wanted and "push" in wanted.lower()) or os.path.exists(repository.unpushed):
        from passhelper.store import remote  # noqa: PLC0415 - only with automatic sync

        remote.push(store, repository, config)


def committer_for(store: PassStore, repository: "Repository | None") -> "Committer | None":
    """Prepare commits to the repository of a store, if it has one."""
    if repository is None:
        return None
    from passhelper.store.commit import Committer  # noqa: PLC0415 - only in a git store

    return Committer(repository, store.environ, store.files(), store.warn, store.deadline)


def remove(store: PassStore, servers: "list[str]") -> None:
    """Remove every entry of some servers; their ``.gpg-id`` files stay.

    Args:
        store: where.
        servers: exact names; those without entries are no error.
    """
    for repository, group in _by_repository(store, servers):
        committer = committer_for(store, repository)
        try:
            if committer is not None:
                committer.begin()
            with store.lock(repository):
                _remove_group(store, group, repository, committer)
        finally:
            if committer is not None:
                committer.close()
        share(store, repository, committer)


def _remove_group(
    store: PassStore, group: "list[tuple[str, str]]", repository: "Repository | None", committer: "Committer | None"
) -> None:
    """Remove what is in some directories of one repository; under the lock."""
    sweep(store, repository)
    paths = [entry.path for server, name in group for entry in store.entries(server, name)]
    servers = {server for server, _ in group}
    paths += [entry.path for entry in store.undone() if entry.server in servers]
    if not paths:
        return
    files = store.files()
    temporary = store.folder
    if repository is not None:
        temporary = repository.state
        files.make_directory(temporary)
    with _Change(files, temporary, committer, paths) as change:
        change.has_begun = True
        _remove_files(store, paths)
    if committer is not None:
        names = ", ".join(dict.fromkeys(server for server, _ in group))
        committer.commit(f"Erase credential for {names}")


def _by_repository(store: PassStore, servers: "list[str]") -> "list[tuple[Repository | None, list[tuple[str, str]]]]":
    """Group the directories of some servers that have entries, or had before git undid it, by their repository."""
    groups: dict[str, tuple[Repository | None, list[tuple[str, str]]]] = {}
    undone = {os.path.dirname(entry.path) for entry in store.undone()}
    for server in servers:
        for name in layout.spellings(server):
            if os.path.join(store.folder, name) in undone or store.entries(server, name):
                repository = store.repository(name)
                _, group = groups.setdefault(repository.root if repository else "", (repository, []))
                group.append((server, name))
    return list(groups.values())


def _remove_files(store: PassStore, paths: "list[str]") -> None:
    """Unlink files and the directories that become empty, up to the folder of all credentials."""
    from passhelper.store.files import sync_directory  # noqa: PLC0415

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
        place = folder
        while place.startswith(store.folder + os.sep):
            try:
                os.rmdir(place)
            except FileNotFoundError:
                pass  # it went with a folder inside it
            except OSError:
                break  # not empty: a .gpg-id, a file that is not ours
            place = os.path.dirname(place)
        sync_directory(place)


def sweep(store: PassStore, repository: "Repository | None") -> None:
    """Remove what a killed writer left: its temporary files, and directories it made or had emptied."""
    files = store.files()
    left = files.sweep(store.folder)
    if repository is not None:
        left = files.sweep(repository.state) or left
    if left and os.path.isdir(store.folder):
        with os.scandir(store.folder) as listing:
            folders = [item.path for item in listing if item.is_dir(follow_symlinks=False)]
        for folder in folders:
            _prune(folder)


def _prune(path: str) -> None:
    """Remove a directory that holds nothing but empty directories."""
    try:
        with os.scandir(path) as listing:
            items = list(listing)
        if all(item.is_dir(follow_symlinks=False) for item in items):
            for item in items:
                _prune(item.path)
            os.rmdir(path)
    except OSError:
        return  # one below it is not empty
