"""The adapter between Docker's verbs and the macOS keychain.

Items have the attributes that Docker's helper writes since 0.9.3: an internet password, label ``Docker
Credentials``, authentication type ``dflt``, and protocol, host, port and path from the server URL.
What Docker's helper does loosely is strict here: only labelled items are changed or removed, and a
name without port or path never means an item with another port or path of the host. Only ``get``, where
the keychain has no labelled item for a server, takes an item of exactly this server that another program
made, such as a password that was typed into Keychain Access (``PASSHELPER_STRICT=1`` turns that off).
"""

from passhelper import settings
from passhelper.credentials import Credentials, decoded
from passhelper.errors import (
    CredentialsNotFoundError,
    InvalidRequestError,
    KeychainError,
    KeychainUnavailableError,
    LockedKeychainError,
)
from passhelper.store.terminal import can_prompt
from passhelper_backends._deadline import within
from passhelper_backends._system import NativeError, SystemHelper
from passhelper_backends.osxkeychain import _items
from passhelper_backends.osxkeychain._location import Location, locate
from passhelper_backends.osxkeychain._native import DUPLICATE, ONLY_HERE, Keychain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _Result = TypeVar("_Result")

_UNLOCK = "run: security -v unlock-keychain ~/Library/Keychains/login.keychain-db"
_CHOOSE = "run: security default-keychain -s login.keychain-db"

# OSStatus of SecBase.h: what happened, and what to do.
ERRORS = {
    -25308: ("it is locked and this session cannot ask for its password", _UNLOCK),  # errSecInteractionNotAllowed
    -25293: ("its password was wrong", _UNLOCK),  # errSecAuthFailed
    -128: ("access was refused at its prompt", "run it again and allow access"),  # errSecUserCanceled
    -25291: ("no keychain is available, as in a session without a login", _UNLOCK),  # errSecNotAvailable
    -25294: ("the default keychain does not exist", _CHOOSE),  # errSecNoSuchKeychain
    -25307: ("there is no default keychain", _CHOOSE),  # errSecNoDefaultKeychain
    -25295: ("the keychain file is damaged", "run: security list-keychains"),  # errSecInvalidKeychain
    -25292: ("the keychain is read-only", "check the mode of its file"),  # errSecReadOnly
    -61: ("the keychain is read-only", "check the mode of its file"),  # errSecWrPerm
    -25299: ("another program added the same item just now", "run it again"),  # errSecDuplicateItem
    -25244: ("another program owns the item", "remove the item in Keychain Access"),  # errSecInvalidOwnerEdit
    -34018: ("this Python may not use it", "use the Python of python.org or Homebrew"),  # errSecMissingEntitlement
    -50: ("it does not take these attributes", "check the server URL and username"),  # errSecParam
    -108: ("there is not enough memory", "close other programs"),  # errSecAllocate
}
_KINDS = {
    **dict.fromkeys((-25308, -25293, -128), LockedKeychainError),
    **dict.fromkeys((-25291, -25294, -25307), KeychainUnavailableError),
}


class OsxKeychainHelper(SystemHelper):
    """Docker credentials in the macOS keychain; see :class:`SystemHelper` for the arguments."""

    place = "the macOS keychain"
    platform = "darwin"
    only_here = ONLY_HERE
    errors = ERRORS
    kinds = _KINDS
    explain = "security error"

    _opened: "Keychain | None"

    @property
    def _keychain(self) -> Keychain:
        if self._opened is None:
            self._opened = Keychain.of_system()
            if not can_prompt(self._environ):
                self._opened.forbid_questions()
        return self._opened

    def _store(self, credentials: Credentials) -> None:
        """Add an item or change the one that is there; see :class:`~passhelper.Helper`."""
        location = locate(credentials.server)
        if location is None:
            raise InvalidRequestError(
                "the macOS keychain takes only http and https servers without user, query and fragment"
            )
        self._run("store", lambda: self._write(location, credentials))

    def _write(self, location: Location, credentials: Credentials) -> None:
        keychain, username, secret = self._keychain, credentials.username, credentials.secret.encode()
        before = _items.of_location(keychain, location)
        kept = _items.of_user(before, username)
        is_new = kept is None and self._add(location, username, secret)
        if not is_new:
            # It was there, or somebody was faster than we were.
            kept = kept or _items.of_user(_items.of_location(keychain, location), username)
            if kept is None:
                raise KeychainError(
                    f"another program keeps a password of {username} for {location.url} in the keychain",
                    "remove it in Keychain Access if nothing needs it",
                )
            keychain.update(kept, secret)
        try:
            for item in before:
                if item is not kept:
                    keychain.delete(item)
        except NativeError:
            added = _items.of_user(_items.of_location(keychain, location), username) if is_new else None
            if added is not None:
                keychain.delete(added)
            raise

    def _add(self, location: Location, username: str, secret: bytes) -> bool:
        """Add an item; False if there is one with these attributes."""
        try:
            self._keychain.add(_items.attributes(location, username), secret)
        except NativeError as error:
            if error.number != DUPLICATE:
                raise
            return False
        return True

    def _get(self, server: str) -> Credentials:
        """Read the credential of a server, or of an equivalent name; see :class:`~passhelper.Helper`."""
        return self._run("get", lambda: self._read(server))

    def _read(self, server: str) -> Credentials:
        keychain, location = self._keychain, locate(server)
        items = _items.of_location(keychain, location)
        if not items and not self._is_strict:
            items = _items.of_equivalents(keychain, server) or _items.of_others(keychain, location)
        data = keychain.data(items[0]) if items else None
        if data is None:
            raise CredentialsNotFoundError
        return Credentials(server, items[0].account, decoded(data, f"{server} in the keychain"))

    def _erase(self, server: str) -> None:
        """Delete what ``get`` would find, but only labelled items; see :class:`~passhelper.Helper`."""
        self._run("erase", lambda: self._remove(server))

    def _remove(self, server: str) -> None:
        keychain = self._keychain
        alike = [] if self._is_strict else _items.of_equivalents(keychain, server)
        for item in _items.of_location(keychain, locate(server)) + alike:
            keychain.delete(item)

    def _list(self) -> dict[str, str]:
        """Name all servers, as URLs with their scheme; see :class:`~passhelper.Helper`."""
        held = self._run("list", lambda: _items.by_url(self._keychain))
        return {url: items[0].account for url, items in held.items()}

    def _run(self, doing: str, work: "Callable[[], _Result]") -> "_Result":
        """Call the system within the time limit; say what its numbers mean."""
        seconds = settings.seconds(self._environ, settings.TIMEOUT)  # for all that a person may have to answer
        try:
            return super()._run(doing, lambda: within(seconds, work))
        except TimeoutError:
            raise KeychainUnavailableError(
                f"the macOS keychain gave no answer within {seconds:g} s",
                "check its prompt and, if a keychain is on a network drive, that drive: security list-keychains",
            ) from None
