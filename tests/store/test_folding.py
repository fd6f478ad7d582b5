"""A disk that does not tell capital letters from small ones: macOS's, Windows', exFAT's."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.worlds.vault import SERVER, Vault

from passhelper.errors import CredentialsNotFoundError, StoreError
from passhelper.store import layout

# Two servers whose directories differ in nothing but the case of a letter.
ONE, OTHER = "https://r.example/aaa", "https://r.example/aaG"


@pytest.fixture(params=["plain", "git"])
def folding(request: pytest.FixtureRequest, folding_store: Path, environ: dict[str, str]) -> Vault:
    """A store on such a disk, with git and without."""
    vault = Vault(environ)
    if request.param == "git":
        subprocess.run(["git", "init", "-q", "-b", "main", str(folding_store)], check=True, env=environ)
    return vault


def assert_committed(vault: Vault) -> None:
    assert vault.warnings == []
    if (vault.path / ".git").exists():
        assert vault.pending == []
        assert vault.git("status", "--porcelain", "--untracked-files=all", "--", FOLDER) == ""
        listed = vault.git("ls-files", "-z", "--", FOLDER).split("\0")[:-1]
        assert vault.git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", FOLDER).split("\0")[:-1] == listed
        there = [str(path.relative_to(vault.path)) for path in (vault.path / FOLDER).rglob("*.gpg")]
        assert sorted(there) == sorted(listed)


def test_the_servers_of_these_tests_fold_together() -> None:
    one, other = layout.encode_server(ONE), layout.encode_server(OTHER)
    assert one != other
    assert one.casefold() == other.casefold()


def test_another_case_of_the_same_user(folding: Vault) -> None:
    for username in ("Bob", "bob", "BOB", "bob"):
        folding.store(username=username, secret=f"of {username}")
        assert folding.get() == (username, f"of {username}")
        assert folding.list() == {SERVER: username}
        assert [path.name for path in folding.directory().iterdir()] == [f"{username}.gpg"]
        assert_committed(folding)


def test_another_form_of_the_same_letters(folding: Vault) -> None:
    """exFAT tells composed letters from decomposed ones, and folds both; macOS's disks do not tell them apart."""
    for username in ("\u00e9", "e\u0301", "\u00c9", "E\u0301"):
        folding.store(username=username, secret=username)
        assert folding.get() == (username, username)
        assert [path.name for path in folding.directory().iterdir()] == [f"{username}.gpg"]
    assert_committed(folding)


def test_several_users_that_differ_otherwise(folding: Vault, keys: KeyRing) -> None:
    for name in ("adam.gpg", "Bob.gpg", "org/Bob.gpg"):
        folding.put(keys.encrypt(b"old", "alice"), file=name)
    folding.store(username="bob", secret="new")
    assert folding.get() == ("bob", "new")
    assert [str(path.relative_to(folding.directory())) for path in folding.directory().rglob("*")] == ["bob.gpg"]
    folding.erase()
    assert folding.list() == {}
    assert_committed(folding)


def test_two_servers_that_the_disk_takes_for_one(folding: Vault) -> None:
    folding.store(ONE, "bob", "of one")
    with pytest.raises(CredentialsNotFoundError):
        folding.get(OTHER)
    before = folding.tree
    with pytest.raises(StoreError) as caught:
        folding.store(OTHER, "bob", "of the other")
    directory = folding.path / FOLDER / layout.encode_server(OTHER)
    assert str(caught.value) == (
        f"{directory} is the directory of {ONE} on this disk, which takes capital and small letters for the same; "
        "set PASSWORD_STORE_DIR to a store on another disk"
    )
    folding.erase(OTHER)
    assert folding.tree == before
    assert folding.list() == {ONE: "bob"}
    assert folding.get(ONE) == ("bob", "of one")
    folding.erase(ONE)
    time.sleep(1.1)  # for which FUSE keeps what it has looked up
    folding.store(OTHER, "bob", "of the other")
    assert folding.list() == {OTHER: "bob"}
    assert_committed(folding)


def test_an_unbound_entry_of_the_other_server_is_not_served(folding: Vault, keys: KeyRing) -> None:
    folding.put(keys.encrypt(b"of one", "alice"), ONE)
    assert folding.get(ONE) == ("bob", "of one")
    with pytest.raises(CredentialsNotFoundError):
        folding.get(OTHER)
