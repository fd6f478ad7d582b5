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


def test_what_syncs_by_itself_is_set_alone(passhelper: Command, ann: Clone) -> None:
    before = ann.git("config", "--list")
    for options in (["--dry-run"], ["--push"], ["--remote", "origin"], ["--gone", "commit"]):
        answer = passhelper("sync", "--auto", "push", *options)
        assert (answer.code, answer.text) == (2, "")
        assert answer.err.decode().splitlines()[0] == (
            "error: --auto sets what is synced automatically, and does nothing else: give it alone"
        )
    assert ann.git("config", "--list") == before


def test_a_dry_run_says_what_it_cannot_tell(passhelper: Command, team: Team, ann: Clone) -> None:
    passhelper("sync")
    bob = team.clone("bob", "--depth", "1")
    bob.at(1_700_000_001).store(secret="bob's")
    ann.at(1_700_000_002).store(secret="ann's")
    assert passhelper("sync").code == 0
    answer = passhelper("sync", "--dry-run", PASSWORD_STORE_DIR=str(bob.path))
    cause = "which side wins, and what both have changed: this clone has a part of the history"
    assert (answer.code, answer.err.decode()) == (0, f"warning: a dry run cannot tell {cause}\n")


def test_a_removal_that_could_not_be_committed_is_still_no_change_of_a_secret(
    passhelper: Command, team: Team, ann: Clone, keys: KeyRing
) -> None:
    """The commit is made later and says what it is: another clone's new secret wins over it."""
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    assert passhelper("sync").code == 0
    bob = team.clone("bob")
    bob.at(1_700_000_001).store(secret="new")
    bob.sync()
    ann.git("config", "commit.gpgSign", "true")
    ann.git("config", "gpg.program", "/bin/false")
    answer = passhelper("recipients", "remove", keys["bob"])
    assert answer.code == 1
    assert answer.text.startswith(f"removed {keys['bob']}")
    assert b"warning: changed but not committed, the next change will commit it: " in answer.err
    assert passhelper("sync").code == 1
    ann.git("config", "--unset", "commit.gpgSign")
    assert passhelper("sync").code == 0
    assert ann.get() == ("bob", "new")
    assert f"Remove recipient: {keys['bob']} bob <bob@example.test>" in ann.subjects
    assert (ann.status, ann.pending) == ("", [])


def test_what_others_have_erased_is_told_and_comes_back(passhelper: Command, team: Team, ann: Clone) -> None:
    ann.store(OTHER, username="deploy")
    assert passhelper("sync").code == 0
    bob = team.clone("bob")
    bob.git("config", "user.name", "Bob\x1b[31m")
    bob.environ.pop("GIT_AUTHOR_NAME")
    bob.erase()
    bob.store(OTHER, username="other")  # changed, not erased
    bob.sync()
    answer = passhelper("sync")
    assert (answer.code, answer.err.decode()) == (
        0, f"warning: erased by Bob?[31m: {SERVER} (bob); to bring it back, run: passhelper restore {SERVER}\n"
    )  # fmt: skip
    document = passhelper("sync", "--json").json["data"]
    assert document["erased"] == []
    answer = passhelper("restore", SERVER)
    erased = ann.git("rev-list", "-1", "--grep", f"^Erase credential for {SERVER}", "HEAD").strip()
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text == f"restored the credential of bob for {SERVER}, as it was in commit {erased[:12]}\n"
    assert passhelper("sync").code == 0
    bob.sync()
    assert bob.get() == ann.get() == ("bob", "s3cret")


def test_who_is_accepted_for_the_store_is_not_let_into_a_server(
    passhelper: Command, team: Team, ann: Clone, keys: KeyRing
) -> None:
    """A set of the whole store lets nobody into a server that has its own list; each list that changes is told."""
    alice, bob, stranger = (keys[name] for name in ("alice", "bob", "stranger"))
    assert passhelper("recipients", "add", bob).code == 0
    assert passhelper("recipients", "remove", "--path", SERVER, bob).code == 0
    assert passhelper("sync").code == 0
    own = ann.entry().parent.relative_to(ann.path) / ".gpg-id"
    assert own.name in {path.name for path in ann.entry().parent.iterdir()}
    mallory = team.clone("mallory")
    mallory.write(str(own), f"{alice}\n{bob}\n".encode())
    mallory.write(".gpg-id", f"{alice}\n{bob}\n{stranger}\n".encode())
    mallory.git("push", "-q")
    everybody = f"{alice},{bob},{stranger}"
    answer = passhelper("sync", "--accept-recipients", everybody)
    assert answer.code == 4
    assert f"recipients changed: +{bob} bob <bob@example.test> ({own})" in answer.err.decode()
    assert f"+{stranger}" not in answer.err.decode()
    host = SERVER.removeprefix("https://")
    answer = passhelper("sync", "--accept-recipients", everybody, "--accept-recipients", f"{host}={alice}")
    assert answer.code == 4
    answer = passhelper("sync", "--accept-recipients", everybody, "--accept-recipients", f"{host}={alice},{bob}")
    assert answer.code == 0
    assert f"accepted: +{stranger} stranger <stranger@example.test> (.gpg-id)\n" in answer.err.decode()
    assert f"accepted: +{bob} bob <bob@example.test> ({own})\n" in answer.err.decode()


def test_a_servers_list_that_goes_is_for_the_readers_of_the_store(
    passhelper: Command, team: Team, ann: Clone, keys: KeyRing
) -> None:
    """Which lets somebody in as much as a new line does."""
    alice, bob = keys["alice"], keys["bob"]
    assert passhelper("recipients", "add", bob).code == 0
    assert passhelper("recipients", "remove", "--path", SERVER, bob).code == 0
    assert passhelper("sync").code == 0
    own = ann.entry().parent.relative_to(ann.path) / ".gpg-id"
    mallory = team.clone("mallory")
    mallory.write(str(own), None)
    mallory.git("push", "-q")
    assert passhelper("sync", PASSHELPER_ACCEPT_RECIPIENTS=f"{alice} {bob}").code == 4
    answer = passhelper("sync", PASSHELPER_ACCEPT_RECIPIENTS=f"{alice},{bob} {SERVER}={alice},{bob}")
    assert answer.code == 0
    assert f"accepted: -{alice} " in answer.err.decode()


@pytest.mark.parametrize("command", [["recipients", "add", "KEY"], ["recipients", "sign"], ["reencrypt"]])
def test_a_command_whose_commit_failed_has_not_succeeded(
    passhelper: Command, ann: Clone, keys: KeyRing, command: list[str]
) -> None:
    if command == ["reencrypt"]:
        ann.entry().write_bytes(keys.encrypt(b"s3cret", "alice", "stranger"))
        ann.git("commit", "-qam", "By hand")
    ann.git("config", "commit.gpgSign", "true")
    ann.git("config", "gpg.program", "/bin/false")
    words = [keys["bob"] if word == "KEY" else word for word in command]
    signing = {"PASSWORD_STORE_SIGNING_KEY": keys["alice"]} if "sign" in command else {}
    more = ["--unbound"] if command == ["reencrypt"] else []
    answer = passhelper(*words, *more, "--json", **signing)
    assert (answer.code, answer.json["data"]["committed"]) == (1, False)
    ann.git("config", "--unset", "commit.gpgSign")
    assert passhelper("sync").code == 0
    assert (ann.status, ann.pending) == ("", [])


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
            "accepted": {},
            "erased": [],
            "imported": [],
            "renewed": [],
            "removed": [],
            "added": [],
            "drift": [],
            "unknown": [],
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
    both = f"{OTHER}={keys['alice']},{keys['bob']}"
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
