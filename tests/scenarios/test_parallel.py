"""Many helpers on one store at once."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from support import FOLDER, Helper, run

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = 50
SECONDS = 10


def test_fifty_logins_at_once(helper: Helper, git_store: Path) -> None:
    """50 entries, no more than 50 commits, nothing uncommitted, nobody fails."""
    git = ["git", "-C", str(git_store)]
    before = int(run([*git, "rev-list", "--count", "HEAD"], helper.environ).text)
    processes = [
        subprocess.Popen(
            [helper.program, "store"], env=helper.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(WRITERS)
    ]  # fmt: skip
    wanted = {f"https://{number}.example": f"user{number}" for number in range(WRITERS)}
    for process, (server, user) in zip(processes, wanted.items(), strict=True):
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ServerURL": server, "Username": user, "Secret": f"of {user}"}).encode())
        process.stdin.close()
    said = []
    for process in processes:
        assert process.stdout is not None
        with process.stdout as stdout:
            said.append((stdout.read(), process.wait()))
    assert said == [(b"", 0)] * WRITERS
    assert helper.list().json == wanted
    assert len(list((git_store / FOLDER).rglob("*.gpg"))) == WRITERS
    commits = int(run([*git, "rev-list", "--count", "HEAD"], helper.environ).text) - before
    assert 0 < commits <= WRITERS
    assert run([*git, "status", "--porcelain"], helper.environ).out == b""
    assert run([*git, "fsck", "--strict"], helper.environ).code == 0
    tracked = run([*git, "ls-files", FOLDER], helper.environ).text.splitlines()
    assert len(tracked) == WRITERS
    for number in (0, WRITERS // 2, WRITERS - 1):
        assert helper.get(f"https://{number}.example").json["Secret"] == f"of user{number}"


def test_readers_beside_writers(helper: Helper, git_store: Path) -> None:
    """Two logins replace each other's user for ten seconds; four readers always get one of them whole."""
    server = "https://registry.example"
    assert helper.store(server, "writer0", "0").code == 0
    end = time.monotonic() + SECONDS
    trouble: list[object] = []
    users: set[str] = set()
    counts = {"reads": 0, "writes": 0}

    def read() -> None:
        while time.monotonic() < end:
            answer = helper.get(server)
            counts["reads"] += 1
            if answer.code or answer.err or not answer.json["Secret"].startswith(answer.json["Username"][-1]):
                trouble.append(answer)
                return
            users.add(answer.json["Username"])

    def write(number: int) -> None:
        turn = 0
        while time.monotonic() < end:
            turn += 1
            answer = helper.store(server, f"writer{number}", f"{number}-{turn}")
            counts["writes"] += 1
            if answer.code or answer.out or answer.err:
                trouble.append(answer)
                return

    threads = [threading.Thread(target=read) for _ in range(4)]
    threads += [threading.Thread(target=write, args=(number,)) for number in range(2)]
    # The first writer's first secret is plain "0", which starts with its number too.
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(counts)  # noqa: T201 - for --capture=no
    assert trouble == []
    assert users == {"writer0", "writer1"}
    assert counts["reads"] > 40
    assert counts["writes"] > 10
    assert run(["git", "-C", str(git_store), "status", "--porcelain"], helper.environ).out == b""
    assert len(list((git_store / FOLDER).rglob("*.gpg"))) == 1
