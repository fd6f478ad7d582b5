"""How many git processes a command starts. Each costs some milliseconds, and a sync that lasts loses races to push."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import KeyRing
from support.people.clones import Clone, Team
from support.programs import script

from passhelper.setup.sharedstore import SharedStore
from passhelper.store.programs import find_program
from passhelper.store.store import PassStore
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients.members import Members
from passhelper.team.sync import exchange
from passhelper.team.sync.clone import Source

OTHER = "https://b.example"


class Counter:
    """A git that writes down how it was called; what git itself starts does not come by here."""

    def __init__(self, folder: Path, path: str) -> None:
        self._log = folder / "log"
        self._log.touch()
        real = find_program(("git",), {"PATH": path})
        (folder / "bin").mkdir()
        script(folder / "bin" / "git", f"printf '%s\\0' \"$*\" >>'{self._log}'; exec {real} \"$@\"")
        self.path = f"{folder / 'bin'}{os.pathsep}{path}"

    def commands(self) -> list[str]:
        """Return what has been run since it was last asked."""
        calls = self._log.read_text().split("\0")[:-1]
        self._log.write_text("")
        return [call.partition("core.hooksPath=/dev/null ")[2] or call for call in calls]

    def check(self, most: int) -> None:
        """Make sure that no more than so many processes were started, and that any were."""
        found = self.commands()
        told = "\n".join(found)
        assert 0 < len(found) <= most, f"{len(found)} git processes and not {most}:\n{told}"


@pytest.fixture
def counter(tmp_path: Path, environ: dict[str, str]) -> Counter:
    (tmp_path / "counter").mkdir()
    return Counter(tmp_path / "counter", environ["PATH"])


@pytest.fixture
def ann(team: Team, git_store: Path, counter: Counter) -> Clone:
    """Who made the store and has pushed it; the next git is the first to be counted."""
    ann = team.adopt(git_store)
    ann.store()
    ann.sync()
    return counted(ann, counter)


def counted(clone: Clone, counter: Counter) -> Clone:
    clone.environ["PATH"] = counter.path
    counter.commands()
    return clone


def test_nothing_to_do(ann: Clone, counter: Counter) -> None:
    ann.sync()
    counter.check(6)


def test_one_commit_to_push(ann: Clone, counter: Counter) -> None:
    ann.store(OTHER)
    counter.commands()
    assert ann.sync().pushed == 1
    counter.check(9)


def test_one_commit_to_receive(ann: Clone, bob: Clone, counter: Counter) -> None:
    bob.store(OTHER)
    bob.sync()
    assert ann.sync().fetched == 1
    counter.check(15)


def test_two_histories_without_a_conflict(ann: Clone, bob: Clone, counter: Counter) -> None:
    bob.store(OTHER)
    bob.sync()
    ann.store("https://c.example")
    counter.commands()
    report = ann.sync()
    assert (report.fetched, report.pushed, report.conflicts) == (1, 2, [])
    counter.check(26)


def test_two_histories_with_a_conflict(ann: Clone, bob: Clone, counter: Counter) -> None:
    bob.store(secret="bob's")
    bob.sync()
    ann.store(secret="ann's")
    counter.commands()
    report = ann.sync()
    assert (report.fetched, report.pushed, len(report.conflicts)) == (1, 2, 1)
    counter.check(30)


def test_a_store_of_many_servers_takes_no_more(ann: Clone, bob: Clone, counter: Counter) -> None:
    for number in range(4):
        bob.put(bob.entry().read_bytes(), f"https://deep{number}.example")
    bob.sync()
    ann.store("https://c.example")
    counter.commands()
    assert ann.sync().fetched == 1
    counter.check(26)


def test_new_recipients(ann: Clone, bob: Clone, counter: Counter, keys: KeyRing) -> None:
    bob.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    bob.git("push", "-q")
    report = ann.sync(accepted=frozenset([keys["alice"], keys["bob"]]))
    assert (report.fetched, len(report.added)) == (1, 1)
    counter.check(22)


def test_automatic_sync_is_one_setting(ann: Clone, counter: Counter) -> None:
    exchange.switch_automatic(PassStore(ann.environ, ann.warnings.append), "push")
    counter.check(1)


def test_a_member_more_and_less(ann: Clone, counter: Counter, keys: KeyRing) -> None:
    store = PassStore(ann.environ, ann.warnings.append)
    Members(Rekey(store)).add([keys["bob"]])
    counter.check(3)
    Members(Rekey(store)).remove([keys["bob"]])
    counter.check(2)


def test_joining_a_team(team: Team, ann: Clone, counter: Counter, keys: KeyRing) -> None:
    joined = {**ann.environ, "PASSWORD_STORE_DIR": str(team.folder / "joined")}
    shared = SharedStore(PassStore(joined, ann.warnings.append), Source(f"file://{team.remote}"), is_whole=False)
    shared.obtain()
    shared.accept(lambda _: True)
    shared.import_keys()
    assert (team.folder / "joined" / ".gpg-id").read_text() == f"{keys['alice']}\n"
    counter.check(21)


def test_filling_an_empty_remote(team: Team, ann: Clone, counter: Counter) -> None:
    ann.git("remote", "remove", "origin")
    team.git("update-ref", "-d", "refs/heads/main")
    shared = SharedStore(PassStore(ann.environ, ann.warnings.append), Source(f"file://{team.remote}"), is_whole=False)
    shared.obtain()
    shared.publish()
    assert team.head == ann.head
    counter.check(16)
