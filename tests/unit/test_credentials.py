"""Credentials, the rules for names, and the interface."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import sys
import traceback
import unicodedata
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper import Credentials, Helper, InvalidRequestError, PasshelperError
from passhelper.credentials import MAX_SECRET, encodable, has_control, validate_server, validate_username
from passhelper.errors import NoServerURLError, NoUsernameError, StoreError
from passhelper.protocol import MAX_REQUEST, parse_credentials

CANARY = "c4n4ry-secret"


@pytest.mark.parametrize(
    "show", [repr, str, lambda found: f"{found}", lambda found: f"{[found]!r}"], ids=["repr", "str", "format", "list"]
)
def test_the_secret_is_never_shown(show: Callable[[Credentials], str]) -> None:
    shown = show(Credentials("https://a.example", "bob", CANARY))
    assert "Credentials(server='https://a.example', username='bob', secret=<hidden>)" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("name", ["server", "username", "secret", "other", "__class__", "__dict__"])
def test_credentials_cannot_be_changed(name: str) -> None:
    found = Credentials("https://a.example", "bob", CANARY)
    changes: list[Callable[[], None]] = [lambda: setattr(found, name, "x"), lambda: delattr(found, name)]
    for change in changes:
        with pytest.raises(AttributeError, match=f"^Credentials are immutable: {name}$") as caught:
            change()
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert (found.server, found.username, found.secret) == ("https://a.example", "bob", CANARY)
    assert type(found) is Credentials


def test_credentials_are_not_made_twice() -> None:
    found = Credentials("https://a.example", "bob", CANARY)
    with contextlib.suppress(TypeError):
        type(found).__init__(found, "https://b.example", "eve", "x")  # type: ignore[call-arg]
    assert (found.server, found.username, found.secret) == ("https://a.example", "bob", CANARY)
    assert not hasattr(found, "__dict__")


REPLACE: list[Callable[..., Credentials]] = [Credentials.replace, Credentials.__replace__]
if sys.version_info >= (3, 13):
    REPLACE.append(copy.replace)


@pytest.mark.parametrize("replace", REPLACE)
def test_some_parts_can_be_replaced_in_a_copy(replace: Callable[..., Credentials]) -> None:
    one = Credentials("a", "b", "c")
    assert replace(one, secret="x") == Credentials("a", "b", "x")
    assert replace(one, server=" s ", username="u") == Credentials("s", "u", "c")
    assert replace(one) == one == Credentials("a", "b", "c")
    with pytest.raises(InvalidRequestError, match=r"^the secret holds a NUL character$"):
        replace(one, secret="\0")
    with pytest.raises(TypeError, match=r"^Credentials have no 'password'$"):
        replace(one, password="x")


def test_credentials_match_by_position() -> None:
    match Credentials("a", "b", "c"):
        case Credentials(server, username, secret):
            assert (server, username, secret) == ("a", "b", "c")
        case _:
            pytest.fail("no match")


def test_equality_counts_all_three_parts() -> None:
    one = Credentials("a", "b", "c")
    assert one == Credentials("a", "b", "c")
    assert hash(one) == hash(Credentials("a", "b", "c"))
    others: list[object] = [
        Credentials("x", "b", "c"),
        Credentials("a", "x", "c"),
        Credentials("a", "b", "x"),
        "abc",
        None,
    ]
    assert all(one != other for other in others)


def test_a_copy_is_equal() -> None:
    one = Credentials("a", "b", "c")
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one


ANY = st.text(st.characters() | st.sampled_from("\ud800\0\n \x85a"), max_size=6)


def outcome(make: Callable[[], Credentials]) -> tuple[type, str] | Credentials:
    try:
        return make()
    except PasshelperError as error:
        return type(error), str(error)


@given(ANY, ANY, ANY)
def test_what_the_protocol_refuses_the_type_refuses_in_the_same_words(server: str, username: str, secret: str) -> None:
    request = json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()
    asked = outcome(lambda: parse_credentials(request))
    made = outcome(lambda: Credentials(server, username, secret))
    assert type(made) is type(asked)
    assert made == asked
    if isinstance(made, Credentials):
        assert made.server == server.strip()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((None, "bob", "s"), "the server URL is NoneType and not text"),
        (("a", b"bob", "s"), "the username is bytes and not text"),
        (("a", "bob", 17), "the secret is int and not text"),
        (("a", "bob", "x" * (2 << 20) + "y"), "the secret is larger than 2097152 bytes"),
    ],
)
def test_what_no_request_can_hold_is_refused_too(parts: tuple[str, str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Credentials(*parts)
    assert str(caught.value) == message


def test_the_largest_secret() -> None:
    assert len(Credentials("a", "bob", "x" * MAX_SECRET).secret) == MAX_SECRET == MAX_REQUEST
    with pytest.raises(InvalidRequestError):
        Credentials("a", "bob", "\u00e9" * (MAX_SECRET // 2 + 1))  # bytes count


class Any(Helper):
    """Answers with whatever it is given, and notes what it is asked."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.asked: list[object] = []

    def _store(self, credentials: Credentials) -> None:
        self.asked.append(credentials)

    def _get(self, server: str) -> Credentials:
        self.asked.append(server)
        return self.answer(server) if callable(self.answer) else self.answer  # type: ignore[return-value]

    def _erase(self, server: str) -> None:
        self.asked.append(server)

    def _list(self) -> dict[str, str]:
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize("missing", ["_store", "_get", "_erase", "_list"])
def test_a_backend_needs_all_four_methods(missing: str) -> None:
    methods = {name: lambda *_: None for name in ("_store", "_get", "_erase", "_list") if name != missing}
    incomplete = type("Incomplete", (Helper,), methods)
    with pytest.raises(TypeError, match=missing):
        incomplete()


