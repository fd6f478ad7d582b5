"""PassStore: read, write, remove and walk the credentials of a pass-layout store.

Reading takes no lock and never waits for a writer: a file is always whole. Writing encrypts first, into
memory, then locks, replaces and commits; a write that fails leaves the tree as it was.
"""

import os
import stat
import sys
import time

from passhelper import settings
from passhelper.errors import ConfigurationError, EntryError, PasshelperError, StoreError
from passhelper.store import layout
from passhelper.store.gpg import Gpg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from passhelper.store.files import Files
    from passhelper.store.gpg import Plaintext
    from passhelper.store.lock import StoreLock
    from passhelper.store.repository import Repository

MAX_ENTRY = 4 << 20  # bytes of one .gpg file; a secret of 2 MiB and its recipients fit
MAX_NESTING = 32  # levels of folders that a username with slashes may have
BINDING = "passhelper1:"
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
        warn: takes one line for the user when something went half well.
        deadline: of what the store is opened for; a command has none as a whole.

    Attributes:
        meanwhile: called while gpg looks for a plaintext, before any of it is read here.

    Raises:
        ConfigurationError: ``PASSWORD_STORE_DIR`` is relative, or a setting makes no sense.
    """

    def __init__(
        self,
        environ: "Mapping[str, str]",
        warn: "Callable[[str], None]",
        deadline: "settings.Deadline | None" = None,
    ) -> None:
        settings.check(environ)
        self.environ = environ
        self.warn = warn
        self.root = store_path(environ)
        self.folder = os.path.join(self.root, layout.FOLDER)
        self.deadline = deadline or settings.Deadline(environ, shared=False)
        self.gpg = Gpg(environ, self.deadline)
        self.meanwhile: Callable[[], None] | None = None

    # Reading

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
        from passhelper.registry import normalize  # noqa: PLC0415 - a hit needs no equivalence

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
        """List the entries of one server directory, in byte order of their file names.

        Args:
            server: what the directory's name means.
            name: the directory's name.

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
            EntryError: it is no entry that may be handed to gpg, is corrupt, or was moved here.
            GpgError: it cannot be decrypted here.
        """
        descriptor = self.open(entry)
        try:
            child = self.gpg.start_decrypt(descriptor)
            # Work that does not need the plaintext is done while gpg looks for it.
            place = binding(entry.server, entry.username)
            from passhelper import jsontext  # noqa: F401, PLC0415 - the answer will need it

            if self.meanwhile is not None:
                self.meanwhile()
            plaintext = self.gpg.finish_decrypt(child, descriptor, self._label(entry))
        finally:
            os.close(descriptor)
        self._check_binding(entry, plaintext, place)
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
        from passhelper.store import packets  # noqa: PLC0415 - list and a miss open nothing

        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(entry.path, flags)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise EntryError(f"{self._label(entry)} is not a regular file", "remove it")
            if facts.st_size > MAX_ENTRY:
                raise EntryError(f"{self._label(entry)} is larger than {MAX_ENTRY} bytes", "remove it")
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

    def _check_binding(self, entry: Entry, plaintext: "Plaintext", place: str) -> None:
        if plaintext.name.startswith(BINDING):
            if plaintext.name != place:
                raise EntryError(
                    f"entry was moved here from another server: {self._label(entry)}",
                    "do not use it; find out who moved it, then store the credential again",
                )
        elif settings.is_on(self.environ, settings.REQUIRE_BOUND):
            raise EntryError(
                f"entry is not bound to its server, as PASSHELPER_REQUIRE_BOUND demands: {self._label(entry)}",
                "check it, then store it again with passhelper",
            )

    def _label(self, entry: Entry) -> str:
        """Name an entry in messages: its path in the store."""
        from passhelper.protocol import printable  # noqa: PLC0415 - only for messages

        return printable(os.path.relpath(entry.path, self.root))

    # Writing: see write.py

    def lock(
        self, repository: "Repository | None", *, shared: bool = False, timeout: "float | None" = None
    ) -> "StoreLock":
        """Prepare the store's lock; who takes it to write first finishes what a killed writer has begun.

        Raises:
            StoreError: this is root, who must not write into a store of somebody else.
        """
        if not shared:
            self.check_user()
        from passhelper.store.lock import TIMEOUT, StoreLock  # noqa: PLC0415 - readers take none

        return StoreLock(
            self.root,
            self._lock_file if repository is None else os.path.join(repository.state, "lock"),
            shared=shared,
            timeout=self.deadline.left(TIMEOUT if timeout is None else timeout),
            umask=0o077 if repository is None else self.files().umask,
            settle=None if shared else lambda: self._settle(repository),
        )

    def check_user(self) -> None:
        """Refuse to write as root into a store of somebody else; see :mod:`passhelper.store.owners`."""
        if sys.platform == "win32" or os.geteuid() != 0:
            return
        try:
            owner = os.stat(self.root).st_uid
        except FileNotFoundError:
            return
        if owner != 0:
            from passhelper.store import owners  # noqa: PLC0415 - only on failure

            raise owners.refusal(self.root, owner)

    def _lock_file(self) -> str:
        """Name the lock of a store without git on a file system that locks no directories; nobody else needs a home."""
        name = f"{digest(os.fsencode(self.root))[:32]}.lock"
        return os.path.join(home_directory(self.environ), ".cache", "passhelper", name)

    def journal(self, repository: "Repository | None") -> str:
        """Give the place of the journal of a change of many files."""
        return os.path.join(self.folder, ".passhelper.journal") if repository is None else repository.journal

    def settle(self) -> bool:
        """Put back what git has undone before it was committed, if something waits; False if all is as it was."""
        if not self._has_copies() and not self._has_aborted():
            return False
        try:
            with self.lock(self.repository("")):
                return True
        except (PasshelperError, OSError):
            return False  # a store that is only read from, or in use: who writes next does it

    def undone(self) -> "list[Entry]":
        """List the entries that wait for their commit and are not on the disk, since git has undone them."""
        repository = self.repository("") if self._has_copies() else None
        if repository is None:
            return []
        from passhelper.store import kept  # noqa: PLC0415 - only after a commit that failed

        return kept.undone(self, repository)

    def _has_copies(self) -> bool:
        """Tell whether something waits for its commit, without loading what knows about git."""
        state = os.path.join(".git", "passhelper", "kept")
        return any(os.path.exists(os.path.join(folder, state)) for folder in (self.folder, self.root))

    def _has_aborted(self) -> bool:
        """Tell whether a rebase was aborted lately that nobody has looked at; each writes ORIG_HEAD when it begins."""
        if not any(_is_recent(os.path.join(folder, ".git", "ORIG_HEAD")) for folder in (self.folder, self.root)):
            return False
        from passhelper.store import unfinished  # noqa: PLC0415 - only after a rebase, a merge or a reset

        repository = self.repository("")
        return repository is not None and bool(unfinished.aborted(repository))

    def _settle(self, repository: "Repository | None") -> None:
        """Finish a change of many files whose writer was killed, and put back what git has undone; under the lock."""
        if os.path.exists(self.journal(repository)):
            from passhelper.store import journal  # noqa: PLC0415 - after a kill only

            journal.finish(self, repository)
        if repository is None:
            return
        from passhelper.store import unfinished  # noqa: PLC0415 - only in a git store

        if os.path.exists(repository.kept) or unfinished.aborted(repository):
            from passhelper.store import kept  # noqa: PLC0415 - only after a commit that failed, or an aborted rebase

            kept.restore(self, repository)

    def files(self) -> "Files":
        """Prepare writes with the store's modes."""
        from passhelper.store.files import Files  # noqa: PLC0415 - readers write none

        return Files(self.environ)

    def repository(self, directory: str) -> "Repository | None":
        """Find the repository that a server directory (or the whole folder: "") belongs to."""
        from passhelper.store import repository  # noqa: PLC0415 - readers need none

        return repository.find(self.root, os.path.join(layout.FOLDER, directory) if directory else layout.FOLDER)


