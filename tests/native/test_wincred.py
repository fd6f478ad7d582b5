"""The wincred backend on a stand-in for advapi32 that can be made to fail and sees every mistake in memory."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import pytest
from support.machines import standins

from passhelper import Credentials, CredentialsNotFoundError, get_helper
from passhelper.errors import EntryError, InvalidRequestError, KeychainError, KeychainUnavailableError
from passhelper.registry import normalize
from passhelper.testing import HelperContract
from passhelper_backends.wincred import WincredHelper  # noqa: TID251 - what is tested
from passhelper_backends.wincred import helper as adapter  # noqa: TID251
from passhelper_backends.wincred._native import Credential, CredentialManager  # noqa: TID251

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Once

    from passhelper import Helper

SERVER = "https://registry.example/v1/"
LIMIT = 2560
DOCKER = {"label": b"Docker Credentials"}


@pytest.fixture
def library(made_once: Once) -> Iterator[ctypes.CDLL]:
    library = standins.load(made_once, "credentials.so", "credentials.c")
    yield library
    assert library.fake_live() == 0, "a result was not freed"


@pytest.fixture
def manager(library: ctypes.CDLL) -> CredentialManager:
    return CredentialManager(library, library.GetLastError)


@pytest.fixture
def helper(manager: CredentialManager) -> WincredHelper:
    return WincredHelper(manager, {})


def names(manager: CredentialManager) -> list[str]:
    return sorted(one.target for one in manager.enumerate())


def store(helper: Helper, server: str = SERVER, username: str = "bob", secret: str = "s3cret") -> None:
    helper.store(Credentials(server, username, secret))


class TestContract(HelperContract):
    """All laws, in memory; long secrets, too."""

    folds_case = False

    @pytest.fixture(autouse=True)
    def _here(self, manager: CredentialManager, library: ctypes.CDLL) -> None:
        self.manager = manager
        if self.folds_case:
            library.fake_fold_case()

    def make_helper(self) -> Helper:
        return WincredHelper(self.manager, {})

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class TestContractWhereCaseDoesNotCount(TestContract):
    """Windows may compare names so."""

    folds_case = True


# What is stored


def test_an_item_has_the_bytes_that_dockers_helper_writes(helper: WincredHelper, library: ctypes.CDLL) -> None:
    store(helper, "https://bücher.example:5000/v1/", "ünï \U0001f600", "pä\nss ☃\n")

    class Native(ctypes.Structure):
        _fields_ = (
            ("flags", ctypes.c_uint32), ("type", ctypes.c_uint32), ("target", ctypes.c_void_p),
            ("comment", ctypes.c_void_p), ("written", ctypes.c_uint64), ("size", ctypes.c_uint32),
            ("blob", ctypes.c_void_p), ("persist", ctypes.c_uint32), ("attributes", ctypes.c_uint32),
            ("attribute", ctypes.c_void_p), ("alias", ctypes.c_void_p), ("user", ctypes.c_void_p),
        )  # fmt: skip

    library.fake_credential.restype = ctypes.POINTER(Native)
    assert library.fake_count() == 1
    item = library.fake_credential(0).contents

    def wide(text: str) -> bytes:
        return text.encode("utf-16-le") + b"\0\0"

    expected = [
        (item.target, wide("https://bücher.example:5000/v1/")), (item.user, wide("ünï \U0001f600")),
        (item.comment, wide("")), (item.alias, wide("")), (item.blob, "pä\nss ☃\n".encode()),
    ]  # fmt: skip
    for address, content in expected:
        assert ctypes.string_at(address, len(content)) == content
    assert (item.flags, item.type, item.persist, item.size, item.attributes) == (0, 1, 2, 10 + 1 + 1 - 1, 1)
    keyword, flags, size, value = (ctypes.c_uint64 * 3).from_address(item.attribute), 0, 18, b"Docker Credentials"
    assert ctypes.string_at(keyword[0], 12) == wide("label")
    assert keyword[1] == size << 32 | flags
    assert ctypes.string_at(keyword[2], size) == value


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_up_to_the_limit_there_is_one_item_of_dockers(
    helper: WincredHelper, manager: CredentialManager, size: int
) -> None:
    store(helper, secret="x" * size)
    (item,) = manager.enumerate()
    assert (item.target, item.blob, dict(item.attributes)) == (SERVER, b"x" * size, DOCKER)


@pytest.mark.parametrize(("size", "count"), [(LIMIT + 1, 2), (2 * LIMIT, 2), (2 * LIMIT + 1, 3), (20_000, 8)])
def test_longer_secrets_are_split(helper: WincredHelper, manager: CredentialManager, size: int, count: int) -> None:
    secret = ("é☃" * size)[: size - 3] + "\n\r\t"
    raw = secret.encode()
    store(helper, secret=secret)
    assert helper.get(SERVER).secret == secret.rstrip("\r\n")
    assert helper.list() == {SERVER: "bob"}
    items = manager.enumerate()
    assert len(items) == -(-len(raw) // LIMIT) >= count
    assert b"label" not in {key.encode() for one in items for key in one.attributes}, "Docker's helper would cut it"
    helper.erase(SERVER)
    assert names(manager) == []


def test_a_short_secret_over_a_long_one_leaves_no_parts(helper: WincredHelper, manager: CredentialManager) -> None:
    for size in (20_000, 5_000, 20_000, 1):
        store(helper, secret="x" * size)
    (item,) = manager.enumerate()
    assert (item.blob, dict(item.attributes)) == (b"x", DOCKER)


def test_parts_that_dockers_helper_left_are_removed(helper: WincredHelper, manager: CredentialManager) -> None:
    store(helper, secret="x" * 6_000)
    store(helper, "https://other.example", secret="y" * 6_000)
    manager.write(Credential(SERVER, "zoe", b"short", DOCKER))  # what its store does; it knows no parts
    assert helper.get(SERVER).secret == "short"
    helper.erase(SERVER)
    assert all(name.endswith("https://other.example") for name in names(manager))
    assert helper.get("https://other.example").secret == "y" * 6_000


def test_a_missing_part_is_told(helper: WincredHelper, manager: CredentialManager) -> None:
    store(helper, secret="x" * 6_000)
    manager.delete(next(name for name in names(manager) if ":2:" in name and name != SERVER))
    with pytest.raises(EntryError) as caught:
        helper.get(SERVER)
    cause = f"part 2 of 3 of the secret for {SERVER} is missing from the Credential Manager"
    assert str(caught.value) == f"{cause}; store it again: docker login"


@pytest.mark.parametrize("failing", range(8))
def test_a_long_store_that_fails_changes_nothing(
    helper: WincredHelper, manager: CredentialManager, library: ctypes.CDLL, failing: int
) -> None:
    store(helper, secret="y" * 6_000)
    before = names(manager)
    library.fake_fail(b"W", failing, 8)
    with pytest.raises(KeychainError):
        store(helper, secret="x" * 20_000)
    assert names(manager) == before
    assert helper.get(SERVER).secret == "y" * 6_000


def test_parts_that_cannot_be_removed_now_are_removed_later(
    helper: WincredHelper, manager: CredentialManager, library: ctypes.CDLL
) -> None:
    store(helper, secret="y" * 6_000)
    library.fake_fail(b"D", 1, 5)
    store(helper, secret="short")
    assert len(names(manager)) == 2
    assert (helper.get(SERVER).secret, helper.list()) == ("short", {SERVER: "bob"})
    store(helper, secret="short")
    assert names(manager) == [SERVER]


# Which items are meant


def test_other_programs_credentials_are_not_ours(helper: WincredHelper, manager: CredentialManager) -> None:
    manager.write(Credential(SERVER, "browser", b"s3cret", {"label": b"Other"}))
    assert helper.list() == {}
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)
    helper.erase(SERVER)
    with pytest.raises(KeychainError) as caught:
        store(helper)
    assert caught.value.cause == f"another program keeps a credential named {SERVER} in the Credential Manager"
    assert caught.value.remedy == f"remove it if nothing needs it: cmdkey /delete:{SERVER}"
    (item,) = manager.enumerate()
    assert (item.username, item.blob) == ("browser", b"s3cret")


def test_no_other_path_or_port_of_the_host_is_taken(helper: WincredHelper) -> None:
    store(helper, "https://index.docker.io/v1/access-token")
    store(helper, "https://registry.example:5000")
    for server in ("https://index.docker.io", "docker.io", "https://index.docker.io/v1/", "registry.example"):
        with pytest.raises(CredentialsNotFoundError):
            helper.get(server)
        helper.erase(server)
    assert len(helper.list()) == 2


def test_erase_removes_what_get_returns(helper: WincredHelper, manager: CredentialManager) -> None:
    store(helper, "https://index.docker.io/v1/", secret="x" * 6_000)
    store(helper, "docker.io")
    assert helper.get("https://index.docker.io").secret == "s3cret"
    helper.erase("index.docker.io")
    assert names(manager) == []


def test_strict_compares_bytes(manager: CredentialManager) -> None:
    helper = WincredHelper(manager, {"PASSHELPER_STRICT": "1"})
    store(helper, "docker.io")
    with pytest.raises(CredentialsNotFoundError):
        helper.get("index.docker.io")
    helper.erase("index.docker.io")
    assert helper.list() == {"docker.io": "bob"}


def test_names_that_no_client_can_ask_for_are_not_listed(helper: WincredHelper, manager: CredentialManager) -> None:
    for name in ("a\nb", " padded ", "\ud800"):
        manager.write(Credential(name, "u", b"s", DOCKER))
    assert helper.list() == {}
    assert len(names(manager)) == 3


def test_a_secret_that_is_no_text_is_told(helper: WincredHelper, manager: CredentialManager) -> None:
    manager.write(Credential(SERVER, "u", b"\xff\xfe", DOCKER))
    with pytest.raises(EntryError) as caught:
        helper.get(SERVER)
    cause = f"the secret for {SERVER} in the Credential Manager is not UTF-8 text, which Docker cannot take"
    assert str(caught.value) == f"{cause}; store it again: docker login"


# What Windows refuses


@pytest.mark.parametrize("number", sorted(adapter.ERRORS))
@pytest.mark.parametrize(
    ("call", "verb", "doing"),
    [("R", "get", "read"), ("E", "list", "list"), ("W", "store", "write"), ("D", "erase", "erase")],
)
def test_every_error_number_is_explained(
    helper: WincredHelper, library: ctypes.CDLL, call: str, verb: str, doing: str, number: int
) -> None:
    store(helper)
    library.fake_fail(call.encode(), 0, number)
    arguments = {"list": (), "store": (Credentials(SERVER, "zoe", "new"),)}.get(verb, (SERVER,))
    with pytest.raises(KeychainError) as caught:
        getattr(helper, verb)(*arguments)
    reason, remedy = adapter.ERRORS[number]
    cause = f"the Windows Credential Manager did not {doing} the credential: {reason} (error {number})"
    assert (caught.value.cause, caught.value.remedy) == (cause, remedy)
    assert isinstance(caught.value, KeychainUnavailableError) == (number == 1312)
    assert helper.get(SERVER).username == "bob"


def test_an_error_number_that_nobody_knows_is_named(helper: WincredHelper, library: ctypes.CDLL) -> None:
    library.fake_fail(b"E", 0, 4711)
    with pytest.raises(KeychainError) as caught:
        helper.list()
    cause = "the Windows Credential Manager did not list the credential: CredEnumerateW failed (error 4711)"
    assert str(caught.value) == f"{cause}; run: net helpmsg 4711"


def test_absence_is_no_error(helper: WincredHelper) -> None:
    assert helper.list() == {}
    helper.erase(SERVER)
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)


def test_what_is_too_long_is_refused_in_words(helper: WincredHelper, manager: CredentialManager) -> None:
    store(helper, username="\U0001f600" * 256 + "u")
    with pytest.raises(InvalidRequestError) as caught:
        store(helper, username="\U0001f600" * 257)
    assert str(caught.value) == "the username has 514 characters; the Windows Credential Manager takes 513"
    store(helper, "https://" + "h" * 32_000, secret="x" * 6_000)
    with pytest.raises(InvalidRequestError, match=r"the server URL has 32800 characters; .* takes \d+"):
        store(helper, "h" * 32_800)
    assert len(helper.list()) == 2
    assert len(names(manager)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
def test_elsewhere_it_says_where_it_works() -> None:
    helper = get_helper("wincred")
    assert helper.unavailable() == "the Windows Credential Manager is only on Windows"
    for call in (helper.list, lambda: helper.get(SERVER), lambda: helper.erase(SERVER), lambda: store(helper)):
        with pytest.raises(KeychainUnavailableError) as caught:
            call()
        assert (
            str(caught.value)
            == "the Windows Credential Manager is only on Windows; use another backend: passhelper link NAME"
        )
