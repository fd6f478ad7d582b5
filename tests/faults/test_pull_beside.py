"""A person who pulls with rebase, over and over, and aborts what conflicts, beside a helper that stores.

``PASSHELPER_TEST_ROUNDS`` says how often; a few by default, for each takes seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from support import FOLDER, Helper, require

ROUNDS = int(os.environ.get("PASSHELPER_TEST_ROUNDS", "2"))
_STORES = 7  # in each round


class Person:
    """Works in a clone with ``pass`` and git, and has never heard of passhelper.

    Attributes:
        aborted: how many rebases were aborted.
        finished: how many went well.
    """

    def __init__(self, store: Path, other: Path, environ: dict[str, str]) -> None:
        self._store = store
        self._other = other
        self._environ = {**environ, "GIT_EDITOR": "true", **{
            f"GIT_{who}_{what}": "p@example.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }}  # fmt: skip
        self.aborted = self.finished = 0
        self._over = threading.Event()

    def run(self, *command: str) -> int:
        return subprocess.run(command, env=self._environ, cwd=self._store, capture_output=True, check=False).returncode

    def abort(self) -> bool:
        """Abort a rebase, and do what git asks for: move or remove the files that are in its way."""
        for _ in range(3):
            done = subprocess.run(
                ["git", "rebase", "--abort"], env=self._environ, cwd=self._store, capture_output=True, check=False
            )
            if done.returncode == 0:
                return True
            for line in done.stderr.decode().splitlines():
                if line.startswith("\t"):
                    (self._store / line.strip()).unlink(missing_ok=True)
        return False

    def work(self) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            # Every other pull conflicts: both sides have changed a note.
            (self._other / "note").write_text(f"theirs {count}\n")
            self.run("git", "-C", str(self._other), "commit", "-q", "-a", "-m", "Theirs")
            self.run("git", "-C", str(self._other), "push", "-q", "origin", "HEAD:main")
            if count % 2:
                (self._store / "note").write_text(f"ours {count}\n")
                self.run("git", "commit", "-q", "-m", "Ours", "--only", "note")
            if self.run("pass", "git", "pull", "-q", "--rebase") == 0:
                self.finished += 1
            elif self.abort():
                self.aborted += 1
                # Gives in to the other side, or no pull would ever work again.
                self.run("git", "fetch", "-q")
                self.run("git", "checkout", "-q", "origin/main", "--", "note")
                self.run("git", "commit", "-q", "-m", "Theirs, then", "--only", "note")
                self.run("git", "merge", "-q", "-X", "theirs", "origin/main")
                if self.run("git", "rev-parse", "-q", "--verify", "MERGE_HEAD") == 0:
                    self.run("git", "merge", "--abort")

    def stop(self) -> None:
        self._over.set()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_beside_pulls_and_their_aborts(
    helper: Helper, git_store: Path, environ: dict[str, str], tmp_path: Path, number: int
) -> None:
    require("pass")
    remote, other = tmp_path / "remote.git", tmp_path / "other"
    (git_store / "note").write_text("first\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", "-C", str(git_store)]
    for command in (["add", "note"], ["commit", "-q", "-m", "Note"], ["clone", "-q", "--bare", ".", str(remote)],
                    ["remote", "add", "origin", str(remote)], ["fetch", "-q"],
                    ["branch", "-q", "--set-upstream-to", "origin/main"]):  # fmt: skip
        subprocess.run([*git, *command], check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", str(remote), str(other)], check=True, capture_output=True)
    person = Person(git_store, other, environ)
    thread = threading.Thread(target=person.work)
    thread.start()
    wanted = {}
    try:
        for count in range(_STORES):
            # New ones, and the first again and again.
            server = f"https://{count if count % 3 else 0}.example"
            wanted[server] = f"secret {number} {count}"
            answer = helper.store(server, "bob", wanted[server])
            assert answer.code == 0, answer.text
    finally:
        person.stop()
        thread.join()
    person.abort()
    wanted["https://last.example"] = "last"
    answer = helper.store("https://last.example", "bob", "last")
    assert answer.code == 0, answer.text
    found = {server: json.loads(helper.get(server).out)["Secret"] for server in helper.list().json}
    assert found == wanted
    status = subprocess.run([*git, "status", "--porcelain", "--", FOLDER], check=True, capture_output=True).stdout
    assert (status, person.finished + person.aborted > 0) == (b"", True)
