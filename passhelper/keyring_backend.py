"""The pass store as a backend of the keyring library: where pip, twine, poetry and uv look for passwords.

keyring knows a service and a username. The service is taken as the server URL, exactly. A server of the store
has one user, a service of keyring may have several, with any characters; those that do not fit stand
under a name of their own, ``keyring:<service>/<username>``, in the same encrypted and shared directory.

``docker login`` and ``passhelper login https://packages.example/simple/`` store under Docker's own name, the host
and its port. A look-up of an ``https`` URL that has found nothing tries that name, for the same host gets the password,
over TLS. No other look-up does (``http``, another port, Docker Hub, whose name is another host's), and nothing is
written or removed there.

keyring chooses the backend with the highest priority. This one has the lowest, so it must be chosen by name:
``PYTHON_KEYRING_BACKEND=passhelper.keyring_backend.PassKeyring``, or ``default-keyring`` in ``keyringrc.cfg``.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential
from keyring.errors import KeyringError, KeyringLocked, PasswordDeleteError, PasswordSetError

from passhelper import settings
from passhelper.credentials import Credentials, validate_server, validate_username
from passhelper.docker.config import DOCKER_HUB, hostname
from passhelper.docker.plaintext import TOKEN_USER
from passhelper.errors import InvalidRequestError, LockedKeyError, PasshelperError
from passhelper.registry import normalize
from passhelper.store.helper import PassHelper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring.credentials import Credential

    from passhelper.store.store import Entry

__all__ = ["PassKeyring"]

_SCHEME = "keyring:"
_LINE_ENDS = "\r\n"  # those at a secret's end are the text editor's, says `pass`; see behaviour of PassHelper.get
_ANYBODY = "keyring"  # names the file where the username cannot


class PassKeyring(KeyringBackend):
    """Passwords in the pass store that the environment names."""

    priority: float = -1  # as low as the null backend: never chosen unasked, never chained

    def get_password(self, service: str, username: str) -> str | None:
        """Decrypt a password.

        Args:
            service: a server URL, or any other name.
            username: whose password.

        Returns:
            the password; None if there is none.

        Raises:
            KeyringError: there is one, and it cannot be read.
        """
        with _told_as(KeyringError):
            for entry in _entries(service, username):
                password = _read(entry)
                if password is not None:
                    return password
            shared = _docker_entry(service)
            return None if shared is None or shared.username != username else _read(shared)

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Look up a username together with its password.

        Args:
            service: a server URL, or any other name.
            username: whose password; None for anybody's.
        """
        with _told_as(KeyringError):
            names = [username] if username is not None else _usernames(service)
        for name in names:
            password = self.get_password(service, name)
            if password is not None:
                return SimpleCredential(name, password)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Encrypt a password into the store, and commit it.

        Raises:
            PasswordSetError: it was not kept.
        """
        helper = _helper()
        alone = _own_name(service, username)
        with _told_as(PasswordSetError):
            present = helper.pass_store.lookup(service) if _is_plain(service, username) else None
            fits = _is_plain(service, username) and password == password.rstrip(_LINE_ENDS)
            if fits and (present is None or present.username == username):
                helper.store(Credentials(service, username, password))
                helper.erase(alone)
                return
            helper.store(Credentials(alone, username if _is_username(username) else _ANYBODY, password))
            if present is not None and present.username == username:
                helper.erase(service)

    def delete_password(self, service: str, username: str) -> None:
        """Remove a password.

        Raises:
            PasswordDeleteError: there is none, or it cannot be removed.
        """
        with _told_as(PasswordDeleteError):
            entries = _entries(service, username)
            for entry in entries:
                _helper().erase(entry.server)
        if not entries:
            raise PasswordDeleteError("there is no such password in the pass store")


@contextmanager
def _told_as(kind: type[KeyringError]) -> Iterator[None]:
    """Turn our errors into the library's."""
    try:
        yield
    except LockedKeyError as error:
        raise KeyringLocked(str(error)) from error
    except (PasshelperError, OSError) as error:
        raise kind(str(error)) from error


def _entries(service: str, username: str) -> list[Entry]:
    """Find where a password is: one place, or two if it was moved and the move has not ended."""
    store = _helper().pass_store
    found = [store.lookup(service)] if _is_plain(service, username) else []
    found.append(store.lookup(_own_name(service, username)))
    return [
        entry
        for entry in found
        if entry is not None and (entry.server.startswith(_SCHEME) or entry.username == username)
    ]


def _usernames(service: str) -> list[str]:
    """Name who has a password for a service, beginning with the one that the server itself has."""
    store = _helper().pass_store
    entry = store.lookup(service) if _is_server(service) else None
    begin = _own_name(service, "")
    others = sorted(unquote(other.server[len(begin) :]) for other in store.walk() if other.server.startswith(begin))
    shared = _docker_entry(service)
    return [*([] if entry is None else [entry.username]), *others, *([] if shared is None else [shared.username])]


def _docker_entry(service: str) -> Entry | None:
    """Find what ``docker login`` has stored for the host of an https URL."""
    name = _docker_name(service)
    entry = _helper().pass_store.lookup(name) if name else None
    return None if entry is None or entry.username == TOKEN_USER else entry


def _docker_name(service: str) -> str:
    """Give Docker's own name of a service; empty where that could be another server's."""
    if not service.startswith("https://") or not _is_server(service):
        return ""
    host = hostname(service)
    # No user information, query or backslash: what follows them another client may take for the host.
    known = normalize(host)
    return "" if known is None or known == normalize(DOCKER_HUB) else host


def _read(entry: Entry) -> str | None:
    """Decrypt an entry; None if it has gone meanwhile."""
    try:
        password = _helper().pass_store.read(entry).decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise KeyringError("the password is not UTF-8 text") from None
    # What stands under a name of ours was written by us, exactly.
    return password if entry.server.startswith(_SCHEME) else password.rstrip(_LINE_ENDS)


def _helper() -> PassHelper:
    """Open the store, for exact names only: pip's password is not for another server."""
    return PassHelper({**os.environ, settings.STRICT: "1"}, logging.getLogger(__name__).warning, shared_erase=True)


def _is_server(service: str) -> bool:
    try:
        return validate_server(service) == service and not service.startswith(_SCHEME)
    except InvalidRequestError:
        return False


def _is_username(username: str) -> bool:
    try:
        validate_username(username)
    except InvalidRequestError:
        return False
    return True


def _is_plain(service: str, username: str) -> bool:
    return _is_server(service) and _is_username(username)


def _own_name(service: str, username: str) -> str:
    return f"{_SCHEME}{_quoted(service)}/{_quoted(username)}"


def _quoted(text: str) -> str:
    """Percent-encode what a server URL must not hold, and the separators; the rest stays, since names must be short."""
    return "".join(
        char
        if char.isprintable() and char not in " %/"
        else "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))
        for char in text
    )
