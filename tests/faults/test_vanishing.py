"""Somebody removes a directory in the moment when a file is about to go into it: it was empty, and git likes none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import FOLDER, KeyRing
from support.worlds.vault import SERVER, Vault

from passhelper.errors import StoreError
from passhelper.store import journal
from passhelper.store.files import Files
from passhelper.store.store import PassStore
from passhelper.store.transaction import Transaction

OTHER = "https://other.example"


class Somebody:
    """Does something in the moment before the store's code calls the system.

    Args:
        monkeypatch: ends it with the test.
        name: the function of ``os`` that is called, with a path last.
        act: what to do, with that path.
        inside: only for paths below this.
        times: how often; after that everything is quiet.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[Path], object], inside: Path, times: int = 1
    ) -> None:
        self.left = times
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            path = Path([word for word in arguments if not isinstance(word, int)][-1])
            if self.left and inside in path.parents and not path.name.startswith(".passhelper-"):
                self.left -= 1
                act(path)
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)


def remove_folder(path: Path) -> None:
    """Remove the directory of a path and those above that are then empty, as git does with what it has emptied."""
    folder = path.parent
    while folder.is_dir() and not os.listdir(folder):
        folder.rmdir()
        folder = folder.parent


@pytest.mark.parametrize("times", [1, 3])
def test_store(vault: Vault, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    somebody = Somebody(monkeypatch, "replace", remove_folder, vault.path / FOLDER, times)
    vault.store()
    assert (somebody.left, vault.get(), vault.warnings) == (0, ("bob", "s3cret"), [])
    if (vault.path / ".git").exists():
        assert (vault.status, vault.pending) == ("", [])


def test_whoever_removes_it_again_and_again_wins(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store(OTHER)
    before = vault.tree
    somebody = Somebody(monkeypatch, "replace", remove_folder, vault.path / FOLDER, 10**6)
    with pytest.raises(StoreError) as caught:
        vault.store()
    assert str(caught.value) == f"cannot write {vault.entry()}: No such file or directory; check its path"
    assert 1 < 10**6 - somebody.left < 100
    assert vault.tree == before
    if (vault.path / ".git").exists():
        assert (vault.status, vault.pending) == ("", [])


def test_an_older_username_that_somebody_removes_first(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store(username="bob", secret="old")
    somebody = Somebody(monkeypatch, "unlink", os.remove, vault.directory())
    vault.store(username="zoe", secret="new")
    assert (somebody.left, vault.get(), vault.warnings) == (0, ("zoe", "new"), [])
    assert [path.name for path in vault.directory().iterdir()] == ["zoe.gpg"]


def test_erase_what_somebody_removes_first(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store()
    somebody = Somebody(monkeypatch, "unlink", os.remove, vault.directory())
    vault.erase()
    assert (somebody.left, vault.list(), vault.warnings) == (0, {}, [])


def test_a_change_of_many_files(vault: Vault, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store()
    store = PassStore(vault.environ, vault.warnings.append)
    new, old = (str(path.relative_to(vault.path)) for path in (vault.entry(OTHER), vault.entry()))
    changes = [journal.Change(new, keys.encrypt(b"moved", "alice")), journal.Change(old, None)]
    base = store.repository("")
    moving = Somebody(monkeypatch, "replace", remove_folder, vault.directory(OTHER).parent)
    going = Somebody(monkeypatch, "unlink", os.remove, vault.directory())
    with Transaction(store, base):
        journal.write(store, base, journal.Plan("Move it", changes))
        journal.finish(store, base)
    assert (moving.left, going.left, vault.warnings) == (0, 0, [])
    assert list(vault.list()) == [OTHER]


@pytest.mark.parametrize("count", [1, 40])
def test_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    state, store = tmp_path / "state", tmp_path / "store"
    state.mkdir()
    paths = [store / f"d{number}" / "deep" / "x" for number in range(count)]
    somebody = Somebody(monkeypatch, "replace", remove_folder, store)
    Files({}).replace_many([(str(path), b"new") for path in paths], str(state))
    assert (somebody.left, {path.read_bytes() for path in paths}, list(state.iterdir())) == (0, {b"new"}, [])


def test_a_directory_whose_parent_goes(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    (vault.path / FOLDER).mkdir()
    somebody = Somebody(monkeypatch, "mkdir", remove_folder, vault.path / FOLDER)
    vault.store()
    assert (somebody.left, vault.get()) == (0, ("bob", "s3cret"))


def test_a_directory_that_somebody_else_makes_first(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = Somebody(monkeypatch, "mkdir", Path.mkdir, vault.path / FOLDER)
    vault.store()
    assert (somebody.left, vault.get()) == (0, ("bob", "s3cret"))


def test_the_folder_of_all_credentials(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes after we have made it and before anything of ours is in it, as with ``pass rm`` of the last entry."""
    real, left = Files.mark, [1]

    def mark(self: Files, folder: str) -> str:
        if left and (vault.path / FOLDER).is_dir():
            left.pop()
            shutil.rmtree(vault.path / FOLDER)
        return real(self, folder)

    monkeypatch.setattr(Files, "mark", mark)
    vault.store()
    assert (left, vault.get(), SERVER in vault.list()) == ([], ("bob", "s3cret"), True)
