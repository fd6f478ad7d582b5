"""An error in the place of any call, or an interrupt right after it: the old credential alone, or the new one, whole.

``PASSHELPER_TEST_INJECTIONS=all`` walks every call with every error; by default each call fails in one way.
"""

from __future__ import annotations

import base64
import errno
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import FOLDER, KeyRing
from support.worlds.vault import Vault

from passhelper.docker import importing, plaintext
from passhelper.doctor import report
from passhelper.doctor.context import Context
from passhelper.doctor.model import Check
from passhelper.doctor.registry import CHECKS
from passhelper.errors import PasshelperError
from passhelper.store import journal
from passhelper.store.store import PassStore
from passhelper.store.transaction import Transaction
from passhelper.team.git.gitrepo import opened
from passhelper.team.sync import apply

CALLS = ("open", "replace", "unlink", "rmdir", "mkdir", "fsync", "fchmod", "chmod", "scandir", "listdir", "lstat")
ERRORS = ("interrupt", "interrupt after", errno.EMFILE, errno.EIO, errno.ENOSPC)
ALL = os.environ.get("PASSHELPER_TEST_INJECTIONS") == "all"
OTHER = "https://other.example"


class Injector:
    """Lets one call of the store's code fail, or of more parts of passhelper.

    Attributes:
        at: which, counted from the moment when the lock is taken; 0 for none.
        error: how.
        seen: how many there were.
        name: the one that failed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
        self.parts = [f"passhelper/{part}/" for part in ("store", *parts)]
        self.at = self.seen = 0
        self.error: str | int = 0
        self.name = ""
        self.is_on = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            caller = sys._getframe(1).f_code.co_filename
            if not self.is_on or not any(part in caller.replace(os.sep, "/") for part in self.parts):
                return real(*arguments, **options)
            self.seen += 1
            if self.seen != self.at:
                return real(*arguments, **options)
            self.name = f"{name} in {os.path.basename(caller)}"
            if self.error == "interrupt":
                raise KeyboardInterrupt
            if self.error == "interrupt after":
                made = real(*arguments, **options)
                if name == "open":
                    os.close(made)
                elif name == "scandir":
                    made.close()
                raise KeyboardInterrupt
            assert isinstance(self.error, int)
            raise OSError(self.error, os.strerror(self.error), arguments[0])

        return call

    def run(self, what: Callable[[], object]) -> BaseException | None:
        """Do something with the failure; gives what it raised."""
        self.seen, self.name, self.is_on = 0, "", True
        try:
            what()
        except (PasshelperError, OSError, KeyboardInterrupt) as error:
            return error
        finally:
            self.is_on = False
        return None


def failures() -> Iterator[tuple[int, str | int]]:
    for at in itertools.count(1):
        if ALL:
            yield from ((at, error) for error in ERRORS)
        else:
            yield at, ERRORS[at % len(ERRORS)]


def assert_accounted(vault: Vault, path: Path, why: object) -> None:
    """A change that has happened is committed, or on the list of what is to be."""
    if (vault.path / ".git").exists() and vault.git("status", "--porcelain", "-uall", "--", str(path.parent)):
        assert str(path.relative_to(vault.path)) in vault.pending, why


def assert_tidy(vault: Vault, why: object) -> None:
    vault.store(OTHER, "other", "o")
    vault.erase(OTHER)
    assert not [path for path in vault.path.rglob("*") if ".passhelper-" in path.name], why
    if (vault.path / ".git").exists():
        assert vault.status == "", why
        assert vault.pending == [], why


@pytest.mark.parametrize("user", ["aaa", "zoe"], ids=["before the old user", "after the old user"])
def test_store(vault: Vault, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    vault.store(username="bob", secret="old")
    injector = Injector(monkeypatch)
    for injector.at, injector.error in failures():
        before = vault.tree
        error = injector.run(lambda: vault.store(username=user, secret="new"))
        if not injector.name:
            break
        why = (injector.at, injector.name, injector.error, error)
        found, files = vault.get(), sorted(path.name for path in vault.directory().iterdir())
        if found == ("bob", "old"):
            assert error is not None, why
            assert vault.tree == before, why
        else:
            assert (found, files) == ((user, "new"), [f"{user}.gpg"]), why
            assert_accounted(vault, vault.entry(file=f"{user}.gpg"), why)
            if error is not None:
                assert isinstance(error, KeyboardInterrupt), why
        assert_tidy(vault, why)
        vault.store(username="bob", secret="old")
    assert injector.at > 15
    assert vault.get() == (user, "new")


def test_erase(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store(username="bob", secret="old")
    injector = Injector(monkeypatch)
    for injector.at, injector.error in failures():
        error = injector.run(vault.erase)
        if not injector.name:
            break
        why = (injector.at, injector.name, injector.error, error)
        if vault.list() == {}:
            assert_accounted(vault, vault.path / FOLDER / "x", why) if error is None else None
        else:
            assert error is not None, why
            assert vault.get() == ("bob", "old"), why
        assert_tidy(vault, why)
        vault.store(username="bob", secret="old")
    assert injector.at > 8
    assert vault.list() == {}


def test_what_finishes_a_journal(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is its old or its new self, and whoever takes the lock next makes the rest happen."""
    vault.store()
    store = PassStore(vault.environ, vault.warnings.append)
    place = store.repository("")
    files = {"notes/a": None, "notes/b": b"0", "notes/deep/c": None}
    (vault.path / "notes").mkdir()
    (vault.path / "notes" / "b").write_bytes(b"0")
    if place is not None:
        vault.git("add", "notes")
        vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "-m", "Begin")
    injector = Injector(monkeypatch)
    for injector.at, injector.error in failures():
        data = f"{injector.at} {injector.error}".encode()
        new = {
            "notes/a": data,
            "notes/b": None if files["notes/b"] else data,
            "notes/deep/c": files["notes/b"] and data,
        }
        plan = journal.Plan("Change", [journal.Change(os.path.join(*name.split("/")), new[name]) for name in new])
        if place is not None:
            plan.state["probe"] = data
        with Transaction(store, place):
            journal.write(store, place, plan)
            error = injector.run(lambda: journal.finish(store, place))
        why = (injector.at, injector.name, injector.error, error)
        assert error is not None or not os.path.exists(store.journal(place)), why
        for name, old in files.items():
            assert contents(vault.path / name) in (old, new[name]), (name, why)
        with Transaction(store, place):
            pass
        files = new
        assert {name: contents(vault.path / name) for name in files} == files, why
        assert not os.path.exists(store.journal(place)), why
        if place is not None:
            assert contents(Path(place.state, "probe")) == data, why
            changed = [line[3:] for line in vault.git("status", "--porcelain", "-uall").splitlines()]
            assert set(changed) <= set(vault.pending), why
        if not injector.name:
            break
    assert injector.at > 15
    assert_tidy(vault, "at the end")


