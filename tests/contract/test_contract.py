"""The contract that the package ships, on the backends that need nothing but this process and gpg."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from passhelper import Credentials, Helper, PassHelper, PasshelperError, get_helper
from passhelper.contract import histories
from passhelper.contract.laws import LAWS
from passhelper.contract.place import LawBrokenError, Limits, Place
from passhelper.registry import normalize
from passhelper.testing import HelperContract
from passhelper_backends.memory import MemoryHelper  # noqa: TID251 - a double to subclass

if TYPE_CHECKING:
    from support import KeyRing


class TestMemory(HelperContract):
    persistent = False
    histories = 60

    def make_helper(self) -> Helper:
        return get_helper("memory")


class TestPass(HelperContract):
    @pytest.fixture(autouse=True)
    def initialised(self, environ: dict[str, str], store: Path, keys: KeyRing) -> None:
        self.environ = environ

    def make_helper(self) -> Helper:
        return PassHelper(self.environ)

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class FirstStays(MemoryHelper):
    def _store(self, credentials: Credentials) -> None:
        if credentials.server not in self._credentials:
            super()._store(credentials)


class Trims(MemoryHelper):
    def _store(self, credentials: Credentials) -> None:
        server, username, secret = credentials.server, credentials.username, credentials.secret
        super()._store(Credentials(server, username, secret.strip()))


class ErasesTooMuch(MemoryHelper):
    def _erase(self, server: str) -> None:
        self._credentials.clear()


class ErasesNothing(MemoryHelper):
    def _erase(self, server: str) -> None:
        pass


class HidesOne(MemoryHelper):
    def _list(self) -> dict[str, str]:
        return dict(list(super()._list().items())[1:])


class FindsNeighbours(MemoryHelper):
    def _get(self, server: str) -> Credentials:
        near = [name for name in self._credentials if name.partition(":5")[0] == server.partition(":5")[0]]
        found = super()._get(near[0] if near else server)
        return Credentials(server, found.username, found.secret)


FAULTY = [FirstStays, Trims, ErasesTooMuch, ErasesNothing, HidesOne, FindsNeighbours]


@pytest.mark.parametrize("faulty", FAULTY)
def test_a_fault_breaks_a_law_and_a_history(faulty: type[MemoryHelper]) -> None:
    broken = []
    for law in LAWS:
        try:
            law.check(Place(faulty(), "x.invalid", reopen=faulty))
        except LawBrokenError:
            broken.append(law.id)
    assert len(set(broken) - {"survives"}) > 0
    members = {"make": faulty, "servers": histories.servers("x.invalid")}
    many = settings(
        max_examples=400, stateful_step_count=12, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=True,
    )  # fmt: skip
    with pytest.raises(Exception, match=r"get|list|unequal|assert") as caught:
        run_state_machine_as_test(type("Faulty", (histories.Machine,), members), settings=many)
    assert not isinstance(caught.value, PasshelperError)


# What a backend says that it refuses


class Picky(MemoryHelper):
    """Refuses some things, and maybe leaves something behind when it does."""

    leaves = False
    refuses = True

    def _store(self, credentials: Credentials) -> None:
        if "/" in credentials.username or len(credentials.secret) > 2560 or "?" in credentials.server:
            if self.leaves:
                super()._store(Credentials("left.x.invalid", "bob", ""))
            if self.refuses:
                raise PasshelperError("too long")
        super()._store(credentials)


class Known(Limits):
    def refuses_server(self, server: str) -> bool:
        return "?" in server

    def refuses_username(self, username: str) -> bool:
        return "/" in username

    def refuses_secret(self, secret: str) -> bool:
        return len(secret) > 2560


class TestPicky(Known, HelperContract):
    persistent = False

    def make_helper(self) -> Helper:
        return Picky()


@pytest.mark.parametrize("law", ["servers", "slash-username", "large-secret"])
@pytest.mark.parametrize(("leaves", "refuses", "why"), [(True, True, "left something"), (False, False, "not refused")])
def test_what_is_refused_leaves_no_trace(law: str, leaves: bool, refuses: bool, why: str) -> None:
    helper = Picky()
    helper.leaves, helper.refuses = leaves, refuses
    (check,) = (one.check for one in LAWS if one.id == law)
    with pytest.raises(LawBrokenError, match=why):
        check(Place(helper, "x.invalid", Known()))
    with pytest.raises(LawBrokenError, match="fails: too long"):
        check(Place(Picky(), "x.invalid"))  # undeclared, it is a breach


def test_nothing_of_a_secret_is_in_a_message() -> None:
    class Changes(MemoryHelper):
        def _get(self, server: str) -> Credentials:
            return Credentials(server, super()._get(server).username, "canary")

    for law in LAWS:
        if law.id in ("servers", "secrets", "list", "replace-user"):
            with pytest.raises(LawBrokenError, match="comes back changed") as caught:
                law.check(Place(Changes(), "x.invalid"))
            assert "canary" not in str(caught.value)
