"""A store made here is used by ``pass`` and gopass, and one made by them is adopted here.

``gopass`` is Debian's (aviau/gopass). It reads any store; to write it wants a ``.gpg-id`` without comments and encrypts
to its first key, which is drift here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FOLDER, Answer, Helper, KeyRing, Program, require, run
from support.machines.jobs import git
from support.machines.new import Command, Machine

SERVER, TEAM = "https://registry.example", "https://team.example"

Tool = Callable[..., Answer]


def entry(server: str, username: str) -> str:
    """How pass and gopass call a credential."""
    return f"{FOLDER}/{base64.urlsafe_b64encode(server.encode()).decode()}/{username}"


def folder(store: Path, server: str) -> Path:
    return (store / entry(server, "")).parent / base64.urlsafe_b64encode(server.encode()).decode()


@pytest.fixture
def tool(environ: dict[str, str]) -> Tool:
    """Run pass or gopass in the test's environment."""
    who = {f"GIT_{role}_{what}": "t@example.test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def command(name: str, *arguments: str, stdin: bytes = b"", **changes: str) -> Answer:
        require(name)
        answer = run([name, *arguments], {**environ, **who, **changes}, stdin)
        assert answer.code == 0, answer
        return answer

    return command


@pytest.fixture
def passhelper(installed: Program, environ: dict[str, str]) -> Command:
    def command(*arguments: str, **changes: str) -> Answer:
        path = f"{environ['HOME']}/.local/bin:{environ['PATH']}"
        return run([installed.passhelper, *arguments], {**environ, "PATH": path, **changes})

    return command


def readers(keys: KeyRing, path: Path) -> set[str]:
    """Whose keys open a file, by name; gpg says so."""
    said = keys.gpg("--list-only", "--status-fd", "1", "--decrypt", str(path), check=False).stdout.decode()
    ids = {line.split()[2] for line in said.splitlines() if " ENC_TO " in line}
    found = set()
    for name in ("alice", "bob", "stranger"):
        rows = keys.gpg("--with-colons", "--list-keys", keys[name]).stdout.decode().splitlines()
        found |= {name for row in rows if row.startswith("sub") and row.split(":")[4] in ids}
    assert len(found) == len(ids)
    return found


def test_a_store_made_here(
    passhelper: Command, helper: Helper, environ: dict[str, str], keys: KeyRing, tool: Tool
) -> None:
    """Set up, shared with a second key, with one server for a third one: read, listed and written by the others."""
    store = Path(environ["PASSWORD_STORE_DIR"])
    assert passhelper("setup", "--no-docker", "--git", "--key", keys["alice"]).code == 0
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    assert helper.store(SERVER, "robot", "root's").code == 0
    assert helper.store(TEAM, "robot", "team's").code == 0
    assert passhelper("recipients", "add", "--path", TEAM, keys["stranger"]).code == 0
    for name in ("pass", "gopass"):
        assert tool(name, "show", entry(SERVER, "robot")).text.rstrip("\n") == "root's"
        assert tool(name, "show", entry(TEAM, "robot")).text.rstrip("\n") == "team's"
        listed = tool(name, "ls").text
        for server in (SERVER, TEAM):
            assert base64.urlsafe_b64encode(server.encode()).decode() in listed
        assert listed.count("robot") == 2
    assert readers(keys, folder(store, SERVER) / "robot.gpg") == {"alice", "bob"}
    assert readers(keys, folder(store, TEAM) / "robot.gpg") == {"alice", "bob", "stranger"}
    # What pass writes goes to the same readers, nested lists and comments and all, and is served here.
    for server, expected in ((SERVER, {"alice", "bob"}), (TEAM, {"alice", "bob", "stranger"})):
        tool("pass", "insert", "-m", "-f", entry(server, "robot"), stdin=b"by pass")
        assert readers(keys, folder(store, server) / "robot.gpg") == expected
        assert helper.get(server).json["Secret"] == "by pass"
    assert passhelper("recipients", "check").code == 0
    assert git(store, "status", "--porcelain") == ""


def test_a_store_made_by_pass(
    passhelper: Command, helper: Helper, environ: dict[str, str], keys: KeyRing, tool: Tool
) -> None:
    """With a signed root, a signed list for one server, and what people keep there beside."""
    store = Path(environ["PASSWORD_STORE_DIR"])
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    tool("pass", "init", keys["alice"], keys["bob"])
    tool("pass", "git", "init")
    tool("pass", "init", "-p", str(Path(entry(TEAM, "x")).parent), keys["alice"], keys["stranger"])
    for server, secret in ((SERVER, b"root's"), (TEAM, b"team's")):
        tool("pass", "insert", "-m", entry(server, "robot"), stdin=secret)
    tool("pass", "insert", "-m", "personal/bank", stdin=b"mine")
    before = {path: path.read_bytes() for path in store.rglob("*.gpg*") if path.is_file()}
    commits = git(store, "rev-list", "--count", "HEAD")

    answer = passhelper("setup", "--no-docker")
    assert answer.code == 0, answer
    assert helper.list().json == {SERVER: "robot", TEAM: "robot"}
    assert helper.get(SERVER).json["Secret"] == "root's"
    assert helper.get(TEAM).json["Secret"] == "team's"
    assert passhelper("recipients", "check").code == 0
    assert {path: path.read_bytes() for path in store.rglob("*.gpg*") if path.is_file()} == before
    assert git(store, "rev-list", "--count", "HEAD") == commits

    for server, expected in ((SERVER, {"alice", "bob"}), (TEAM, {"alice", "stranger"})):
        assert helper.store(server, "robot", "changed").code == 0
        assert readers(keys, folder(store, server) / "robot.gpg") == expected
        assert tool("pass", "show", entry(server, "robot")).text == "changed"
    assert tool("pass", "show", "personal/bank").text.rstrip() == "mine"

    # Lists that name their store: pass reads them, and what it writes itself names none and brings no reader unasked.
    answer = passhelper("recipients", "sign")
    assert answer.code == 0, answer.err
    team = folder(store, TEAM) / ".gpg-id"
    assert all(file.read_text().startswith("# passhelper docker-") for file in (store / FOLDER / ".gpg-id", team))
    for server, expected in ((SERVER, {"alice", "bob"}), (TEAM, {"alice", "stranger"})):
        tool("pass", "insert", "-f", "-m", entry(server, "robot"), stdin=b"by pass")
        assert readers(keys, folder(store, server) / "robot.gpg") == expected
        assert helper.get(server).json["Secret"] == "by pass"
        assert helper.store(server, "robot", "changed").code == 0
    tool("pass", "init", "-p", str(Path(entry(TEAM, "x")).parent), keys["alice"], keys["bob"])
    answer = helper.store(TEAM, "robot", "for bob too")
    assert answer.code == 1
    assert answer.text.startswith(f"recipients changed: +{keys['bob']} bob <bob@example.test>")
    tool("pass", "init", "-p", str(Path(entry(TEAM, "x")).parent), keys["alice"], keys["stranger"])
    assert helper.store(TEAM, "robot", "changed").code == 0

    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n{keys['stranger']}\n")
    (store / FOLDER / ".gpg-id").unlink()
    answer = helper.store(SERVER, "robot", "for strangers too")
    assert answer.code == 1
    assert b"is not by a key in PASSWORD_STORE_SIGNING_KEY" in answer.out
    assert helper.get(SERVER).json["Secret"] == "changed"


def test_a_store_made_by_gopass(
    passhelper: Command, helper: Helper, environ: dict[str, str], keys: KeyRing, tool: Tool
) -> None:
    store = Path(environ["PASSWORD_STORE_DIR"])
    tool("gopass", "init", keys["alice"])
    for server in (SERVER, TEAM):
        folder(store, server).mkdir(parents=True)
    (folder(store, TEAM) / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    for server in (SERVER, TEAM):
        tool("gopass", "generate", entry(server, "robot"), "20")
    secrets = {server: tool("gopass", "show", entry(server, "robot")).text.rstrip("\n") for server in (SERVER, TEAM)}

    answer = passhelper("setup", "--no-docker")
    assert answer.code == 0, answer
    assert helper.list().json == {SERVER: "robot", TEAM: "robot"}
    for server, secret in secrets.items():
        assert helper.get(server).json == {"ServerURL": server, "Username": "robot", "Secret": secret}
    # gopass has encrypted to one of the two keys: that is seen and mended.
    checked = passhelper("recipients", "check", "--json")
    assert checked.code == 3
    assert [drifted["server"] for drifted in json.loads(checked.out)["data"]["drift"]] == [TEAM]
    assert passhelper("reencrypt", TEAM).code in (0, 3)
    assert helper.store(TEAM, "robot", "ours").code == 0
    assert readers(keys, folder(store, TEAM) / "robot.gpg") == {"alice", "bob"}
    assert passhelper("recipients", "check").code == 0
    assert tool("gopass", "show", entry(TEAM, "robot")).text.rstrip("\n") == "ours"
    assert tool("gopass", "ls").text.count("robot") == 2


def test_a_machine_joins_a_store_made_by_pass(
    installed: Program, environ: dict[str, str], keys: KeyRing, tool: Tool, tmp_path: Path, short_tmp: Path
) -> None:
    """``setup --git`` of a remote that pass has filled, personal entries among it."""
    tool("pass", "init", keys["alice"])
    tool("pass", "git", "init")
    tool("pass", "insert", "-m", entry(SERVER, "robot"), stdin=b"s")
    tool("pass", "insert", "-m", "personal/bank", stdin=b"mine")
    store, remote = Path(environ["PASSWORD_STORE_DIR"]), tmp_path / "remote.git"
    git(store, "clone", "-q", "--bare", ".", str(remote))
    machine = Machine(installed, tmp_path / "joiner", short_tmp / "joiner-keys")
    machine.home.mkdir()
    machine.adopt(keys, "alice")
    answer = machine("setup", "--no-docker", "--git", str(remote))
    assert (answer.code, answer.err) == (0, b"")
    assert machine.helper("get", SERVER).json["Secret"] == "s"
    assert machine.helper("list").json == {SERVER: "robot"}
    assert (machine.store / "personal" / "bank.gpg").read_bytes() == (store / "personal" / "bank.gpg").read_bytes()
    machine.stop()