def test_import(store: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A credential is in the file or in the store; after an error, as before."""
    vault, file = Vault(environ), tmp_path / "auth.json"
    wanted = {"a.example": "ann", "b.example": "bob"}
    auths = {server: {"auth": base64.b64encode(f"{user}:s3cret".encode()).decode()} for server, user in wanted.items()}
    before = json.dumps({"auths": auths}).encode()
    injector = Injector(monkeypatch, "machine", "docker")
    for injector.at, injector.error in itertools.islice(failures(), 0, None, 1 if ALL else 2):
        file.write_bytes(before)
        error = injector.run(lambda: importing.move_file(str(file), importing.Importer(vault.helper), dry_run=False))
        why = (injector.at, injector.name, injector.error, error)
        left, held = plaintext.credentials(file.read_text(), "file"), vault.list()
        if left:
            assert file.read_bytes() == before, why
            assert error is not None, why
            assert held == {} or isinstance(error, KeyboardInterrupt) or "stay in the store" in str(error), why
        else:
            assert held == wanted, why
        if not injector.name:
            break
        for server in held:
            vault.erase(server)
    assert injector.at > 30
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("repair", ["store.gpg-id", "store.spelling"])
def test_doctor_repairs(vault: Vault, keys: KeyRing, monkeypatch: pytest.MonkeyPatch, repair: str) -> None:
    """A list is rewritten whole or not at all, a credential is in one place, and what is said is what has happened."""
    (check,) = (check for check in CHECKS if check.id == repair)
    listed, right = vault.path / ".gpg-id", vault.directory()
    odd, wrong = f"{keys['alice']}\r\n".encode(), right.with_name(right.name.rstrip("="))
    assert wrong != right
    vault.store()
    injector = Injector(monkeypatch, "machine", "doctor")
    for injector.at, injector.error in failures():
        listed.write_bytes(odd)
        if right.exists():
            right.rename(wrong)
        commit_all(vault)
        said: list[tuple[str, str]] = []
        error = injector.run(partial(_repair, check, vault.environ, said))
        why = (injector.at, injector.name, injector.error, error, said)
        assert vault.get() == ("bob", "s3cret"), why
        is_done = listed.read_bytes() != odd if repair == "store.gpg-id" else not [*wrong.glob("*")]
        assert keys["alice"].encode() in listed.read_bytes(), why
        phrases = [phrase for _, phrase in said]
        has_failed = error is not None or any(phrase.startswith(report.UNREPAIRED) for phrase in phrases)
        if not has_failed:  # what cannot be listed now is not seen, and the next doctor names it
            assert len(phrases) == is_done, why
        if any(not phrase.startswith(report.UNREPAIRED) for phrase in phrases):
            assert is_done, why
        if is_done and (vault.path / ".git").exists():
            assert vault.git("status", "--porcelain") == "" or vault.pending or has_failed, why
        vault.store()  # what was accepted is what is there
        assert not (right.exists() and [*wrong.glob("*")]), why
        if wrong.exists():
            wrong.rmdir()  # or the next round could not begin
        assert_tidy(vault, why)
        if not injector.name:
            break
    assert injector.at > 15
    assert is_done


def _repair(check: Check, environ: dict[str, str], said: list[tuple[str, str]]) -> None:
    assert check.fix is not None
    said.extend(report._repaired(check.id, check.fix, Context(environ, 30)))


def commit_all(vault: Vault) -> None:
    if (vault.path / ".git").exists():
        vault.git("add", "--all")
        vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "--allow-empty", "-m", "Begin")


def test_what_takes_over_a_commit(git_store: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, at once or with the next lock, or nothing; the credential is there all the time."""
    vault = Vault(environ)
    vault.store(username="bob", secret="old")
    vault.store(OTHER, "other", "o")
    old = vault.git("rev-parse", "HEAD").strip()
    vault.store(username="zoe", secret="new")
    vault.erase(OTHER)
    vault.store("https://c.example", "carol", "c")
    new = vault.git("rev-parse", "HEAD").strip()
    trees = {}
    for commit in (new, old):
        vault.git("reset", "-q", "--hard", commit)
        trees[commit] = files(vault)
    store = PassStore(environ, vault.warnings.append)
    place = store.repository("")
    assert place is not None
    injector = Injector(monkeypatch, "team")
    for injector.at, injector.error in failures():
        vault.git("reset", "-q", "--hard", old)
        with opened(place, environ) as repository:
            move = apply.Move(repository, old, new)
            data = f"{injector.at}".encode()
            with Transaction(store, place):
                error = injector.run(partial(move.make, store, {"probe": data}))
        why = (injector.at, injector.name, injector.error, error)
        assert vault.get() in (("bob", "old"), ("zoe", "new")), why
        with Transaction(store, place):  # the next one who takes it finishes what was begun
            pass
        assert not os.path.exists(place.journal), why
        head = vault.git("rev-parse", "HEAD").strip()
        assert head == new or error is not None, why
        assert files(vault) == trees[head], why
        assert (contents(Path(place.state, "probe")) == data) == (head == new), why
        assert vault.status == "", why
        if not injector.name:
            break
    assert injector.at > 15
    assert head == new


def files(vault: Vault) -> dict[str, bytes]:
    """What git would commit; a directory may be left that is empty."""
    return {name: data for name, data in vault.tree.items() if data}


def contents(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
