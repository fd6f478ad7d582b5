"""A fleet of runners on one remote: is anything lost that was acknowledged, and how long does it take?

::

    python contrib/bench/fleet                      # 20 runners x 10 stores, 2 killed; ours, then pass
    python contrib/bench/fleet --runners 50 --stores 4 --with passhelper
    python contrib/bench/fleet --drop               # drops one commit by hand: the checker has to notice

Every runner has a clone of its own of one bare repository that ``git daemon`` serves on loopback. It stores,
erases and syncs at random; half of the servers are everybody's, so that runners conflict. Some are killed
half-way and start again on the same clone. Acknowledged is a write whose program exited 0 and whose clone
synced successfully later; lost is one whose ciphertext is neither in the final tree nor in its history.
The checker (``check.py``) uses git and gpg alone. Exit status 1 when passhelper lost something, diverged or left a
clone unclean. Needs gpg, git with its daemon, and ``pass`` for the comparison.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import check
from lab import Lab
from served import daemon
from workers import PasshelperRunner, PassRunner, Runner

_ROUNDS = 3  # of syncing all clones at the end, until they are equal


class Fleet(Lab):
    """A remote and its runners, in one directory."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        super().__init__(folder)
        self.options = options
        self.environ["GIT_CONFIG_GLOBAL"] = str(folder / "gitconfig")
        (folder / "gitconfig").write_text("[user]\nname = fleet\nemail = fleet@example.test\n[gc]\nauto = 0\n")
        self.key = self.generate("fleet")

    def play(self, name: str, port: int) -> bool:
        """Let a fleet of one kind work; print what happened; tell whether all is well."""
        remote = self.folder / "srv" / f"{name}.git"
        self._begin(remote)
        url = f"git://127.0.0.1:{port}/{name}.git"
        runners = [self._runner(name, number, url) for number in range(self.options.runners)]
        begin = time.monotonic()
        with ThreadPoolExecutor(len(runners)) as pool:
            jobs = [pool.submit(one.work, self.options.stores, kill=one.number < self.options.kills) for one in runners]
            for job in jobs:
                job.result()
        seconds = time.monotonic() - begin
        for _ in range(_ROUNDS):
            for runner in runners:
                if not runner.tally.blocked:
                    runner.sync()
        return self._judge(name, remote, runners, seconds)

    def _begin(self, remote: Path) -> None:
        """Make the remote, with one commit that names the recipient."""
        self.do("git", "init", "--quiet", "--bare", "--initial-branch", check.BRANCH, str(remote))
        (remote / "git-daemon-export-ok").touch()
        start = self.folder / "start"
        self.do("git", "clone", "--quiet", str(remote), str(start))
        (start / ".gpg-id").write_text(f"{self.key}\n")
        self.do("git", "-C", str(start), "add", ".gpg-id")
        self.do("git", "-C", str(start), "commit", "--quiet", "--message", "Begin")
        self.do("git", "-C", str(start), "push", "--quiet", "origin", f"HEAD:{check.BRANCH}")
        shutil.rmtree(start)

    def _runner(self, name: str, number: int, url: str) -> Runner:
        clone = self.folder / name / f"runner{number}"
        environ = {**self.environ, "PASSWORD_STORE_DIR": str(clone), "PASSHELPER_ACCEPT_RECIPIENTS": self.key}
        self.do("git", "clone", "--quiet", url, str(clone))
        if name == "pass":
            return PassRunner(number, clone, environ, self.options.seed)
        return PasshelperRunner(number, clone, environ, self.options.seed, self.options.programs)

    def _judge(self, name: str, remote: Path, runners: list[Runner], seconds: float) -> bool:
        writes = [write for runner in runners for write in runner.tally.writes]
        if self.options.drop and writes:
            check.drop_one(remote, writes[-1])
        free = [runner for runner in runners if not runner.tally.blocked]
        problems = check.lost(remote, writes)
        if not self.options.drop:
            problems += check.diverged(remote, [runner.clone for runner in free])
        problems += check.unreadable(remote, self.environ)
        stuck = sum(len(runner.tally.waiting) for runner in runners)
        print(
            f"{name}: {len(runners)} runners x {self.options.stores} stores in {seconds:.1f} s, "
            f"{sum(runner.tally.killed for runner in runners)} programs killed\n"
            f"  acknowledged {len(writes)}, lost {len(check.lost(remote, writes))}, stored but never synced {stuck}\n"
            f"  runners blocked for good {len(runners) - len(free)}, "
            f"programs that failed {sum(runner.tally.refused for runner in runners)}\n"
            f"  commits on {check.BRANCH} {check.git(remote, 'rev-list', '--count', check.BRANCH).strip()}, "
            f"clones equal and clean {'no' if check.diverged(remote, [one.clone for one in free]) else 'yes'}"
        )
        for problem in problems:
            print(f"  {problem}")
        return not problems and not stuck


def main() -> int:
    """Run the fleets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runners", type=int, default=20)
    parser.add_argument("--stores", type=int, default=10, help="of each runner")
    parser.add_argument("--kills", type=int, default=2, help="runners that are killed half-way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--with", dest="kinds", choices=["passhelper", "pass", "both"], default="both")
    parser.add_argument("--drop", action="store_true", help="drop one commit of the remote by hand before the check")
    parser.add_argument("--programs", type=Path, default=Path(sys.executable).parent, help="where passhelper is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    kinds = ["passhelper", "pass"] if options.kinds == "both" else [options.kinds]
    try:
        fleet = Fleet(folder, options)
        with daemon(folder / "srv") as port:
            results = {kind: fleet.play(kind, port) for kind in kinds}
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": str(folder / "g")}, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if results.get("passhelper", True) else 1


if __name__ == "__main__":
    sys.exit(main())
