"""A change of the recipients that is killed: all old, or all new after the next command, and always readable."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support import Helper, KeyRing, Program, run
from support.faults.tracing import trace
from support.worlds.readers import Reader, files, ids, tidy

KILLS = int(os.environ.get("PASSHELPER_TEST_KILLS", "4"))  # at random moments, for each kind of store
SERVERS = [f"https://{number}.example" for number in range(4)]
OTHER = "https://other.example"
CHANGES = ("mkdir", "openat", "write", "fsync", "rename", "unlink")


class Removal:
    """A store that alice and bob read, which can be put back to how it was.

    Args:
        store: where it is.
        helper: who writes it.
        keys: theirs.
        program: what removes bob.
    """

    def __init__(self, store: Path, helper: Helper, keys: KeyRing, program: Program) -> None:
        self.store = store
        self.helper = helper
        self.environ = helper.environ
        self.keys = keys
        self.command = [program.passhelper, "recipients", "remove", keys["bob"]]
        self._copy = store.with_name("copy")
        with (store / ".gpg-id").open("a") as file:
            file.write(f"{keys['bob']}\n")
        for server in SERVERS:
            assert helper.store(server, "u", "s3cret").code == 0
        if (store / ".git").exists():
            assert helper.store(SERVERS[0], "u", "s3cret").code == 0
            git = [
                "git",
                "-C",
                str(store),
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t.test",
                "commit",
                "-qam",
                "Add bob",
            ]
            assert run(git, helper.environ).code == 0
        shutil.copytree(store, self._copy)
        assert run(self.command, self.environ).code == 0  # Python has compiled what it imports
        self.reset()

    def reset(self) -> None:
        shutil.rmtree(self.store)
        shutil.copytree(self._copy, self.store)

    @property
    def has_journal(self) -> bool:
        places = (
            self.store / ".git" / "passhelper" / "journal",
            files(self.store)[0].parent.parent / ".passhelper.journal",
        )
        return any(place.exists() for place in places)

    def check(self, where: object) -> str:
        """Look right after the kill, then let somebody write; gives "old" or "new"."""
        for server in SERVERS:
            answer = self.helper.get(server)
            assert answer.code == 0, (where, server, answer)
            assert answer.json["Secret"] == "s3cret"
        seen = [ids(path, self.keys) for path in files(self.store)]
        assert all(each in ({"alice", "bob"}, {"alice"}) for each in seen), (where, seen)
        begun = self.has_journal or {"alice"} in seen
        answer = self.helper.store(OTHER, "other", "s")
        # A git that was killed too may have left a lock that only now is old enough.
        assert answer.code == 0, (where, answer)
        assert answer.err == b"" or answer.err.endswith(b", which a git that no longer runs left behind\n"), (
            where,
            answer,
        )
        readers = [ids(path, self.keys) for path in files(self.store)]
        named = self.keys["bob"] in (self.store / ".gpg-id").read_text()
        assert readers == [{"alice", "bob"} if named else {"alice"}] * (len(SERVERS) + 1), (where, readers)
        if begun:
            assert not named, where
        tidy(self.store, self.environ)
        return "old" if named else "new"


@pytest.fixture(params=["git", "no git"])
def team(request: pytest.FixtureRequest, helper: Helper, keys: KeyRing, installed: Program) -> Removal:
    store: Path = request.getfixturevalue("git_store" if request.param == "git" else "store")
    return Removal(store, helper, keys, installed)


def test_killed_at_changes(team: Removal, keys: KeyRing, short_tmp: Path) -> None:
    """Die in the place of calls that change the disk: of each rename, and of some others by chance."""
    seen = trace(team.command, team.environ, calls=",".join(CHANGES), options=())
    assert seen.answer.code == 0, seen.answer
    total = dict.fromkeys(CHANGES, 0)
    points: list[tuple[str, int, str]] = []
    for line in seen.lines:
        call = line.split()[1].partition("(")[0]
        total[call] += 1
        points.append((call, total[call], line))
    journal = next(
        at for at, (call, _, line) in enumerate(points) if call == "rename" and line.endswith('journal") = 0')
    )
    later = [point for point in points[journal - 4 :] if point[0] != "openat" or "O_CREAT" in point[2]]
    renames = [point for point in later if point[0] == "rename"]
    assert len(renames) >= len(SERVERS) + 2
    others = [point for point in later if point not in renames]
    chosen = [renames[0], renames[1], *random.Random().sample(renames[2:], 2), *random.sample(others, 2)]
    outcomes = []
    for call, number, line in chosen:
        team.reset()
        options = ("-e", f"inject={call}:signal=SIGKILL:when={number}")
        died = trace(team.command, team.environ, calls=call, options=options)
        assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL), (line, died.answer)
        outcomes.append(team.check(line))
    assert outcomes[:2] == ["old", "new"]  # before the journal is in place, and after
    bob = Reader(keys, "bob", short_tmp)
    try:
        assert bob.readable(files(team.store)) == ([] if outcomes[-1] == "new" else files(team.store))
    finally:
        bob.close()


@pytest.mark.parametrize("everything", [False, True], ids=["passhelper", "passhelper, gpg and git"])
def test_killed_at_random_moments(team: Removal, everything: bool) -> None:
    begin = time.monotonic()
    assert run(team.command, team.environ).code == 0
    whole = time.monotonic() - begin
    chance = random.Random()
    outcomes = set()
    for _ in range(KILLS):
        team.reset()
        process = subprocess.Popen(
            team.command, env=team.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        failures = watch(team, process, chance.uniform(0.3, 1.1) * whole)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everything else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        if everything:
            forget_git_locks(team.store)
        assert failures == []
        outcomes.add(team.check("random"))
    assert outcomes <= {"old", "new"}


def watch(team: Removal, process: subprocess.Popen[bytes], seconds: float) -> list[object]:
    """Get credentials, one after the other, until the time is up; gives what went wrong."""
    failures: list[object] = []
    end = threading.Event()

    def get() -> None:
        while not end.is_set():
            answer = team.helper.get(random.choice(SERVERS))
            if answer.code:
                failures.append(answer)

    reader = threading.Thread(target=get)
    reader.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    end.set()
    reader.join()
    return failures


def forget_git_locks(store: Path) -> None:
    """Remove the locks of a git that was killed, as a person does who knows that."""
    for lock in (store / ".git").rglob("*.lock") if (store / ".git").exists() else ():
        lock.unlink()


def test_killed_twice(team: Removal) -> None:
    """Who finishes is killed as well; the third one succeeds."""
    seen = trace(team.command, team.environ, calls="rename", options=())
    journal = next(at for at, line in enumerate(seen.lines, 1) if line.endswith('journal") = 0'))
    team.reset()
    for command, when in ((team.command, journal + 3), ([team.command[0], "reencrypt"], 2)):
        options = ("-e", f"inject=rename:signal=SIGKILL:when={when}")
        died = trace(command, team.environ, calls="rename", options=options)
        assert died.answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL), died.answer
        assert team.has_journal
    assert team.check("twice") == "new"


def test_a_command_that_reencrypts_finishes_too(team: Removal) -> None:
    seen = trace(team.command, team.environ, calls="rename", options=())
    journal = next(at for at, line in enumerate(seen.lines, 1) if line.endswith('journal") = 0'))
    team.reset()
    trace(
        team.command, team.environ, calls="rename", options=("-e", f"inject=rename:signal=SIGKILL:when={journal + 2}")
    )
    assert team.has_journal
    answer = run([team.command[0], "reencrypt"], team.environ)
    assert (answer.code, answer.text) == (0, "every entry is in line\n")
    assert not team.has_journal
    tidy(team.store, team.environ)
