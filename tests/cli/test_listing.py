"""``passhelper list`` on real stores and their real history."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from support import FOLDER, Helper, KeyRing
from support.machines.new import Command


def test_table(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("b.example", "[bold]bob", "s")
    helper.store("a.example" + "x" * 150, "alice", "s")
    answer = passhelper("list")
    assert (answer.code, answer.err) == (0, b"")
    header, first, second = answer.text.splitlines()
    assert header.split() == ["SERVER", "USER", "CHANGED", "READERS"]
    assert first.split() == ["a.example" + "x" * 150, "alice", "-", "alice", "<alice@example.test>"]
    assert second.split() == ["b.example", "[bold]bob", "-", "alice", "<alice@example.test>"]
    assert "\x1b" not in answer.text


def test_json_envelope(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    (git_store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['stranger']}\n")
    helper.store("a.example", "alice", "s")
    document = passhelper("list", "--json").json
    assert list(document) == ["version", "command", "data"]
    assert (document["version"], document["command"]) == (1, "list")
    (entry,) = document["data"]
    assert list(entry) == ["server", "username", "changed", "readers", "trouble", "logged_out"]
    assert (entry["server"], entry["username"], entry["trouble"]) == ("a.example", "alice", "")
    assert entry["changed"].startswith(time.strftime("%Y-", time.gmtime()))
    assert [(reader["fingerprint"], reader["uid"]) for reader in entry["readers"]] == [
        (keys["alice"], "alice <alice@example.test>"),
        (keys["stranger"], "stranger <stranger@example.test>"),
    ]


def test_json_is_exact_in_every_encoding(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example", "jürgen€", "s")
    answer = passhelper("list", "--json", PYTHONIOENCODING="iso-8859-1")
    assert json.loads(answer.out.decode("ascii"))["data"][0]["username"] == "jürgen€"


def test_age_from_the_last_commit(passhelper: Command, git_store: Path, helper: Helper) -> None:
    for server, days in (("a.example", 400), ("b.example", 3), ("c.example", 0)):
        stamp = f"@{int(time.time()) - days * 86400} +0000"
        helper.store(server, "u", "s", GIT_COMMITTER_DATE=stamp, GIT_AUTHOR_DATE=stamp)
    lines = passhelper("list").text.splitlines()[1:]
    assert [" ".join(line.split()[2:-2]) for line in lines] == ["1 year ago", "3 days ago", "just now"]


def test_only_what_is_older(passhelper: Command, git_store: Path, helper: Helper) -> None:
    for server, days in (("a.example", 400), ("b.example", 3)):
        stamp = f"@{int(time.time()) - days * 86400} +0000"
        helper.store(server, "u", "s", GIT_COMMITTER_DATE=stamp, GIT_AUTHOR_DATE=stamp)
    for days, servers in ((500, []), (300, ["a.example"]), (2, ["a.example", "b.example"])):
        answer = passhelper("list", "--older-than", str(days), "--json")
        assert [row["server"] for row in answer.json["data"]] == servers
    answer = passhelper("list", "--older-than", "500")
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err == b"no credential here was last changed more than 500 days ago\n"


def test_ages_that_nobody_knows(passhelper: Command, store: Path, helper: Helper) -> None:
    assert passhelper("list", "--older-than", "5").code == 0
    helper.store("a.example", "u", "s")
    answer = passhelper("list", "--older-than", "5")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        "error: without the whole git history of the store nobody knows how old a credential is\n"
        "hint: run: passhelper setup --git, or git fetch --unshallow in a shallow clone\n"
    )


def test_a_shallow_clone_has_no_ages(
    passhelper: Command, git_store: Path, helper: Helper, tmp_path: Path, environ: dict[str, str]
) -> None:
    helper.store("a.example", "u", "s")
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--depth", "1", f"file://{git_store}", str(clone)]
    subprocess.run(command, check=True, env=environ)
    assert passhelper("list", "--json", PASSWORD_STORE_DIR=str(clone)).json["data"][0]["changed"] is None


def test_the_history_is_read_without_running_anything(
    passhelper: Command, git_store: Path, helper: Helper, tmp_path: Path
) -> None:
    helper.store("a.example", "u", "s")
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "core.pager"):
        subprocess.run(["git", "-C", str(git_store), "config", name, str(program)], check=True)
    (git_store / ".gitattributes").write_text("* diff=x\n")
    other = {
        "GIT_DIR": str(tmp_path / "none"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "none"),
        "GIT_EXTERNAL_DIFF": str(program),
        "PASSHELPER_PASSPHRASE": "canary",
    }
    assert passhelper("list", "--json", **other).json["data"][0]["changed"] is not None
    assert not (tmp_path / "ran").exists()


def test_readable_by(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    helper.store("a.example", "u", "s")
    (store / ".gpg-id").write_text(f"{keys['bob']}\n")
    helper.store("b.example", "u", "s")
    for key in ("bob@example.test", keys["bob"]):
        assert [entry["server"] for entry in passhelper("list", "--readable-by", key, "--json").json["data"]] == [
            "b.example"
        ]
    answer = passhelper("list", "--readable-by", "stranger@example.test")
    assert (answer.code, answer.text) == (0, "")
    assert answer.err.decode() == f"no credentials in {store} that stranger@example.test can read\n"
    answer = passhelper("list", "--readable-by", "nobody@example.test")
    assert (answer.code, answer.err.splitlines()[0]) == (
        1, b"error: no key for nobody@example.test in this keyring",
    )  # fmt: skip


def test_unknown_and_hidden_readers(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    helper.store("a.example", "u", "s")
    (file,) = (store / FOLDER).glob("*/u.gpg")
    file.write_bytes(keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",)))
    assert "(hidden)" in passhelper("list").text
    answer = passhelper("list", "--readable-by", "bob@example.test")
    assert "a.example" in answer.text
    assert answer.err.decode() == "an entry whose readers are (hidden) may be readable; decrypt it to find out\n"
    empty = file.parent.parent.parent / "empty"
    empty.mkdir(mode=0o700)
    readers = passhelper("list", "--json", GNUPGHOME=str(empty)).json["data"][0]["readers"]
    assert [(reader["uid"], len(reader["key_id"])) for reader in readers] == [("", 16)] * 2


def test_a_damaged_entry_does_not_hide_the_others(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example", "u", "s")
    helper.store("b.example", "u", "s")
    first = min((store / FOLDER).glob("*/u.gpg"))
    first.write_bytes(b"")
    answer = passhelper("list", "--json")
    assert answer.code == 0
    assert sorted(bool(entry["trouble"]) for entry in answer.json["data"]) == [False, True]
    assert "is not an entry: it is empty" in passhelper("list").text


def test_nothing(passhelper: Command, environ: dict[str, str]) -> None:
    answer = passhelper("list")
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err.decode() == f"no credentials in {environ['PASSWORD_STORE_DIR']}\n"
    assert passhelper("list", "--json").json == {"version": 1, "command": "list", "data": []}


def test_without_gpg_and_git(passhelper: Command, git_store: Path, helper: Helper) -> None:
    helper.store("a.example", "u", "s")
    answer = passhelper("list", "--json", PATH="/nowhere")
    assert answer.code == 0
    assert answer.json["data"][0]["changed"] is None
    assert len(answer.json["data"][0]["readers"][0]["key_id"]) == 16
    assert passhelper("list", "--readable-by", "a@b", PATH="/nowhere").err.startswith(b"error: gpg not found in PATH")


def test_a_repository_of_somebody_else(passhelper: Command, git_store: Path, helper: Helper) -> None:
    helper.store("a.example", "u", "s")
    owner = os.geteuid()
    if owner == 0:  # only root gives files away; git is told to think that somebody did
        owner = 12345
        os.chown(git_store, owner, -1)
    answer = passhelper("list", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert answer.code == 1
    assert answer.err.decode() == (
        f"error: git refuses the store: it belongs to uid {owner}\n"
        f"hint: run: git config --global --add safe.directory {git_store}\n"
    )
