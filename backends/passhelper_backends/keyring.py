"""Any backend of the keyring library as a Docker credential helper: KWallet, 1Password, Bitwarden, encrypted files ...

Each credential is an entry of its own, under the service ``docker-credential-helpers/<server URL>`` and its username,
so that ``keyring get`` finds it and ``keyring del`` removes it. keyring cannot list, so one more entry, the index,
keeps who logs in where. A credential is written before it stands in the index and removed before it leaves it: a logout
that was cut short is ended by the next one. Processes that write take turns.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import keyring.backends.chainer
import keyring.backends.fail
import keyring.backends.null
import keyring.core
import keyring.errors

from passhelper import jsontext, settings
from passhelper.credentials import Credentials, Helper
from passhelper.errors import (
    CredentialsNotFoundError,
    KeychainError,
    KeychainUnavailableError,
    LockedKeychainError,
    PasshelperError,
)
from passhelper.registry import equivalents
from passhelper.settings import home_directory
from passhelper.store.files import make_private
from passhelper.store.lock import StoreLock
from passhelper_backends._deadline import within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyring.backend import KeyringBackend

_FOLDER = "docker-credential-helpers"
_INDEX = "index"  # the username of the entry that keeps the others' names; its service is the bare folder
_CHOOSE = "choose a backend with PYTHON_KEYRING_BACKEND (see: keyring --list-backends), or run: passhelper setup"
_T = TypeVar("_T")


class KeyringHelper(Helper):
    """Docker credentials in whatever the keyring library uses here.

    Args:
        environ: the settings of ours; the process's environment by default. The library reads that one always.
        backend: the library's backend; by default the one that its own configuration chooses.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, backend: KeyringBackend | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._given = backend

    def _store(self, credentials: Credentials) -> None:
        """Keep a credential; see :class:`~passhelper.Helper`."""
        server, username = credentials.server, credentials.username

        def work(backend: KeyringBackend) -> None:
            with self._lock():
                index = _read_index(backend)
                before = index.get(server)
                backend.set_password(_service(server), username, credentials.secret)
                if before == username:
                    return
                try:
                    _write_index(backend, {**index, server: username})
                    if before is not None:
                        _remove(backend, server, before)
                except Exception:
                    with suppress(Exception):  # the first error says more
                        _write_index(backend, index)
                    with suppress(Exception):
                        _remove(backend, server, username)
                    raise

        self._run(work)

    def _get(self, server: str) -> Credentials:
        """Look up the credential of a server, or of an equivalent name; see :class:`~passhelper.Helper`."""

        def work(backend: KeyringBackend) -> tuple[str, str]:
            index = _read_index(backend)
            name = server
            if name not in index and not self._is_strict:
                name = next(iter(equivalents(server, index)), server)
            if name not in index:
                raise CredentialsNotFoundError
            secret = backend.get_password(_service(name), index[name])
            if secret is None:  # somebody has removed the entry by other means
                self._forget(backend, name, index[name])
                raise CredentialsNotFoundError
            return index[name], secret

        username, secret = self._run(work)
        return Credentials(server, username, secret.rstrip("\r\n"))

    def _erase(self, server: str) -> None:
        """Remove a server and its equivalent names; see :class:`~passhelper.Helper`."""

        def work(backend: KeyringBackend) -> None:
            index = _read_index(backend)
            if not _present(index, server, strict=self._is_strict):
                return
            with self._lock():
                index = _read_index(backend)
                for name in _present(index, server, strict=self._is_strict):
                    _remove(backend, name, index.pop(name))
                    _write_index(backend, index)

        self._run(work)

    def _list(self) -> dict[str, str]:
        """Name all servers from the index alone; see :class:`~passhelper.Helper`."""
        return self._run(_read_index)

    @classmethod
    def priority(cls) -> float:
        """Return 3 where the library has a backend that works here; see :class:`~passhelper.Helper`.

        Raises:
            KeychainUnavailableError: it has none, or only one that keeps nothing or keeps it unencrypted.
        """
        reason = cls().unavailable()
        if reason:
            raise KeychainUnavailableError(reason, _CHOOSE)
        return 3

    def unavailable(self) -> str:
        """Return why the library's backend of this object cannot be used; see :class:`~passhelper.Helper`."""
        try:
            self._run(lambda _: None)  # it only asks whether there is a backend
        except KeychainError as error:
            return error.cause
        return ""

    @property
    def _is_strict(self) -> bool:
        return settings.is_on(self._environ, settings.STRICT)

    def _forget(self, backend: KeyringBackend, server: str, username: str) -> None:
        """Take a server out of the index whose entry has gone."""
        with self._lock():
            index = _read_index(backend)
            if index.get(server) == username and backend.get_password(_service(server), username) is None:
                del index[server]
                _write_index(backend, index)

    def _lock(self) -> StoreLock:
        folder = os.path.join(home_directory(self._environ), ".cache", "passhelper", "keyring")
        make_private(folder)
        return StoreLock(folder, os.path.join(folder, "lock"))

    def _run(self, work: Callable[[KeyringBackend], _T]) -> _T:
        """Let the library work, no longer than a person needs to answer a prompt; turn its errors into ours."""

        def attempt() -> _T:
            try:
                return work(self._backend())
            except BaseException as error:
                raise _explained(error) from error

        seconds = settings.seconds(self._environ, settings.TIMEOUT)
        try:
            return within(seconds, attempt)
        except TimeoutError:
            raise KeychainUnavailableError(
                f"the keyring library gave no answer within {seconds:g} s",
                "answer its prompt, or set PASSHELPER_TIMEOUT",
            ) from None

    def _backend(self) -> KeyringBackend:
        """Give the library's backend; KeychainUnavailableError if it keeps nothing, or not safely."""
        backend = self._given or _chosen()
        name = f"{type(backend).__module__}.{type(backend).__name__}"
        if isinstance(backend, keyring.backends.fail.Keyring):
            raise KeychainUnavailableError("the keyring library has no backend that works here", _CHOOSE)
        if isinstance(backend, keyring.backends.null.Keyring):
            raise KeychainUnavailableError("the keyring library is turned off (its null backend is chosen)", _CHOOSE)
        if isinstance(backend, keyring.backends.chainer.ChainerBackend) and not backend.backends:
            raise KeychainUnavailableError("the keyring library has no backend to chain", _CHOOSE)
        if name.startswith("passhelper."):
            raise KeychainUnavailableError(
                "the keyring library is set to use the pass store", "set credsStore to pass instead of keyring"
            )
        if "plaintext" in name.lower():
            raise KeychainUnavailableError(f"{name} keeps secrets unencrypted", _CHOOSE)
        chosen = self._given or "PYTHON_KEYRING_BACKEND" in os.environ or keyring.core.load_config()
        if not chosen and not keyring.core.recommended(backend):
            raise KeychainUnavailableError(f"the keyring library has only {name}, which it does not recommend", _CHOOSE)
        return backend