@pytest.mark.parametrize("verb", ["store", "get", "erase", "list"])
def test_a_backend_cannot_get_round_the_checks(verb: str) -> None:
    message = f"Mine overrides {verb}, which checks what comes in and goes out; define _{verb} instead"
    for bases in ((Helper,), (Any,), (type("Mixin", (), {verb: print}), Helper)):
        with pytest.raises(TypeError) as caught:
            type("Mine", bases, {verb: print} if len(bases) == 1 else {})
        assert str(caught.value) == message


REFUSED = ["", " \n", "https://a\nb", "a\0b", "a\x85b", "a\ud800", None, 17]


@pytest.mark.parametrize("server", REFUSED)
def test_no_backend_is_asked_for_what_no_server_is_called(server: str) -> None:
    helper = Any()
    for verb in (helper.get, helper.erase):
        with pytest.raises(InvalidRequestError):
            verb(server)
    with pytest.raises(InvalidRequestError, match="store takes Credentials, not str"):
        helper.store("bob")  # type: ignore[arg-type]
    assert helper.asked == []


def test_white_space_around_a_server_is_no_part_of_it() -> None:
    helper = Any(lambda server: Credentials(server, "bob", "s"))
    assert helper.get(" a.example\r\n") == Credentials("a.example", "bob", "s")
    helper.erase("\ta.example ")
    assert helper.asked == ["a.example", "a.example"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "Any answers with NoneType instead of Credentials"),
        (("bob", "s3cret"), "Any answers with tuple instead of Credentials"),
        (Credentials("b.example", "bob", "s"), "Any answers for b.example when asked for a.example"),
        (lambda server: Credentials(server, "", "s"), "no credentials username"),
        (lambda server: Credentials("", "bob", "s"), "no credentials server URL"),
        (lambda server: Credentials(server, "a\nb", "s"), "in username: control characters are refused"),
        (lambda server: Credentials(server, "bob", "a\0"), "the secret holds a NUL character"),
        (lambda server: Credentials(server, "bob", "\ud800"), "the secret holds an unpaired surrogate"),
    ],
)
def test_a_wrong_answer_of_a_backend_is_an_error_of_the_store(answer: object, message: str) -> None:
    """Not one of those that clients take for an answer: no such server, no user."""
    with pytest.raises(StoreError) as caught:
        Any(answer).get("a.example")
    assert message in str(caught.value)
    assert str(caught.value) != message or message.startswith("Any ")


def test_what_clients_could_not_use_is_not_listed() -> None:
    odd = {"a\nb": "u", "": "u", " c": "u", "d\ud800": "u", "e": "", "f": "u\0", "g": None, 17: "u", "h\x85": "u"}
    assert Any({**odd, "a b": "u v", "ok": "\u202e"}).list() == {"a b": "u v", "ok": "\u202e"}
    assert Any({"a": "u"}).list() == {"a": "u"}
    assert Any({}).list() == {}
    for wrong in (None, ["a"]):
        with pytest.raises(StoreError, match=f"Any lists {type(wrong).__name__} instead of a dict"):
            Any(wrong).list()


@given(st.dictionaries(ANY, ANY, max_size=3))
def test_what_is_listed_can_be_asked_for(listed: dict[str, str]) -> None:
    made = {name: outcome(partial(Credentials, name, user, "")) for name, user in listed.items()}
    wanted = {name for name, one in made.items() if isinstance(one, Credentials) and one.server == name}
    assert set(Any(listed).list()) == wanted


@given(st.text())
def test_a_valid_server_is_stripped_once_and_stays_itself(text: str) -> None:
    try:
        server = validate_server(text)
    except InvalidRequestError:
        stripped = text.strip()
        assert not stripped or has_control(stripped) or not encodable(stripped)
    else:
        assert server == text.strip() == validate_server(server)
        assert "\n" not in server
        assert server.encode().decode() == server


@pytest.mark.parametrize(
    "username", [" ", " bob ", "<token>", "-rf", "..", "../../x", "/abs", ".gpg-id", "ünï", "\u202e"]
)
def test_odd_usernames_are_names_all_the_same(username: str) -> None:
    assert validate_username(username) == username


def test_names_must_not_be_empty() -> None:
    with pytest.raises(NoServerURLError, match=r"^no credentials server URL$"):
        validate_server(" \t\n")
    with pytest.raises(NoUsernameError, match=r"^no credentials username$"):
        validate_username("")


@given(st.characters())
def test_control_characters_are_those_of_unicode(char: str) -> None:
    assert has_control(f"a{char}b") == (unicodedata.category(char) == "Cc")


@given(st.characters())
def test_only_surrogates_have_no_bytes(char: str) -> None:
    assert encodable(char) == (not "\ud800" <= char <= "\udfff")
