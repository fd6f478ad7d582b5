"""The record of ``docker-credential-auto``: which backend has the newest credential, and where an erase is missing.

One small file in the user's state directory. It holds no secret and no server's name, only the SHA-256 of names: a
server's own, and one for all names that mean its registry, which counts for those that were never stored themselves
and lists those that were.
"""

import os

from passhelper import jsontext, settings
from passhelper.errors import StoreError
from passhelper.oserrors import remedy
from passhelper.registry import normalize
from passhelper.settings import home_directory
from passhelper.store.binding import digest
from passhelper.store.files import Files, make_private
from passhelper.store.lock import StoreLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    _Entry = dict[str, object]

_NEWEST, _ERASED, _NAMES = "newest", "erased", "names"


class Known:
    """What is known of one server.

    Attributes:
        newest: the backend that took its last store; empty if nobody knows.
        erased: backends whose copy counts as erased.
    """

    __slots__ = ("erased", "newest")

    def __init__(self, newest: str, erased: "Collection[str]") -> None:
        self.newest = "" if newest in erased else newest
        self.erased = frozenset(erased)


class Record:
    """The file.

    Args:
        environ: where ``XDG_STATE_HOME`` and ``HOME`` come from.
    """

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._environ = environ
        state = environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(state):
            state = os.path.join(home_directory(environ), ".local", "state")
        self._folder = os.path.join(state, "passhelper")
        self.path = os.path.join(self._folder, "auto.json")
        self._is_strict = settings.is_on(environ, settings.STRICT)

    def of(self, server: str, entries: "dict[str, _Entry] | None" = None) -> Known:
        """Look a server up.

        Args:
            server: the server URL.
            entries: what :meth:`read` gave; it is read anew by default.
        """
        entries = self.read() if entries is None else entries
        own, registry = self._keys(server)
        erased = entries.get(registry, {}).get(_ERASED)
        newest = entries.get(own, entries.get(registry, {})).get(_NEWEST)
        return Known(str(newest or ""), [str(name) for name in erased] if isinstance(erased, list) else [])

    def is_split(self, server: str) -> bool:
        """Return whether different backends took the last stores of the names of a server's registry."""
        _, registry = self._keys(server)
        entries = self.read()
        return len({entries.get(own, {}).get(_NEWEST) for own in _names(entries.get(registry, {}))} - {None}) > 1

    def restore(self, server: str, entries: "Mapping[str, _Entry]") -> None:
        """Write down again what :meth:`read` gave for a server and its registry."""
        self._update(lambda _: {key: entries.get(key, {}) for key in self._keys(server)})

    def read(self) -> "dict[str, _Entry]":
        """Read the whole file; it may be missing.

        Raises:
            StoreError: it is damaged, or cannot be read.
        """
        try:
            with open(self.path, encoding="utf-8") as file:
                entries = jsontext.parse(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}", remedy(error)) from error
        except ValueError:
            entries = None
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise StoreError(
                f"{self.path} is damaged, so nobody knows which backend has the newest credentials",
                "remove it, and log in again where a password is refused",
            )
        return entries

    def prepare(self) -> None:
        """Make sure, before anything is stored, that the record can be written afterwards.

        Raises:
            StoreError: it cannot.
        """
        self.read()
        try:
            with self._lock():
                pass
        except OSError as error:
            raise self._refused(error) from error

    def stored(self, server: str, name: str) -> None:
        """Write down that a backend has taken a store."""
        own, registry = self._keys(server)

        def change(entries: "dict[str, _Entry]") -> "dict[str, _Entry]":
            entry: _Entry = {
                _NEWEST: name,
                _ERASED: sorted(self.of(server, entries).erased - {name}),
                _NAMES: sorted({*_names(entries.get(registry, {})), own}),
            }
            return {own: {_NEWEST: name}, registry: entry}

        self._update(change)

    def erased(self, server: str, stale: "Collection[str]", newest: str) -> None:
        """Write down what an erase has left.

        Args:
            server: the server URL.
            stale: the backends whose copy must not be served any more.
            newest: the backend that still has the newest one; empty if none has.
        """
        own, registry = self._keys(server)

        def change(entries: "dict[str, _Entry]") -> "dict[str, _Entry]":
            entry: _Entry = {_NEWEST: newest} if newest else {}
            if stale:
                entry[_ERASED] = sorted(stale)
            if entry:
                entry[_NAMES] = _names(entries.get(registry, {}))
            return {own: {_NEWEST: newest} if newest else {}, registry: entry}

        self._update(change)

    def _keys(self, server: str) -> tuple[str, str]:
        known = None if self._is_strict else normalize(server)
        own = digest(b"=" + server.encode())
        return own, own + "*" if known is None else digest(repr(known).encode()) + "*"

    def _update(self, change: "Callable[[dict[str, _Entry]], Mapping[str, _Entry]]") -> None:
        """Write what is to change, found from what the file holds once nobody else may write."""
        entries = self.read()
        if all(entries.get(key, {}) == entry for key, entry in change(entries).items()):
            return
        try:
            with self._lock():
                entries = self.read()
                entries = {key: entry for key, entry in {**entries, **change(entries)}.items() if entry}
                Files({}).replace(self.path, jsontext.render(entries).encode(), self._folder)
        except OSError as error:
            raise self._refused(error) from error

    def _lock(self) -> StoreLock:
        make_private(self._folder)
        return StoreLock(self._folder, os.path.join(self._folder, "auto.lock"))

    def _refused(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write {self.path}: {error.strerror}",
            f"{remedy(error)}, or set XDG_STATE_HOME to another directory",
        )


def _names(entry: "Mapping[str, object]") -> "list[str]":
    """Return what is kept of the names of a registry that were stored."""
    names = entry.get(_NAMES)
    return [str(name) for name in names] if isinstance(names, list) else []
