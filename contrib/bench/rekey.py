"""Measure the removal of a team member against ``pass init`` doing the same, and the check for drift.

::

    python contrib/bench/rekey.py                 # 1,000 entries, 3 runs each in turn; a check of 10,000
    python contrib/bench/rekey.py --runs 5 --entries 200

Run it with the interpreter of an environment that passhelper is installed in. Both programs work on copies of one git
store, in turn, A B A B; ours verifies every result and commits once. Afterwards gpg with nothing but the removed
key tries every entry. Exit status 1 when a budget is missed. Needs gpg, git and ``pass``.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fleet"))

from lab import FOLDER, Lab

FASTER = 2.0  # times, at least
CHECKED = 10_000  # entries of the store that is checked
SECONDS = 2.0  # for that, at most
PLANTED = 7  # entries with another reader than they should have, of each kind


class Team(Lab):
    """Three keys, one of them in a keyring of its own too, and stores."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program = str(Path(sys.executable).parent / "passhelper")
        self.keys = {name: self.generate(name) for name in ("stays", "leaves", "stranger")}
        self.leaver = {**self.environ, "GNUPGHOME": str(folder / "l")}
        (folder / "l").mkdir(mode=0o700)
        secret = self.gpg("--export-secret-keys", self.keys["leaves"])
        self.gpg("--import", stdin=secret, environ=self.leaver)

    def encrypt(self, secret: str, *names: str) -> bytes:
        """Encrypt as ``pass`` does."""
        recipients = [word for name in names for word in ("-r", self.keys[name])]
        return self.gpg("--trust-model", "always", *recipients, "--encrypt", stdin=secret.encode())

    def store(self, name: str, entries: list[bytes]) -> Path:
        """Make a git store with these entries that two members read."""
        path = self.begin_store(name, self.keys["stays"], self.keys["leaves"])
        for number, data in enumerate(entries):
            server = f"https://registry-{number}.example:5000/v2/"
            place = path / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()
            place.mkdir(parents=True)
            (place / "robot.gpg").write_bytes(data)
        self.commit(path)
        return path

    def run(self, command: list[str], store: Path) -> tuple[float, subprocess.CompletedProcess[bytes]]:
        """Run a program on a store; give the seconds, and what it said."""
        environ = {**self.environ, "PASSWORD_STORE_DIR": str(store)}
        begin = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, check=False)
        return time.perf_counter() - begin, done

    def copy(self, template: Path, name: str) -> Path:
        """Copy a store."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)
        return path

    def readable(self, store: Path) -> int:
        """Count the entries that the removed key still decrypts."""

        def reads(path: Path) -> bool:
            command = ["gpg", "--batch", "--quiet", "--decrypt", str(path)]
            return subprocess.run(command, env=self.leaver, capture_output=True, check=False).returncode == 0

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return sum(pool.map(reads, sorted((store / FOLDER).glob("*/*.gpg"))))


def measure_removal(lab: Team, count: int, runs: int) -> bool:
    """Remove a member with both programs in turn; print the medians."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        entries = list(pool.map(lambda number: lab.encrypt(f"s3cret-{number}", "stays", "leaves"), range(count)))
    template = lab.store("template", entries)
    ours, theirs = [], []
    for _ in range(runs):
        mine, other = lab.copy(template, "mine"), lab.copy(template, "other")
        seconds, done = lab.run([lab.program, "recipients", "remove", lab.keys["leaves"]], mine)
        require(done.returncode == 0, done)
        ours.append(seconds)
        seconds, done = lab.run(["pass", "init", lab.keys["stays"]], other)
        require(done.returncode == 0, done)
        theirs.append(seconds)
    log = subprocess.run(["git", "-C", str(mine), "rev-list", "--count", "HEAD"], check=True, capture_output=True)
    status = subprocess.run(["git", "-C", str(mine), "status", "--porcelain"], check=True, capture_output=True)
    require((log.stdout, status.stdout) == (b"2\n", b""), "one commit, nothing left over")
    left = lab.readable(mine)
    ratio = statistics.median(theirs) / statistics.median(ours)
    mine_took, others_took = statistics.median(ours), statistics.median(theirs)
    print(f"| remove a member, {count:,} entries, git | {mine_took:.1f} s | `pass init` | {others_took:.1f} s "
          f"| {ratio:.2f} x faster | {FASTER:.1f} x{verdict(ratio >= FASTER)} |")  # fmt: skip
    print(f"| entries that the removed key reads afterwards | {left} | | | | 0{verdict(left == 0)} |")
    return ratio >= FASTER and left == 0


def measure_check(lab: Team, runs: int) -> bool:
    """Check a large store in which some entries have the wrong readers; print the median."""
    right = lab.encrypt("s", "stays", "leaves")
    foreign = lab.encrypt("s", "stays", "leaves", "stranger")
    kinds = [lab.encrypt("s", "stays"), foreign, foreign.replace(key_id(lab, "stranger"), b"\x01" * 8), b""]
    entries = [right] * CHECKED
    for number, data in enumerate(kinds * PLANTED):
        entries[number * 97] = data
    store = lab.store("large", entries)
    times = []
    for _ in range(runs):
        seconds, done = lab.run([lab.program, "recipients", "check", "--json"], store)
        found = json.loads(done.stdout)["data"]
        require((done.returncode, found["entries"]) == (3, CHECKED), done)
        require(len(found["drift"]) == len(kinds) * PLANTED, found["drift"])
        times.append(seconds)
    seconds = statistics.median(times)
    print(f"| `recipients check`, {CHECKED:,} entries, {len(kinds) * PLANTED} planted | {seconds:.2f} s | | | "
          f"| {SECONDS:.1f} s{verdict(seconds < SECONDS)} |")  # fmt: skip
    return seconds < SECONDS


def key_id(lab: Team, name: str) -> bytes:
    """Find the id by which messages name a key."""
    listing = lab.gpg("--with-colons", "--list-keys", lab.keys[name]).decode().splitlines()
    return bytes.fromhex(next(line.split(":")[4] for line in listing if line.startswith("sub")))


def verdict(is_met: bool) -> str:  # noqa: FBT001 - it is all that it is about
    """Mark a budget that was missed."""
    return "" if is_met else " **missed**"


def require(condition: bool, what: object) -> None:  # noqa: FBT001 - an assertion
    """Stop when a program did not do its work: its time would mean nothing."""
    if not condition:
        raise SystemExit(f"not done as it should be: {what}")


def main() -> int:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the removal of a member, and the check for drift.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each program")
    parser.add_argument("--entries", type=int, default=1000, help="of the store that a member is removed from")
    options = parser.parse_args()
    missing = [name for name in ("gpg", "git", "pass") if shutil.which(name) is None]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="phr", dir="/tmp"))
    lab = None
    try:
        lab = Team(folder)
        print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
              f"medians of {options.runs} runs in turn")  # fmt: skip
        print()
        print("| what | ours | against | theirs | ratio | budget |")
        print("|---|---|---|---|---|---|")
        met = measure_removal(lab, options.entries, options.runs)
        met = measure_check(lab, options.runs) and met
    finally:
        if lab is not None:
            lab.end(lab.leaver)
        shutil.rmtree(folder)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
