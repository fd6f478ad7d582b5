"""Credentials, the rules for names, and the interface."""

from __future__ import annotations

import copy
import traceback
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper import Credentials, Helper, InvalidRequestError
from passhelper.credentials import encodable, has_control, validate_server, validate_username
from passhelper.errors import NoServerURLError, NoUsernameError

CANARY = "c4n4ry-secret"


@pytest.mark.parametrize(
    "show", [repr, str, lambda found: f"{found}", lambda found: f"{[found]!r}"], ids=["repr", "str", "format", "list"]
)
def test_the_secret_is_never_shown(show: Callable[[Credentials], str]) -> None:
    shown = show(Credentials("https://a.example", "bob", CANARY))
    assert "Credentials(server='https://a.example', username='bob', secret=<hidden>)" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("name", ["server", "username", "secret", "other"])
def test_credentials_cannot_be_changed(name: str) -> None:
    found = Credentials("https://a.example", "bob", CANARY)
    with pytest.raises(AttributeError, match=f"^Credentials are immutable: {name}$") as caught:
        setattr(found, name, "x")
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert (found.server, found.username, found.secret) == ("https://a.example", "bob", CANARY)


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
    assert copy.copy(one) == one


@pytest.mark.parametrize("missing", ["store", "get", "erase", "list"])
def test_a_backend_needs_all_four_verbs(missing: str) -> None:
    verbs = {name: lambda *_: None for name in ("store", "get", "erase", "list") if name != missing}
    incomplete = type("Incomplete", (Helper,), verbs)
    with pytest.raises(TypeError, match=missing):
        incomplete()


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
