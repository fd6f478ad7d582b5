"""The osxkeychain backend on strict stand-ins for CoreFoundation and the Security framework.

They show that every object is released and that every call has the types of macOS; whether Apple's own
framework takes these dictionaries only a Mac can show (``tests/platforms/keychain.py``).
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.machines import standins
from support.machines.standins import dump

from passhelper import Credentials, CredentialsNotFoundError, get_helper
from passhelper.errors import (
    ConfigurationError,
    EntryError,
    InvalidRequestError,
    KeychainError,
    KeychainUnavailableError,
    LockedKeychainError,
)
from passhelper.testing import HelperContract
from passhelper_backends.osxkeychain import (  # noqa: TID251 - what is tested
    OsxKeychainHelper,
    _items,
    selftest,
)
from passhelper_backends.osxkeychain import helper as adapter  # noqa: TID251
from passhelper_backends.osxkeychain._location import locate  # noqa: TID251
from passhelper_backends.osxkeychain._native import DUPLICATE, Keychain  # noqa: TID251

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Once

    from passhelper import Helper

SERVER = "https://registry.example:5000/v1/"
STRING, DATA, NUMBER = "7", "20", "22"  # type numbers of CoreFoundation


@pytest.fixture
def library(made_once: Once) -> Iterator[ctypes.CDLL]:
    library = standins.load(made_once, "keychain.so", "foundation.c", "security.c")
    yield library
    library.fake_clear()
    assert library.fake_live() == 0, "an object was not released"


@pytest.fixture
def keychain(library: ctypes.CDLL) -> Keychain:
    return Keychain(library, library)


@pytest.fixture
def helper(keychain: Keychain) -> OsxKeychainHelper:
    return OsxKeychainHelper(keychain, {})


def other(keychain: Keychain, secret: bytes = b"other", **attributes: str | int) -> None:
    """Add an item as another program would."""
    known = {"account": "Account", "authentication": "AuthenticationType", "label": "Label", "path": "Path"}
    known |= {"port": "Port", "protocol": "Protocol", "host": "Server"}
    keychain.add({f"kSecAttr{known[name]}": value for name, value in attributes.items()}, secret)


def store(helper: Helper, server: str = SERVER, username: str = "bob", secret: str = "s3cret") -> None:
    helper.store(Credentials(server, username, secret))


def expect_nothing(helper: Helper, server: str) -> None:
    with pytest.raises(CredentialsNotFoundError):
        helper.get(server)


class TestContract(selftest.KeychainLimits, HelperContract):
    """All laws, in memory."""

    shows_port_zero = False

    @pytest.fixture(autouse=True)
    def _here(self, keychain: Keychain, library: ctypes.CDLL) -> None:
        self.keychain = keychain
        library.fake_show_port_zero(self.shows_port_zero)

    def make_helper(self) -> Helper:
        return OsxKeychainHelper(self.keychain, {})


class TestContractWhereAMissingPortIsZero(TestContract):
    """macOS may say so, for items that Docker's helper made before 0.9."""

    shows_port_zero = True


# What is stored


