"""PassHelper: the credential helper on top of the store, and the ``docker-credential-pass`` program."""

import os
import sys

from passhelper import settings
from passhelper.credentials import Credentials, Helper, decoded
from passhelper.errors import CredentialsNotFoundError, NoSecretKeyError, StoreError
from passhelper.protocol import forbid_cores, run, warner
from passhelper.store import layout
from passhelper.store.store import PassStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from passhelper.store.store import Entry

PROGRAM = "docker-credential-pass"
_LAST_RESORT = 5.0  # seconds from its deadline until a verb is ended from outside: more than ending a child takes
_LONG = 1024  # characters of a path in a message

_warn_on_stderr = warner(PROGRAM)


class PassHelper(Helper):
    """Docker credentials in a ``pass`` store.

    Args:
        environ: the settings; the process's environment by default.
        warn: takes one line when something worked only in part; stderr by default.
        shared_erase: whether erasing in a store that others share erases for all of them, rather than for this clone.
    """

    def __init__(
        self,
        environ: "Mapping[str, str] | None" = None,
        warn: "Callable[[str], None]" = _warn_on_stderr,
        *,
        shared_erase: bool = False,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._warn = warn
        self._shared_erase = shared_erase

    @property
    def pass_store(self) -> PassStore:
        """The store that the environment names, for one verb, whose time begins now."""
        return PassStore(self._environ, self._warn, settings.Deadline(self._environ, shared=True))

    def _store(self, credentials: Credentials) -> None:
        """Encrypt a credential into the store and commit it; see :class:`~passhelper.Helper`."""
        if self._ignores_writes("stored"):
            return
        from passhelper.store.write import write  # reading needs none of it

        store = self.pass_store
        try:
            hidden = logged_out(store)
            write(store, credentials.server, credentials.username, credentials.secret.encode())
            if hidden:
                from passhelper.store import loggedout  # only where there is something to end

                loggedout.end(store, [credentials.server])
        except OSError as error:
            raise _converted(error, "write", store.root) from error

    def _get(self, server: str) -> Credentials:
        """Decrypt the credential of a server, or of an equivalent name; see :class:`~passhelper.Helper`."""
        store = self.pass_store
        try:
            try:
                found = self._read(store, server)
            except CredentialsNotFoundError:
                if not self._settled(store) and not self._pulled(store):
                    raise
                found = self._read(store, server)
            if found is None:
                # A writer replaced the file between our two looks: look once more between two writers.
                from passhelper.store.workspace import Lock  # rare

                with Lock(store, store.repository(""), shared=True):
                    found = self._read(store, server)
        except OSError as error:
            raise _converted(error, "read", store.root) from error
        if found is None:
            raise CredentialsNotFoundError
        return found

    def _settled(self, store: PassStore) -> bool:
        """Put back what git has undone before it was committed; return whether the store may have changed."""
        if not store.may_be_undone():
            return False
        from passhelper.store import transaction  # only where something waits

        return transaction.settle(store)

    def _pulled(self, store: PassStore) -> bool:
        """Fetch what others have stored, in a clone that does so by itself; most do not, and load nothing for it."""
        if not self._may_pull(store):
            return False
        from passhelper.store import autosync  # only with automatic sync

        return autosync.pull(store)

    def _may_pull(self, store: PassStore) -> bool:
        wanted = self._environ.get(settings.SYNC, "")
        if wanted:
            return "pull" in settings.sync_words(wanted, settings.SYNC)
        for folder in (store.folder, store.root):
            try:
                with open(os.path.join(folder, ".git", "config"), "rb") as file:
                    text = file.read().lower()
            except FileNotFoundError:
                continue
            except NotADirectoryError:  # a linked work tree
                return True
            return b"passhelper" in text and b"pull" in text
        return False

    def _read(self, store: PassStore, server: str) -> "Credentials | None":
        """Read a credential; None if its file vanished while it was read, CredentialsNotFoundError if there is none."""
        entry = _seen(store, store.lookup(server))
        if entry is None and not self._is_strict:
            for other in store.equivalents(server):
                entry = _seen(store, store.lookup(other))
                if entry is not None:
                    break
        if entry is None:
            raise CredentialsNotFoundError
        try:
            data = store.read(entry)
        except FileNotFoundError:
            return None
        except NoSecretKeyError:
            from passhelper.store import readable  # only where this machine cannot read an entry

            # A build that asks for every server drops all when one fails: the next `list` leaves this one out.
            if readable.load(self._environ) is None:
                readable.write(store)
            raise
        return Credentials(server, entry.username, decoded(data, server))

    def _erase(self, server: str) -> None:
        """Remove a server and its equivalent names; see :class:`~passhelper.Helper`."""
        store = self.pass_store
        try:
            self._settled(store)
            undone = self._undone(store)
            more = map(layout.encode_server, undone)
            servers = [server] if self._is_strict else [server, *store.equivalents(server, more)]
            present = [name for name in servers if name in undone or store.lookup(name) is not None]
            if not present or self._ignores_writes("erased"):
                return
            from passhelper.store import loggedout  # reading needs none of it

            hidden = logged_out(store)
            if not self._shared_erase and loggedout.is_wanted(store):
                here = [name for name in present if layout.encode_server(name) not in hidden]
                if here:
                    loggedout.add(store, here)
                return
            from passhelper.store.erase import remove

            remove(store, present)
            if hidden:
                loggedout.end(store, present)
        except OSError as error:
            raise _converted(error, "write", store.root) from error

    def _undone(self, store: PassStore) -> "set[str]":
        """List the servers with an entry that waits for its commit and that git has undone."""
        if not store.has_copies():
            return set()
        from passhelper.store import transaction  # only where something waits

        return {entry.server for entry in transaction.undone_entries(store)}

    def _list(self) -> dict[str, str]:
        """Name all servers but those that this machine is known not to read; see :class:`~passhelper.Helper`."""
        store = self.pass_store
        try:
            entries = store.walk()
            if entries:
                hidden = logged_out(store)
                if hidden:
                    entries = [entry for entry in entries if layout.encode_server(entry.server) not in hidden]
                from passhelper.store import readable  # the other verbs need it not

                known = readable.load(self._environ)
                if known is not None:
                    entries = [entry for entry in entries if not known.hides(entry.path)]
            return {entry.server: entry.username for entry in entries}
        except OSError as error:
            raise _converted(error, "read", store.root) from error

    @classmethod
    def priority(cls) -> float:
        """Return 4, below the keychain of a desktop; see :class:`~passhelper.Helper`.

        Raises:
            StoreError: the environment names no store.
        """
        _require_recipients(os.environ)
        return 4

    def unavailable(self) -> str:
        """Return why this object's environment names no store; see :class:`~passhelper.Helper`."""
        try:
            _require_recipients(self._environ)
        except StoreError as error:
            return error.cause
        return ""

    @property
    def _is_strict(self) -> bool:
        return settings.is_on(self._environ, settings.STRICT)

    def _ignores_writes(self, verb: str) -> bool:
        if not settings.is_on(self._environ, settings.IGNORE_WRITES):
            return False
        self._warn(f"nothing was {verb}: PASSHELPER_IGNORE_WRITES is set")
        return True


def logged_out(store: PassStore) -> "frozenset[str]":
    """Name the directories of the servers that this clone has logged out of; see :mod:`passhelper.store.loggedout`."""
    folders = [os.path.join(folder, ".git", "passhelper") for folder in (store.folder, store.root)]
    for folder in folders:
        try:
            return frozenset(os.listdir(os.path.join(folder, layout.LOGGED_OUT)))
        except FileNotFoundError:
            continue
        except NotADirectoryError:  # .git is a file, in a linked work tree
            repository = store.repository("")
            if repository is not None and repository.state not in folders:
                folders.append(repository.state)
    return frozenset()


def _seen(store: PassStore, entry: "Entry | None") -> "Entry | None":
    """Give an entry back unless this clone has logged out of its server."""
    return None if entry is not None and layout.encode_server(entry.server) in logged_out(store) else entry


def _require_recipients(environ: "Mapping[str, str]") -> None:
    """Find the list of recipients of the store; StoreError if there is none, or if the system refuses to read it."""
    from passhelper.store import recipients  # only where there is a choice of backends

    root = settings.store_path(environ)
    try:
        recipients.find(root, layout.FOLDER, environ)
    except OSError as error:
        raise _converted(error, "read", root) from error


def _converted(error: OSError, doing: str, root: str) -> StoreError:
    """Say which path the system refused, and as whom."""
    # Of two, the second: what was to take its place was a temporary file.
    path = next((name for name in (error.filename2, error.filename) if isinstance(name, str)), root)
    from passhelper import oserrors  # after a failure only

    remedy = oserrors.remedy(error)
    if isinstance(error, PermissionError):
        from passhelper.store import owners  # only on failure

        remedy = owners.remedy(path, root)
    if len(path) > _LONG:  # a directory too deep for the system would fill the screen
        path = f"{path[: _LONG // 2]}...{path[-_LONG // 2 :]}"
    return StoreError(f"cannot {doing} {path}: {error.strerror}", remedy)


class _Program(PassHelper):
    """The same, where the process is ours alone."""

    @property
    def pass_store(self) -> PassStore:
        store = super().pass_store
        store.meanwhile = forbid_cores
        if sys.platform != "win32":
            import _signal  # loaded at start-up; the signal module costs an enum

            # While the system waits for a file system that is away, be it gpg's, no line of ours runs, and nothing but
            # a signal ends that.
            seconds = store.deadline.seconds + _LAST_RESORT
            if not 0 < _signal.getitimer(_signal.ITIMER_REAL)[0] < seconds:
                _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
                _signal.setitimer(_signal.ITIMER_REAL, seconds)
        return store


def _end_children() -> None:
    from passhelper.store import ending  # only where a signal has interrupted

    ending.end_all()


def main(program: str = PROGRAM, store: str = "") -> "NoReturn":
    """Run ``docker-credential-pass``, or a program like it for a store of its own.

    Args:
        program: its name.
        store: the store, whatever the environment says; empty for the environment's.
    """
    if store:
        os.environ["PASSWORD_STORE_DIR"] = store
    run(_Program(), [program, *sys.argv[1:]], _end_children, forbids_cores=True)
