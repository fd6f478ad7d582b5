"""A member whose disk does not tell capital letters from small ones, and one whose disk does."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
from support import FOLDER
from support.people.clones import Clone, Team, converge
from support.worlds.vault import SERVER

from passhelper.errors import CredentialsNotFoundError, StoreError, TrustError
from passhelper.store.layout import encode_server

# Two servers whose directories differ in nothing but the case of a letter.
ONE, OTHER = "https://r.example/aaa", "https://r.example/aaG"


@pytest.fixture
def ann(team: Team, git_store: Path) -> Clone:
    """Her disk tells them apart."""
    ann = team.adopt(git_store)
    ann.store(username="Bob", secret="first")
    ann.sync()
    return ann


@pytest.fixture
def bob(team: Team, ann: Clone, folding_disk: Path) -> Clone:
    """His does not."""
    path = folding_disk / "bob"
    command = ["git", "clone", "-q", f"file://{team.remote}", str(path)]
    subprocess.run(command, check=True, env=team.environ, capture_output=True)
    bob = Clone({**team.environ, "PASSWORD_STORE_DIR": str(path)})
    bob.sync()
    assert bob.git("config", "core.ignorecase").strip() == "true"
    return bob


def names(clone: Clone) -> list[str]:
    return sorted(path.name for path in (clone.path / FOLDER).rglob("*.gpg"))


@pytest.mark.parametrize("there", ["stays as it was", "has changed too"])
def test_a_user_in_another_case_comes(ann: Clone, bob: Clone, there: str) -> None:
    if there == "has changed too":
        bob.at(1_600_000_000).store(username="Bob", secret="second")
    for username in ("bob", "BOB", "Bob"):
        ann.store(username=username, secret=f"of {username}")
        converge(ann, bob)
        for clone in (ann, bob):
            assert clone.get() == (username, f"of {username}")
            assert names(clone) == [f"{username}.gpg"]
            assert clone.warnings == []


def test_a_user_in_another_case_goes_out(ann: Clone, bob: Clone) -> None:
    for username in ("bob", "BOB"):
        bob.store(username=username, secret=f"of {username}")
        converge(bob, ann)
        for clone in (ann, bob):
            assert clone.get() == (username, f"of {username}")
            assert names(clone) == [f"{username}.gpg"]


def test_both_change_the_case(ann: Clone, bob: Clone) -> None:
    bob.at(1_700_000_000).store(username="bob", secret="earlier")
    ann.at(1_700_000_100).store(username="BOB", secret="later")
    converge(bob, ann)
    for clone in (ann, bob):
        assert clone.get() == ("BOB", "later")
        assert names(clone) == ["BOB.gpg"]


def test_a_server_takes_the_place_of_another(ann: Clone, bob: Clone) -> None:
    ann.store(ONE, "bob", "of one")
    converge(ann, bob)
    ann.erase(ONE)
    ann.store(OTHER, "zoe", "of the other")
    ann.sync()
    with contextlib.suppress(FileNotFoundError):  # FUSE finds for a second what it has looked up and is gone
        bob.sync()
    time.sleep(1.1)
    converge(ann, bob)  # which finishes what the journal says
    assert bob.get(OTHER) == ("zoe", "of the other")
    assert bob.list() == {SERVER: "Bob", OTHER: "zoe"}
    with pytest.raises(CredentialsNotFoundError):
        bob.get(ONE)


def test_two_servers_that_his_disk_takes_for_one(ann: Clone, bob: Clone) -> None:
    """Others can have both; he has the one that was there first, and is told."""
    bob.store(ONE, "bob", "of one")
    converge(bob, ann)
    ann.store(OTHER, "bob", "of the other")
    ann.sync()
    before = bob.files
    with pytest.raises(TrustError) as caught:
        bob.sync()
    assert f"a path that this file system takes for {FOLDER}/{encode_server(OTHER)}" in str(caught.value)
    assert bob.files == before
    assert bob.get(ONE) == ("bob", "of one")
    assert ann.list() == {SERVER: "Bob", ONE: "bob", OTHER: "bob"}


def test_each_has_one_of_them(ann: Clone, bob: Clone) -> None:
    ann.store(OTHER, "zoe", "of the other")
    ann.sync()
    bob.store(ONE, "bob", "of one")
    before = bob.files
    with pytest.raises(StoreError) as caught:
        bob.sync()
    directories = [f"{FOLDER}/{encode_server(server)}" for server in (OTHER, ONE)]
    assert str(caught.value) == (
        f"{directories[0]}/zoe.gpg and {directories[1]} are one name on this disk, which takes capital and small "
        "letters for the same; set PASSWORD_STORE_DIR to a clone on another disk"
    )
    assert bob.files == before
    assert bob.get(ONE) == ("bob", "of one")


def test_a_name_that_his_disk_cannot_hold(ann: Clone, bob: Clone) -> None:
    """He writes it in another way, which all can read; hers he cannot have, and nothing is begun."""
    bob.store(ONE, "<token>", "of his")
    converge(bob, ann)
    for clone in (ann, bob):
        assert clone.get(ONE) == ("<token>", "of his")
    ann.store("https://b.example", "<token>", "of hers")
    ann.sync()
    before = bob.files
    with pytest.raises(
        StoreError, match=r"this disk cannot hold the name of .*/<token>.gpg: .*; set PASSWORD_STORE_DIR"
    ):
        bob.sync()
    assert bob.files == before
    bob.store(secret="and he can go on")
    assert bob.warnings == []
