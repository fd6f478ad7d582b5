"""What somebody who can write to the store may have put there: each is refused, with its own message."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, NOT_FOUND, Helper, KeyRing, run, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROD = "https://prod.example"
EVIL = "https://evil.example"


def folder_of(store: Path, server: str) -> Path:
    return store / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()


@pytest.fixture(params=["git", "no git"])
def any_store(request: pytest.FixtureRequest, helper: Helper) -> Path:
    """A store with git and one without, both holding prod's credential."""
    path: Path = request.getfixturevalue("git_store" if request.param == "git" else "store")
    assert helper.store(PROD, "alice", "prod-secret").code == 0
    return path


def put(store: Path, data: bytes, server: str = EVIL, name: str = "alice.gpg") -> Path:
    path = folder_of(store, server) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def assert_refused(helper: Helper, server: str, message: str, *, remedy: str = "") -> None:
    """``get`` fails with the message on both streams, gives nothing away, and the others still work."""
    answer = helper.get(server)
    assert answer.code == 1
    assert message in answer.text
    assert remedy in answer.text
    assert answer.err == b"docker-credential-pass: " + answer.out
    assert answer.out.count(b"\n") == 1
    assert b"prod-secret" not in answer.out
    assert helper.get(PROD).json == {"ServerURL": PROD, "Username": "alice", "Secret": "prod-secret"}
    assert helper.list().code == 0


# Moved ciphertext


def test_copied_under_another_host(helper: Helper, any_store: Path) -> None:
    """Who can push copies prod's file under a host of his own; the next ``docker pull`` from there is refused."""
    data = (folder_of(any_store, PROD) / "alice.gpg").read_bytes()
    put(any_store, data)
    assert_refused(helper, EVIL, "entry was moved here from another server")
    assert_refused(helper, "evil.example:443", "entry was moved here from another server")


def test_copied_under_another_user(helper: Helper, any_store: Path) -> None:
    data = (folder_of(any_store, PROD) / "alice.gpg").read_bytes()
    put(any_store, data, EVIL, "bob.gpg")
    assert_refused(helper, EVIL, "entry was moved here from another server")
    renamed = folder_of(any_store, PROD) / "alice.gpg"
    renamed.rename(renamed.with_name("mallory.gpg"))
    answer = helper.get(PROD)
    assert (answer.code, b"prod-secret" in answer.out) == (1, False)
    assert "entry was moved here from another server" in answer.text


@pytest.mark.parametrize("server", ["http://prod.example", "https://prod.example/v2/", "https://prod.example:444"])
def test_copied_under_a_similar_name(helper: Helper, any_store: Path, server: str) -> None:
    """Also to an equivalent name: it is bound to the name that was stored."""
    put(any_store, (folder_of(any_store, PROD) / "alice.gpg").read_bytes(), server)
    assert_refused(helper, server, "entry was moved here from another server")


def test_directory_is_a_link(helper: Helper, any_store: Path) -> None:
    folder_of(any_store, EVIL).symlink_to(folder_of(any_store, PROD).name)
    assert_refused(helper, EVIL, "is a symbolic link; links inside a store are not followed", remedy="remove it")
    assert helper.list().json == {PROD: "alice"}
    before = tree(any_store / FOLDER)
    answer = helper.store(EVIL, "mallory", "s")
    assert answer.code == 1
    assert "is a symbolic link" in answer.text
    assert helper.erase(EVIL).code == 1
    assert tree(any_store / FOLDER) == before


def test_directory_is_a_link_out_of_the_store(helper: Helper, any_store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "alice.gpg").write_bytes((folder_of(any_store, PROD) / "alice.gpg").read_bytes())
    folder_of(any_store, EVIL).symlink_to(outside)
    assert_refused(helper, EVIL, "is a symbolic link")
    assert helper.store(EVIL, "bob", "s").code == 1
    assert helper.erase(EVIL).code == 1
    assert [path.name for path in outside.iterdir()] == ["alice.gpg"]


def test_whole_folder_is_a_link(helper: Helper, any_store: Path) -> None:
    (any_store / FOLDER).rename(any_store / "elsewhere")
    (any_store / FOLDER).symlink_to("elsewhere")
    before = tree(any_store / "elsewhere")
    for answer in (helper.get(PROD), helper.list(), helper.erase(PROD), helper.store(PROD, "bob", "s"),
                   helper.get(EVIL)):  # fmt: skip
        assert answer.code == 1
        assert f"{FOLDER} is a symbolic link; links inside a store are not followed; remove it" in answer.text
        assert b"prod-secret" not in answer.out
    assert tree(any_store / "elsewhere") == before


