"""A sync that is killed leaves each credential as it was or as it will be; the next command finishes it.

``PASSHELPER_TEST_KILLS`` says how many kills to try.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import KeyRing, run
from support.people.clones import Team
from support.waiting import until

KILLS = int(os.environ.get("PASSHELPER_TEST_KILLS", "40"))
NOW = int(time.time()) - 1000
CHANGED, ERASED, RENAMED, MINE, THEIRS = (f"https://{name}.example" for name in "abcde")


class Mortals:
    """Syncs that are to die."""

    def __init__(self, report: Path) -> None:
        self.report = report
        script = Path(__file__).parents[1] / "support" / "faults" / "mortal.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def begin(self, environ: dict[str, str], die_at: int = 0) -> int:
        """Start one; gives its process id."""
        assert self.process.stdin is not None
        order = {"environ": environ, "die_at": die_at, "report": str(self.report)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> int:
        """Wait for its end; gives its exit status."""
        return self._answer()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def mortals(tmp_path: Path) -> Iterator[Mortals]:
    made = Mortals(tmp_path / "report")
    yield made
    made.close()


class Stage:
    """Two clones that have to be merged, with every kind of conflict, and a way back to that moment."""

    def __init__(self, team: Team, store: Path, keys: KeyRing) -> None:
        self.team = team
        self.ann = team.adopt(store)
        for server in (CHANGED, ERASED, RENAMED):
            self.ann.at(NOW).store(server)
        self.ann.sync()
        self.bob = team.clone("bob")
        self.bob.sync()
        self.ann.at(NOW + 10).store(CHANGED, secret="ann's")
        self.ann.at(NOW + 20).store(ERASED, secret="kept")
        self.ann.at(NOW + 10).store(RENAMED, "ann")
        self.ann.at(NOW + 10).store(THEIRS)
        self.bob.at(NOW + 20).store(CHANGED, secret="bob's")
        self.bob.at(NOW + 10).erase(ERASED)
        self.bob.at(NOW + 20).store(RENAMED, "bob")
        self.bob.at(NOW + 10).store(MINE)
        self.tips = (self.ann.head, self.bob.head)
        self.ann.sync()
        for clone in (self.ann, self.bob):
            del clone.environ["GIT_COMMITTER_DATE"], clone.environ["GIT_AUTHOR_DATE"]
        self.kept = team.folder / "kept"
        self.kept.mkdir()
        for path in (self.bob.path, team.remote):
            shutil.copytree(path, self.kept / path.name, symlinks=True)
        self.before = self.bob.files

    def reset(self) -> None:
        for path in (self.bob.path, self.team.remote):
            shutil.rmtree(path)
            shutil.copytree(self.kept / path.name, path, symlinks=True)

    @property
    def is_halfway(self) -> bool:
        """Whether files were about to change, or had changed, when it died."""
        return (self.bob.path / ".git" / "passhelper" / "journal").exists()

    def check_alive(self, after: dict[str, bytes], where: str) -> None:
        """Right after the kill: every file is its old or its new self, and no merge of git's own is going on."""
        for name, data in self.bob.files.items():
            assert data in (self.before.get(name), after.get(name)), (where, name)
        for name in self.before.keys() & after.keys():
            assert (self.bob.path / name).exists(), (where, name)
        assert not (self.bob.path / ".git" / "MERGE_HEAD").exists(), where

    def check_done(self, after: dict[str, bytes], where: str) -> None:
        """After the next sync: all of the merge, once, on both sides; nothing left over."""
        bob, team = self.bob, self.team
        assert {name: data for name, data in bob.files.items() if MARKER not in name} == after, where
        assert bob.status == "", where
        assert team.head == bob.head, where
        assert set(self.tips) <= set(bob.commits), where
        assert len([line for line in bob.subjects if line.startswith(("Merge ", "Take over"))]) <= 1, where
        state = bob.path / ".git" / "passhelper"
        left = {path.name for path in state.iterdir()}
        assert not left & {"journal", "pending"}, (where, left)
        assert not [name for name in left if name.startswith(".")], (where, left)
        assert run(["git", "-C", str(bob.path), "fsck", "--strict", "--no-dangling"], bob.environ).code == 0, where


MARKER = "bWFya2Vy"  # the directory of the server that the recovery alone stores
VERB_SERVER = "marker"


@pytest.fixture
def stage(environ: dict[str, str], tmp_path: Path, git_store: Path, keys: KeyRing) -> Stage:
    return Stage(Team(tmp_path, environ), git_store, keys)


@pytest.mark.timeout(120 + 15 * KILLS)
def test_killed_at_any_step_and_at_any_moment(stage: Stage, mortals: Mortals) -> None:
    begin = time.monotonic()
    mortals.begin(stage.bob.environ)
    assert mortals.end() == 0
    whole = time.monotonic() - begin
    steps = int(mortals.report.read_text())
    assert steps > 60
    after = stage.bob.files
    stage.check_done(after, "unharmed")
    chance = random.Random(20240101)
    # Steps first, two kills in three; what is left dies at a moment of its own, some with every git that it started.
    wanted = min(steps, KILLS * 2 // 3)
    points = sorted(chance.sample(range(1, steps + 1), wanted))
    halfway = 0
    for number in points:
        stage.reset()
        mortals.begin(stage.bob.environ, number)
        assert mortals.end() == -signal.SIGKILL, number
        halfway += stage.is_halfway
        recover(stage, after, f"step {number} of {steps}", with_verb=chance.random() < 0.3)
    moments = KILLS - wanted
    for number in range(moments):
        stage.reset()
        pid = mortals.begin(stage.bob.environ)
        kill(stage, pid, chance, whole, everything=number % 3 == 2)
        mortals.end()
        halfway += stage.is_halfway
        recover(stage, after, f"moment {number}", with_verb=chance.random() < 0.3)

    sys.stdout.write(f"{wanted} of {steps} steps, {moments} moments; {halfway} died with the merge half in place\n")
    assert halfway


def kill(stage: Stage, pid: int, chance: random.Random, whole: float, *, everything: bool) -> None:
    """Kill a sync: at any moment, or within the few milliseconds in which files change."""
    journal = stage.bob.path / ".git" / "passhelper" / "journal"
    if chance.random() < 0.5:
        until(lambda: journal.exists() or not Path(f"/proc/{pid}/fd").exists(), pause=0.0005)
        time.sleep(chance.uniform(0, 0.06))
    else:
        time.sleep(chance.uniform(0, 1.1 * whole))
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if everything else os.kill)(pid, signal.SIGKILL)


def recover(stage: Stage, after: dict[str, bytes], where: str, *, with_verb: bool) -> None:
    stage.check_alive(after, where)
    wait_for_gits(stage.bob.path)
    for lock in (stage.bob.path / ".git").rglob("*.lock"):  # as a person does who knows that their owner is dead
        lock.unlink()
    if with_verb:
        stage.bob.store(VERB_SERVER)
        assert stage.bob.status == "", where
    stage.bob.sync()
    stage.check_done(after, where)


def wait_for_gits(path: Path) -> None:
    """Let the gits end that a killed sync has left; they are soon done."""
    until(
        lambda: not any(runs_in(process, path) for process in Path("/proc").iterdir() if process.name.isdigit()),
        f"a git still runs in {path}",
        pause=0.002,
    )


def runs_in(process: Path, path: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"git") and os.fsencode(path) in words
