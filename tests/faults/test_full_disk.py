"""A disk without room: the old credential survives, and the message says what is the matter."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Helper, KeyRing, Program, require, run, tree
from support.worlds.readers import files, ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "https://registry.example"
BIG = "x" * 200_000  # more than is left on the small disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    require("mount", "umount")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "passhelper-test", str(path)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here: " + mounted.stderr.decode(errors="replace").strip())
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(params=["git", "no git"])
def small_store(
    request: pytest.FixtureRequest, small_disk: Path, environ: dict[str, str], keys: KeyRing, helper: Helper
) -> Path:
    """A store on the small disk that holds one credential."""
    store = small_disk / "store"
    store.mkdir(mode=0o700)
    (store / ".gpg-id").write_text(keys["alice"] + "\n")
    environ["PASSWORD_STORE_DIR"] = str(store)
    if request.param == "git":
        require("git")
        assert run(["git", "init", "-q", str(store)], environ).code == 0
    assert helper.store(SERVER, "alice", "old").code == 0
    return store


def fill(folder: Path, leave: int = 0) -> Path:
    """Take all room but some bytes."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
        file.truncate(max(file.tell() - leave, 0))
    return path


def snapshot(store: Path) -> dict[str, bytes]:
    """What the store holds, without git's own book-keeping."""
    return {name: data for name, data in tree(store).items() if not name.startswith(".git/")}


@pytest.mark.parametrize(
    ("server", "user"),
    [(SERVER, "alice"), (SERVER, "bob"), ("https://new.example", "alice")],
    ids=["same user", "another user", "new server"],
)
def test_full_disk(helper: Helper, small_store: Path, small_disk: Path, server: str, user: str) -> None:
    ballast = fill(small_disk)
    before = snapshot(small_store)
    answer = helper.store(server, user, "new")
    assert answer.code == 1
    assert answer.text.startswith(f"cannot write {small_store}")
    assert answer.text.endswith(": No space left on device; free some space on its file system\n")
    assert snapshot(small_store) == before
    assert helper.get(SERVER).json == {"ServerURL": SERVER, "Username": "alice", "Secret": "old"}
    assert helper.list().json == {SERVER: "alice"}
    ballast.unlink()
    assert helper.store(server, user, "new").code == 0
    assert helper.get(server).json == {"ServerURL": server, "Username": user, "Secret": "new"}
    assert_tidy(helper, small_store)


def test_disk_fills_up_during_the_write(helper: Helper, small_store: Path, small_disk: Path) -> None:
    """The ciphertext is half written when the room is gone."""
    ballast = fill(small_disk, leave=100_000)
    before = snapshot(small_store)
    answer = helper.store(SERVER, "bob", BIG)
    assert answer.code == 1
    assert answer.text.endswith(": No space left on device; free some space on its file system\n")
    assert snapshot(small_store) == before
    assert helper.get(SERVER).json["Secret"] == "old"
    ballast.unlink()
    assert helper.store(SERVER, "bob", "small").code == 0
    assert_tidy(helper, small_store)


@pytest.mark.parametrize("pages", [1, 2, 3, 5, 7, 9])
def test_room_for_some_steps_only(helper: Helper, small_store: Path, small_disk: Path, pages: int) -> None:
    """Wherever the room ends, between the note for git and git's last object: the old or the new, and consistent."""
    ballast = fill(small_disk, leave=4096 * pages)
    before = snapshot(small_store)
    answer = helper.store(SERVER, "bob", "new")
    found = helper.get(SERVER).json
    if answer.code:
        assert snapshot(small_store) == before
        assert found["Secret"] == "old"
    else:
        assert found == {"ServerURL": SERVER, "Username": "bob", "Secret": "new"}
        assert len(list((small_store / FOLDER).rglob("*.gpg"))) == 1
    ballast.unlink()
    assert helper.store("https://next.example", "carol", "s").code == 0
    assert_tidy(helper, small_store)


def test_erase_on_a_full_disk(helper: Helper, small_store: Path, small_disk: Path) -> None:
    """Removing needs no room, or the old credential stays and the message says why."""
    ballast = fill(small_disk)
    answer = helper.erase(SERVER)
    if answer.code:
        assert answer.text.endswith(": No space left on device; free some space on its file system\n")
        assert helper.get(SERVER).json["Secret"] == "old"
    else:
        assert helper.list().json == {}
    ballast.unlink()
    assert helper.erase(SERVER).code == 0
    assert helper.store("https://next.example", "carol", "s").code == 0
    assert_tidy(helper, small_store)


@pytest.mark.parametrize("pages", [0, 1, 3, 6, 9, 14, 20])
def test_recipients_change_on_a_full_disk(
    helper: Helper, installed: Program, small_store: Path, small_disk: Path, keys: KeyRing, pages: int
) -> None:
    """All old and a message that says why, or all new at the latest when somebody writes with room again."""
    servers = [SERVER, "https://a.example", "https://b.example"]
    for server in servers[1:]:
        assert helper.store(server, "alice", "old").code == 0
    ballast = fill(small_disk, leave=4096 * pages)
    answer = run([installed.passhelper, "recipients", "add", keys["bob"]], helper.environ)
    for server in servers:
        assert helper.get(server).json["Secret"] == "old"
    uncommitted = answer.err.startswith(b"warning: changed but not committed, the next change will commit it: ")
    begun = answer.code == 0 or answer.err.startswith(b"error: the change has begun and is not finished: ")
    begun = begun or uncommitted
    assert begun or answer.err.startswith(b"error: nothing was changed, the new entries cannot be written: ")
    assert begun or {len(ids(path, keys)) for path in files(small_store)} == {1}
    if uncommitted:
        assert answer.code == 1
        assert b"No space left on device" in answer.err
    elif answer.code:
        assert answer.err.decode().splitlines()[0].endswith(": No space left on device")
    ballast.unlink()
    assert helper.store("https://next.example", "carol", "s").code == 0
    assert [ids(path, keys) for path in files(small_store)] == [{"alice", "bob"} if begun else {"alice"}] * 4
    assert_tidy(helper, small_store)


def assert_tidy(helper: Helper, store: Path) -> None:
    assert not [path for path in store.rglob("*") if ".passhelper-" in path.name]
    assert not [path for path in (store / FOLDER).rglob("*") if path.is_dir() and not any(path.iterdir())]
    if (store / ".git").exists():
        status = run(["git", "-C", str(store), "status", "--porcelain", "--", FOLDER], helper.environ)
        assert (status.code, status.out) == (0, b"")
        assert not (store / ".git" / "passhelper" / "pending").exists()
