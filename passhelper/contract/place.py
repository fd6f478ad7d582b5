"""What a law looks at: one helper, made-up names that belong to nobody, and what the helper is known to refuse."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.credentials import Credentials
from passhelper.errors import CredentialsNotFoundError, HelperTimeoutError, PasshelperError, printable
from passhelper.registry import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passhelper.credentials import Helper


_PATIENCE = 2  # answers that may fail to come while names are erased
_SECRET = "s3cret"  # noqa: S105 - nobody's


class LawBrokenError(AssertionError):
    """A helper did what no helper may do. The text never holds a secret."""


class NotApplicableError(Exception):
    """The law does not apply to this place."""


class Limits:
    """What is known about a place; override what is different there."""

    def refuses_server(self, server: str) -> bool:  # noqa: ARG002 - for those who override it
        """Return whether ``store`` refuses this server URL, with an error and without a trace."""
        return False

    def refuses_username(self, username: str) -> bool:  # noqa: ARG002 - for those who override it
        """Return whether ``store`` refuses this username."""
        return False

    def refuses_secret(self, secret: str) -> bool:  # noqa: ARG002 - for those who override it
        """Return whether ``store`` refuses this secret, maybe for its length."""
        return False

    def refuses(self, server: str, username: str, secret: str) -> bool:
        """Return whether ``store`` refuses one of the three."""
        return self.refuses_server(server) or self.refuses_username(username) or self.refuses_secret(secret)

    def listed_as(self, server: str) -> str:
        """Give the name under which ``list`` shows a server. Two servers with one name are one entry."""
        return server

    def finds(self, asked: str, stored: str) -> bool:
        """Return whether ``get`` of one server answers with another, where it has nothing under the exact name.

        Of several the first in byte order answers; ``erase`` of the asked one forgets them all.
        """
        return asked == stored


class Equivalence(Limits):
    """What any helper may do: take names that mean one registry for each other."""

    def finds(self, asked: str, stored: str) -> bool:
        """Return whether both names mean one registry."""
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class Place:
    """A helper, and the names that laws may use in it.

    Args:
        helper: what is tested.
        domain: every server that is touched has a host below it; in lower case.
        limits: what is known about the place.
        reopen: makes another helper for the same place; None if nothing outlives the object.
    """

    def __init__(
        self, helper: Helper, domain: str, limits: Limits | None = None, reopen: Callable[[], Helper] | None = None
    ) -> None:
        self.helper = helper
        self.limits = limits or Limits()
        self.reopen = reopen
        self.domain = domain
        self._used: dict[str, None] = {}

    def server(self, form: str) -> str:
        """Make a server URL: ``{}`` in the form stands for the domain."""
        server = form.format(self.domain)
        self._used[server] = None
        return server

    def keep(self, server: str, username: str, secret: str = _SECRET, *, listed: bool = True) -> None:
        """Store a credential and get it back; where the place is known to refuse it, see that it does.

        ``list`` is looked at, too, unless told otherwise: it costs a process where the helper is a program.
        """
        if self.limits.refuses(server, username, secret):
            if self.keep_or_refuse(server, username, secret):
                raise LawBrokenError(f"store of {printable(username)!r} at {printable(server)} is not refused")
        else:
            with _verb("store", server, username):
                self.helper.store(Credentials(server, username, secret))
            self.expect(server, username, secret, listed=listed)

    def keep_or_refuse(self, server: str, username: str, secret: str = _SECRET) -> bool:
        """Store a credential that may be refused without a trace; return whether it was stored."""
        before = self.listed()
        try:
            self.helper.store(Credentials(server, username, secret))
        except CredentialsNotFoundError:
            raise LawBrokenError(
                "store says that credentials were not found, which clients take for a success"
            ) from None
        except PasshelperError:
            if self.listed() != before:
                label = f"{printable(username)!r} at {printable(server)}"
                raise LawBrokenError(f"a failed store of {label} left something") from None
            return False
        return True

    def expect(self, server: str, username: str, secret: str = _SECRET, *, listed: bool = True) -> None:
        """Check that a server has this credential, in ``get`` and, unless told otherwise, in ``list``."""
        label = printable(server)
        try:
            with _verb("get", server, username):
                found = self.helper.get(server)
        except CredentialsNotFoundError:
            raise LawBrokenError(f"get does not find {label}, stored for {printable(username)!r}") from None
        if found.server != server:
            raise LawBrokenError(f"get answers {printable(found.server)} when asked for {label}")
        if found.username != username:
            raise LawBrokenError(f"{label} has user {printable(found.username)!r}, not {printable(username)!r}")
        if found.secret != secret.rstrip("\r\n"):
            raise LawBrokenError(f"the secret of {printable(username)!r} at {label} comes back changed")
        user = self.listed().get(self.limits.listed_as(server)) if listed else username
        if user != username:
            said = "nothing" if user is None else repr(printable(user))
            raise LawBrokenError(f"list says {said} for {label}, not {printable(username)!r}")

    def expect_nothing(self, server: str) -> None:
        """Check that a server has no credential."""
        try:
            found = self.helper.get(server)
        except CredentialsNotFoundError:
            pass
        except PasshelperError as error:
            raise LawBrokenError(f"get of {printable(server)}, which is not there, fails: {error}") from error
        else:
            raise LawBrokenError(f"get of {printable(server)} answers with user {printable(found.username)!r}")
        if self.limits.listed_as(server) in self.listed():
            raise LawBrokenError(f"list names {printable(server)}, which get does not find")

    def erase(self, server: str) -> None:
        """Erase a server."""
        with _verb("erase", server):
            self.helper.erase(server)

    def listed(self) -> dict[str, str]:
        """List the servers that are ours."""
        try:
            return {
                server: username for server, username in self.helper.list().items() if self.domain in server.lower()
            }
        except PasshelperError as error:
            raise LawBrokenError(f"list fails: {error}") from error

    def clean(self) -> list[str]:
        """Erase every name of ours, whatever the helper says; return those that it may still have."""
        names = list(dict.fromkeys([*(self._named() or ()), *self._used]))
        self._used.clear()
        doubtful = []
        hung = 0
        for server in names:
            if hung < _PATIENCE:
                try:
                    self.helper.erase(server)
                    continue
                except HelperTimeoutError:
                    hung += 1
                except PasshelperError:
                    pass  # many programs fail when they do not know the name
            doubtful.append(server)
        if hung >= _PATIENCE:
            return doubtful
        remaining = self._named()
        if remaining is None:
            return [server for server in names if self.has(server)]
        return remaining + [server for server in doubtful if server not in remaining and self.has(server)]

    def _named(self) -> list[str] | None:
        """List the servers that are ours, None if that fails."""
        try:
            return [server for server in self.helper.list() if self.domain in server.lower()]
        except PasshelperError:
            return None

    def has(self, server: str) -> bool:
        """Return whether a server may still have a credential."""
        try:
            self.helper.get(server)
        except CredentialsNotFoundError:
            return False
        except PasshelperError:
            pass
        return True


@contextmanager
def _verb(verb: str, server: str, username: str = "") -> Iterator[None]:
    """Turn the failure of a verb that should succeed into a broken law."""
    try:
        yield
    except CredentialsNotFoundError:
        if verb == "get":
            raise
        raise LawBrokenError(f"{verb} of {printable(server)} says that credentials were not found") from None
    except PasshelperError as error:
        user = f" for user {printable(username)!r}" if username else ""
        raise LawBrokenError(f"{verb} of {printable(server)}{user} fails: {error}") from error
