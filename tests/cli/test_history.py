"""``passhelper rotation list``, ``log`` and the ages in ``list``, as a person and a program see them."""

from __future__ import annotations

import base64
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


@pytest.mark.parametrize("name", ["GIT_TRACE", "GIT_TRACE_PERFORMANCE", "GIT_TRACE2_EVENT", "GIT_CURL_VERBOSE"])
def test_what_git_tells_of_itself_is_no_complaint(
    passhelper: Command, past: Path, keys: KeyRing, tmp_path: Path, name: str
) -> None:
    for arguments in (["log"], ["list", "--json"], ["rotation", "list", keys["bob"]], ["recipients", "check"]):
        plain, traced = passhelper(*arguments), passhelper(*arguments, **{name: "1"})
        assert (traced.code, traced.out, traced.err) == (plain.code, plain.out, plain.err)
    trace = tmp_path / "trace"
    assert passhelper("log", GIT_TRACE=str(trace)).code == 0
    assert b"rev-list" in trace.read_bytes()  # a file is left to who asked for it


def test_a_server_by_another_of_its_names(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    """What `get` finds, and no other server's."""
    for name in ("https://a.example", "a.example:443"):
        assert passhelper("log", name).out == passhelper("log", "a.example").out
        assert passhelper("recipients", "check", "--path", name).text.startswith("1 entry, ")
    helper.erase("a.example")
    assert "erased" in passhelper("log", "https://a.example/v2/").text


def test_restore(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    """As of any commit, for the readers of today; what is there is replaced only where a commit is named."""
    helper.store("a.example", "v", "2")
    stored = git(past, "rev-list", "-1", "--grep", r"a.example (u)$", "HEAD")
    answer = passhelper("restore", "a.example")
    cause, remedy = answer.err.decode().splitlines()
    assert (answer.code, cause) == (1, "error: a.example has a credential, of v")
    assert remedy == (
        "hint: for an earlier one run: passhelper log a.example, then passhelper restore a.example --commit COMMIT"
    )
    answer = passhelper("restore", "https://a.example", "--commit", stored[:10], "--json")
    assert answer.code == 0
    assert answer.json["data"] == {"server": "a.example", "username": "u", "commit": stored, "stored": True}
    assert helper.get("a.example").json == {"ServerURL": "a.example", "Username": "u", "Secret": "1"}
    helper.erase("a.example")
    assert passhelper("restore", "a.example", PASSHELPER_IGNORE_WRITES="1").out == b""
    assert helper.list().json == {"b.example": "u"}
    assert passhelper("restore", "a.example").code == 0
    assert helper.get("a.example").json["Secret"] == "1"
    assert passhelper("recipients", "check").code == 0  # bob, who could read that version, cannot now


def test_restore_what_is_not_there(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    first, head = git(past, "rev-list", "--max-parents=0", "HEAD"), git(past, "rev-parse", "HEAD")
    for arguments, cause, remedy in (
        (["no.example"], "nothing was ever stored for no.example", "passhelper log"),
        (["no.example", "--commit", "HEAD"], f"commit {head[:12]} has no credential for no.example",
         "passhelper log no.example, and name a commit that stored it"),
        (["a.example", "--commit", "beef"], "beef is not a commit of this store's history",
         "passhelper log a.example"),
        (["a.example", "--commit", first], f"commit {first[:12]} has no credential for a.example",
         "passhelper log a.example, and name a commit that stored it"),
    ):  # fmt: skip
        answer = passhelper("restore", *arguments)
        assert (answer.code, answer.err.decode()) == (1, f"error: {cause}\nhint: run: {remedy}\n")


def test_restore_only_what_belongs_to_the_server(
    passhelper: Command, helper: Helper, past: Path, keys: KeyRing
) -> None:
    """A copy of another server's file is refused, in the history as in the store."""
    entry = next((past / FOLDER).glob("*/u.gpg"))
    evil = base64.urlsafe_b64encode(b"evil.example").decode()
    (past / FOLDER / evil).mkdir()
    for data, cause in (
        (entry.read_bytes(), f"entry was moved here from another server: {FOLDER}/{evil}/u.gpg"),
        (b"no message", f"{FOLDER}/{evil}/u.gpg of commit HEAD is not an entry: it is not an OpenPGP message"),
    ):
        (past / FOLDER / evil / "u.gpg").write_bytes(data)
        git(past, "add", "--all")
        git(past, "commit", "-qm", "By hand")
        head = git(past, "rev-parse", "HEAD")[:12]
        answer = passhelper("restore", "evil.example", "--commit", "HEAD")
        assert answer.code == 1
        assert answer.err.decode().splitlines()[0] == "error: " + cause.replace("HEAD", head)


def test_only_the_newest(passhelper: Command, helper: Helper, past: Path) -> None:
    whole = passhelper("log", "--json").json["data"]
    for limit in (1, 3, len(whole), len(whole) + 5):
        assert passhelper("log", "--limit", str(limit), "--json").json["data"] == whole[:limit]
    (last,) = passhelper("log", "--limit", "1", "a.example", "--json").json["data"]
    assert last in whole


def test_a_server_that_is_not_there(passhelper: Command, helper: Helper, past: Path, keys: KeyRing) -> None:
    for arguments, cause, remedy in (
        (["log"], "nothing was ever stored for no.example", "passhelper log"),
        (["recipients", "check", "--path"], "nothing is stored for no.example", "passhelper list"),
        (["reencrypt"], "nothing is stored for no.example", "passhelper list"),
    ):
        answer = passhelper(*arguments, "no.example")
        assert (answer.code, answer.text) == (1, "")
        assert answer.err.decode() == f"error: {cause}\nhint: run: {remedy}\n"


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


def test_much_that_one_commit_has_re_encrypted(
    passhelper: Command, helper: Helper, git_store: Path, keys: KeyRing
) -> None:
    """It is one line, but for who asks about a server, about the newest, or for a program."""
    servers = [f"r{number}.example" for number in range(21)]
    for server in servers:
        helper.store(server, "u", "s")
    passhelper("recipients", "add", keys["bob"])
    lines = [line.split() for line in passhelper("log").text.splitlines()]
    assert [line[2] for line in lines[1:4]] == ["recipients", "re-encrypted", "stored"]
    assert lines[2][3:5] == ["21", "credentials"]
    assert [line[2] for line in lines].count("stored") == 21
    assert passhelper("log", "--limit", "30").text.count("re-encrypted") == 21
    assert passhelper("log", servers[0]).text.count("re-encrypted") == 1
    actions = [event["action"] for event in passhelper("log", "--json").json["data"]]
    assert (actions.count("re-encrypted"), actions.count("stored")) == (21, 21)


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
