"""``docker-credential-auto``: the first of several backends that can work here, chosen anew at each call.

A laptop has a keyring on its desktop and none when somebody logs in through ssh; one configuration serves both.
A keychain that is not there is passed over in silence. One that is locked, with nobody to unlock it, is passed
over as well, but never forgotten: where the next backend has nothing either, the answer is that it is locked,
and a credential in it is not erased by erasing elsewhere.
"""

from passhelper.backends import get_helper
from passhelper.credentials import Credentials, Helper
from passhelper.errors import (
    ConfigurationError,
    CredentialsNotFoundError,
    KeychainUnavailableError,
    LockedKeychainError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    _Result = TypeVar("_Result")


class AutoHelper(Helper):
    """Several backends in the order in which they are tried.

    Args:
        names: the backends.
        make: makes a backend of a name.
    """

    def __init__(self, names: "Sequence[str]", make: "Callable[[str], Helper]" = get_helper) -> None:
        self._names = names
        self._make = make

    def _store(self, credentials: Credentials) -> None:
        """Keep a credential in the first backend that can; see :class:`~passhelper.Helper`."""
        self._first(lambda helper: helper.store(credentials))

    def _get(self, server: str) -> Credentials:
        """Look up a server in the first backend that can; see :class:`~passhelper.Helper`."""
        return self._first(lambda helper: helper.get(server))

    def _erase(self, server: str) -> None:
        """Forget a server in the first backend that is there; see :class:`~passhelper.Helper`."""
        self._first(lambda helper: helper.erase(server), past_locked=False)

    def _list(self) -> dict[str, str]:
        """Name the servers of the first backend that can; see :class:`~passhelper.Helper`."""
        return self._first(lambda helper: helper.list())

    def unavailable(self) -> str:
        """Say why none of the backends can be used; see :class:`~passhelper.Helper`."""
        reasons = []
        for name in self._names:
            reason = self._make(name).unavailable()
            if not reason:
                return ""
            reasons.append(f"{name}: {reason}")
        return "; ".join(reasons)

    def _first(self, verb: "Callable[[Helper], _Result]", *, past_locked: bool = True) -> "_Result":
        reasons = []
        locked: LockedKeychainError | None = None
        for name in self._names:
            helper = self._make(name)
            reason = helper.unavailable()
            if not reason:
                try:
                    return verb(helper)
                except KeychainUnavailableError as error:
                    reason = error.cause
                except LockedKeychainError as error:
                    if not past_locked:
                        raise
                    locked = locked or error
                    reason = error.cause
                except CredentialsNotFoundError:
                    if locked is not None:
                        raise locked from None
                    raise
            reasons.append(f"{name}: {reason}")
        if locked is not None:
            raise locked
        raise ConfigurationError(f"no backend can be used here: {'; '.join(reasons)}", "run: passhelper setup")
