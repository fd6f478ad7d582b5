"""The fleet's simulation: nothing acknowledged is lost, and its judge notices when something is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import Answer, Program, require, run

BENCH = Path(__file__).parent.parent.parent / "contrib" / "bench"


def fleet(installed: Program, *options: str) -> Answer:
    require("gpg", "git")
    if not Path(subprocess.run(["git", "--exec-path"], capture_output=True, check=True).stdout.decode().strip(),
                "git-daemon").exists():  # fmt: skip
        pytest.skip("git daemon is not installed")
    small = ["--with", "passhelper", "--runners", "3", "--stores", "3", "--kills", "1"]
    command = [sys.executable, str(BENCH / "fleet"), *small, "--programs", str(installed.folder / "bin"), *options]
    return run(command, {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}, timeout=110)


def test_nothing_is_lost(installed: Program) -> None:
    answer = fleet(installed)
    assert answer.code == 0, answer.text + answer.err.decode()
    assert ", lost 0, stored but never synced 0\n" in answer.text
    assert "acknowledged 0," not in answer.text
    assert answer.text.endswith("clones equal and clean yes\n")


def test_the_judge_notices_a_commit_that_was_dropped(installed: Program) -> None:
    answer = fleet(installed, "--drop")
    assert answer.code == 1
    assert ", lost 1," in answer.text
    assert "  lost: runner " in answer.text


def test_clones_are_measured() -> None:
    require("git")
    answer = run([sys.executable, str(BENCH / "clones.py"), "--entries", "20", "--commits", "5"],
                 {"PATH": "/usr/local/bin:/usr/bin:/bin"})  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.text.startswith("20 entries, 5 commits, git daemon on loopback\n")
    assert len([line for line in answer.text.splitlines() if line.startswith("| ")]) == 5
