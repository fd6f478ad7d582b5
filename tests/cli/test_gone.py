"""What is gone from the work tree though no command of ours has removed it: nobody loses it by a ``sync``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.machines.new import Command
from support.people.clones import Clone, Team
from support.worlds.vault import SERVER

OTHER = "https://b.example"


@pytest.fixture
def ann(passhelper: Command, team: Team, git_store: Path) -> Clone:
    """Who has shared two credentials."""
    ann = team.adopt(git_store)
    ann.store()
    ann.store(OTHER)
    assert passhelper("sync").code == 0
    return ann


def refused(path: Path, names: str, verb: str) -> str:
    return (
        f"error: {names} in {path} {verb} gone, and no command of passhelper has removed that\n"
        "hint: run: passhelper sync --gone restore, which brings all of it back, or passhelper sync --gone commit, "
        "which removes it for everybody\n"
    )


def test_a_removed_folder(passhelper: Command, team: Team, ann: Clone) -> None:
    before, files = team.head, ann.files
    shutil.rmtree(ann.path / FOLDER)
    first = f"{FOLDER}/{ann.directory().name}/bob.gpg"
    for arguments in (["sync"], ["sync", "--dry-run"]):
        answer = passhelper(*arguments)
        assert (answer.code, answer.err.decode()) == (1, refused(ann.path, f"{first} and 1 more", "are"))
    answer = passhelper("setup", "--git", "--no-docker")
    assert (team.head, ann.head) == (before, before), answer.err
    answer = passhelper("sync", "--gone", "restore")
    assert (answer.code, answer.text) == (0, "2 files brought back\n")
    assert (ann.files, team.head) == (files, before)


def test_what_shall_be_gone(passhelper: Command, team: Team, ann: Clone) -> None:
    """A person may say so; what a command has removed needs no word, also if its commit had failed."""
    lock = ann.path / ".git" / "index.lock"
    lock.touch()
    assert passhelper("logout", OTHER).code == 0
    lock.unlink()
    assert passhelper("sync").code == 0
    ann.entry().unlink()
    answer = passhelper("sync")
    assert answer.err.decode() == refused(ann.path, f"{FOLDER}/{ann.directory().name}/bob.gpg", "is")
    answer = passhelper("sync", "--gone", "commit")
    assert (answer.code, answer.text) == (0, "1 local change committed first\n1 commit pushed to origin/main\n")
    assert FOLDER not in team.git("ls-tree", "-r", "--name-only", "main")


def test_a_work_tree_with_a_part_of_the_store(passhelper: Command, ann: Clone, keys: KeyRing) -> None:
    """What is not checked out cannot be encrypted anew, so nobody is told that it was."""
    ann.git("sparse-checkout", "set", "--no-cone", "/*", f"!/{FOLDER}/*", f"/{FOLDER}/{ann.directory().name}")
    before = ann.head
    message = (
        f"error: 1 of the store's files is not checked out in {ann.path}\n"
        f"hint: run: git -C {ann.path} sparse-checkout disable\n"
    )
    for arguments in (["recipients", "add", keys["bob"]], ["recipients", "check"], ["reencrypt"], ["sync"]):
        answer = passhelper(*arguments)
        assert (answer.code, answer.err.decode()) == (1, message), arguments
    assert ann.head == before
    ann.git("sparse-checkout", "disable")
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    ann.entry().unlink()
    ann.git("update-index", "--skip-worktree", f"{FOLDER}/{ann.directory().name}/bob.gpg")
    answer = passhelper("sync")
    assert (answer.code, answer.err.decode()) == (1, message)
    ann.git("sparse-checkout", "disable")
    assert ann.get(SERVER) == ("bob", "s3cret")
    assert passhelper("sync").code == 0
