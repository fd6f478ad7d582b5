"""``docker logout`` in a clone that others share: this clone forgets the credential, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import KeyRing
from support.people.clones import Clone, Team
from support.worlds.vault import SERVER, Vault

from passhelper.errors import ConfigurationError, CredentialsNotFoundError
from passhelper.store.helper import PassHelper

PLAIN = SERVER.removeprefix("https://")


@pytest.fixture
def ann(team: Team, git_store: Path) -> Clone:
    ann = team.adopt(git_store)
    ann.git("config", "--unset", "passhelper.sharedErase")
    ann.store()
    ann.sync()
    return ann


@pytest.fixture
def bob(team: Team, ann: Clone) -> Clone:
    bob = team.clone("bob")
    bob.git("config", "--unset", "passhelper.sharedErase")
    bob.sync()
    return bob


def warning(*servers: str) -> str:
    return (
        f"logged out of {', '.join(servers)} in this clone; the team keeps the credential, and "
        f"passhelper logout --team {' '.join(servers)} erases it for everybody"
    )


def is_gone(clone: Vault, server: str = SERVER) -> bool:
    try:
        clone.helper.get(server)
    except CredentialsNotFoundError:
        return True
    return False


def test_it_is_of_this_clone_alone(ann: Clone, bob: Clone) -> None:
    head = ann.head
    ann.erase()
    assert is_gone(ann)
    assert ann.helper.list() == {}
    assert ann.warnings == [warning(SERVER)]
    report = ann.sync()
    assert (ann.head, report.pushed, report.erased) == (head, 0, [])
    assert is_gone(ann)
    assert bob.sync().erased == []
    assert bob.get() == ("bob", "s3cret")
    ann.erase()  # again, which says nothing
    assert ann.warnings == [warning(SERVER)]


def test_a_login_ends_it(ann: Clone, bob: Clone) -> None:
    ann.erase()
    ann.store(secret="new")
    assert ann.get() == ("bob", "new")
    assert ann.helper.list() == {SERVER: "bob"}
    ann.erase()
    ann.store(secret="new")  # what is there already
    assert ann.get() == ("bob", "new")


def test_what_others_store_meanwhile_does_not(ann: Clone, bob: Clone) -> None:
    ann.erase()
    bob.store(secret="newer")
    bob.sync()
    ann.sync()
    assert is_gone(ann)


def test_every_name_of_the_registry(ann: Clone) -> None:
    ann.erase(PLAIN)
    assert ann.warnings == [warning(SERVER)]
    assert is_gone(ann)
    assert is_gone(ann, PLAIN)
    ann.store(PLAIN, secret="plain")
    assert ann.helper.get(PLAIN).secret == "plain"
    assert ann.helper.get(SERVER).secret == "plain"  # never the one that was logged out of
    assert ann.helper.list() == {PLAIN: "bob"}


@pytest.mark.parametrize("value", ["true", "yes", "on", "1", "TRUE"])
def test_the_setting_makes_it_one_for_all(ann: Clone, bob: Clone, value: str) -> None:
    ann.git("config", "passhelper.sharedErase", value)
    ann.erase()
    assert ann.warnings == []
    assert not ann.entry().exists()
    ann.sync()
    bob.sync()
    assert is_gone(bob)


@pytest.mark.parametrize("value", ["false", "no", "0", "off", ""])
def test_the_setting_may_say_no(ann: Clone, value: str) -> None:
    ann.git("config", "passhelper.sharedErase", value)
    ann.erase()
    assert ann.entry().exists()


def test_an_unknown_value_is_refused(ann: Clone) -> None:
    ann.git("config", "passhelper.sharedErase", "ture")
    with pytest.raises(ConfigurationError) as caught:
        ann.erase()
    assert str(caught.value) == (
        "git config passhelper.sharedErase is neither true nor false: ture; "
        f"run: git -C {ann.path} config passhelper.sharedErase false"
    )
    assert ann.get() == ("bob", "s3cret")


def test_who_asks_for_it_erases_for_all(ann: Clone) -> None:
    ann.erase()
    PassHelper(ann.environ, ann.warnings.append, shared_erase=True).erase(SERVER)
    assert not ann.entry().exists()
    ann.store()
    assert ann.get() == ("bob", "s3cret")


def test_a_store_without_a_remote_is_nobody_elses(git_store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    vault = Vault(environ)
    vault.store()
    vault.erase()
    assert not vault.entry().exists()
    assert vault.warnings == []


def test_a_linked_work_tree(ann: Clone, tmp_path: Path) -> None:
    """Its ``.git`` is a file; what is noted is of that work tree."""
    linked = tmp_path / "linked"
    ann.git("worktree", "add", "-q", "-b", "other", str(linked))
    other = Clone({**ann.environ, "PASSWORD_STORE_DIR": str(linked)})
    other.erase()
    assert is_gone(other)
    assert other.helper.list() == {}
    assert ann.get() == ("bob", "s3cret")
    other.store()
    assert other.get() == ("bob", "s3cret")


def test_whoever_can_push_cannot_make_a_clone_forget(ann: Clone, bob: Clone) -> None:
    """What is noted lies in the git directory, where nothing of a push arrives."""
    bob.erase()
    assert bob.git("status", "--porcelain") == ""
    assert [name for name in bob.git("ls-files").split() if "logged-out" in name] == []
