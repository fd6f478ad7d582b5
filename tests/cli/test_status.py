"""``passhelper status``: how a store stands, without asking anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import KeyRing
from support.machines.new import Command
from support.people.clones import Clone, Team
from support.worlds.vault import SERVER

OTHER = "https://b.example"


@pytest.fixture
def ann(team: Team, git_store: Path, environ: dict[str, str]) -> Clone:
    """The store of the command's environment."""
    ann = team.adopt(git_store)
    ann.at(1_700_000_000).store()
    return ann


def facts(text: str) -> dict[str, str]:
    return {line[:12].strip(): line[12:] for line in text.splitlines()}


def test_a_shared_store(passhelper: Command, team: Team, ann: Clone) -> None:
    found = facts(passhelper("status").text)
    assert found["remote"] == "origin/main: nothing was ever fetched; run: passhelper sync"
    assert (found["last sync"], found["credentials"]) == ("never", "1")
    assert found["oldest"].startswith(f"{SERVER}, changed ")
    assert passhelper("sync").code == 0
    bob = team.clone("bob")
    bob.store(OTHER)
    bob.sync()
    ann.store("https://c.example")
    answer = passhelper("status")
    assert (answer.code, answer.err) == (0, b"")
    assert facts(answer.text)["remote"] == "origin/main: 1 commit to push"
    assert facts(answer.text)["last sync"] == "today"
    before = ann.head
    assert facts(passhelper("status", "--fetch").text)["remote"] == "origin/main: 1 commit to push, 1 commit to merge"
    assert ann.head == before
    assert passhelper("sync").code == 0
    assert facts(passhelper("status").text)["remote"] == "origin/main: up to date"


def test_no_answer_of_the_remote(passhelper: Command, team: Team, ann: Clone) -> None:
    assert passhelper("sync").code == 0
    with team.offline():
        assert passhelper("status").code == 0
        answer = passhelper("status", "--fetch")
    assert answer.code == 6
    assert answer.err.startswith(b"error: the remote origin cannot be fetched from: ")


def test_what_waits(passhelper: Command, team: Team, ann: Clone, keys: KeyRing) -> None:
    """For acceptance, for a commit: exit codes and words of doctor."""
    assert passhelper("sync").code == 0
    bob = team.clone("bob")
    bob.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    bob.git("push", "-q")
    assert passhelper("sync").code == 4
    answer = passhelper("status")
    assert answer.code == 4
    waits = f"warning: commit {bob.head[:12]} of the remote waits for you; run: passhelper recipients accept\n"
    assert answer.err.decode() == waits
    ann.git("config", "commit.gpgSign", "true")
    ann.git("config", "gpg.program", "/bin/false")
    ann.store(OTHER)
    answer = passhelper("status", "--json")
    found = answer.json["data"]
    assert (answer.code, found["refused"], found["ahead"], found["behind"]) == (4, bob.head, 0, 1)
    (pending,) = [check for check in found["checks"] if check["id"] == "git.pending"]
    assert pending["findings"][0]["cause"] == "1 change waits for its commit"


def test_keys_that_expire(passhelper: Command, store: Path, keys: KeyRing) -> None:
    """The store's readers, by the warnings of doctor."""
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['expired']}\n")
    answer = passhelper("status")
    assert answer.code == 1
    assert b" expired on " in answer.err


def test_a_store_without_git(passhelper: Command, store: Path) -> None:
    answer = passhelper("status")
    assert (answer.code, answer.err) == (0, b"")
    assert facts(answer.text) == {
        "store": str(store), "remote": "none: the store is not a git repository", "credentials": "0"
    }  # fmt: skip
    found = passhelper("status", "--json").json["data"]
    assert (found["is_repository"], found["oldest"], found["synced"], found["ahead"]) == (False, None, None, None)


def test_a_store_without_a_remote(passhelper: Command, git_store: Path) -> None:
    assert facts(passhelper("status").text)["remote"] == "none"


def test_no_store(passhelper: Command, environ: dict[str, str]) -> None:
    answer = passhelper("status", PASSWORD_STORE_DIR=f"{environ['HOME']}/none")
    assert (answer.code, facts(answer.text)["credentials"]) == (1, "0")
    assert f"warning: no password store at {environ['HOME']}/none; run: passhelper setup" in answer.err.decode()
