"""Files that are the old one or the new one, with the store's modes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import FOLDER, require, tree
from support.worlds.vault import Vault

from passhelper.errors import ConfigurationError
from passhelper.store.files import Files, sync_directory, sync_file_system


@pytest.fixture
def caller_umask() -> object:
    """A caller's umask that forbids everything, which must not matter."""
    before = os.umask(0o777)
    yield
    os.umask(before)


@pytest.mark.usefixtures("caller_umask")
@pytest.mark.parametrize(
    ("setting", "directory", "file"),
    [("", 0o700, 0o600), ("077", 0o700, 0o600), ("027", 0o750, 0o640), ("0", 0o777, 0o666)],
)
def test_modes_come_from_password_store_umask_alone(tmp_path: Path, setting: str, directory: int, file: int) -> None:
    files = Files({"PASSWORD_STORE_UMASK": setting} if setting else {})
    folder = tmp_path / "a" / "b"
    assert files.make_directory(str(folder)) == [str(tmp_path / "a"), str(folder)]
    files.replace(str(folder / "x.gpg"), b"x", str(tmp_path))
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (directory, directory)
    assert (folder / "x.gpg").stat().st_mode & 0o777 == file


@pytest.mark.parametrize("setting", ["rwx", "-1", "8", "1000", "u=rwx"])
def test_a_umask_that_is_no_octal_mode_is_refused(setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Files({"PASSWORD_STORE_UMASK": setting})
    assert str(caught.value) == f"PASSWORD_STORE_UMASK is not an octal mode: {setting!r}; set it to 077"


@pytest.mark.parametrize(("setting", "directory", "file"), [("", 0o700, 0o600), ("007", 0o770, 0o660)])
def test_a_store_is_written_with_these_modes(git_vault: Vault, setting: str, directory: int, file: int) -> None:
    git_vault.environ["PASSWORD_STORE_UMASK"] = setting
    git_vault.store()
    for path in (git_vault.path / FOLDER, git_vault.directory(), git_vault.path / ".git" / "passhelper"):
        assert path.stat().st_mode & 0o777 == directory
    assert git_vault.entry().stat().st_mode & 0o777 == file
    objects = [
        path
        for path in (git_vault.path / ".git" / "objects").glob("??")
        if path.stat().st_mtime >= git_vault.entry().stat().st_mtime
    ]
    assert objects
    assert any(path.stat().st_mode & 0o077 == directory & 0o077 for path in objects)


def test_replacing_leaves_the_new_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.gpg"
    path.write_bytes(b"old content, longer than the new one")
    path.chmod(0o644)
    Files({}).replace(str(path), b"new", str(tmp_path))
    assert tree(tmp_path) == {"home": b"", "x.gpg": b"new"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_hard_link_of_the_old_file_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.gpg"
    path.write_bytes(b"old")
    os.link(path, tmp_path / "link")
    Files({}).replace(str(path), b"new", str(tmp_path))
    assert (tmp_path / "link").read_bytes() == b"old"


@pytest.mark.parametrize("target", ["directory", "gone"])
def test_a_failed_replacement_leaves_nothing_behind(tmp_path: Path, target: str) -> None:
    path = tmp_path / "x" / "y.gpg"
    if target == "directory":
        path.mkdir(parents=True)
    before = tree(tmp_path)
    with pytest.raises(OSError):
        Files({}).replace(str(path), b"new", str(tmp_path))
    assert tree(tmp_path) == before


def test_the_temporary_file_never_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / f".passhelper-{os.getpid()}").symlink_to("precious")
    Files({}).replace(str(tmp_path / "x.gpg"), b"new", str(tmp_path))
    assert tree(tmp_path) == {"home": b"", "precious": b"precious", "x.gpg": b"new"}


def test_another_file_system_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git directory elsewhere (a linked work tree); provoked, since one file system is all we have."""
    elsewhere, folder = tmp_path / "git", tmp_path / "store" / "YQ=="
    elsewhere.mkdir()
    folder.mkdir(parents=True)
    real = os.replace

    def replace(source: str, target: str) -> None:
        if Path(source).parent == elsewhere:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    Files({}).replace(str(folder / "x.gpg"), b"new", str(elsewhere))
    assert tree(tmp_path / "store") == {"YQ==": b"", "YQ==/x.gpg": b"new"}
    assert list(elsewhere.iterdir()) == []


def test_directories_are_undone_only_while_they_are_empty(tmp_path: Path) -> None:
    files = Files({})
    made = files.make_directory(str(tmp_path / "a" / "b" / "c"))
    (tmp_path / "a" / "x").write_text("x")
    files.remove_directories(made)
    assert (tmp_path / "a" / "x").exists()
    assert not (tmp_path / "a" / "b").exists()
    assert files.make_directory(str(tmp_path / "a")) == []


def test_a_directory_that_cannot_be_made_undoes_its_parents(tmp_path: Path) -> None:
    before = tree(tmp_path)
    with pytest.raises(OSError):
        Files({}).make_directory(str(tmp_path / "a" / "b" / ("x" * 300)))
    assert tree(tmp_path) == before


def test_sweeping_removes_our_left_overs_and_nothing_else(tmp_path: Path) -> None:
    for name in (".passhelper-12", ".passhelper-9-begun", ".other", "x.gpg"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".passhelper-directory").mkdir()
    files = Files({})
    assert files.sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other", ".passhelper-directory", "home", "x.gpg"]
    assert not files.sweep(str(tmp_path))
    assert not files.sweep(str(tmp_path / "nowhere"))


def test_everything_is_forced_to_the_disk_in_order(vault: Vault, tmp_path: Path, environ: dict[str, str]) -> None:
    """The file before its name, the name before the older file goes."""
    require("strace")
    vault.store(username="adam")
    log = tmp_path / "strace"
    code = "import sys; from passhelper import *; PassHelper().store(Credentials('https://a.example', 'zoe', 'x'))"
    command = [
        "strace",
        "-o",
        str(log),
        "-y",
        "-e",
        "trace=fsync,rename,renameat,renameat2,unlink,unlinkat",
        sys.executable,
    ]
    subprocess.run([*command, "-c", code], env=environ, check=True, cwd=Path(__file__).parents[2])
    calls = [
        line
        for line in log.read_text().splitlines()
        if str(vault.path) in line and "begun" not in line and "= 0" in line
    ]
    steps = [line.split("(")[0].removesuffix("at").removesuffix("at2") for line in calls]
    assert steps == ["fsync", "rename", "fsync", "unlink", "fsync"]
    assert "zoe.gpg" in calls[1]
    assert calls[2].split("<")[1].startswith(str(vault.directory()))
    assert "adam.gpg" in calls[3]


def test_a_file_system_that_cannot_sync_directories_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [errno.EINVAL, errno.ENOTSUP, errno.EIO]

    def fails(number: int) -> None:
        raise OSError(codes.pop(0), "x")

    monkeypatch.setattr(os, "fsync", fails)
    for _ in range(3):
        sync_directory(str(tmp_path))
    assert not codes


@pytest.mark.parametrize("count", [1, 40])
def test_many_files_at_once(tmp_path: Path, count: int) -> None:
    files = Files({})
    temporary = tmp_path / "state"
    temporary.mkdir()
    paths = [tmp_path / f"d{number}" / "deep" / "x" for number in range(count)]
    for text in (b"old", b"new"):
        files.replace_many([(str(path), text) for path in paths], str(temporary))
        assert {path.read_bytes() for path in paths} == {text}
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in paths} == {0o700}
    assert list(temporary.iterdir()) == []


def test_many_files_on_another_file_system(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        paths = [tmp_path / "d" / str(number) for number in range(20)]
        Files({}).replace_many([(str(path), b"x") for path in paths], folder)
        assert {path.read_bytes() for path in paths} == {b"x"}


def test_without_syncfs_everything_is_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"))
    sync_file_system(str(tmp_path))
    assert calls == ["sync"]
