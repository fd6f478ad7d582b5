"""PassStore: find, read and walk the credentials of a pass-layout store.

Reading takes no lock and never waits for a writer: a file is always whole. Who writes are :mod:`passhelper.store.write`
and :mod:`passhelper.store.erase`, each under the lock of :mod:`passhelper.store.transaction`.
"""

import os
import stat
import sys
import time

from passhelper import settings
from passhelper.errors import EntryError, StoreError, printable
from passhelper.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from passhelper.store.gpg import Gpg
    from passhelper.store.repository import Repository

MAX_NESTING = 32  # levels of folders that a username with slashes may have
_RECENT = 86400  # seconds; an older rebase is none that has dropped a change just now


class Entry:
    """One credential in the store.

    Attributes:
        server: what the directory's name decodes to.
        username: what the file's name decodes to.
        path: the file, as an absolute path.
    """

    __slots__ = ("path", "server", "username")

    def __init__(self, server: str, username: str, path: str) -> None:
        self.server = server
        self.username = username
        self.path = path


class PassStore:
    """The credentials below one password store.

    Args:
        environ: where ``PASSWORD_STORE_DIR`` and the other settings come from.
        warn: takes one line for the user when something worked only in part.
        deadline: of what the store is opened for; a command has none as a whole.

    Attributes:
        meanwhile: called while gpg looks for a plaintext, before any of it is read here.

    Raises:
        ConfigurationError: ``PASSWORD_STORE_DIR`` is relative, or a setting is not valid.
    """

    def __init__(
        self, environ: "Mapping[str, str]", warn: "Callable[[str], None]", deadline: "settings.Deadline | None" = None
    ) -> None:
        settings.check(environ)
        self.environ = environ
        self.warn = warn
        self.root = settings.store_path(environ)
        self.folder = os.path.join(self.root, layout.FOLDER)
        self.deadline = deadline or settings.Deadline(environ, shared=False)
        self._gpg: Gpg | None = None
        self.meanwhile: Callable[[], None] | None = None

    @property
    def gpg(self) -> "Gpg":
        """Gpg as this environment has it; loaded on first use, so that a miss needs none of it."""
        if self._gpg is None:
            from passhelper.store.gpg import Gpg  # list and a miss start none

            self._gpg = Gpg(self.environ, self.deadline)
        return self._gpg

    def lookup(self, server: str) -> "Entry | None":
        """Find the entry of a server by its exact name.

        Raises:
            StoreError: the store or the server's directory cannot be read, or is a link.
        """
        self.check_folder()
        for name in layout.spellings(server):
            for entry in self.entries(server, name):
                return entry
        return None

    def all_entries(self, server: str) -> "list[Entry]":
        """List everything that is stored for a server, in whatever spelling; more than one is a left-over."""
        return [entry for name in layout.spellings(server) for entry in self.entries(server, name)]

    def equivalents(self, server: str, more: "Iterable[str]" = ()) -> "list[str]":
        """List the other servers that mean the same registry, in byte order.

        Args:
            server: which.
            more: names of directories to look at beside those of the store.
        """
        from passhelper.registry import normalize  # a hit needs no equivalence

        wanted = normalize(server)
        if wanted is None:
            return []
        found = {
            other
            for name in (*self._directories(), *more)
            if layout.may_contain(name, wanted[1])
            and (other := layout.decode_server(name)) is not None
            and other != server
            and normalize(other) == wanted
        }
        return sorted(found, key=str.encode)

    def walk(self) -> "list[Entry]":
        """List the entry of each server, the one that :meth:`lookup` would find."""
        found: dict[str, Entry] = {}
        several: list[str] = []
        for name in self._directories():
            server = layout.decode_server(name)
            if server is None:
                continue
            path = f"{self.folder}{os.sep}{name}"
            try:
                files = self._files_below(path, "", 0)
            except OSError:
                continue  # nor can it be got; it must not hide all the others (pain U5)
            if not files:
                continue
            if server in found:
                several.append(server)
            file, username = files[0] if len(files) == 1 else min(files, key=_byte_order)
            found[server] = Entry(server, username, f"{path}{os.sep}{file}")
        for server in several:  # two spellings of one name
            entry = self.lookup(server)
            if entry is not None:
                found[server] = entry
        return list(found.values())

    def entries(self, server: str, name: str) -> "list[Entry]":
        """List the entries of the directory with this name, which means the server, in byte order of their file names.

        Raises:
            StoreError: the directory is a symbolic link.
        """
        path = os.path.join(self.folder, name)
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                raise StoreError(f"{path} is a symbolic link; links inside a store are not followed", "remove it")
        except (FileNotFoundError, NotADirectoryError):
            return []
        if not layout.holds(self.folder, name):
            return []  # another server's, which this disk takes for it
        files = self._files_below(path, "", 0)
        if len(files) > 1:
            files.sort(key=_byte_order)
        return [Entry(server, username, os.path.join(path, file)) for file, username in files]

    def _files_below(self, path: str, prefix: str, level: int) -> "list[tuple[str, str]]":
        """List the files below a server directory that are entries, with their usernames."""
        found: list[tuple[str, str]] = []
        try:
            with os.scandir(path) as listing:
                for item in listing:
                    if item.is_file(follow_symlinks=False):
                        file = prefix + item.name
                        relative = file if file.isascii() else layout.foreign(file)
                        username = layout.decode_username(relative) if relative is not None else None
                        if username is not None:
                            found.append((file, username))
                    elif level < MAX_NESTING and item.name != ".git" and item.is_dir(follow_symlinks=False):
                        found += self._files_below(item.path, f"{prefix}{item.name}/", level + 1)
        except (FileNotFoundError, NotADirectoryError):
            return []  # erased since its name was read
        return found

    def _directories(self) -> "list[str]":
        """List the names below the folder; sorting and decoding is the caller's."""
        self.check_folder()
        try:
            with os.scandir(self.folder) as listing:
                return [item.name for item in listing if item.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def check_folder(self) -> None:
        """Refuse a store that is a file and a folder that is a link; both may be missing."""
        try:
            if not stat.S_ISDIR(os.stat(self.root).st_mode):
                raise StoreError(f"password store {self.root} is not a directory", "set PASSWORD_STORE_DIR")
            facts = os.lstat(self.folder)
        except FileNotFoundError:
            return
        if stat.S_ISLNK(facts.st_mode):
            raise StoreError(f"{self.folder} is a symbolic link; links inside a store are not followed", "remove it")
        if not stat.S_ISDIR(facts.st_mode):
            raise StoreError(f"{self.folder} is not a directory", "remove it")

    def read(self, entry: Entry) -> bytes:
        """Decrypt an entry and check that it belongs where it lies.

        Returns:
            the plaintext, exactly.

        Raises:
            FileNotFoundError: a writer removed the file meanwhile.
            EntryError: it is not an entry that may be handed to gpg, is corrupt, or was moved here.
            GpgError: it cannot be decrypted here.
        """
        descriptor = self.open(entry)
        try:
            child = self.gpg.start_decrypt(descriptor)
            # Work that does not need the plaintext is done while gpg looks for it.
            from passhelper import jsontext  # noqa: F401 - the answer will need it
            from passhelper.store import cipher
            from passhelper.store.binding import binding

            place = binding(entry.server, entry.username)
            if self.meanwhile is not None:
                self.meanwhile()
            plaintext = cipher.finish_decrypt(self.gpg, child, descriptor, self._label(entry))
        finally:
            os.close(descriptor)
        if plaintext.name != place:
            self._refuse_place(entry, plaintext.name)
        return plaintext.data

    def open(self, entry: Entry) -> int:
        """Open an entry's file, refusing all that gpg must not see."""
        return self._open(entry)[0]

    def key_ids(self, entry: Entry) -> "list[str]":
        """Read which keys an entry is encrypted to; raises as :meth:`open` does."""
        descriptor, found = self._open(entry)
        os.close(descriptor)
        return found

    def _open(self, entry: Entry) -> "tuple[int, list[str]]":
        from passhelper.store import packets  # list and a miss open nothing

        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(entry.path, flags)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise EntryError(f"{self._label(entry)} is not a regular file", "remove it")
            if facts.st_size > layout.MAX_ENTRY:
                raise EntryError(f"{self._label(entry)} is larger than {layout.MAX_ENTRY} bytes", "remove it")
            try:
                found = packets.key_ids(os.read(descriptor, min(facts.st_size, packets.MAX_HEADERS)))
            except packets.PacketError as error:
                error.is_message = error.is_message or facts.st_size > packets.MAX_HEADERS
                raise packets.refusal(self._label(entry), error) from None
            os.lseek(descriptor, 0, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found

    def check_place(self, entry: Entry, name: str) -> None:
        """Refuse a message that is not the credential of an entry; raises as :meth:`read` does.

        Args:
            entry: whose it should be.
            name: the file name in it.
        """
        from passhelper.store.binding import binding

        if name != binding(entry.server, entry.username):
            self._refuse_place(entry, name)

    def _refuse_place(self, entry: Entry, name: str) -> None:
        """Refuse an entry that is bound to another place; one that is bound to none only where the settings say so."""
        from passhelper.store.binding import BINDING

        if name.startswith(BINDING):
            raise EntryError(
                f"entry was moved here from another server: {self._label(entry)}",
                "do not use it; find out who moved it, then store the credential again",
            )
        if settings.is_on(self.environ, settings.REQUIRE_BOUND):
            raise EntryError(
                f"entry is not bound to its server, as PASSHELPER_REQUIRE_BOUND demands: {self._label(entry)}",
                "check it, then store it again with passhelper",
            )

    def _label(self, entry: Entry) -> str:
        """Name an entry in messages: its path in the store."""
        return printable(os.path.relpath(entry.path, self.root))

    # Questions of those who write

    def check_user(self) -> None:
        """Refuse to write as root into a store of somebody else; see :mod:`passhelper.store.owners`."""
        if sys.platform == "win32" or os.geteuid() != 0:
            return
        try:
            owner = os.stat(self.root).st_uid
        except FileNotFoundError:
            return
        if owner != 0:
            from passhelper.store import owners  # only on failure

            raise owners.refusal(self.root, owner)

    def journal(self, repository: "Repository | None") -> str:
        """Give the place of the journal of a change of many files."""
        return os.path.join(self.folder, ".passhelper.journal") if repository is None else repository.journal

    def may_be_undone(self) -> bool:
        """Return whether git may have undone a change before it was committed, without loading what knows about git."""
        return self.has_copies() or self._has_aborted()

    def has_copies(self) -> bool:
        """Return whether something waits for its commit."""
        state = os.path.join(".git", "passhelper", "kept")
        return any(os.path.exists(os.path.join(folder, state)) for folder in (self.folder, self.root))

    def _has_aborted(self) -> bool:
        """Return whether a rebase was aborted since anybody last looked; each writes ORIG_HEAD when it begins."""
        if not any(_is_recent(os.path.join(folder, ".git", "ORIG_HEAD")) for folder in (self.folder, self.root)):
            return False
        from passhelper.store import unfinished  # only after a rebase, a merge or a reset

        repository = self.repository("")
        return repository is not None and bool(unfinished.aborted(repository))

    def repository(self, directory: str) -> "Repository | None":
        """Find the repository that a server directory (or the whole folder: "") belongs to."""
        from passhelper.store import repository  # readers need none

        return repository.find(self.root, os.path.join(layout.FOLDER, directory) if directory else layout.FOLDER)


def _is_recent(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime < _RECENT
    except OSError:
        return False


def _byte_order(file: "tuple[str, str]") -> bytes:
    """Sort as the Go helper's ReadDir does: the file's name with its suffix, as bytes."""
    return os.fsencode(file[0])