def test_recipients_file_is_a_link(helper: Helper, any_store: Path, keys: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(keys["bob"] + "\n")
    (any_store / FOLDER / ".gpg-id").symlink_to(tmp_path / "mine")
    answer = helper.store(PROD, "alice", "new")
    assert answer.code == 1
    assert "is not a regular file; links inside a store are not followed" in answer.text
    assert helper.get(PROD).json["Secret"] == "prod-secret"


def _link(path: Path) -> None:
    path.symlink_to(f"../{base64.urlsafe_b64encode(PROD.encode()).decode()}/alice.gpg")


@pytest.mark.parametrize("make", [_link, os.mkfifo, os.mkdir], ids=["symlink", "fifo", "directory"])
def test_entry_is_no_file(helper: Helper, any_store: Path, make: Callable[[Path], object]) -> None:
    """It is not an entry: not found, not listed, and a ``store`` beside it works without following it."""
    folder_of(any_store, EVIL).mkdir()
    make(folder_of(any_store, EVIL) / "alice.gpg")
    answer = helper.get(EVIL)
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")
    assert helper.list().json == {PROD: "alice"}
    assert helper.erase(EVIL).code == 0
    answer = helper.store(EVIL, "bob", "s")
    assert answer.code == 0, answer
    assert helper.get(EVIL).json["Username"] == "bob"
    assert helper.get(PROD).json["Secret"] == "prod-secret"


def test_store_over_a_link(helper: Helper, any_store: Path) -> None:
    """The new file takes the link's place; what the link pointed at stays."""
    folder_of(any_store, EVIL).mkdir()
    link = folder_of(any_store, EVIL) / "alice.gpg"
    _link(link)
    assert helper.store(EVIL, "alice", "evil").code == 0
    assert not link.is_symlink()
    assert helper.get(EVIL).json["Secret"] == "evil"
    assert helper.get(PROD).json["Secret"] == "prod-secret"


# What gpg must never see, or must not be believed


def test_literal_packet(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    """gpg exits 0 and prints the text of a message that was never encrypted."""
    message = keys.gpg("--store", "--compress-algo", "none", stdin=b"planted").stdout
    assert keys.gpg("--decrypt", stdin=message).stdout == b"planted"
    put(any_store, message)
    assert_refused(helper, EVIL, "is not an entry: it is not encrypted (literal data)")


def test_compressed_packet(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    put(any_store, keys.gpg("--store", "--compress-algo", "zlib", stdin=b"planted").stdout)
    assert_refused(helper, EVIL, "is not an entry: it is not encrypted (compressed data)")


def test_signed_only(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    message = keys.gpg("--local-user", keys["alice"], "--sign", "--compress-algo", "none", stdin=b"planted").stdout
    assert keys.gpg("--decrypt", stdin=message).stdout == b"planted"
    put(any_store, message)
    assert_refused(helper, EVIL, "is not an entry: it is not an encrypted OpenPGP message (packet type 4)")


@pytest.mark.parametrize("armor", [(), ("--armor",)], ids=["", "armor"])
def test_password_of_its_own(helper: Helper, any_store: Path, keys: KeyRing, armor: tuple[str, ...]) -> None:
    """A symmetric entry would make gpg ask the user for a password that somebody else chose."""
    loopback = ("--pinentry-mode", "loopback", "--passphrase", "x", *armor)
    put(any_store, keys.gpg(*loopback, "--symmetric", stdin=b"planted").stdout)
    assert_refused(helper, EVIL, "is not an entry: it can be opened with a password of its own")
    both = keys.gpg(*loopback, "--trust-model", "always", "-r", keys["alice"], "--encrypt", "--symmetric",
                    stdin=b"planted").stdout  # fmt: skip
    put(any_store, both)
    assert_refused(helper, EVIL, "is not an entry: it can be opened with a password of its own")


def test_literal_after_encrypted(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    """Something behind a good message adds nothing to the secret."""
    good = keys.encrypt(b"good", "alice")
    put(any_store, good + keys.gpg("--store", "--compress-algo", "none", stdin=b"planted").stdout)
    answer = helper.get(EVIL)
    assert b"planted" not in answer.out
    assert answer.code == 1


def test_two_messages(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    put(any_store, keys.encrypt(b"one", "alice") + keys.encrypt(b"two", "alice"))
    answer = helper.get(EVIL)
    assert answer.code == 1
    assert b"onetwo" not in answer.out


def test_expands_beyond_the_limit(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    """A few kilobytes that would fill the memory; gpg is ended at 2 MiB."""
    bomb = keys.encrypt(b"\0" * (64 << 20), "alice", options=("--compress-algo", "bzip2", "-z", "9"))
    assert len(bomb) < 100_000
    put(any_store, bomb)
    assert_refused(helper, EVIL, "expands to more than 2097152 bytes", remedy="store the credential again")
    assert helper.store(EVIL, "alice", "fresh").code == 0
    assert helper.get(EVIL).json["Secret"] == "fresh"


def test_memory_stays_small(helper: Helper, any_store: Path, keys: KeyRing) -> None:
    """The same with 200 MB of address space for helper and gpg together: nothing is kept beyond the limit."""
    put(any_store, keys.encrypt(b"\0" * (64 << 20), "alice", options=("--compress-algo", "zlib")))
    command = ["sh", "-c", f"ulimit -v 200000; exec '{helper.program}' get"]
    answer = run(command, helper.environ, EVIL.encode())
    assert (answer.code, b"expands to more than 2097152 bytes" in answer.out) == (1, True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is not an entry: it is empty"),
        (lambda data: data[:20], "is not an entry: it is truncated"),
        (lambda data: data[:-30], "is not an entry: it is truncated"),
        (lambda data: data[:-5] + b"\0\0\0\0\0", "is damaged: its content does not match its check sum"),
        (lambda data: data + b"more", "alice.gpg is not an entry: something follows its end"),
        (lambda data: b"\xff" * 5_000_000, "is larger than 4194304 bytes"),
        (lambda data: b"ref: refs/heads/main\n", "is not an entry: it is not an OpenPGP message"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "is not an entry: it is not an OpenPGP message"),
    ],
    ids=["empty", "header cut", "end cut", "end overwritten", "something behind", "huge", "text", "git lfs pointer"],
)
def test_damaged(helper: Helper, store: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    assert helper.store(PROD, "alice", "prod-secret").code == 0
    assert helper.store(EVIL, "alice", "s3cret").code == 0
    path = folder_of(store, EVIL) / "alice.gpg"
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(helper, EVIL, message)
    assert b"s3cret" not in helper.get(EVIL).out
    assert helper.store(EVIL, "alice", "again").code == 0
    assert helper.get(EVIL).json["Secret"] == "again"
