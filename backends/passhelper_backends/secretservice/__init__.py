"""Docker credentials in the desktop's keyring, item by item as Docker's own helper keeps them.

An item is what ``docker-credential-secretservice`` writes (docker/docker-credential-helpers, secretservice.c), so that
either program finds what the other one has stored. Where the two differ on purpose:

* ``list`` reads the attribute ``server``. Docker's reads the label, which since 0.9.0 is not a URL any more; the
  label here is the bare URL, as before 0.9.0, so that Docker's ``list`` is right about our items;
* one item for each server: Docker's leaves those of earlier users, and finds any of them;
* an item is searched without its schema, which is compared afterwards: in a keyring that was not unlocked since
  login no search by schema finds anything, and "not found" would hide that it is locked;
* a locked keyring is an error of ``get``, ``store`` and ``erase`` alike, and of none when nothing is there.
"""

import os

from passhelper import settings
from passhelper.credentials import Credentials, Helper, decoded
from passhelper.errors import CredentialsNotFoundError, KeychainError, KeychainUnavailableError, LockedKeychainError
from passhelper.protocol import warner
from passhelper_backends.secretservice import _items as items
from passhelper_backends.secretservice._bus import SECONDS, BusError, CallError, NoBusError, SilentError
from passhelper_backends.secretservice._service import (
    DismissedError,
    GoneError,
    LockedError,
    NoServiceError,
    SecretService,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    _Result = TypeVar("_Result")

_LABEL = "Docker Credentials"
_TRANSIENT = "/org/freedesktop/secrets/collection/session"  # gone when the user logs out
_INSTEAD = "run: passhelper setup, to keep credentials in the pass store instead"
_UNLOCK = "unlock it on the desktop"
_warn_on_stderr = warner("docker-credential-secretservice")


class SecretServiceHelper(Helper):
    """Docker credentials in a Secret Service: gnome-keyring, KeePassXC, KWallet.

    Args:
        environ: the settings; the process's environment by default.
        warn: takes one line when something worked only in part; stderr by default.
        seconds: how long the keyring may take for one answer.
    """

    def __init__(
        self,
        environ: "Mapping[str, str] | None" = None,
        warn: "Callable[[str], None]" = _warn_on_stderr,
        seconds: float = SECONDS,
    ) -> None:
        self._seconds = seconds
        self._environ = os.environ if environ is None else environ
        self._warn = warn

    def _store(self, credentials: Credentials) -> None:
        """Keep a credential as one item in the default collection; see :class:`~passhelper.Helper`."""
        attributes = {
            "label": _LABEL,
            "server": credentials.server,
            "username": credentials.username,
            "docker_cli": "1",
            "xdg:schema": items.SCHEMA,
        }

        def work(service: SecretService) -> None:
            before = self._unlocked(service, lambda: items.search(service, credentials.server))
            path = self._put(service, before, attributes, credentials.secret.encode())
            self._remove(service, [item for item in before if item.path != path])

        self._run(work)

    def _get(self, server: str) -> Credentials:
        """Look up the credential of a server, or of an equivalent name; see :class:`~passhelper.Helper`."""

        def work(service: SecretService) -> tuple[str, bytes]:
            try:
                return self._read(service, server)
            except GoneError:  # a writer has replaced it between our two looks
                return self._read(service, server)

        username, data = self._run(work)
        return Credentials(server, username, decoded(data, server))

    def _read(self, service: SecretService, server: str) -> tuple[str, bytes]:
        found = items.lookup(service, server, strict=self._is_strict)
        if found and all(item.locked for item in found):
            service.unlock([item.path for item in found])
            found = items.lookup(service, server, strict=self._is_strict)
        if not found:
            raise CredentialsNotFoundError
        best = max(found, key=_rank)
        return best.username, service.secret(best.path)

    def _erase(self, server: str) -> None:
        """Remove a server and its equivalent names; see :class:`~passhelper.Helper`."""

        def work(service: SecretService) -> None:
            for item in self._unlocked(service, lambda: items.all_of(service, server, strict=self._is_strict)):
                try:
                    service.delete(item.path)
                except GoneError:
                    pass

        self._run(work)

    def _list(self) -> dict[str, str]:
        """Name all servers without unlocking anything; see :class:`~passhelper.Helper`."""
        found = self._run(items.search, ask=False)
        listed = {item.server: item.username for item in sorted(found, key=_rank) if item.server}
        if not listed and any(item.locked and not item.server for item in found):
            raise LockedKeychainError("the keyring has been locked since login, and hides what is in it", _UNLOCK)
        return listed

    @classmethod
    def priority(cls) -> float:
        """Return 5 where a keyring runs; one that the bus could start does not count. See :class:`~passhelper.Helper`.

        Raises:
            KeychainUnavailableError: none runs, or the session bus cannot be reached.
        """
        reason = _why_silent(os.environ, SECONDS)
        if reason:
            raise KeychainUnavailableError(reason, _INSTEAD)
        return 5

    def unavailable(self) -> str:
        """Return why no keyring runs on the session bus of this object; see :class:`~passhelper.Helper`."""
        return _why_silent(self._environ, self._seconds)

    def _run(self, work: "Callable[[SecretService], _Result]", *, ask: bool = True) -> "_Result":
        """Work with the keyring, after it was asked to show what it holds; turn its errors into ours."""
        try:
            with SecretService(self._environ, self._patience, self._seconds) as service:
                service.wake(ask=ask)
                return work(service)
        except BusError as error:
            raise self._explained(error) from error

    def _unlocked(self, service: SecretService, find: "Callable[[], list[items.Item]]") -> "list[items.Item]":
        """Find items; if some are locked, unlock them and look again."""
        found = find()
        locked = [item.path for item in found if item.locked]
        if locked:
            service.unlock(locked)
            found = find()
        return found

    def _patience(self) -> float:
        from passhelper.store.terminal import can_prompt  # noqa: PLC0415 - most keyrings are unlocked

        return settings.seconds(self._environ, settings.TIMEOUT) if can_prompt(self._environ) else 0.0

    def _explained(self, error: BusError) -> KeychainError:
        """Say what happened between us and the keyring, and what to do about it."""
        if isinstance(error, NoBusError):
            return KeychainUnavailableError(f"no keyring can be reached: {error}", _INSTEAD)
        if isinstance(error, LockedError):
            return LockedKeychainError(f"the keyring is locked: {error}", _UNLOCK)
        if isinstance(error, DismissedError):
            return KeychainError(f"the keyring refused: {error}", "answer its prompt on the desktop")
        if isinstance(error, SilentError):
            return KeychainUnavailableError(f"{error} within {self._seconds:g} s", _INSTEAD)
        if isinstance(error, NoServiceError):
            return KeychainUnavailableError(
                f"no keyring offers the Secret Service: {error}", f"start one, or {_INSTEAD}"
            )
        if not isinstance(error, CallError):
            return KeychainUnavailableError(str(error), _INSTEAD)
        if error.name == "org.freedesktop.Secret.Error.IsLocked":
            return LockedKeychainError("the keyring is locked", _UNLOCK)
        return KeychainError(f"the keyring refused: {error}")

    @property
    def _is_strict(self) -> bool:
        return settings.is_on(self._environ, settings.STRICT)

    def _put(
        self, service: SecretService, before: "Sequence[items.Item]", attributes: "dict[str, str]", secret: bytes
    ) -> str:
        """Change the item that has these attributes, or add it; give its path.

        ``CreateItem`` would do both, but KeePassXC 2.7.4 never says that it has replaced an item.
        """
        server = attributes["server"]
        for item in sorted(before, key=_rank, reverse=True):
            if item.has(attributes):
                try:
                    service.change(item.path, server, secret)
                except GoneError:
                    continue
                return item.path
        collection = self._collection(service)
        service.unlock([collection])
        return service.create(collection, server, attributes, secret)

    def _collection(self, service: SecretService) -> str:
        """Choose where a new item goes; KeychainUnavailableError if there is no such place."""
        wanted = self._environ.get("PASSHELPER_COLLECTION", "")
        if not wanted:
            path = service.default_collection()
            if path:
                return path
            # KeePassXC and KWallet may have none; then it is where Docker's credentials are already.
            for item in sorted(items.search(service), key=_rank, reverse=True):
                holder = item.path.rpartition("/")[0]
                if not item.locked and holder != _TRANSIENT:
                    return holder
        labels = service.collections()
        for path, label in labels.items():
            if wanted and wanted in (label, path.rpartition("/")[2]):
                return path
        names = sorted(label for path, label in labels.items() if path != _TRANSIENT)
        cause = f"no keyring is called {wanted!r}" if wanted else "no keyring is the default one"
        if names:
            raise KeychainUnavailableError(cause, f"set PASSHELPER_COLLECTION to one of: {', '.join(names)}")
        raise KeychainUnavailableError(
            f"{cause}: there is none at all", "make one in the settings of GNOME, KDE or KeePassXC"
        )

    def _remove(self, service: SecretService, replaced: "Sequence[items.Item]") -> None:
        """Leave one item for each server, since Docker's helper would find either of two by chance.

        Only what was there before: two who store at once must not remove each other's item.
        """
        for item in replaced:
            try:
                service.delete(item.path)
            except GoneError:
                pass
            except BusError as error:
                # The new one is there and, being newer, is what `get` finds.
                self._warn(f"the credential of {item.username} for {item.server} is still there: {error}")


def _why_silent(environ: "Mapping[str, str]", seconds: float) -> str:
    """Return why no keyring answers; an empty string where one runs. Nobody is asked for anything."""
    try:
        with SecretService(environ, lambda: 0.0, seconds) as service:
            return "" if service.is_running() else "no keyring runs on the session bus"
    except BusError as error:
        return str(error)


def _rank(item: "items.Item") -> "tuple[bool, int, int, int, str]":
    return item.rank
