"""The first backend that can work: which one that is, verb by verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from passhelper import Credentials, CredentialsNotFoundError, Helper, PassHelper
from passhelper.auto import AutoHelper
from passhelper.autorecord import Record
from passhelper.errors import (
    ConfigurationError,
    KeychainUnavailableError,
    LockedKeychainError,
    PasshelperError,
    StoreError,
    UnknownBackendError,
)
from passhelper.registry import equivalents, normalize
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

    def _alike(self, server: str) -> list[str]:
        return [server] if server in self._credentials else equivalents(server, self._credentials)

    def _store(self, credentials: Credentials) -> None:
        self._ask()
        super()._store(credentials)

    def _get(self, server: str) -> Credentials:
        self._ask()
        names = self._alike(server)
        found = super()._get(names[0] if names else server)
        return Credentials(server, found.username, found.secret)

    def _erase(self, server: str) -> None:
        self._ask()
        for name in {server, *equivalents(server, self._credentials)}:
            super()._erase(name)

    def _list(self) -> dict[str, str]:
        self._ask()
        return super()._list()


class Places:
    def __init__(self, home: Path) -> None:
        self.first, self.second = Place(), Place()
        self.home = home
        self.auto = self.of("first", "second")

    def of(self, *names: str) -> AutoHelper:
        return AutoHelper(names, lambda name: getattr(self, name), {"HOME": str(self.home)})


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.mark.parametrize("missing", ["", "not here"])
class TestAuto(HelperContract):
    persistent = False

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, missing: str) -> None:
        self.folder, self.missing = tmp_path, missing

    def make_helper(self) -> Helper:
        places = Places(self.folder)
        places.first.missing = self.missing
        return places.auto

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


def verbs(helper: Helper) -> None:
    helper.store(BOB)
    assert helper.get(BOB.server) == BOB
    assert helper.list() == {BOB.server: "bob"}
    helper.erase(BOB.server)
    assert helper.list() == {}
    with pytest.raises(CredentialsNotFoundError):
        helper.get(BOB.server)


def test_the_first_that_is_there_keeps_everything(places: Places) -> None:
    verbs(places.auto)
    places.auto.store(BOB)
    assert (places.first.list(), places.second.list()) == ({BOB.server: "bob"}, {})
    assert places.auto.unavailable() == ""


def test_one_that_is_not_there_is_not_asked(places: Places) -> None:
    places.first.missing = "no bus"
    verbs(places.auto)
    assert places.first.asked == 0
    assert places.auto.unavailable() == ""


def test_one_that_turns_out_not_to_be_there_is_passed_over(places: Places) -> None:
    places.first.failure = KeychainUnavailableError("gone")
    verbs(places.auto)


def test_the_choice_is_made_anew_at_each_call(places: Places) -> None:
    places.auto.store(BOB)
    places.first.missing = "logged out"
    with pytest.raises(CredentialsNotFoundError):  # public images need no error
        places.auto.get(BOB.server)
    places.first.missing = ""
    assert places.auto.get(BOB.server) == BOB


LOCKED = LockedKeychainError("it is locked", "unlock it")
AWAY = [(LOCKED, ""), (KeychainUnavailableError("it does not answer"), ""), (None, "no bus")]
NEW = Credentials(BOB.server, "bob", "new")


@pytest.mark.parametrize(("failure", "missing"), AWAY)
def test_a_new_credential_is_never_shadowed_by_an_older_one(
    places: Places, failure: PasshelperError | None, missing: str
) -> None:
    """The preferred place is away, a login goes to the next one, and the preferred place comes back."""
    places.first.store(BOB)  # by another program, or before anything was written down
    places.first.failure, places.first.missing = failure, missing
    places.auto.store(NEW)
    assert places.auto.get(BOB.server) == NEW
    places.first.failure, places.first.missing = None, ""
    assert places.auto.get(BOB.server) == NEW
    assert places.auto.get("a.example") == Credentials("a.example", "bob", "new")  # by another of its names
    assert places.auto.list() == {BOB.server: "bob"}
    # Nor where the one that has it goes away: the old password is not what was asked for.
    places.second.missing = "no store"
    assert places.auto.list() == {}
    with pytest.raises(StoreError) as caught:
        places.auto.get(BOB.server)
    assert caught.value.cause == (
        f"the newest credential for {BOB.server} is in second, which cannot be used here: no store"
    )
    assert caught.value.remedy == "log in again, to store it in what can be used here"
    newest = Credentials(BOB.server, "zoe", "newest")
    places.auto.store(newest)
    places.second.missing = ""
    assert places.auto.get(BOB.server) == newest
    places.auto.erase(BOB.server)
    assert places.first.list() == places.second.list() == places.auto.list() == {}


@pytest.mark.parametrize(("failure", "missing"), AWAY)
def test_what_was_erased_does_not_come_back(places: Places, failure: PasshelperError | None, missing: str) -> None:
    places.first.store(BOB)
    places.second.store(BOB)
    places.first.failure, places.first.missing = failure, missing
    if failure is LOCKED:
        with pytest.raises(LockedKeychainError) as caught:
            places.auto.erase(BOB.server)
        assert caught.value.cause == f"the credential for {BOB.server} may still be in first (it is locked)"
        assert caught.value.remedy == "unlock it, then erase it again"
    else:
        places.auto.erase(BOB.server)
    assert places.second.list() == {}
    places.first.failure, places.first.missing = None, ""
    assert places.first.list() == {BOB.server: "bob"}
    assert places.auto.list() == {}
    for name in (BOB.server, "a.example"):
        with pytest.raises(CredentialsNotFoundError):
            places.auto.get(name)
    places.auto.store(Credentials("a.example", "zoe", "new"))
    assert places.auto.get(BOB.server).username == "zoe"  # and not the erased one under its other name
    assert places.auto.list() == {"a.example": "zoe"}
    places.auto.erase(BOB.server)
    assert places.first.list() == {}


def test_a_locked_one_is_passed_over_but_not_forgotten(places: Places) -> None:
    places.first.failure = LOCKED
    with pytest.raises(LockedKeychainError) as caught:
        places.auto.get(BOB.server)  # not "not found": it may be in the locked one
    assert caught.value is LOCKED
    places.auto.store(BOB)
    assert places.second.get(BOB.server) == places.auto.get(BOB.server) == BOB
    assert places.auto.list() == {BOB.server: "bob"}
    places.second.missing = "no store"
    for verb in (places.auto.list, lambda: places.auto.erase(BOB.server), lambda: places.auto.store(BOB)):
        with pytest.raises(LockedKeychainError):
            verb()
    places.second.missing = ""
    assert places.auto.get(BOB.server) == BOB  # an erase that reached nothing has changed nothing


def test_an_erase_that_fails_leaves_what_it_did_not_erase(places: Places) -> None:
    places.auto.store(BOB)
    places.second.store(NEW)
    places.first.failure = StoreError("access denied", "ask your admin")
    with pytest.raises(StoreError) as caught:
        places.auto.erase(BOB.server)
    assert caught.value.cause == f"the credential for {BOB.server} may still be in first (access denied)"
    assert caught.value.remedy == "ask your admin, then erase it again"
    places.first.failure = None
    assert places.auto.get(BOB.server) == BOB


def test_what_others_remove_makes_room_for_what_is_there(places: Places) -> None:
    places.auto.store(BOB)
    places.first.erase(BOB.server)
    places.second.store(NEW)
    assert places.auto.get(BOB.server) == NEW


def test_a_backend_that_is_configured_no_more_counts_for_nothing(places: Places) -> None:
    places.auto.store(BOB)
    places.second.store(NEW)
    assert places.of("second").get(BOB.server) == NEW
    assert places.of("second").list() == {BOB.server: "bob"}


# What is written down


def test_the_record_holds_no_secret_and_no_name(places: Places) -> None:
    places.auto.store(Credentials("https://user:canary@a.example", "bob", "s3cret"))
    places.first.missing = "no bus"
    places.auto.erase(BOB.server)
    file = Path(Record({"HOME": str(places.home)}).path)
    text = file.read_text()
    assert not any(word in text for word in ("canary", "a.example", "bob", "s3cret"))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    places.first.missing = ""
    places.auto.erase(BOB.server)
    places.auto.erase("https://user:canary@a.example")
    assert file.read_text() == "{}"


def test_where_the_record_lies(tmp_path: Path) -> None:
    home = {"HOME": "/home/u"}
    assert Record(home).path == "/home/u/.local/state/passhelper/auto.json"
    assert Record({**home, "XDG_STATE_HOME": "/state"}).path == "/state/passhelper/auto.json"
    assert Record({**home, "XDG_STATE_HOME": "state"}).path == "/home/u/.local/state/passhelper/auto.json"


@pytest.mark.parametrize("text", ["", "[]", '{"a":1}', "nonsense"])
def test_a_damaged_record_is_no_empty_one(places: Places, text: str) -> None:
    places.auto.store(BOB)
    file = Path(Record({"HOME": str(places.home)}).path)
    file.write_text(text)
    for verb in (lambda: places.auto.get(BOB.server), places.auto.list, lambda: places.auto.store(NEW)):
        with pytest.raises(StoreError) as caught:
            verb()
        assert caught.value.cause == f"{file} is damaged, so nobody knows which backend has the newest credentials"
        assert caught.value.remedy == "remove it, and log in again where a password is refused"
    assert places.first.get(BOB.server) == BOB
    file.unlink()
    assert places.auto.get(BOB.server) == BOB


def test_nothing_is_stored_that_cannot_be_written_down(places: Places) -> None:
    state = places.home / ".local" / "state"
    state.parent.mkdir()
    state.write_text("")
    with pytest.raises(StoreError, match=r", or set XDG_STATE_HOME to another directory$") as caught:
        places.auto.store(BOB)
    assert caught.value.cause.startswith(f"cannot write {state}/passhelper/auto.json: ")
    assert places.first.list() == {}


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


def test_a_broken_backend_is_left_out_and_named_once(tmp_path: Path) -> None:
    """Its plug-in has gone, or cannot be loaded; the others go on."""
    second, said = Place(), list[str]()

    def make(name: str) -> Helper:
        if name == "first":
            raise ConfigurationError("backend first (vault:X) cannot be loaded: No module named 'vault'", "remove it")
        return second

    auto = AutoHelper(("first", "second"), make, {"XDG_STATE_HOME": str(tmp_path)}, said.append)
    auto.store(BOB)
    assert (auto.get(BOB.server), auto.list(), auto.unavailable()) == (BOB, {BOB.server: "bob"}, "")
    auto.erase(BOB.server)
    assert second.list() == {}
    assert said == ["first is left out: backend first (vault:X) cannot be loaded: No module named 'vault'; remove it"]
    second.missing = "no bus"
    with pytest.raises(
        ConfigurationError, match=r"^no backend can be used here: first: backend first .*; second: no bus"
    ):
        auto.get(BOB.server)
    assert len(said) == 1


def test_what_a_broken_backend_holds_as_the_newest_is_not_replaced_by_an_older_one(places: Places) -> None:
    places.auto.store(BOB)
    places.second.store(BOB.replace(secret="older"))

    def make(name: str) -> Helper:
        if name == "first":
            raise UnknownBackendError("no backend is called 'first'")
        return places.second

    auto = AutoHelper(("first", "second"), make, places.auto._environ, lambda _: None)
    with pytest.raises(StoreError, match=r"^the newest credential for https://a.example is in first, which cannot be"):
        auto.get(BOB.server)


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


def split(places: Places, other: Credentials) -> None:
    """Two names of a registry, the newest of each in another backend, which holds an older one of the other name."""
    places.second.store(BOB.replace(secret="older"))
    places.auto.store(other.replace(secret="older"))
    places.auto.store(BOB)
    places.first.failure = LockedKeychainError("it is locked", "unlock it")
    places.auto.store(other)
    places.first.failure = None
    assert (places.auto.get(BOB.server), places.auto.get(other.server)) == (BOB, other)


@pytest.mark.parametrize("stops", ["first", "second"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreError("it is broken")], ids=["killed", "failing"])
@pytest.mark.parametrize("asked", [0, 1])
def test_half_an_erase_of_a_registry_brings_no_older_credential_back(
    places: Places, monkeypatch: pytest.MonkeyPatch, stops: str, error: BaseException, asked: int
) -> None:
    other = BOB.replace(server="https://a.example/v2/", secret="other")
    split(places, other)

    def stop(server: str) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(getattr(places, stops), "_erase", stop)
        with pytest.raises(type(error)):
            places.auto.erase((BOB, other)[asked].server)
    for one in (BOB, other):
        try:
            found = places.auto.get(one.server)
        except CredentialsNotFoundError:
            continue
        assert found == one
    assert set(places.auto.list().values()) <= {"bob"}


@pytest.mark.parametrize("other", ["stores", "erases"])
def test_two_that_write_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """What is written is made from what the file holds once nobody else may write."""
    server, alias = BOB.server, "https://a.example/v2/"
    record = Record({"HOME": str(tmp_path)})
    lock = Record._lock

    def late(self: Record) -> object:
        monkeypatch.undo()
        if other == "stores":
            record.stored(alias, "second")
        else:
            record.erased(alias, ["second"], "")
        return lock(self)

    monkeypatch.setattr(Record, "_lock", late)
    record.stored(server, "first")
    assert record.of(server).newest == "first"
    if other == "stores":
        assert record.is_split(server)
    else:
        assert record.of(server).erased == {"second"}


def test_an_erase_that_reaches_nothing_changes_nothing(places: Places) -> None:
    other = BOB.replace(server="https://a.example/v2/", secret="other")
    split(places, other)
    places.first.missing = places.second.missing = "not here"
    with pytest.raises(ConfigurationError):
        places.auto.erase(BOB.server)
    places.first.missing = places.second.missing = ""
    assert (places.auto.get(BOB.server), places.auto.get(other.server)) == (BOB, other)
