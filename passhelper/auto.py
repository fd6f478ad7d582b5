"""``docker-credential-auto``: several backends as one; each call uses those that are available.

A laptop has a keyring on its desktop, and none when somebody logs in through ssh; one configuration serves both. The
rule: `store` goes to the first backend that takes it, and the record says which one that was. `get` asks that backend
first; if it is not available, an older credential of another backend is never given out instead. `erase` goes to all
backends. A copy that it cannot reach is recorded as erased, and is not given out again.

If no backend has the server, a keychain that does not exist is skipped silently, and one that is locked, with nobody to
unlock it, is an error. A backend that cannot be loaded is named in a warning, and the others go on. A credential that
another program puts into a backend is used if the record says nothing else. If another program removes one, the other
backends are used again.
"""

import os

from passhelper.autorecord import Known, Record
from passhelper.backends import get_helper
from passhelper.credentials import Credentials, Helper
from passhelper.errors import (
    ConfigurationError,
    CredentialsNotFoundError,
    KeychainUnavailableError,
    LockedKeychainError,
    PasshelperError,
    StoreError,
)
from passhelper.protocol import warner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_warn_on_stderr = warner("docker-credential-auto")


class _Passed:
    """The backends that could not be used in one call."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.locked: LockedKeychainError | None = None

    def add(self, name: str, error: PasshelperError | str) -> None:
        self.reasons[name] = error if isinstance(error, str) else error.cause
        if isinstance(error, LockedKeychainError):
            self.locked = self.locked or error

    def error(self) -> PasshelperError:
        """Return the error that no backend could be used."""
        if self.locked is not None:
            return self.locked
        return ConfigurationError(f"no backend can be used here: {self.summary()}", "run: passhelper setup")

    def summary(self) -> str:
        """Return each backend with its reason."""
        return "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())


class AutoHelper(Helper):
    """Several backends in the order in which they are tried.

    Args:
        names: the backends.
        make: makes a backend of a name.
        environ: names the place of the record; the process's environment by default.
        warn: takes one line for each backend that is broken; stderr by default.
    """

    def __init__(
        self,
        names: "Sequence[str]",
        make: "Callable[[str], Helper]" = get_helper,
        environ: "Mapping[str, str] | None" = None,
        warn: "Callable[[str], None]" = _warn_on_stderr,
    ) -> None:
        self._names = names
        self._make = make
        self._environ = os.environ if environ is None else environ
        self._warn = warn
        self._broken: set[str] = set()  # those that were warned of

    @property
    def _record(self) -> Record:
        return Record(self._environ)

    def _store(self, credentials: Credentials) -> None:
        """Store a credential in the first backend that can; see :class:`~passhelper.Helper`."""
        record, passed, server = self._record, _Passed(), credentials.server
        record.prepare()
        known = self._known(record, server)
        for name in self._names:
            helper = self._usable(name, passed)
            if helper is None:
                continue
            try:
                if name in known.erased:
                    helper.erase(server)  # other names of the registry, which must not come back
                helper.store(credentials)
            except (KeychainUnavailableError, LockedKeychainError) as error:
                passed.add(name, error)
                continue
            record.stored(server, name)
            return
        raise passed.error()

    def _get(self, server: str) -> Credentials:
        """Look up a server where it was stored last, else in order; see :class:`~passhelper.Helper`."""
        known, passed = self._known(self._record, server), _Passed()
        has_missed = False
        for name in self._order(known):
            helper = self._usable(name, passed)
            if helper is None:
                continue
            if name in known.erased:
                has_missed = True
                continue
            try:
                found = helper.get(server)
            except CredentialsNotFoundError:
                has_missed = True
                continue
            except (KeychainUnavailableError, LockedKeychainError) as error:
                if name == known.newest and isinstance(error, LockedKeychainError):
                    raise
                passed.add(name, error)
                continue
            if known.newest in passed.reasons:
                raise StoreError(
                    f"the newest credential for {server} is in {known.newest}, which cannot be used here: "
                    f"{passed.reasons[known.newest]}",
                    "log in again, to store it in what can be used here",
                )
            return found
        if passed.locked is not None or not has_missed:
            raise passed.error()
        raise CredentialsNotFoundError

    def _erase(self, server: str) -> None:
        """Forget a server wherever it may be; see :class:`~passhelper.Helper`.

        The newest copy is erased last: if this process ends before, no older copy is taken for it. If two backends each
        have the newest copy of one name of the registry and an older one of the other name, both are recorded as erased
        before: whichever is erased first, the older one would come back.
        """
        record, passed = self._record, _Passed()
        known, is_split = self._known(record, server), record.is_split(server)
        before = record.read()
        if is_split:
            record.erased(server, self._names, "")
            known = Known("", self._names)
        failed: dict[str, PasshelperError] = {}
        has_reached = False
        for name in reversed(self._order(known)):
            if name == known.newest and (passed.reasons or failed):
                record.erased(server, {*known.erased, *passed.reasons, *failed}, known.newest)
            has_reached = self._erase_in(name, server, passed, failed) or has_reached
        if not has_reached:
            record.restore(server, before)
            raise passed.error()
        # What is older than the newest, or was out of reach, is not served again; another failure changes nothing.
        stays = {name for name in failed if name not in passed.reasons and known.newest in ("", name) and not is_split}
        stale = {name for name in (*passed.reasons, *failed) if name not in stays}
        record.erased(server, stale, known.newest if known.newest in stays else "")
        if failed:
            raise _unerased(server, failed)

    def _erase_in(self, name: str, server: str, passed: _Passed, failed: "dict[str, PasshelperError]") -> bool:
        """Forget a server in one backend, or note why not; return whether the backend could be asked."""
        helper = self._usable(name, passed)
        if helper is None:
            return False
        try:
            helper.erase(server)
        except (KeychainUnavailableError, LockedKeychainError) as error:
            passed.add(name, error)
            if isinstance(error, LockedKeychainError):
                failed[name] = error
            return False
        except PasshelperError as error:
            failed[name] = error
        return True

    def _list(self) -> dict[str, str]:
        """Name the servers of all available backends; see :class:`~passhelper.Helper`."""
        record, passed = self._record, _Passed()
        entries = record.read()
        lists: dict[str, dict[str, str]] = {}
        for name in self._names:
            helper = self._usable(name, passed)
            if helper is None:
                continue
            try:
                lists[name] = helper.list()
            except (KeychainUnavailableError, LockedKeychainError) as error:
                passed.add(name, error)
        if not lists:
            raise passed.error()
        merged: dict[str, str] = {}
        for server in dict.fromkeys(server for listed in lists.values() for server in listed):
            known = self._known(record, server, entries)
            if known.newest in passed.reasons:
                continue  # `get` does not give out an older one
            for name in self._order(known):
                if name in lists and name not in known.erased and server in lists[name]:
                    merged[server] = lists[name][server]
                    break
        return merged

    def unavailable(self) -> str:
        """Return why none of the backends can be used; see :class:`~passhelper.Helper`."""
        passed = _Passed()
        if any(self._usable(name, passed) for name in self._names):
            return ""
        return passed.summary()

    def _usable(self, name: str, passed: _Passed) -> Helper | None:
        """Make a backend; None, with the reason noted, if it cannot be used. A broken one is reported once."""
        try:
            helper = self._make(name)
        except PasshelperError as error:
            if not isinstance(error, (KeychainUnavailableError, LockedKeychainError)) and name not in self._broken:
                self._broken.add(name)
                self._warn(f"{name} is left out: {error}")
            passed.add(name, error)
            return None
        reason = helper.unavailable()
        if reason:
            passed.add(name, reason)
            return None
        return helper

    def _known(self, record: Record, server: str, entries: "dict[str, dict[str, object]] | None" = None) -> Known:
        """Look a server up; a backend that is no longer one of ours is ignored."""
        known = record.of(server, entries)
        return known if known.newest in self._names else Known("", known.erased)

    def _order(self, known: Known) -> "list[str]":
        """Give the backends in the order in which they are asked."""
        return sorted(self._names, key=lambda name: name != known.newest)


def _unerased(server: str, failed: "Mapping[str, PasshelperError]") -> PasshelperError:
    """Name the backends in which a credential may still be."""
    reasons = ", ".join(f"{name} ({error.cause})" for name, error in failed.items())
    first = next(iter(failed.values()))
    remedy = f"{first.remedy}, then erase it again" if first.remedy else "erase it again"
    kind = LockedKeychainError if isinstance(first, LockedKeychainError) else StoreError
    return kind(f"the credential for {server} may still be in {reasons}", remedy)
