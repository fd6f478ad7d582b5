"""``passhelper rotation list``, ``log`` and the ages in ``list``, as a person and a program see them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing
from support.machines.jobs import git
from support.machines.new import Command


@pytest.fixture
def past(passhelper: Command, helper: Helper, git_store: Path, keys: KeyRing) -> Path:
    """A store that bob could read for a while."""
    helper.store("a.example", "u", "1")
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    helper.store("b.example", "u", "b")
    assert passhelper("recipients", "remove", keys["bob"]).code == 0
    return git_store


def test_rotation_until_all_is_done(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    answer = passhelper("rotation", "list", "bob@example.test")
    assert (answer.code, answer.err) == (3, b"")
    header, first, second = answer.text.splitlines()
    assert header.split() == ["SERVER", "USER", "STATE", "FIRST", "READABLE", "LAST", "READABLE"]
    today, commit = time.strftime("%Y-%m-%d", time.gmtime()), git(past, "rev-parse", "HEAD~2")[:10]
    assert first.split() == ["a.example", "u", "unchanged", today, commit, today, commit]
    assert second.split()[:3] == ["b.example", "u", "unchanged"]
    helper.store("a.example", "u", "2")
    answer = passhelper("rotation", "list", keys["bob"])
    assert answer.code == 3
    assert [line.split()[0] for line in answer.text.splitlines()[1:]] == ["b.example"]
    helper.erase("b.example")
    answer = passhelper("rotation", "list", keys["bob"])
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err == b"every credential that this key could read has been changed or erased\n"
    answer = passhelper("rotation", "list", keys["bob"], "--all")
    assert answer.code == 0
    assert [line.split()[2] for line in answer.text.splitlines()[1:]] == ["changed", "erased"]


def test_rotation_for_programs(passhelper: Command, past: Path, keys: KeyRing) -> None:
    answer = passhelper("rotation", "list", keys["bob"], "--json")
    assert answer.code == 3
    document = answer.json
    assert (document["version"], document["command"]) == (1, "rotation list")
    first = document["data"][0]
    assert list(first) == ["server", "username", "state", "open", "certain", "first", "last", "moved_to"]
    assert (first["server"], first["state"], first["open"], first["certain"]) == ("a.example", "unchanged", True, True)
    assert first["first"]["commit"] == git(past, "rev-parse", "HEAD~2")
    assert first["first"]["time"].endswith("Z")


def test_rotation_of_what_has_moved(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    helper.erase("b.example")
    helper.store("https://b.example", "deploy", "b")
    answer = passhelper("rotation", "list", keys["bob"])
    assert answer.code == 3
    assert [line.split()[:6] for line in answer.text.splitlines()[2:]] == [
        ["b.example", "u", "moved", "to", "https://b.example", "(deploy)"]
    ]
    (moved,) = [item for item in passhelper("rotation", "list", keys["bob"], "--json").json["data"] if item["moved_to"]]
    assert (moved["state"], moved["open"]) == ("moved", True)
    assert moved["moved_to"] == [{"server": "https://b.example", "username": "deploy"}]
    assert passhelper("recipients", "add", keys["bob"], "--path", "a.example").code == 0
    answer = passhelper("recipients", "remove", keys["bob"], "--path", "a.example")
    assert answer.text.splitlines()[-1] == "a.example (u)"
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    helper.erase("a.example")
    answer = passhelper("recipients", "remove", keys["bob"])
    assert answer.text.splitlines()[-1] == "https://b.example (deploy)"


def test_rotation_of_a_stranger(passhelper: Command, past: Path, keys: KeyRing) -> None:
    answer = passhelper("rotation", "list", keys["stranger"])
    assert (answer.code, answer.err) == (0, b"this key could never read a credential here\n")
    answer = passhelper("rotation", "list", "nobody@example.test")
    assert (answer.code, answer.err.splitlines()[0]) == (1, b"error: no key for nobody@example.test in this keyring")


def test_log(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    git(past, "config", "user.name", "[bold]Eve")
    git(past, "config", "user.email", "eve@example.test")
    helper.erase("a.example")
    answer = passhelper("log")
    assert (answer.code, answer.err) == (0, b"")
    rows = [line.split() for line in answer.text.splitlines()]
    assert rows[0] == ["WHEN", "WHO", "WHAT", "SERVER", "USER", "COMMIT"]
    bob, alice = keys["bob"][-16:], keys["alice"][-16:]
    assert [row[1:-1] for row in rows[1:]] == [
        ["[bold]Eve", "erased", "a.example", "u"],
        ["passhelper", "recipients", f"-{bob}"],
        ["passhelper", "re-encrypted", "a.example", "u"],
        ["passhelper", "re-encrypted", "b.example", "u"],
        ["passhelper", "stored", "b.example", "u"],
        ["passhelper", "recipients", f"+{bob}"],
        ["passhelper", "re-encrypted", "a.example", "u"],
        ["passhelper", "stored", "a.example", "u"],
        ["t", "recipients", f"+{alice}"],
    ]
    assert rows[1][-1] == git(past, "rev-parse", "HEAD")[:10]


def test_log_of_one_server_for_programs(passhelper: Command, past: Path, keys: KeyRing) -> None:
    document = passhelper("log", "b.example", "--json").json
    assert (document["version"], document["command"]) == (1, "log")
    events = document["data"]
    assert [event["action"] for event in events] == [
        "recipients", "re-encrypted", "stored", "recipients", "recipients",
    ]  # fmt: skip
    assert list(events[1]) == ["commit", "time", "author", "email", "action", "server", "username", "path"]
    assert (events[0]["added"], events[0]["removed"], events[0]["path"]) == ([], [keys["bob"]], ".gpg-id")
    assert {event["server"] for event in events} == {"", "b.example"}


def test_log_with_neutral_subjects(passhelper: Command, helper: Helper, git_store: Path, keys: KeyRing) -> None:
    """What happened is read from what changed, not from what is written about it."""
    git(git_store, "config", "passhelper.neutralCommits", "true")
    for server in ("a.example", "b.example"):
        helper.store(server, "u", "1")
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    assert set(git(git_store, "log", "--format=%s").splitlines()) == {"Update credential", "Begin"}
    actions = [event["action"] for event in passhelper("log", "--json").json["data"]]
    assert actions == ["recipients", "re-encrypted", "re-encrypted", "stored", "stored", "recipients"]


def test_log_without_history(passhelper: Command, store: Path) -> None:
    answer = passhelper("log")
    assert (answer.code, answer.err.decode()) == (
        1,
        f"error: {store} is not a git repository, so it has no history\nhint: run: passhelper setup --git\n",
    )
    git(store, "init", "-q")
    assert passhelper("log").err == b"nothing has happened yet\n"


def test_odd_history_does_not_stop_the_log(passhelper: Command, git_store: Path) -> None:
    """Files that are not entries, lists that are not lists, names that fool parsers."""
    odd = git_store / FOLDER / "YS5leGFtcGxl"
    odd.mkdir(parents=True)
    (odd / ".gpg-id").write_bytes(b"\xff-x\n")
    (odd / "README").write_text("x")
    (odd / "a\nb.gpg").write_text("x")
    git(git_store, "add", "--all")
    git(git_store, "-c", "user.name=a\x01b: :100644 c", "commit", "-q", "-m", ":1 \x01deadbeef")
    (odd / ".gpg-id").write_text("A" * 40)
    git(git_store, "commit", "-q", "-a", "-m", "Mend")
    events = passhelper("log", "--json").json["data"]
    assert [(event["action"], event["server"]) for event in events] == [
        ("recipients", "a.example"), ("recipients", "a.example"), ("recipients", ""),
    ]  # fmt: skip
    assert events[0]["added"] == ["A" * 40]
    assert events[1]["added"] == []


def test_re_encryption_makes_no_credential_younger(
    passhelper: Command, helper: Helper, git_store: Path, keys: KeyRing
) -> None:
    stamp = f"@{int(time.time()) - 400 * 86400} +0000"
    for server in ("a.example", "b.example"):
        helper.store(server, "u", "s", GIT_COMMITTER_DATE=stamp, GIT_AUTHOR_DATE=stamp)
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    helper.store("b.example", "u", "new")
    lines = passhelper("list").text.splitlines()[1:]
    assert [" ".join(line.split()[2:5]) for line in lines] == ["1 year ago", "just now alice"]
