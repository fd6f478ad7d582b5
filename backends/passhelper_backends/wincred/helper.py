"""The adapter between Docker's verbs and the Windows Credential Manager.

An item is exactly what Docker's helper writes: a generic credential named as the server URL, the secret as
UTF-8 bytes, one attribute ``label``. Other programs' credentials are never read, changed or removed. What
Docker's helper does loosely is strict here: a name without port or path does not match any port or path of
the host, and ``erase`` removes what ``get`` would find.
"""

from passhelper.credentials import Credentials, decoded
from passhelper.errors import CredentialsNotFoundError, InvalidRequestError, KeychainError, KeychainUnavailableError
from passhelper.registry import equivalents
from passhelper_backends._system import NativeError, SystemHelper
from passhelper_backends.wincred import _parts
from passhelper_backends.wincred._native import (
    MAX_BLOB,
    MAX_TARGET,
    MAX_USERNAME,
    ONLY_HERE,
    Credential,
    CredentialManager,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = {"label": b"Docker Credentials"}

_NO_LOGON_SESSION = 1312  # ERROR_NO_SUCH_LOGON_SESSION

# Error number of winerror.h: what happened, and what to do.
ERRORS = {
    5: ("access is denied", "check the rights of this account"),
    8: ("there is not enough memory", "close other programs"),
    87: ("it does not take this name", "check the server URL"),
    _NO_LOGON_SESSION: (
        "this session has no logon of its own, as over ssh, WinRM or in a service",
        "run it in a desktop session, or keep credentials in the pass store: passhelper link pass",
    ),
    1783: ("the credential is larger than Windows takes", "check the length of the server URL and username"),
    2202: ("it does not take this username", "check the username"),
}
_KINDS = {_NO_LOGON_SESSION: KeychainUnavailableError}


class WincredHelper(SystemHelper):
    """Docker credentials in the Windows Credential Manager; see :class:`SystemHelper` for the arguments."""

    place = "the Windows Credential Manager"
    platform = "win32"
    only_here = ONLY_HERE
    errors = ERRORS
    kinds = _KINDS
    explain = "net helpmsg"

    _opened: "CredentialManager | None"

    @property
    def _manager(self) -> CredentialManager:
        if self._opened is None:
            self._opened = CredentialManager.of_system()
        return self._opened

    def _store(self, credentials: Credentials) -> None:
        """Write a credential; over 2,560 bytes in linked parts. See :class:`~passhelper.Helper`."""
        secret = credentials.secret.encode()
        _refuse_long("username", credentials.username, MAX_USERNAME)
        _refuse_long("server URL", credentials.server, MAX_TARGET - _parts.MAX_PREFIX)
        self._run("write", lambda: self._write(credentials.server, credentials.username, secret))

    def _write(self, server: str, username: str, secret: bytes) -> None:
        manager = self._manager
        before = manager.read(server)
        if before is not None and not _is_ours(before):
            raise KeychainError(
                f"another program keeps a credential named {server} in the Credential Manager",
                f"remove it if nothing needs it: cmdkey /delete:{server}",
            )
        if len(secret) > MAX_BLOB:
            _parts.write(manager, server, username, secret)
        else:
            manager.write(Credential(server, username, secret, LABEL))
        try:
            for target in _parts.leftovers(manager.enumerate(), server):
                manager.delete(target)
        except NativeError:
            pass  # the credential is kept; the next store or erase of this server removes them

    def _get(self, server: str) -> Credentials:
        """Read the credential of a server, or of an equivalent name; see :class:`~passhelper.Helper`."""
        return self._run("read", lambda: self._read(server))

    def _read(self, server: str) -> Credentials:
        found = self._manager.read(server)
        # Windows may compare names without regard to case.
        if found is None or found.target != server or not _is_ours(found):
            held = {one.target: one for one in self._manager.enumerate() if _is_ours(one)}
            names = _answering(server, held, strict=self._is_strict)
            if not names:
                raise CredentialsNotFoundError
            found = held[names[0]]
        secret = _parts.join(self._manager, found) if _parts.SPLIT in found.attributes else found.blob
        return Credentials(server, found.username, decoded(secret, f"{found.target} in the Credential Manager"))

    def _erase(self, server: str) -> None:
        """Delete what ``get`` would find, and all its parts; see :class:`~passhelper.Helper`."""
        self._run("erase", lambda: self._remove(server))

    def _remove(self, server: str) -> None:
        credentials = self._manager.enumerate()
        held = {one.target: one for one in credentials if _is_ours(one)}
        for name in {server: None, **dict.fromkeys(_answering(server, held, strict=self._is_strict))}:
            if name in held:
                self._manager.delete(name)
            remaining = [one for one in credentials if one.target != name]
            for part in _parts.leftovers(remaining, name):
                self._manager.delete(part)

    def _list(self) -> dict[str, str]:
        """Name all servers, without the parts of long secrets; see :class:`~passhelper.Helper`."""
        credentials = self._run("list", lambda: self._manager.enumerate())  # noqa: PLW0108 - opened inside
        return {one.target: one.username for one in credentials if _is_ours(one)}


def _answering(server: str, held: "Mapping[str, Credential]", *, strict: bool) -> "list[str]":
    """Pick the names that answer for a server; the first is the one that ``get`` takes."""
    exact = [server] if server in held else []
    return exact if strict else exact + equivalents(server, held)


def _is_ours(credential: Credential) -> bool:
    return credential.attributes.get("label") == LABEL["label"] or _parts.SPLIT in credential.attributes


def _refuse_long(label: str, text: str, limit: int) -> None:
    length = len(text.encode("utf-16-le")) // 2
    if length > limit:
        raise InvalidRequestError(f"the {label} has {length} characters; the Windows Credential Manager takes {limit}")
