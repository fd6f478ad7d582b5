"""What the backends for the keychains of macOS and Windows share: each is on one system, and refuses with a number."""

import os
import sys

from passhelper import settings
from passhelper.credentials import Helper
from passhelper.errors import KeychainError, KeychainUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar, TypeVar

    _Result = TypeVar("_Result")


class NativeError(Exception):
    """A function of the system failed.

    Attributes:
        call: its name.
        number: what the system calls the reason.
    """

    def __init__(self, call: str, number: int) -> None:
        super().__init__(f"{call} failed with error {number}")
        self.call = call
        self.number = number


class SystemHelper(Helper):
    """Docker credentials in a keychain that comes with an operating system.

    Args:
        opened: the keychain to work on; this user's own by default.
        environ: the settings; the process's environment by default.

    Attributes:
        place: the keychain's name in messages.
        platform: the only ``sys.platform`` that has it.
        only_here: what to say on the others.
        errors: what happened and what to do, by the system's number.
        kinds: the numbers that are not simply a :class:`KeychainError`.
        explain: the command that explains any number.
    """

    place: "ClassVar[str]"
    platform: "ClassVar[str]"
    only_here: "ClassVar[str]"
    errors: "ClassVar[Mapping[int, tuple[str, str]]]"
    kinds: "ClassVar[Mapping[int, type[KeychainError]]]"
    explain: "ClassVar[str]"

    def __init__(self, opened: object = None, environ: "Mapping[str, str] | None" = None) -> None:
        self._opened = opened
        self._environ = os.environ if environ is None else environ

    @classmethod
    def priority(cls) -> float:
        """Return 5 on the system that has this keychain; see :class:`~passhelper.Helper`.

        Raises:
            KeychainUnavailableError: this is another system.
        """
        if sys.platform != cls.platform:
            raise KeychainUnavailableError(cls.only_here)
        return 5

    def unavailable(self) -> str:
        """Return why there is no keychain, unless one was given; see :class:`~passhelper.Helper`."""
        return "" if self._opened is not None else super().unavailable()

    @property
    def _is_strict(self) -> bool:
        return settings.is_on(self._environ, settings.STRICT)

    def _run(self, doing: str, work: "Callable[[], _Result]") -> "_Result":
        """Call the system; say what its numbers mean."""
        try:
            return work()
        except NativeError as error:
            number = error.number
            reason, remedy = self.errors.get(number, (f"{error.call} failed", f"run: {self.explain} {number}"))
            cause = f"{self.place} did not {doing} the credential: {reason} (error {number})"
            raise self.kinds.get(number, KeychainError)(cause, remedy) from error
