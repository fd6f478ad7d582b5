"""Reading a store: what counts as an entry, and what is refused before gpg sees it."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FOLDER, KeyRing
from support.programs import script
from support.worlds.disks import too_deep
from support.worlds.vault import SERVER, Vault

from passhelper import CredentialsNotFoundError
from passhelper.errors import ConfigurationError, EntryError, StoreError
from passhelper.settings import home_directory, store_path
from passhelper.store import store as module
from passhelper.store.binding import binding, digest

LABEL = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/bob.gpg"
LINKS = "links inside a store are not followed; remove it"
NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything: look at the files as another user."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def others(vault: Vault, short_tmp: Path) -> Iterator[Vault]:
    """A store where another user gets as far as its modes let him, with two entries."""
    path = short_tmp / "others"
    vault.store("a.example")
    vault.store("b.example", "zoe")
    shutil.copytree(vault.path, path)
    if os.geteuid() == 0:
        for item in (path, *path.rglob("*")):
            os.chown(item, NOBODY, NOBODY)
    # The other user has no keys: gpg alone runs as the test does.
    gpg = script(short_tmp / "gpg-of-the-test", 'exec setpriv --reuid 0 --regid 0 --clear-groups /usr/bin/gpg "$@"')
    yield Vault({**vault.environ, "PASSWORD_STORE_DIR": str(path), "PASSHELPER_GPG": gpg})
    path.chmod(0o700)
    for item in path.rglob("*"):
        item.chmod(0o700)
    shutil.rmtree(path)


def refusal(vault: Vault, verb: str = "get", kind: type[StoreError] = StoreError) -> str:
    with pytest.raises(kind) as caught:
        getattr(vault, verb)()
    assert type(caught.value) is kind
    return str(caught.value)


# Where the store is


def test_where_the_store_is() -> None:
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert store_path({"PASSWORD_STORE_DIR": "/x/../y/", "HOME": "/h"}) == "/y"
    assert store_path({"HOME": "/h"}) == "/h/.password-store"
    assert store_path({"HOME": "/h", "PASSWORD_STORE_DIR": ""}) == "/h/.password-store"
    assert store_path({}) == f"{home}/.password-store"
    assert store_path({"HOME": "relative"}) == f"{home}/.password-store"


@pytest.mark.parametrize("path", ["store", "./store", "~/store", "../x"])
def test_a_relative_store_is_refused_with_its_absolute_form(path: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        store_path({"PASSWORD_STORE_DIR": path, "HOME": "/h"})
    assert str(caught.value) == (
        f"PASSWORD_STORE_DIR is relative: {path}; set it to an absolute path such as {os.path.abspath(path)}"
    )


def test_a_user_without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)
    with pytest.raises(ConfigurationError) as caught:
        home_directory({})
    assert str(caught.value) == (
        "HOME is not set, and uid 4000000123 has no home; set HOME to a directory that this user may write"
    )


@given(st.binary())
def test_the_digest_is_sha_256(data: bytes) -> None:
    assert digest(data) == hashlib.sha256(data).hexdigest()


def test_a_binding_names_server_and_user() -> None:
    expected = "passhelper1:" + hashlib.sha256(b"https://a.example\0bob").hexdigest()
    assert binding("https://a.example", "bob") == expected
    assert len({binding(*pair) for pair in (("a", "bc"), ("ab", "c"), ("a", "b"), ("bc", "a"))}) == 4


# What counts


def test_a_store_that_is_not_there_is_empty(vault: Vault, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "link"):
        vault.environ["PASSWORD_STORE_DIR"] = str(path)
        assert vault.list() == {}
        with pytest.raises(CredentialsNotFoundError):
            vault.get()
        vault.erase()
        if not (tmp_path / "link").is_symlink():
            (tmp_path / "link").symlink_to(tmp_path / "nowhere")


def test_two_users_of_an_older_helper(vault: Vault, keys: KeyRing) -> None:
    for user in ("zoe", "adam", "Bob", "ünï"):
        vault.put(keys.encrypt(user.encode(), "alice"), file=f"{user}.gpg")
    assert vault.get() == ("Bob", "Bob")  # the first in byte order
    assert vault.list() == {SERVER: "Bob"}
    vault.store(username="new")
    assert [path.name for path in vault.directory().iterdir()] == ["new.gpg"]


def test_byte_order_is_that_of_the_file_names(vault: Vault, keys: KeyRing) -> None:
    for file in ("a.gpg", "a-b.gpg", "a.b.gpg", "a/z.gpg"):
        vault.put(keys.encrypt(file.encode(), "alice"), file=file)
    assert vault.get() == ("a-b", "a-b.gpg")
    assert vault.list() == {SERVER: "a-b"}


def test_folders_of_a_username_with_slashes(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"x", "alice"), file="tenant/idcs/bob.gpg")
    assert vault.get() == ("tenant/idcs/bob", "x")
    assert vault.list() == {SERVER: "tenant/idcs/bob"}
    vault.store(username="tenant/idcs/bob", secret="y")
    assert [path.name for path in vault.directory().iterdir()] == ["tenant%2Fidcs%2Fbob.gpg"]
    assert vault.get() == ("tenant/idcs/bob", "y")


def test_folders_end_somewhere(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"x", "alice"), file="a/" * module.MAX_NESTING + "b.gpg")
    assert vault.get()[1] == "x"
    vault.put(b"", "https://deep.example", "a/" * (module.MAX_NESTING + 1) + "b.gpg")
    assert vault.list() == {SERVER: "a/" * module.MAX_NESTING + "b"}


@pytest.mark.parametrize("flat", [False, True])
def test_erasing_removes_every_folder_that_becomes_empty(vault: Vault, flat: bool) -> None:
    for file in ("a/b/c/d.gpg", "a/e.gpg", "f/g.gpg", *(["h.gpg"] if flat else [])):
        vault.put(b"x", file=file)
    (vault.directory() / "empty").mkdir()
    vault.erase()
    assert not (vault.directory() / "a").exists()
    assert [path.name for path in vault.directory().iterdir()] == ["empty"]


STRAY = [".gpg-id", ".gpg-id.sig", ".gpg", ".DS_Store", "._bob.gpg", "notes.txt", "bob.gpg~", ".passhelper-12",
         "b\nob.gpg", "bob.sync-conflict-20200101-120000-ABC.gpg", "bob (laptop's conflicted copy).gpg"]  # fmt: skip


def test_stray_files_are_no_entries(vault: Vault) -> None:
    for name in STRAY:
        vault.put(b"x", file=name)
    os.symlink("/etc/passwd", vault.directory() / "link.gpg")
    os.mkfifo(vault.directory() / "fifo.gpg")
    (vault.directory() / "dir.gpg").mkdir()
    with open(os.fsencode(vault.directory()) + b"/b\xffb.gpg", "wb"):
        pass
    assert vault.list() == {}
    with pytest.raises(CredentialsNotFoundError):
        vault.get()
    before = vault.tree
    vault.erase()
    assert vault.tree == before


def test_stray_files_hide_no_entry(vault: Vault) -> None:
    vault.store()
    for name in STRAY:
        vault.put(b"x", file=name)
    assert vault.get() == ("bob", "s3cret")
    vault.erase()
    assert {path.name for path in vault.directory().iterdir()} == {*STRAY}


def test_stray_directories_hide_no_server(vault: Vault) -> None:
    vault.store()
    folder = vault.path / FOLDER
    for name in ("notbase64!", ".git", "YQ==", "7aCA", "Cg==", "IGE="):
        (folder / name).mkdir()
    (folder / "7aCA" / "bob.gpg").write_text("x")
    (folder / "Cg==" / "bob.gpg").write_text("x")
    (folder / "file").write_text("x")
    (folder / "Yi5leGFtcGxl").write_text("a file, not a directory")
    os.symlink(vault.directory(), folder / "Yy5leGFtcGxl")
    os.mkdir(os.fsencode(folder) + b"/\xff")
    assert vault.list() == {SERVER: "bob"}
    for server in ("a", "b.example"):
        with pytest.raises(CredentialsNotFoundError):
            vault.get(server)
        vault.erase(server)


@pytest.mark.parametrize("name", ["YS5leGFtcGxlCg==", "YS5leGFtcGxlCg", "YS5leGFtcGxl"])
def test_a_hand_made_directory_is_read_replaced_and_erased(vault: Vault, keys: KeyRing, name: str) -> None:
    path = vault.path / FOLDER / name / "old.gpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(keys.encrypt(b"x\n", "alice"))
    assert vault.list() == {"a.example": "old"}
    assert vault.get("a.example") == ("old", "x")
    vault.store("a.example", "new")
    assert [item.name for item in (vault.path / FOLDER).rglob("*.gpg")] == ["new.gpg"]
    assert vault.list() == {"a.example": "new"}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(keys.encrypt(b"x", "alice"))
    vault.erase("a.example")
    assert vault.list() == {}


def test_the_stores_own_path_may_be_a_link(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(vault.path)
    vault.environ["PASSWORD_STORE_DIR"] = str(tmp_path / "link")
    vault.store()
    assert vault.get() == ("bob", "s3cret")
    assert vault.entry().exists()
    vault.erase()
    assert (tmp_path / "link").is_symlink()


# What is refused


@pytest.mark.parametrize("verb", ["get", "list", "erase", "store"])
def test_a_store_that_is_a_file(vault: Vault, tmp_path: Path, verb: str) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    vault.environ["PASSWORD_STORE_DIR"] = str(path)
    assert refusal(vault, verb) == f"password store {path} is not a directory; set PASSWORD_STORE_DIR"
    assert path.read_text() == "x"


@pytest.mark.parametrize("verb", ["get", "list", "erase", "store"])
def test_a_folder_that_is_a_link(vault: Vault, tmp_path: Path, verb: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder = vault.path / FOLDER
    folder.symlink_to(tmp_path / "elsewhere")
    assert refusal(vault, verb) == f"{folder} is a symbolic link; {LINKS}"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("verb", ["get", "list", "erase", "store"])
def test_a_folder_that_is_a_file(vault: Vault, verb: str) -> None:
    (vault.path / FOLDER).write_text("x")
    assert refusal(vault, verb) == f"{vault.path / FOLDER} is not a directory; remove it"


@pytest.mark.parametrize("verb", ["get", "erase", "store"])
def test_a_server_that_is_a_link_to_another(vault: Vault, verb: str) -> None:
    vault.store("b.example")
    vault.directory().symlink_to(vault.directory("b.example"))
    assert refusal(vault, verb) == f"{vault.directory()} is a symbolic link; {LINKS}"
    assert vault.list() == {"b.example": "bob"}
    assert vault.get("b.example") == ("bob", "s3cret")


def test_an_entry_that_becomes_a_link_is_not_opened(vault: Vault, tmp_path: Path) -> None:
    """Between the listing and the opening: the file is opened without following links."""
    vault.store()
    store = vault.helper.pass_store
    entry = store.lookup(SERVER)
    assert entry
    os.rename(entry.path, tmp_path / "moved")
    os.symlink(tmp_path / "moved", entry.path)
    with pytest.raises(OSError):
        store.open(entry)
    os.unlink(entry.path)
    os.mkfifo(entry.path)
    with pytest.raises(EntryError) as caught:
        store.open(entry)
    assert str(caught.value) == f"{LABEL} is not a regular file; remove it"


def test_a_huge_entry_is_refused_before_it_is_read(vault: Vault) -> None:
    path = vault.put(b"")
    os.truncate(path, (4 << 20) + 1)
    assert refusal(vault, kind=EntryError) == f"{LABEL} is larger than 4194304 bytes; remove it"


def owned(mode: int) -> str:
    """What is said of a path of this user's own."""
    return (
        f"check its owner and mode; it belongs to uid {NOBODY} and gid {NOBODY}, with mode {mode:04o}; "
        f"this is uid {NOBODY}"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="root lends its files to another user")
