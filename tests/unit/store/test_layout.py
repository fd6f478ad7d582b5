"""Names to paths and back: the only code that builds paths."""

from __future__ import annotations

import base64
import os
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passhelper.credentials import has_control
from passhelper.errors import InvalidRequestError, NoServerURLError, NoUsernameError
from passhelper.store import layout
from passhelper.store.layout import (
    decode_server,
    decode_username,
    encode_server,
    encode_username,
    foreign,
    may_contain,
    native,
    spellings,
)

# What people, attackers and file systems make of a name.
HOSTILE = st.text(st.sampled_from('../%\\~-: aA2fFeE0<>|?*"()_gpid\u00e9\u202e\U0001f600'), min_size=1, max_size=24)
PIECES = st.lists(
    st.sampled_from(["..", "/", ".", "%2F", "%2f", "%", "%25", "%2E", ".gpg", ".gpg-id", "._", " (", "conflicted copy",
                     ")", ".sync-conflict-", "-", "~", "\\", ":", "a", "é", "\u202e", "<token>"]),
    min_size=1, max_size=8,
).map("".join)  # fmt: skip
NAMES = (HOSTILE | PIECES | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)).filter(
    lambda name: not has_control(name)
)
SERVERS = (
    (PIECES | HOSTILE | st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
    .map(str.strip)
    .filter(lambda name: bool(name) and not has_control(name))
)


@pytest.fixture(params=["linux", "win32"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setattr(sys, "platform", name)
    return name


# Servers


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("https://index.docker.io/v1/", "aHR0cHM6Ly9pbmRleC5kb2NrZXIuaW8vdjEv"),
        ("a", "YQ=="),
        ("ab", "YWI="),
        ("https://r.example/?>>", "aHR0cHM6Ly9yLmV4YW1wbGUvPz4-"),
        ("é~?", "w6l-Pw=="),
    ],
)
def test_a_directory_is_named_in_base64url_with_padding(server: str, name: str) -> None:
    assert encode_server(server) == name
    assert decode_server(name) == server


@given(SERVERS)
def test_every_spelling_of_a_server_decodes_to_it_and_names_one_directory(server: str) -> None:
    names = spellings(server)
    assert names[0] == encode_server(server)
    for name in names:
        assert decode_server(name) == server
        assert "/" not in name
        assert name not in ("", ".", "..")
        assert len(name) <= layout.MAX_NAME


@given(
    st.text(st.sampled_from("aHR0cHM6Ly9=-_+\n. \u00e9"), max_size=16)
    | st.binary(max_size=12).map(base64.urlsafe_b64encode).map(bytes.decode)
)
def test_what_a_directory_decodes_to_is_a_server_that_a_lookup_finds(name: str) -> None:
    server = decode_server(name)
    if server is not None:
        assert name in spellings(server)
        assert server == server.strip() != ""
        assert not has_control(server)


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("YS5leGFtcGxlCg==", "a.example"),  # echo a.example | base64
        ("YS5leGFtcGxlCg", "a.example"),
        ("YQ", "a"),
        ("Pj4+", ">>>"),
        ("Pj4-", ">>>"),
    ],
)
def test_hand_made_spellings_are_read(name: str, server: str) -> None:
    assert decode_server(name) == server
    assert name in spellings(server)


@pytest.mark.parametrize(
    "name",
    ["", "notbase64!", ".git", "..", "YQ=", "YQ===", "Y", "YQ==\n", "Y Q==", "YR==", "/w==", "7aCA", "IA==", "Cg==",
     "YQpi", "YQoK", "IGE=", "YQDC", "YcKFYg==", "AA=="],
)  # fmt: skip
def test_other_names_are_no_servers(name: str) -> None:
    assert decode_server(name) is None


def test_no_server_has_the_folder_of_all_and_no_user_the_bare_suffix() -> None:
    """``erase`` of an empty name would have removed every entry."""
    for name_of_it in (layout.encode_server, layout.spellings):
        with pytest.raises(NoServerURLError):
            name_of_it("")
        with pytest.raises(InvalidRequestError, match="server URL: unpaired surrogate"):
            name_of_it("a\ud800")
    with pytest.raises(NoUsernameError):
        layout.encode_username("")
    with pytest.raises(InvalidRequestError, match="username: unpaired surrogate"):
        layout.encode_username("a\ud800")


def test_a_server_that_fits_a_file_name_is_taken_and_one_byte_more_is_not() -> None:
    longest = "https://" + "x" * 181
    assert len(encode_server(longest)) == 252
    assert decode_server(encode_server(longest)) == longest
    with pytest.raises(InvalidRequestError) as caught:
        encode_server(longest + "x")
    assert str(caught.value) == "server URL too long to store: 190 bytes, at most 189"
    with pytest.raises(InvalidRequestError, match=r"^server URL too long to store: 200 bytes, at most 189$"):
        encode_server("é" * 100)
    assert spellings("x" * 190) == []


@given(SERVERS, st.sampled_from(["docker.io", "a.example", "[::1]", "a"]))
def test_the_cheap_look_never_misses_a_host(server: str, host: str) -> None:
    for name in spellings(f"https://{host.upper()}/{server}"[:120].strip()):
        assert may_contain(name, host)


# Usernames


