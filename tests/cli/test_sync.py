"""``passhelper sync``: what it says, and what it exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import FOLDER, KeyRing, Program
from support.machines.new import Command
from support.people.clones import Clone, Team
from support.people.terminals import Person
from support.worlds.vault import SERVER

OTHER = "https://b.example"


@pytest.fixture
def ann(team: Team, git_store: Path, environ: dict[str, str]) -> Clone:
    """The store of the command's environment."""
    ann = team.adopt(git_store)
    ann.store()
    return ann


def test_everybody_in_words(passhelper: Command, team: Team, ann: Clone) -> None:
    answer = passhelper("sync")
    assert (answer.code, answer.text, answer.err) == (0, "2 commits pushed to origin/main\n", b"")
    answer = passhelper("sync")
    assert (answer.code, answer.text, answer.err) == (0, "up to date with origin/main\n", b"")
    bob = team.clone("bob")
    bob.at(1_700_000_001).store(secret="bob's")
    bob.sync()
    ann.at(1_700_000_002).store(secret="ann's")
    dry = passhelper("sync", "--dry-run")
    assert (dry.code, dry.text) == (
        0, "1 commit would be merged from origin/main\n1 commit would be pushed to origin/main\n"
    )  # fmt: skip
    tips = (ann.head[:12], bob.head[:12])
    answer = passhelper("sync")
    assert (answer.code, answer.text) == (
        0, "1 commit merged from origin/main\n2 commits pushed to origin/main\n"
    )  # fmt: skip
    told = f"warning: changed on both sides: {SERVER}: ours {tips[0]} over {tips[1]}\n"
    assert answer.err.decode() == told == dry.err.decode()


def test_progress_on_a_terminal(installed: Program, ann: Clone) -> None:
    person = Person()
    answer = person.run([installed.passhelper, "sync"], {**ann.environ, "TERM": "xterm"}, b"")
    assert (answer.code, answer.text) == (0, "2 commits pushed to origin/main\n")
    # Which of them is drawn is a matter of how fast it goes.
    said = (b"looking at the store", b"fetching origin/main", b"pushing to origin/main", b"looking for drift")
    assert any(text in person.screen for text in said), person.screen


def test_everything_for_programs(passhelper: Command, team: Team, ann: Clone) -> None:
    passhelper("sync")
    bob = team.clone("bob")
    bob.at(1_700_000_001).store(secret="bob's")
    bob.sync()
    ann.at(1_700_000_000).store(secret="ann's")
    tips = (ann.head, bob.head)
    answer = passhelper("sync", "--json")
    assert (answer.code, answer.err) == (0, b"")
    assert json.loads(answer.out) == {
        "version": 1,
        "command": "sync",
        "data": {
            "remote": "origin",
            "branch": "main",
            "committed": 0,
            "restored": 0,
            "fetched": 1,
            "pushed": 2,
            "kept": 0,
            "conflicts": [
                {"kind": "server", "name": SERVER, "winner": "theirs", "winning": tips[1], "losing": tips[0]}
            ],
            "imported": [],
            "removed": [],
            "added": [],
            "drift": [],
            "dry_run": False,
        },
    }


def test_a_remote_that_is_away(passhelper: Command, team: Team, ann: Clone) -> None:
    passhelper("sync")
    with team.offline():
        answer = passhelper("sync", "--json")
    assert (answer.code, answer.out) == (6, b"")
    assert answer.err.decode().startswith("error: the remote origin cannot be fetched from: fatal: ")
    assert answer.err.decode().splitlines()[1] == f"hint: look: git -C {ann.path} fetch origin"


def test_new_recipients(passhelper: Command, team: Team, ann: Clone, keys: KeyRing) -> None:
    passhelper("sync")
    bob = team.clone("bob")
    bob.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    bob.git("push", "-q")
    answer = passhelper("sync")
    assert answer.code == 4
    assert f"recipients changed: +{keys['bob']} bob <bob@example.test>" in answer.err.decode()
    assert "hint: run: passhelper recipients accept" in answer.err.decode()
    assert not ann.holds(bob.head)
    only_one = passhelper("sync", "--accept-recipients", keys["bob"])
    assert only_one.code == 4
    answer = passhelper("sync", "--accept-recipients", keys["bob"], "--accept-recipients", keys["alice"])
    assert (answer.code, ann.holds(bob.head)) == (0, True)
    assert f"readers added to {SERVER}" in answer.text
    ann.store(OTHER)  # what came in is accepted now


def test_drift_that_a_person_has_to_decide(passhelper: Command, team: Team, ann: Clone, keys: KeyRing) -> None:
    """An entry that is bound to no place gets no reader by itself."""
    passhelper("sync")
    bob = team.clone("bob")
    path = f"{FOLDER}/{bob.directory(OTHER).name}"
    bob.write(f"{path}/.gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    bob.write(f"{path}/bob.gpg", keys.encrypt(b"x", "alice"))
    bob.git("push", "-q")
    both = f"{keys['alice']} {keys['bob']}"
    answer = passhelper("sync", "--accept-recipients", both)
    assert answer.code == 3
    assert f"passhelper reencrypt {OTHER}" in answer.err.decode()
    document = json.loads(passhelper("sync", "--json").out)
    assert len(document["data"]["drift"]) == 1


@pytest.mark.parametrize(
    ("wanted", "kept", "said"),
    [
        ("push,pull", "push,pull", "automatic sync: push, pull\n"),
        ("pull, push", "push,pull", "automatic sync: push, pull\n"),
        ("push", "push", "automatic sync: push\n"),
        ("off", "off", "automatic sync: off\n"),
    ],
)
def test_automatic_sync(passhelper: Command, ann: Clone, wanted: str, kept: str, said: str) -> None:
    answer = passhelper("sync", "--auto", wanted)
    assert (answer.code, answer.text, answer.err) == (0, said, b"")
    assert ann.git("config", "--local", "passhelper.sync") == f"{kept}\n"
    assert ann.git("for-each-ref", "refs/remotes") == ""


def test_automatic_sync_of_another_kind(passhelper: Command, ann: Clone) -> None:
    answer = passhelper("sync", "--auto", "always")
    assert answer.code == 1
    assert answer.err.decode() == (
        "error: --auto cannot be 'always'\nhint: use push, pull, push,pull or off\n"
    )  # fmt: skip
    answer = passhelper("sync", "--auto", "push", "--json")
    assert json.loads(answer.out)["data"] == {"auto": ["push"]}