def _is_recent(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime < _RECENT
    except OSError:
        return False


def _byte_order(file: "tuple[str, str]") -> bytes:
    """Sort as the Go helper's ReadDir does: the file's name with its suffix, as bytes."""
    return os.fsencode(file[0])


def store_path(environ: "Mapping[str, str]") -> str:
    """Find the store: ``PASSWORD_STORE_DIR``, else ``~/.password-store``, always absolute.

    Raises:
        ConfigurationError: ``PASSWORD_STORE_DIR`` is relative.
    """
    path = environ.get("PASSWORD_STORE_DIR", "")
    if not path:
        return os.path.join(home_directory(environ), ".password-store")
    if not os.path.isabs(path):
        raise ConfigurationError(
            f"PASSWORD_STORE_DIR is relative: {path}", f"set it to an absolute path such as {os.path.abspath(path)}"
        )
    return os.path.normpath(path)


def home_directory(environ: "Mapping[str, str]") -> str:
    """Find the home directory: ``HOME``, else what the password database says; never a relative path."""
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    if sys.platform == "win32":
        return os.path.expanduser("~")
    import pwd  # noqa: PLC0415 - only where HOME is unset

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        what = f"is no absolute path: {home!r}" if home else "is not set"
        raise ConfigurationError(
            f"HOME {what}, and uid {os.geteuid()} has no home", "set HOME to a directory that this user may write"
        ) from None


def binding(server: str, username: str) -> str:
    """Name the place that an entry belongs to, for gpg to keep inside the ciphertext.

    Without it, whoever can push to the shared store copies one server's ciphertext under another and
    the next ``docker pull`` hands the password to a host of his own.
    """
    return BINDING + digest(f"{server}\0{username}".encode())


_sha256: "Callable[[bytes], Any] | None" = None


def digest(data: bytes) -> str:
    """Give the SHA-256 of some bytes in hex, without loading OpenSSL, which ``hashlib`` does."""
    global _sha256  # noqa: PLW0603 - on some Pythons one of the imports fails, which takes as long as many digests
    if _sha256 is None:
        # CPython's own implementation: _sha2 since 3.12, _sha256 before; either costs 3 ms less than hashlib.
        try:
            from _sha2 import sha256  # noqa: PLC0415
        except ImportError:
            try:
                from _sha256 import sha256  # noqa: PLC0415
            except ImportError:  # pragma: no cover - a build without them
                from hashlib import sha256  # noqa: PLC0415
        _sha256 = sha256
    value: str = _sha256(data).hexdigest()
    return value
