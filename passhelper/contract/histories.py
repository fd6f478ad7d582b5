"""Compare a helper, over many random histories, with a dictionary that has the right answers; needs Hypothesis."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from passhelper.contract import samples
from passhelper.contract.place import Limits
from passhelper.credentials import Credentials
from passhelper.errors import CredentialsNotFoundError, PasshelperError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DataObject, SearchStrategy

    from passhelper.credentials import Helper

USERNAMES = st.sampled_from(samples.USERNAMES + samples.SLASHES) | st.text(
    st.sampled_from("./%2Fa-_ \\:(\u00e9\U0001f600"), min_size=1, max_size=20
)
SECRETS = st.sampled_from(samples.SECRETS + samples.TRAILING) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=200
)


def servers(domain: str) -> SearchStrategy[str]:
    """Make server URLs below a domain, often the same and often near to each other."""
    near = [form for stored, asked in samples.NEIGHBOURS.items() for form in (stored, *asked)]
    known = [form.format(domain) for form in (*near, *samples.SERVERS)]
    label = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
    return st.sampled_from(known) | label.map(lambda text: f"{text.strip()}.{domain}")


class Machine(RuleBasedStateMachine):
    """One history. Subclass it and set the class attributes."""

    make: ClassVar[Callable[[], Helper]]
    """Gives a helper in whose place nothing of :attr:`owns` is."""
    limits: ClassVar[Limits] = Limits()
    servers: ClassVar[SearchStrategy[str]]
    usernames: ClassVar[SearchStrategy[str]] = USERNAMES
    secrets: ClassVar[SearchStrategy[str]] = SECRETS
    domain: ClassVar[str] = ""
    """What a listed name holds if it is one of the history's; others are ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[str, str]] = {}

    @initialize()
    def begin(self) -> None:
        """Open the place."""
        self.helper = type(self).make()

    def _server(self, data: DataObject) -> str:
        """Choose a server: half of the time a stored one, since faults show when a name is used again."""
        anything = type(self).servers
        return data.draw(st.sampled_from(sorted(self.model)) | anything if self.model else anything, "server")

    def _found(self, server: str) -> list[str]:
        """Give the stored names that answer for a server, in the order in which they do."""
        exact = self.limits.listed_as(server)
        others = [name for name in self.model if name != exact and self.limits.finds(server, name)]
        return [name for name in (exact,) if name in self.model] + sorted(others, key=str.encode)

    def check(self, server: str) -> None:
        """Compare ``get`` with the dictionary."""
        names = self._found(server)
        expected = self.model[names[0]] if names else None
        try:
            found = self.helper.get(server)
        except CredentialsNotFoundError:
            assert expected is None, f"get does not find {server!r}"  # noqa: S101 - as in any test
        else:
            said = found.server, (found.username, found.secret)
            assert said == (server, expected), f"get({server!r}) says {said!r}, not {expected!r}"  # noqa: S101

    @rule(data=st.data())
    def store(self, data: DataObject) -> None:
        """Store anything."""
        server = self._server(data)
        username, secret = data.draw(type(self).usernames, "username"), data.draw(type(self).secrets, "secret")
        limits = self.limits
        if limits.refuses(server, username, secret):
            try:
                self.helper.store(Credentials(server, username, secret))
            except PasshelperError:
                return
            raise AssertionError(f"store of {username!r} at {server!r} is not refused")
        self.helper.store(Credentials(server, username, secret))
        self.model[limits.listed_as(server)] = (username, secret.rstrip("\r\n"))
        self.check(server)

    @rule(data=st.data())
    def get(self, data: DataObject) -> None:
        """Get anything."""
        self.check(self._server(data))

    @rule(data=st.data())
    def erase(self, data: DataObject) -> None:
        """Erase anything."""
        server = self._server(data)
        for name in self._found(server):
            del self.model[name]
        self.helper.erase(server)
        self.check(server)

    @rule(data=st.data())
    def everything_listed_is_got(self, data: DataObject) -> None:
        """Get what is there."""
        for server in data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=3)) if self.model else ():
            self.check(server)

    @invariant()
    def list_says_the_same(self) -> None:
        """Compare ``list`` with the dictionary."""
        if hasattr(self, "helper"):
            listed = {name: user for name, user in self.helper.list().items() if self.domain in name}
            assert listed == {name: username for name, (username, _) in self.model.items()}  # noqa: S101
