"""No history of verbs and of backends that lock, vanish, fail and return makes ``auto`` give out an old credential."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from passhelper import Credentials, CredentialsNotFoundError, PasshelperError
from passhelper.auto import AutoHelper
from passhelper.errors import KeychainUnavailableError, LockedKeychainError, StoreError
from passhelper.registry import equivalents, normalize
from passhelper_backends.memory import MemoryHelper  # noqa: TID251 - a double to subclass

NAMES = ("keyring", "pass", "third")
SERVERS = ("a.example", "https://a.example/v2/", "b.example:5000")  # the first two are one registry
STATES = st.sampled_from(["", "", "locked", "away", "silent", "failing"])
COUNT = int(os.environ.get("PASSHELPER_TEST_HISTORIES", "25"))  # read here, since a test sees no setting of ours
MOMENTS = st.sampled_from(["", "", "before", "after"])


class KilledError(BaseException):
    """Stands for a process that ends here."""


class Place(MemoryHelper):
    """Does as the backends of this installation do: answers for equivalent names, fails whole or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ""
        self.kills = ""  # "before" or "after" the next change

    def unavailable(self) -> str:
        return "no bus" if self.state == "away" else ""

    def _reach(self) -> None:
        if self.state == "locked":
            raise LockedKeychainError("it is locked", "unlock it")
        if self.state in ("silent", "away"):
            raise KeychainUnavailableError("it does not answer")
        if self.state == "failing":
            raise StoreError("it is broken")

    def _change(self, moment: str) -> None:
        if self.kills == moment:
            raise KilledError

    def _store(self, credentials: Credentials) -> None:
        self._reach()
        self._change("before")
        super()._store(credentials)
        self._change("after")

    def _get(self, server: str) -> Credentials:
        self._reach()
        alike = [] if server in self._credentials else equivalents(server, self._credentials)
        found = super()._get(alike[0] if alike else server)
        return Credentials(server, found.username, found.secret)

    def _erase(self, server: str) -> None:
        self._reach()
        self._change("before")
        for name in (server, *equivalents(server, self._credentials)):
            super()._erase(name)
        self._change("after")

    def _list(self) -> dict[str, str]:
        self._reach()
        return super()._list()


class History(RuleBasedStateMachine):
    """One history, beside what each server may answer with; None stands for nothing."""

    got: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # the record is forced to the disk at each change
        self.home = tempfile.mkdtemp(prefix="ph-", dir=memory if memory.is_dir() else None)
        self.places = {name: Place() for name in NAMES}
        self.auto = AutoHelper(NAMES, self.places.__getitem__, {"HOME": self.home})
        self.may: dict[str, set[str | None]] = {server: {None} for server in SERVERS}
        self.count = 0

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @rule(name=st.sampled_from(NAMES), state=STATES)
    def becomes(self, name: str, state: str) -> None:
        self.places[name].state = state

    @rule()
    def all_return(self) -> None:
        for place in self.places.values():
            place.state = ""

    @rule(server=st.sampled_from(SERVERS), name=st.sampled_from(NAMES), moment=MOMENTS)
    def store(self, server: str, name: str, moment: str) -> None:
        self.count += 1
        value = f"secret {self.count}"
        self.places[name].kills = moment
        try:
            self.auto.store(Credentials(server, "bob", value))
        except PasshelperError:
            return  # changed nothing
        except KilledError:
            for one in self._alike(server):  # it may have happened, or not
                self.may[one].add(value)
            return
        finally:
            self.places[name].kills = ""
        for one in self._alike(server):  # another name of the registry may have had one of its own
            self.may[one] = (self.may[one] - {None}) | {value}
        self.may[server] = {value}

    @rule(server=st.sampled_from(SERVERS), name=st.sampled_from(NAMES), moment=MOMENTS)
    def erase(self, server: str, name: str, moment: str) -> None:
        self.places[name].kills = moment
        try:
            self.auto.erase(server)
        except (PasshelperError, KilledError):  # in part, maybe
            for one in self._alike(server):
                self.may[one].add(None)
        else:
            for one in self._alike(server):
                self.may[one] = {None}
        finally:
            self.places[name].kills = ""

    @invariant()
    def gives_out_nothing_old(self) -> None:
        all_here = not any(place.state for place in self.places.values())
        for server in SERVERS:
            found: str | None
            try:
                found = self.auto.get(server).secret
            except CredentialsNotFoundError:
                found = None
                if any(place.state == "away" or place.state == "silent" for place in self.places.values()):
                    continue  # passed over in silence
            except PasshelperError:
                assert not all_here
                continue
            assert found in self.may[server], (server, found, self.may[server])
            History.got += found is not None
        if all_here:
            listed = self.auto.list()
            assert all(self.auto.get(server).username == username for server, username in listed.items())
            assert set(listed) <= set(SERVERS)
            assert {server for server in SERVERS if None not in self.may[server]} <= self._answered(listed)

    def _alike(self, server: str) -> list[str]:
        return [one for one in SERVERS if normalize(one) == normalize(server)]

    def _answered(self, listed: dict[str, str]) -> set[str]:
        return {one for server in listed for one in self._alike(server)}


def histories(count: int) -> settings:
    return settings(
        max_examples=count, stateful_step_count=25, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def test_no_history_gives_out_an_old_credential() -> None:
    History.got = 0
    run_state_machine_as_test(History, settings=histories(COUNT))
    assert History.got > 20  # it did not pass because nothing was ever there


@pytest.mark.parametrize("forgets", ["", "stored", "erased"])
def test_the_histories_see_what_happens_without_the_record(forgets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One history for each, instead of a search for it that may take long."""
    if forgets:
        monkeypatch.setattr(f"passhelper.autorecord.Record.{forgets}", lambda *_: None)
    server = SERVERS[0]
    history = History()
    history.store(server, "keyring", "")
    history.becomes("keyring", "away")
    if forgets == "erased":
        history.erase(server, "keyring", "")
    else:
        history.store(server, "keyring", "")
    history.all_return()
    if forgets:
        with pytest.raises(AssertionError):
            history.gives_out_nothing_old()
    else:
        history.gives_out_nothing_old()
    history.teardown()
