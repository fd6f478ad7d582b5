"""Several clones, and several commands in one clone, sync at the same time against one bare remote."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support import Program
from support.people.clones import Clone, Team, converge


def sync_together(installed: Program, clones: list[Clone]) -> None:
    command, pipe = [installed.passhelper, "sync"], subprocess.PIPE
    running = [subprocess.Popen(command, env=clone.environ, stdout=pipe, stderr=pipe) for clone in clones]
    for process in running:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, (out, err)


def test_clones_that_sync_at_once(installed: Program, team: Team, git_store: Path) -> None:
    first = team.adopt(git_store)
    first.sync()
    clones = [first, *(team.clone(str(number)) for number in range(3))]
    stored = {}
    tips = []
    for round_ in range(2):
        for number, clone in enumerate(clones):
            server = f"https://{number}-{round_}.example"
            clone.store(server, "u", server)
            clone.at(1_700_000_000 + 10 * round_ + number).store("https://shared.example", "u", f"{number} {round_}")
            stored[server] = server
            tips.append(clone.head)
        sync_together(installed, clones)
    converge(*clones)
    assert {server: first.get(server)[1] for server in stored} == stored
    assert first.get("https://shared.example") == ("u", "3 1")
    assert set(tips) <= set(first.commits)
    merges = [line for line in first.subjects if line.startswith("Merge ")]
    assert len(merges) <= 2 * (len(clones) - 1) + 1  # one for each that was not the first of its round, and no more


def test_commands_in_one_clone_at_once(installed: Program, team: Team, git_store: Path) -> None:
    ann = team.adopt(git_store)
    ann.sync()
    bob = team.clone("bob")
    bob.store("https://b.example")
    bob.sync()
    ann.store("https://a.example")
    sync_together(installed, [ann, ann, ann])
    converge(ann, bob)
    assert set(ann.list()) == {"https://a.example", "https://b.example"}
