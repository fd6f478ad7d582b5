"""How many programs a verb starts, counted by the kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import NOT_FOUND, Helper, run
from support.faults.tracing import Trace, trace

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://registry.example"
REQUEST = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": "s"})


def traced(helper: Helper, verb: str, stdin: str = "") -> Trace:
    seen = trace([helper.program, verb], helper.environ, stdin.encode())
    # The program is sh until it has found Python, in the same process.
    assert len(seen.own_programs) == 2
    assert seen.own_programs[1].startswith("python")
    return seen


@pytest.mark.parametrize("verb", ["version", "list"])
def test_none_for_version_and_list(helper: Helper, store: Path, verb: str) -> None:
    assert helper.store(SERVER, "alice", "s").code == 0
    seen = traced(helper, verb)
    assert seen.answer.code == 0
    assert seen.processes == set()


def test_none_for_a_miss(helper: Helper, git_store: Path) -> None:
    assert helper.store("https://other.example", "alice", "s").code == 0
    seen = traced(helper, "get", SERVER)
    assert (seen.answer.code, seen.answer.out) == (1, NOT_FOUND)
    assert seen.processes == set()


def test_none_for_a_miss_without_a_store(helper: Helper) -> None:
    seen = traced(helper, "get", SERVER)
    assert (seen.answer.code, seen.answer.out) == (1, NOT_FOUND)
    assert seen.processes == set()


def test_one_for_a_hit(helper: Helper, git_store: Path) -> None:
    """Exactly one gpg, also through an equivalent name; the agent runs already."""
    assert helper.store(SERVER, "alice", "s").code == 0
    assert helper.get(SERVER).code == 0
    for name in (SERVER, "registry.example:443"):
        seen = traced(helper, "get", name)
        assert seen.answer.code == 0
        assert seen.children == ["gpg"]
        assert len(seen.processes) == 1


def test_one_for_a_store_outside_git(helper: Helper, store: Path) -> None:
    for _ in range(2):
        seen = traced(helper, "store", REQUEST)
        assert seen.answer.code == 0
        assert seen.children == ["gpg"]
        assert len(seen.processes) == 1


def test_none_for_an_erase_outside_git(helper: Helper, store: Path) -> None:
    assert helper.store(SERVER, "alice", "s").code == 0
    for _ in range(2):
        seen = traced(helper, "erase", SERVER)
        assert seen.answer.code == 0
        assert seen.processes == set()
    assert helper.list().json == {}


def test_git_store(helper: Helper, git_store: Path) -> None:
    """In a git store: one gpg and three gits to write, a second gpg beside the first to find nothing new."""
    for name, value in (("user.name", "t"), ("user.email", "t@example.test")):
        assert run(["git", "-C", str(git_store), "config", name, value], helper.environ).code == 0
    seen = traced(helper, "store", REQUEST)
    assert sorted(seen.children) == ["git", "git", "git", "gpg"]
    seen = traced(helper, "store", REQUEST)
    assert seen.children.count("gpg") == 2
    assert seen.children.count("git") <= 1
    seen = traced(helper, "erase", SERVER)
    assert set(seen.children) == {"git"}
    assert len(seen.children) <= 3
    seen = traced(helper, "erase", SERVER)
    assert seen.processes == set()