def test_an_item_has_the_attributes_that_dockers_helper_writes(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    store(helper, "https://registry.example:5000/v1/a%20b", "ünï \U0001f600", "pä\nss ☃\n")
    store(helper, "http://[::1]", "zoe", "")
    label, authentication = (STRING, b"Docker Credentials"), (STRING, b"dflt")
    assert dump(library) == [
        {
            "acct": (STRING, "ünï \U0001f600".encode()),
            "atyp": authentication,
            "labl": label,
            "path": (STRING, b"/v1/a b"),
            "port": (NUMBER, (5000).to_bytes(4, sys.byteorder)),
            "ptcl": (STRING, b"htps"),
            "srvr": (STRING, b"registry.example"),
            "v_Data": (DATA, "pä\nss ☃\n".encode()),
        },
        {
            "acct": (STRING, b"zoe"),
            "atyp": authentication,
            "labl": label,
            "ptcl": (STRING, b"http"),
            "srvr": (STRING, b"::1"),
            "v_Data": (DATA, b""),
        },
    ]
    assert helper.list() == {"https://registry.example:5000/v1/a%20b": "ünï \U0001f600", "http://[::1]": "zoe"}


@pytest.mark.parametrize(
    ("server", "listed"),
    [
        ("registry.example", "https://registry.example"), ("//registry.example:5000", "https://registry.example:5000"),
        ("HTTPS://Registry.example/", "https://Registry.example/"), ("http://r.example:080/v2", "http://r.example:80/v2"),
        ("https://index.docker.io/v1/", "https://index.docker.io/v1/"), ("[fe80::1]:5000/a", "https://[fe80::1]:5000/a"),
        ("https://r.example/%C3%BC%2f%25;x=1", "https://r.example/%C3%BC/%25;x=1"), ("bücher.example", "https://bücher.example"),
        ("r.example:", "https://r.example"),
    ],
)  # fmt: skip
def test_a_server_is_listed_by_its_fields(helper: OsxKeychainHelper, server: str, listed: str) -> None:
    store(helper, server)
    assert helper.list() == {listed: "bob"}
    assert helper.get(server).secret == helper.get(listed).secret == "s3cret"
    helper.erase(listed)
    assert helper.list() == {}


@pytest.mark.parametrize(
    "server",
    [
        "https://user@r.example", "https://r.example/v2/?n=1", "https://r.example#x", "ftp://r.example", "https://",
        "https:///v1", "r.example:0", "r.example:65536", "r.example:port", "a:b:c", "a b", "[::1", "[::1]x", "[]", "..",
        "https://r.example/%zz", "https://r.example/%4", "https://r.example/% 4", "https://r.example/%ff",
        "https://r.example/%0a", "https://r.example/%00", "r%2eexample", ">>>",
    ],
)  # fmt: skip
def test_a_server_that_has_no_place_is_refused(helper: OsxKeychainHelper, library: ctypes.CDLL, server: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        store(helper, server)
    text = "the macOS keychain takes only http and https servers without user, query and fragment"
    assert str(caught.value) == text
    expect_nothing(helper, server)
    helper.erase(server)
    assert dump(library) == []


# Which items are meant


def test_no_other_port_or_path_of_the_host_is_touched(helper: OsxKeychainHelper) -> None:
    others = ("https://h.example:5000/v1", "https://h.example/team", "https://h.example:444", "http://h.example")
    for server in others:
        store(helper, server, "bob", server)
    expect_nothing(helper, "https://h.example")
    store(helper, "https://h.example", "zoe")
    store(helper, "https://h.example", "bob", "again")
    helper.erase("https://h.example")
    assert helper.list() == dict.fromkeys(others, "bob")
    for server in others:
        assert helper.get(server).secret == server


def test_a_store_changes_the_item_that_is_there(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    store(helper, secret="old")
    library.fake_fail(b"D", 0, -128)  # its owner would have to be asked
    store(helper, secret="new")
    (item,) = dump(library)
    assert item["v_Data"] == (DATA, b"new")


def test_all_earlier_users_go(helper: OsxKeychainHelper, keychain: Keychain, library: ctypes.CDLL) -> None:
    location = locate(SERVER)
    assert location is not None
    for user in ("adam", "mid", "zoe"):
        keychain.add(_items.attributes(location, user), b"s3cret")
    assert helper.get(SERVER).username == helper.list()[SERVER] == "adam"
    store(helper, username="mid")
    assert [item["acct"][1] for item in dump(library)] == [b"mid"]


def test_an_item_of_0_9_0_without_authentication_type_is_read_and_replaced(
    helper: OsxKeychainHelper, keychain: Keychain, library: ctypes.CDLL
) -> None:
    other(keychain, account="bob", label="Docker Credentials", host="h.example", protocol="htps", secret=b"old")
    assert helper.get("h.example").secret == "old"
    store(helper, "h.example", "bob", "new")
    (item,) = dump(library)
    assert (item["atyp"], item["v_Data"]) == ((STRING, b"dflt"), (DATA, b"new"))


def test_other_programs_items_are_only_read_and_only_of_this_server(
    helper: OsxKeychainHelper, keychain: Keychain, library: ctypes.CDLL
) -> None:
    other(keychain, account="safari", label="h.example", host="h.example", protocol="htps", authentication="form")
    other(keychain, account="ftp", label="h.example", host="h.example", protocol="ftp ")
    other(keychain, account="deep", label="h.example", host="h.example", protocol="htps", path="/admin")
    before = dump(library)
    assert helper.get("h.example").username == "safari"
    assert helper.list() == {}
    helper.erase("h.example")
    for server in ("http://h.example", "h.example:5000", "h.example/v2/"):
        expect_nothing(helper, server)
    expect_nothing(OsxKeychainHelper(keychain, {"PASSHELPER_STRICT": "1"}), "h.example")
    assert dump(library) == before
    store(helper, "h.example/v2/")
    assert helper.get("h.example").username == "bob"  # an equivalent name of ours comes first
    store(helper, "h.example", "zoe")
    assert helper.get("h.example").username == "zoe"
    assert dump(library)[: len(before)] == before


def test_another_programs_item_with_the_same_key_is_not_overwritten(
    helper: OsxKeychainHelper, keychain: Keychain, library: ctypes.CDLL
) -> None:
    other(keychain, account="bob", label="git", host="h.example", protocol="htps", authentication="dflt")
    before = dump(library)
    with pytest.raises(KeychainError) as caught:
        store(helper, "h.example")
    assert caught.value.cause == "another program keeps a password of bob for https://h.example in the keychain"
    assert caught.value.remedy == "remove it in Keychain Access if nothing needs it"
    assert dump(library) == before


def test_labelled_items_that_no_client_can_ask_for_are_not_listed(
    helper: OsxKeychainHelper, keychain: Keychain
) -> None:
    label = "Docker Credentials"
    other(keychain, account="bob", label=label, host="h.example", protocol="ftp ")
    other(keychain, label=label, host="h.example", protocol="htps")
    other(keychain, account="bob", label=label, protocol="htps")
    other(keychain, account="bob", label=label, host="a\nb", protocol="htps")
    assert helper.list() == {}
    expect_nothing(helper, "h.example")


def test_equivalent_names_are_found_and_erased_unless_strict(helper: OsxKeychainHelper, keychain: Keychain) -> None:
    strict = OsxKeychainHelper(keychain, {"PASSHELPER_STRICT": "1"})
    store(helper, "https://index.docker.io/v1/")
    store(helper, "https://index.docker.io/v1/access-token", "token")
    assert helper.get("docker.io").username == "bob"
    expect_nothing(strict, "docker.io")
    strict.erase("docker.io")
    helper.erase("registry-1.docker.io")
    assert helper.list() == {"https://index.docker.io/v1/access-token": "token"}


def test_a_secret_that_is_no_text_is_told(helper: OsxKeychainHelper, keychain: Keychain) -> None:
    other(keychain, account="bob", label="Docker Credentials", host="h.example", protocol="htps", secret=b"\xff")
    with pytest.raises(EntryError) as caught:
        helper.get("h.example")
    cause = "the secret for h.example in the keychain is not UTF-8 text, which Docker cannot take"
    assert str(caught.value) == f"{cause}; store it again: docker login"


# What macOS refuses


@pytest.mark.parametrize("status", sorted(adapter.ERRORS))
@pytest.mark.parametrize(
    ("call", "passes", "verb"),
    [("C", 0, "get"), ("C", 1, "get"), ("C", 0, "list"), ("U", 0, "store"), ("D", 0, "erase"), ("A", 0, "store new")],
)
def test_every_status_is_explained(
    helper: OsxKeychainHelper, library: ctypes.CDLL, call: str, passes: int, verb: str, status: int
) -> None:
    store(helper)
    before = dump(library)
    library.fake_fail(call.encode(), passes, status)
    verb, _, new = verb.partition(" ")
    credentials = Credentials(SERVER, "zoe" if new else "bob", "changed")
    arguments = {"list": (), "store": (credentials,)}.get(verb, (SERVER,))
    with pytest.raises(KeychainError) as caught:
        getattr(helper, verb)(*arguments)
    if not (new and status == DUPLICATE):  # which has a message of its own
        reason, remedy = adapter.ERRORS[status]
        assert caught.value.cause == f"the macOS keychain did not {verb} the credential: {reason} (error {status})"
        assert caught.value.remedy == remedy
    assert isinstance(caught.value, LockedKeychainError) == (status in (-128, -25293, -25308))
    assert isinstance(caught.value, KeychainUnavailableError) == (status in (-25291, -25294, -25307))
    assert dump(library) == before


def test_a_locked_keychain_names_the_command_that_unlocks_it(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    library.fake_fail(b"C", 0, -25308)
    with pytest.raises(KeychainError) as caught:
        helper.get(SERVER)
    assert str(caught.value) == (
        "the macOS keychain did not get the credential: it is locked and this session cannot ask for its password "
        "(error -25308); run: security -v unlock-keychain ~/Library/Keychains/login.keychain-db"
    )


def test_a_status_that_nobody_knows_is_named(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    library.fake_fail(b"C", 0, -25240)
    with pytest.raises(KeychainError) as caught:
        helper.list()
    cause = "the macOS keychain did not list the credential: SecItemCopyMatching failed (error -25240)"
    assert str(caught.value) == f"{cause}; run: security error -25240"


def test_a_user_that_cannot_be_removed_keeps_the_new_one_out(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    store(helper)
    before = dump(library)
    library.fake_fail(b"D", 0, -25244)
    with pytest.raises(KeychainError, match="another program owns the item"):
        store(helper, username="zoe")
    assert dump(library) == before


def test_an_item_that_somebody_adds_meanwhile_is_changed(
    keychain: Keychain, library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = OsxKeychainHelper(keychain, {})
    find = keychain.find

    def find_and_let_somebody_in(attributes: dict[str, object]) -> list[object]:
        monkeypatch.undo()
        found = find(attributes)
        store(OsxKeychainHelper(keychain, {}), secret="of another process")
        return list(found)

    monkeypatch.setattr(keychain, "find", find_and_let_somebody_in)
    store(helper, secret="ours")
    (item,) = dump(library)
    assert item["v_Data"] == (DATA, b"ours")


def test_a_keychain_that_never_answers_has_a_time_limit(library: ctypes.CDLL) -> None:
    code = (  # a process of its own, since the thread that waits never ends
        "import ctypes, sys\n"
        "from passhelper_backends.osxkeychain import OsxKeychainHelper\n"
        "from passhelper_backends.osxkeychain._native import Keychain\n"
        "from passhelper.protocol import serve\n"
        f"library = ctypes.CDLL({library._name!r})\n"
        "library.fake_hang(1)\n"
        "helper = OsxKeychainHelper(Keychain(library, library), {'PASSHELPER_TIMEOUT': '0.2'})\n"
        "sys.exit(serve(helper, ['docker-credential-osxkeychain', 'list']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=30)
    text = (
        b"the macOS keychain gave no answer within 0.2 s; check its prompt and, if a keychain is on a network drive, "
        b"that drive: security list-keychains\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, text, b"docker-credential-osxkeychain: " + text)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "1e9"])
def test_a_time_limit_that_is_no_number_is_told(keychain: Keychain, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OsxKeychainHelper(keychain, {"PASSHELPER_TIMEOUT": text}).list()
    assert str(caught.value).startswith(f"PASSHELPER_TIMEOUT is not a number of seconds: {text!r}; set it to ")


@pytest.mark.parametrize(("value", "allowed"), [("1", 0), ("0", 1)])
def test_where_nobody_can_answer_nothing_is_asked(
    keychain: Keychain, library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, value: str, allowed: int
) -> None:
    monkeypatch.setattr(Keychain, "of_system", lambda: keychain)
    OsxKeychainHelper(environ={"PASSHELPER_NONINTERACTIVE": value}).list()
    assert library.fake_questions() == allowed


@pytest.mark.skipif(sys.platform == "darwin", reason="this is macOS")
def test_elsewhere_it_says_where_it_works() -> None:
    helper = get_helper("osxkeychain")
    assert helper.unavailable() == "the macOS keychain is only on macOS"
    for call in (helper.list, lambda: helper.get(SERVER), lambda: helper.erase(SERVER), lambda: store(helper)):
        with pytest.raises(KeychainUnavailableError) as caught:
            call()
        assert str(caught.value) == "the macOS keychain is only on macOS; use another backend: passhelper link NAME"
