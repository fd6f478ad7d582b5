"""Changes: one credential in, some out, and nothing when it fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.processes import children, descriptors
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import InvalidRequestError, PasshelperError, StoreError, StoreNotInitializedError, TrustError
from passhelper.store.packets import key_ids

PLAIN_AND_GIT = pytest.mark.parametrize("kind", ["vault", "git_vault"])


@pytest.fixture
def some(request: pytest.FixtureRequest, kind: str) -> Vault:
    """A store of either kind."""
    vault: Vault = request.getfixturevalue(kind)
    return vault


def gpg_script(vault: Vault, tmp_path: Path, code: str) -> None:
    vault.environ["PASSHELPER_GPG"] = script(tmp_path / "gpg-script", code)


# Failures leave everything as it was (the fourth law)


def _no_gpg(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.environ["PASSHELPER_GPG"] = "/nonexistent"


def _gpg_fails(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, "cat > /dev/null; exit 2")


def _gpg_fails_after_output(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, 'case "$*" in *--encrypt*) echo half; kill -9 $$;; esac; exec gpg "$@"')


def _gpg_says_nothing(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, "cat > /dev/null; exit 0")


def _gpg_gives_text_without_end(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, "cat > /dev/null; echo plaintext; exit 0")


def _gpg_hangs(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, "exec sleep 20")
    vault.environ["PASSHELPER_TIMEOUT"] = "0.1"


def _gpg_talks_too_much(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    gpg_script(vault, tmp_path, 'case "$*" in *--encrypt*) exec cat /dev/zero;; esac; exec gpg "$@"')


def _recipient_is_missing(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    (vault.path / ".gpg-id").write_text(keys["missing"])
    vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = keys["missing"]


def _recipients_are_not_accepted(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["signer"]


def _recipients_are_gone(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    (vault.path / ".gpg-id").unlink()


def _options_are_wrong(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = "--no-such-option"


def _umask_is_wrong(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.environ["PASSWORD_STORE_UMASK"] = "rwx"


FAILURES = [_no_gpg, _gpg_fails, _gpg_fails_after_output, _gpg_says_nothing, _gpg_gives_text_without_end, _gpg_hangs,
            _gpg_talks_too_much, _recipient_is_missing, _recipients_are_not_accepted, _recipients_are_gone,
            _options_are_wrong, _umask_is_wrong]  # fmt: skip


@PLAIN_AND_GIT
@pytest.mark.parametrize("present", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__.strip("_").replace("_", "-"))
def test_a_failed_store_changes_nothing_and_leaves_nobody(
    some: Vault, keys: KeyRing, tmp_path: Path, present: bool, fail: Callable[[Vault, KeyRing, Path], None]
) -> None:
    if present:
        some.store(username="adam", secret="old")
    settings = dict(some.environ)
    fail(some, keys, tmp_path)
    before, status = some.tree, some.git("status", "--porcelain", check=False)
    counts = (children(), descriptors())
    with pytest.raises(PasshelperError) as caught:
        some.store(secret="c4n4ry")
    assert some.tree == before
    assert some.git("status", "--porcelain", check=False) == status
    assert (children(), descriptors()) == counts
    assert some.pending == []
    assert "c4n4ry" not in str(caught.value)
    assert some.warnings == []
    some.environ.clear()
    some.environ.update(settings)
    assert some.list() == ({SERVER: "adam"} if present else {})


@PLAIN_AND_GIT
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir", "write"])
def test_a_disk_that_fails_at_any_step_changes_nothing(
    some: Vault, monkeypatch: pytest.MonkeyPatch, first: bool, call: str
) -> None:
    """Each of the calls in turn, the first, the second ... until the store succeeds."""
    if not first:
        some.store("https://other.example")
    real = getattr(os, call)
    before = some.tree
    for number in range(30):
        seen = 0

        def fails(*arguments: object, number: int = number, **named: object) -> object:
            nonlocal seen
            path = arguments[0]
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            if not str(path).startswith(str(some.path)):  # a pipe to gpg or git
                return real(*arguments, **named)
            if call == "fsync" and os.path.isdir(str(path)):  # the new file is in place by then
                return real(*arguments, **named)
            seen += 1
            if seen == number + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            try:
                some.store()
            except StoreError as error:
                assert str(error).endswith(": No space left on device; free some space on its file system")  # noqa: PT017 - one of many tries
            else:
                break
        assert some.tree == before
        assert some.pending == []
    assert 0 < number < 29
    assert some.get() == ("bob", "s3cret")


@PLAIN_AND_GIT
def test_names_that_are_too_long_are_refused_before_the_disk_is_touched(some: Vault) -> None:
    some.environ["PASSHELPER_GPG"] = "/nonexistent"
    before = some.tree
    for server, username, message in (
        ("https://" + "x" * 182, "bob", "server URL too long to store: 190 bytes, at most 189"),
        (SERVER, "x" * 252, "username too long to store: 252 bytes as a file name, at most 251"),
        (SERVER, "é/" * 51, "username too long to store: 255 bytes as a file name, at most 251"),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            some.store(server, username)
        assert str(caught.value) == message
    assert some.tree == before


def test_the_longest_names_are_stored(git_vault: Vault) -> None:
    server = "https://" + "x" * 181
    git_vault.store(server, "é" * 125 + "x")
    assert git_vault.get(server) == ("é" * 125 + "x", "s3cret")
    assert git_vault.list() == {server: "é" * 125 + "x"}
    git_vault.erase(server)
    assert git_vault.list() == {}
    assert git_vault.warnings == []


def test_a_store_that_is_not_initialised(vault: Vault) -> None:
    (vault.path / ".gpg-id").unlink()
    with pytest.raises(StoreNotInitializedError) as caught:
        vault.store()
    assert str(caught.value) == f"password store not initialised at {vault.path}; run: passhelper setup"
    vault.path.rmdir()
    with pytest.raises(StoreNotInitializedError):
        vault.store()
    assert not vault.path.exists()


def test_a_file_where_the_servers_directory_would_be(vault: Vault) -> None:
    vault.store("other")
    vault.directory().write_text("x")
    before = vault.tree
    with pytest.raises(StoreError) as caught:
        vault.store()
    assert str(caught.value).startswith(f"cannot write {vault.directory()}: File exists")
    assert vault.tree == before


def test_a_directory_where_the_file_would_be(vault: Vault) -> None:
    vault.entry().mkdir(parents=True)
    (vault.entry() / "x").write_text("x")
    before = vault.tree
    with pytest.raises(StoreError, match="Is a directory"):
        vault.store()
    assert vault.tree == before


def test_no_username_leaves_the_servers_directory(git_vault: Vault) -> None:
    names = [
        "..",
        "../../x",
        "/abs",
        ".",
        "-rf",
        ".gpg-id",
        "a/b",
        "./x",
        "~",
        "%2E%2E%2Fx",
        "\\..\\x",
        "C:\\x",
        ".git/config",
    ]
    before = git_vault.tree
    for username in names:
        git_vault.store(username=username, secret=username)
        assert git_vault.get() == (username, username)
        new = {path for path in git_vault.tree if path not in before}
        assert {os.path.dirname(path) for path in new if path.endswith(".gpg")} == {
            f"{FOLDER}/{git_vault.directory().name}"
        }
        assert len(new) == 3
    assert git_vault.warnings == []
    git_vault.erase()
    assert set(git_vault.tree) - {FOLDER} == set(before)


def test_other_entries_of_the_store_are_never_touched(git_vault: Vault) -> None:
    for path in ("personal/bank.gpg", f"{FOLDER}.gpg", "x.gpg"):
        (git_vault.path / path).parent.mkdir(exist_ok=True)
        (git_vault.path / path).write_bytes(b"precious")
    before = git_vault.tree
    git_vault.store(username="../../personal/bank")
    git_vault.store(username="..")
    git_vault.erase()
    git_vault.erase("https://absent.example")
    assert {path: data for path, data in git_vault.tree.items() if path != FOLDER} == before


# One credential for each server


@PLAIN_AND_GIT
def test_the_last_username_wins_and_stays_alone(some: Vault) -> None:
    for username in ("adam", "zoe", "bob", "a/b", "zoe"):
        some.store(username=username, secret=username)
        assert some.get() == (username, username)
        assert len(list(some.directory().rglob("*.gpg"))) == 1


@PLAIN_AND_GIT
def test_a_servers_own_recipients_stay(some: Vault, keys: KeyRing) -> None:
    some.directory().mkdir(parents=True)
    (some.directory() / ".gpg-id").write_text(keys["alice"])
    (some.directory() / "notes").write_text("x")
    some.store()
    some.store(username="zoe")
    some.erase()
    assert sorted(path.name for path in some.directory().iterdir()) == [".gpg-id", "notes"]


@PLAIN_AND_GIT
def test_erasing_prunes_what_becomes_empty_and_nothing_above(some: Vault) -> None:
    some.store()
    some.store("https://b.example")
    some.erase()
    assert not some.directory().exists()
    some.erase("https://b.example")
    assert list((some.path / FOLDER).iterdir()) == []


@PLAIN_AND_GIT
def test_erasing_twice_is_silent(some: Vault) -> None:
    some.store()
    some.erase()
    before = some.tree
    some.erase()
    some.erase("https://never.example")
    assert some.tree == before
    assert some.warnings == []


# Left-overs


@PLAIN_AND_GIT
@pytest.mark.parametrize("verb", ["store", "erase"])
def test_the_next_writer_tidies_up(some: Vault, kind: str, verb: str) -> None:
    some.store()
    places = [some.path / FOLDER, *([some.path / ".git" / "passhelper"] if kind == "git_vault" else [])]
    for place in places:
        (place / ".passhelper-4711").write_bytes(b"half")
        (place / ".passhelper-4711-begun").write_bytes(b"")
    (some.path / FOLDER / "Yg==" / "a" / "b").mkdir(parents=True)
    (some.path / FOLDER / "kept").mkdir()
    (some.path / FOLDER / "kept" / "x").write_text("x")
    getattr(some, verb)() if verb == "erase" else some.store(secret="new")
    assert not [path for place in places for path in place.iterdir() if path.name.startswith(".passhelper")]
    assert not (some.path / FOLDER / "Yg==").exists()
    assert (some.path / FOLDER / "kept" / "x").exists()


@PLAIN_AND_GIT
def test_left_overs_without_the_folder_are_no_obstacle(some: Vault, kind: str) -> None:
    if kind == "git_vault":
        state = some.path / ".git" / "passhelper"
        state.mkdir()
        (state / ".passhelper-4711").write_bytes(b"half")
    some.store()
    assert some.get() == ("bob", "s3cret")


@PLAIN_AND_GIT
def test_no_temporary_file_stays(some: Vault) -> None:
    some.store()
    some.store(secret="new")
    some.erase()
    assert not list(some.path.rglob(".passhelper*"))


# While somebody else changes the store


def test_recipients_that_change_meanwhile(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    """A pull that lands while gpg encrypts: the entry must not go to yesterday's keys."""
    gpg_script(
        vault, tmp_path,
        f'case "$*" in *--encrypt*) echo run >> {tmp_path}/runs; '
        f'if [ $(wc -l < {tmp_path}/runs) = 1 ]; then echo {keys["bob"]} >> {vault.path}/.gpg-id; fi;; esac; '
        'exec gpg "$@"',
    )  # fmt: skip
    vault.store()
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    assert len(key_ids(vault.entry().read_bytes())) == 2


