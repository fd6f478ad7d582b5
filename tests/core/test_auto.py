"""The first backend that can work: which one that is, verb by verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from passhelper import Credentials, CredentialsNotFoundError, Helper, PassHelper
from passhelper.auto import AutoHelper
from passhelper.errors import ConfigurationError, KeychainUnavailableError, LockedKeychainError, PasshelperError
from passhelper.testing import HelperContract
from passhelper_backends.memory import MemoryHelper  # noqa: TID251 - a double to subclass

BOB = Credentials("https://a.example", "bob", "s3cret")


class Place(MemoryHelper):
    """A place that can be missing, locked, or lose its answer half-way."""

    def __init__(self) -> None:
        super().__init__()
        self.missing = ""
        self.failure: PasshelperError | None = None
        self.asked = 0

    def unavailable(self) -> str:
        return self.missing

    def _ask(self) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure

    def _store(self, credentials: Credentials) -> None:
        self._ask()
        super()._store(credentials)

    def _get(self, server: str) -> Credentials:
        self._ask()
        return super()._get(server)

    def _erase(self, server: str) -> None:
        self._ask()
        super()._erase(server)

    def _list(self) -> dict[str, str]:
        self._ask()
        return super()._list()


class Places:
    def __init__(self) -> None:
        self.first, self.second = Place(), Place()
        self.auto = AutoHelper(["first", "second"], lambda name: getattr(self, name))


@pytest.fixture
def places() -> Places:
    return Places()


class TestAuto(HelperContract):
    persistent = False

    def make_helper(self) -> Helper:
        places = Places()
        places.first.missing = "not here"
        return places.auto


def verbs(helper: Helper) -> None:
    helper.store(BOB)
    assert helper.get(BOB.server) == BOB
    assert helper.list() == {BOB.server: "bob"}
    helper.erase(BOB.server)
    assert helper.list() == {}


def test_the_first_that_is_there_does_everything(places: Places) -> None:
    verbs(places.auto)
    assert (places.first.asked, places.second.asked) == (5, 0)
    assert places.auto.unavailable() == ""


def test_one_that_is_not_there_is_not_asked(places: Places) -> None:
    places.first.missing = "no bus"
    verbs(places.auto)
    assert (places.first.asked, places.second.asked) == (0, 5)
    assert places.auto.unavailable() == ""


def test_one_that_turns_out_not_to_be_there_is_passed_over(places: Places) -> None:
    places.first.failure = KeychainUnavailableError("gone")
    verbs(places.auto)
    assert (places.first.asked, places.second.asked) == (5, 5)


def test_the_choice_is_made_anew_at_each_call(places: Places) -> None:
    places.auto.store(BOB)
    places.first.missing = "logged out"
    with pytest.raises(CredentialsNotFoundError):
        places.auto.get(BOB.server)
    places.first.missing = ""
    assert places.auto.get(BOB.server) == BOB


def test_a_locked_one_is_passed_over_but_not_forgotten(places: Places) -> None:
    places.first.failure = locked = LockedKeychainError("it is locked", "unlock it")
    with pytest.raises(LockedKeychainError) as caught:
        places.auto.get(BOB.server)  # not "not found": it may be in the locked one
    assert caught.value is locked
    places.auto.store(BOB)
    assert places.second.get(BOB.server) == places.auto.get(BOB.server) == BOB
    assert places.auto.list() == {BOB.server: "bob"}
    with pytest.raises(LockedKeychainError):
        places.auto.erase(BOB.server)  # what is in the locked one would come back
    assert places.second.list() == {BOB.server: "bob"}
    places.second.missing = "no store"
    with pytest.raises(LockedKeychainError):
        places.auto.list()


def test_another_failure_is_an_answer(places: Places) -> None:
    places.first.failure = PasshelperError("access denied")
    for verb in (lambda: places.auto.get(BOB.server), places.auto.list, lambda: places.auto.store(BOB)):
        with pytest.raises(PasshelperError, match="access denied"):
            verb()
    assert places.second.asked == 0


def test_nothing_that_can_work(places: Places) -> None:
    places.first.missing, places.second.failure = "no bus", KeychainUnavailableError("it does not answer", "wait")
    with pytest.raises(ConfigurationError) as caught:
        places.auto.get(BOB.server)
    assert caught.value.cause == "no backend can be used here: first: no bus; second: it does not answer"
    assert caught.value.remedy == "run: passhelper setup"
    places.second.missing = "no store"
    assert places.auto.unavailable() == "first: no bus; second: no store"


def test_the_pass_store_can_be_used_when_it_is_initialised(environ: dict[str, str], store: Path) -> None:
    helper = PassHelper(environ)
    assert helper.unavailable() == ""
    (store / "docker-credential-helpers").mkdir()
    (store / ".gpg-id").rename(store / "docker-credential-helpers" / ".gpg-id")
    assert helper.unavailable() == ""
    (store / "docker-credential-helpers" / ".gpg-id").unlink()
    assert helper.unavailable() == f"password store not initialised at {store}"
    environ["PASSWORD_STORE_KEY"] = "0xABC"
    assert helper.unavailable() == ""