def _chosen() -> KeyringBackend:
    """Let the library choose."""
    try:
        return keyring.get_keyring()
    except (ImportError, AttributeError, RuntimeError) as error:
        raise KeychainUnavailableError(f"the keyring library cannot load its backend: {error}", _CHOOSE) from error


def _present(index: dict[str, str], server: str, *, strict: bool) -> list[str]:
    """Name what the index holds of a server and its equivalent names."""
    names = [server] if strict else [server, *equivalents(server, index)]
    return [name for name in names if name in index]


def _service(server: str) -> str:
    return f"{_FOLDER}/{server}"


def _read_index(backend: KeyringBackend) -> dict[str, str]:
    text = backend.get_password(_FOLDER, _INDEX)
    if not text:
        return {}
    try:
        index = jsontext.parse(text)
    except ValueError:
        index = None
    if not isinstance(index, dict):
        raise KeychainError(
            f"the entry {_INDEX!r} of {_FOLDER!r} in the keyring is damaged", f"run: keyring del {_FOLDER} {_INDEX}"
        )
    return {server: username for server, username in index.items() if isinstance(username, str)}


def _write_index(backend: KeyringBackend, index: dict[str, str]) -> None:
    if index:
        backend.set_password(_FOLDER, _INDEX, jsontext.render(index))
    else:
        backend.delete_password(_FOLDER, _INDEX)


def _remove(backend: KeyringBackend, server: str, username: str) -> None:
    """Remove an entry; one that somebody else has removed is not an error."""
    try:
        backend.delete_password(_service(server), username)
    except keyring.errors.PasswordDeleteError:
        if backend.get_password(_service(server), username) is not None:
            raise


def _explained(error: BaseException) -> BaseException:
    if isinstance(error, PasshelperError) or not isinstance(error, Exception):
        return error
    if isinstance(error, keyring.errors.NoKeyringError):
        return KeychainUnavailableError("the keyring library has no backend that works here", _CHOOSE)
    if isinstance(error, keyring.errors.KeyringLocked):
        return LockedKeychainError(f"the keyring is locked: {error}", "unlock it on the desktop")
    if isinstance(error, keyring.errors.KeyringError):
        return KeychainError(f"the keyring library failed: {type(error).__name__}: {error}")
    # Not its text: only the library's own errors are known to hold no secret.
    return KeychainError(f"the keyring library failed: {type(error).__name__}", "set PASSHELPER_DEBUG=1 to see where")