def test_recipients_that_never_settle(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    one, other = keys["alice"], keys["bob"]
    gpg_script(
        vault, tmp_path,
        f'case "$*" in *--encrypt*) if grep -q {one} {vault.path}/.gpg-id; then echo {other}; else echo {one}; fi '
        f'> {tmp_path}/new; mv {tmp_path}/new {vault.path}/.gpg-id;; esac; exec gpg "$@"',
    )  # fmt: skip
    with pytest.raises(TrustError) as caught:
        vault.store()
    assert str(caught.value) == "the recipients keep changing while a credential is stored; try again"
    assert not (vault.path / FOLDER).exists()


def test_an_older_username_that_cannot_be_removed_undoes_the_change(
    git_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is in place by then: two users of one server would be neither the old state nor the new one."""
    git_vault.store(username="adam")
    before = git_vault.tree
    unlink = os.unlink

    def refuses(path: str) -> None:
        if path.endswith("adam.gpg"):
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuses)
        with pytest.raises(StoreError, match=r"^cannot write .*adam\.gpg: Operation not permitted; check its owner"):
            git_vault.store(username="zoe")
    assert git_vault.tree == before
    assert git_vault.pending == []
    git_vault.store(username="zoe")
    assert git_vault.get() == ("zoe", "s3cret")
    assert git_vault.status == ""
    assert git_vault.pending == []


def test_many_writes_leave_no_descriptor_and_no_process(git_vault: Vault) -> None:
    git_vault.store()
    counts = (children(), descriptors())
    for secret in ("s3cret", "new", "new", "s3cret"):
        git_vault.store(secret=secret)
    git_vault.get()
    git_vault.erase()
    git_vault.erase()
    assert (children(), descriptors()) == counts


def test_writing_takes_no_secret_key(vault: Vault, keys: KeyRing) -> None:
    (vault.path / ".gpg-id").write_text(keys["stranger"])
    vault.store()
    vault.store(username="zoe")
    vault.erase()