class TestPermissions:
    """What another user may not read is one clear line."""

    @pytest.mark.parametrize("verb", ["get", "list", "erase", "store"])
    def test_a_store_that_cannot_be_entered(self, others: Vault, verb: str) -> None:
        others.path.chmod(0)
        with unprivileged():
            message = refusal(others, verb)
        others.path.chmod(0o700)
        doing = "read" if verb in ("get", "list") else "write"
        assert message.startswith(f"cannot {doing} {others.path}")
        assert message.endswith(f": Permission denied; check its owner and mode; this is uid {NOBODY}")

    def test_a_folder_that_cannot_be_listed(self, others: Vault) -> None:
        folder = others.path / FOLDER
        folder.chmod(0o300)
        with unprivileged():
            message = refusal(others, "list")
            assert others.get("a.example") == ("bob", "s3cret")
        assert message == f"cannot read {folder}: Permission denied; {owned(0o300)}"

    @pytest.mark.parametrize("mode", [0, 0o300])
    def test_one_server_that_cannot_be_read_hides_no_other(self, others: Vault, mode: int) -> None:
        others.directory("a.example").chmod(mode)
        with unprivileged():
            assert others.list() == {"b.example": "zoe"}
            with pytest.raises(StoreError) as caught:
                others.get("a.example")
        directory = others.directory("a.example")
        assert str(caught.value) == (f"cannot read {directory}: Permission denied; {owned(mode)}")

    def test_an_entry_that_cannot_be_read(self, others: Vault) -> None:
        path = others.entry("a.example")
        path.chmod(0)
        with unprivileged():
            with pytest.raises(StoreError) as caught:
                others.get("a.example")
            assert others.list() == {"a.example": "bob", "b.example": "zoe"}
        assert str(caught.value) == f"cannot read {path}: Permission denied; {owned(0)}"

    def test_a_store_that_cannot_be_written_is_read(self, others: Vault) -> None:
        for path in (others.path, *others.path.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
        before = others.tree
        with unprivileged():
            assert others.get("a.example") == ("bob", "s3cret")
            assert len(others.list()) == 2
            others.erase("absent.example")
            for verb in (others.store, others.erase):
                with pytest.raises(StoreError) as caught:
                    verb("a.example")
                assert str(caught.value).startswith(f"cannot write {others.path}/")
                assert str(caught.value).endswith(
                    f": Permission denied; check its owner and mode; this is uid {NOBODY}"
                )
        assert others.tree == before


def test_a_directory_too_deep_for_the_system_hides_no_other(vault: Vault) -> None:
    """A name with slashes that somebody wrote from inside: its whole path is longer than the system takes."""
    vault.store("a.example")
    vault.store("b.example", "zoe")
    with too_deep(vault.directory("a.example")):
        assert vault.list() == {"b.example": "zoe"}
        with pytest.raises(StoreError, match=r"File name too long; choose a shorter path$") as caught:
            vault.get("a.example")
        assert len(str(caught.value)) < 1200


# Bound to its place


MOVED = (
    f"entry was moved here from another server: {LABEL}; "
    "do not use it; find out who moved it, then store the credential again"
)


@pytest.mark.parametrize("how", ["server", "equivalent", "user", "slash"])
def test_an_entry_that_was_moved_is_refused(vault: Vault, how: str) -> None:
    origin = {"server": "https://prod.example", "equivalent": "a.example"}.get(how, SERVER)
    vault.store(origin, {"user": "zoe", "slash": "org/bob"}.get(how, "bob"))
    (path,) = vault.directory(origin).iterdir()
    data = path.read_bytes()
    vault.erase(origin)
    vault.put(data)
    assert refusal(vault, kind=EntryError) == MOVED
    assert vault.list() == {SERVER: "bob"}


def test_a_lookup_by_an_equivalent_name_is_no_move(vault: Vault) -> None:
    vault.store("https://index.docker.io/v1/")
    assert vault.get("docker.io") == ("bob", "s3cret")


def test_a_folder_that_means_the_same_user_is_no_move(vault: Vault) -> None:
    vault.store(username="org/bob")
    data = vault.entry(file="org%2Fbob.gpg").read_bytes()
    vault.erase()
    vault.put(data, file="org/bob.gpg")
    assert vault.get() == ("org/bob", "s3cret")


@pytest.mark.parametrize("options", [(), ("--set-filename", "bob.txt"), ("--set-filename", "passhelper2:x")])
def test_unbound_entries_are_served_unless_that_is_refused(
    vault: Vault, keys: KeyRing, options: tuple[str, ...]
) -> None:
    vault.put(keys.encrypt(b"x", "alice", options=options))
    assert vault.get() == ("bob", "x")
    for value in ("0", ""):
        vault.environ["PASSHELPER_REQUIRE_BOUND"] = value
        assert vault.get() == ("bob", "x")
    vault.environ["PASSHELPER_REQUIRE_BOUND"] = "1"
    assert refusal(vault, kind=EntryError) == (
        f"entry is not bound to its server, as PASSHELPER_REQUIRE_BOUND demands: {LABEL}; "
        "check it, then store it again with passhelper"
    )
    vault.store()
    assert vault.get() == ("bob", "s3cret")


@pytest.mark.parametrize("name", ["passhelper1:", "passhelper1:x", "passhelper1:" + "0" * 64, "passhelper1:%41"])
def test_a_binding_that_means_no_place_is_a_move(vault: Vault, keys: KeyRing, name: str) -> None:
    vault.put(keys.encrypt(b"x", "alice", options=("--set-filename", name)))
    assert refusal(vault, kind=EntryError) == MOVED