@pytest.mark.parametrize(
    ("username", "file"),
    [
        ("bob", "bob.gpg"),
        ("<token>", "<token>.gpg"),
        ("_json_key", "_json_key.gpg"),
        ("bob@example.test", "bob@example.test.gpg"),
        ("a b", "a b.gpg"),
        ("ünï\U0001f600", "ünï\U0001f600.gpg"),
        ("a.b.gpg", "a.b.gpg.gpg"),
        ("-rf", "-rf.gpg"),
        ("$oauthtoken", "$oauthtoken.gpg"),
        ("robot$ci", "robot$ci.gpg"),
        ("100%", "100%.gpg"),
        ("%zz", "%zz.gpg"),
        ("tenant/idcs/bob", "tenant%2Fidcs%2Fbob.gpg"),
        ("..", "%2E..gpg"),
        (".", "%2E.gpg"),
        ("../../x", "%2E.%2F..%2Fx.gpg"),
        ("/abs", "%2Fabs.gpg"),
        (".gpg-id", "%2Egpg-id.gpg"),
        ("._x", "%2E_x.gpg"),
        ("%2F", "%252F.gpg"),
        ("%2f", "%252f.gpg"),
        ("%41", "%2541.gpg"),
        ("%%41", "%%2541.gpg"),
        ("a:b\\c", "a:b\\c.gpg"),
        ("x.sync-conflict-1", "x%2Esync-conflict-1.gpg"),
        ("x (bob's conflicted copy)", "x %28bob's conflicted copy).gpg"),
    ],
)
def test_files_are_named_as_the_go_helper_names_them_or_escaped(username: str, file: str) -> None:
    assert encode_username(username) == file
    assert decode_username(file) == username


@pytest.mark.parametrize(
    ("username", "file"),
    [("<token>", "%3Ctoken%3E.gpg"), ('a:b"c|d?e*f\\g', "a%3Ab%22c%7Cd%3Fe%2Af%5Cg.gpg"), ("a/b", "a%2Fb.gpg")],
)
def test_windows_writes_more_escapes_and_everyone_reads_them(
    username: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decode_username(file) == username
    monkeypatch.setattr(sys, "platform", "win32")
    assert encode_username(username) == file
    assert decode_username(file) == username


@pytest.mark.usefixtures("platform")
@given(NAMES)
@example("%2F")
@example("%2")
@example("%%2F/%2F")
@example(". (conflicted copy)")
@example(".sync-conflict-.sync-conflict-")
def test_decoding_undoes_encoding_and_no_name_leaves_its_directory(username: str) -> None:
    try:
        file = encode_username(username)
    except InvalidRequestError:
        assert len(username.encode()) * 3 > layout.MAX_NAME - 4
        return
    assert decode_username(file) == username
    folder = "/store/docker-credential-helpers/YQ=="
    assert os.path.dirname(os.path.normpath(os.path.join(folder, file))) == folder
    assert file.endswith(".gpg")
    assert not file.startswith(".")
    assert "/" not in file
    assert len(file.encode()) <= 255


@given(NAMES)
def test_both_platforms_read_what_the_other_writes(username: str) -> None:
    for windows in (False, True):
        assert decode_username(layout._escape(username, windows=windows) + ".gpg") == username


@given(NAMES.filter(lambda name: "/" not in name), NAMES.filter(lambda name: "/" not in name))
def test_two_users_never_share_a_file(one: str, other: str) -> None:
    for windows in (False, True):
        same = layout._escape(one, windows=windows) == layout._escape(other, windows=windows)
        assert same == (one == other)


@pytest.mark.parametrize(
    ("file", "username"),
    [
        ("tenant/idcs/bob.gpg", "tenant/idcs/bob"),  # the Go helper's folders
        (".name.gpg", ".name"),
        ("a%2fb.gpg", "a%2fb"),  # not what we write, so a literal
        ("%41.gpg", "%41"),
        ("a/b%2Fc.gpg", "a/b%2Fc"),
        ("%2E%2E.gpg", "%2E%2E"),
        ("%00.gpg", "%00"),
        ("%0A.gpg", "%0A"),
        ("%FF.gpg", "%FF"),
        ("%.gpg", "%"),
        (".gpg.gpg", ".gpg"),
    ],
)
def test_what_others_wrote_is_read_literally(file: str, username: str) -> None:
    assert decode_username(file) == username


@pytest.mark.parametrize(
    "file",
    [".gpg-id", ".gpg-id.sig", ".gpg", "org/.gpg", "bob", "bob.gpg~", "bob.gpg.tmp", "bob.GPG", ".DS_Store",
     "._bob.gpg", "org/._bob.gpg", "bob.sync-conflict-20200101-120000-ABC.gpg",
     "bob (laptop's conflicted copy 2020-01-01).gpg",
     "b\nob.gpg", "b\x7f.gpg", "b\x85.gpg", "b\udcff.gpg", "", "bob.asc", ".passhelper-12"],
)  # fmt: skip
def test_other_files_are_no_entries(file: str) -> None:
    assert decode_username(file) is None


def test_a_username_that_fits_a_file_name_is_taken_and_one_byte_more_is_not() -> None:
    assert len(encode_username("x" * 251)) == 255
    with pytest.raises(InvalidRequestError) as caught:
        encode_username("x" * 252)
    assert str(caught.value) == "username too long to store: 252 bytes as a file name, at most 251"
    with pytest.raises(
        InvalidRequestError, match=r"^username too long to store: 252 bytes as a file name, at most 251$"
    ):
        encode_username("/" * 84)


@given(st.text(st.characters(codec="utf-8")))
def test_names_have_their_utf_8_bytes_in_the_file_system(name: str) -> None:
    assert os.fsencode(native(name)) == name.encode()
    assert foreign(native(name)) == name


def test_a_file_name_that_is_not_utf_8_is_no_name() -> None:
    assert foreign(os.fsdecode(b"b\xffb.gpg")) is None
