"""Measure the verbs against Docker's own helper, bare gpg and bare python3, side by side.

::

    python contrib/bench/bench.py            # build and install the wheel, measure, print the table
    python contrib/bench/bench.py --runs 60 --python /usr/bin/python3

Every row runs its programs in turn, A B A B, after a warm-up, so that whatever else the machine does
hits all of them alike; the medians' ratios are what counts. The budgets are those of the design.
Exit status 1 when a budget is missed. Needs gpg, git, ``pass`` and golang-docker-credential-helpers.
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
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fleet"))

from lab import FOLDER, Lab

from passhelper.machine.launcher import content

GO = "/usr/bin/docker-credential-pass"
WARM_UP = 3  # runs of each program that do not count
MANY = 10_000  # entries of the large stores
SERVER = "https://registry.example"


@dataclass
class Case:
    """One program in one environment; ``{n}`` in its input becomes the number of the run."""

    argv: list[str]
    environ: dict[str, str]
    stdin: str = ""

    def run(self, number: int) -> float:
        """Run once; return milliseconds."""
        with tempfile.TemporaryFile() as file:
            file.write(self.stdin.replace("{n}", str(number)).encode())
            file.seek(0)
            actions = [
                (os.POSIX_SPAWN_DUP2, file.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ]
            begin = time.perf_counter()
            pid = os.posix_spawn(self.argv[0], self.argv, self.environ, file_actions=actions)
            os.waitpid(pid, 0)
            return (time.perf_counter() - begin) * 1000


def medians(cases: dict[str, Case], runs: int) -> dict[str, float]:
    """Run all cases in turn; return the median of each."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(runs + WARM_UP):
        for name, case in cases.items():
            elapsed = case.run(number)
            if number >= WARM_UP:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


class Bench(Lab):
    """A key, stores and an installation of the wheel."""

    def __init__(self, folder: Path, python: str, pip: str) -> None:
        super().__init__(folder)
        self.install(python, pip)
        self.key = self.generate("bench")

    def install(self, python: str, pip: str) -> None:
        """Build the wheel and install it as pip does, without its libraries: the verbs need none."""
        root = Path(__file__).parent.parent.parent
        dist, venv = self.folder / "dist", self.folder / "venv"
        self.ours = str(venv / "bin" / "docker-credential-pass")
        self.python = str(venv / "bin" / "python")
        quietly([sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(root)])
        quietly([python, "-m", "venv", "--without-pip", str(venv)])
        ours = [sys.executable, "-m", "pip", "--python", self.python]
        if pip:
            quietly([*ours, "install", pip])
            ours = [self.python, "-m", "pip"]
        quietly([*ours, "install", "--no-deps", "--no-index", str(next(dist.glob("*.whl")))])
        packages = next(venv.glob("lib/python*/site-packages"))
        launcher = venv / "launcher"
        launcher.write_text(content(self.python, str(packages)))
        launcher.chmod(0o755)
        self.launcher = str(launcher)

    def store(self, name: str, *, git: bool = False) -> dict[str, str]:
        """Make a store with one entry; return the environment that names it."""
        path = self.begin_store(name, self.key)
        environ = {**self.environ, "PASSWORD_STORE_DIR": str(path)}
        if git:
            self.commit(path)
        self.do(self.ours, "store", stdin=request("robot").encode(), environ=environ)
        return environ

    def fill(self, environ: dict[str, str], folder: str) -> None:
        """Add the many entries, all with the same ciphertext, below a folder of the store."""
        store = Path(environ["PASSWORD_STORE_DIR"])
        ciphertext = next(store.glob(f"{FOLDER}/*/*.gpg")).read_bytes()
        for number in range(MANY):
            name = f"https://registry-{number}.example:5000/v2/"
            place = store / folder / base64.urlsafe_b64encode(name.encode()).decode()
            place.mkdir(parents=True)
            (place / "robot.gpg").write_bytes(ciphertext)

    def know_rights(self, environ: dict[str, str], folder: str) -> dict[str, str]:
        """Give every second entry of a large store to somebody else and let ``list`` know who can read what.

        Returns:
            an environment with a home of its own, so that the other rows know nothing.
        """
        other = {**self.environ, "GNUPGHOME": str(self.folder / "o"), "HOME": str(self.folder / "h")}
        for name in ("GNUPGHOME", "HOME"):
            Path(other[name]).mkdir(mode=0o700)
        key = self.generate("bench", other)
        ciphertext = self.gpg("--trust-model", "always", "-r", key, "--encrypt", stdin=b"robot", environ=other)
        self.do("gpgconf", "--kill", "all", environ=other)
        for path in sorted(Path(environ["PASSWORD_STORE_DIR"], folder).glob("*/robot.gpg"))[::2]:
            path.write_bytes(ciphertext)
        environ = {**environ, "HOME": other["HOME"]}
        script = (
            "import os; from passhelper.store import readable, store; "
            "readable.write(store.PassStore(os.environ, print))"
        )
        self.do(self.python, "-c", script, environ=environ)
        return environ

    def ciphertext(self, environ: dict[str, str]) -> str:
        """Find the one entry's file."""
        return str(next(Path(environ["PASSWORD_STORE_DIR"]).glob(f"{FOLDER}/*/robot.gpg")))


def quietly(command: list[str]) -> None:
    """Run an installer; modules are compiled, as for any user."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, env=environ, check=True, capture_output=True)


def request(secret: str) -> str:
    """Write what ``store`` reads."""
    return json.dumps({"ServerURL": SERVER, "Username": "robot", "Secret": secret})


@dataclass
class Row:
    """One line of the table: a ratio and what it may be."""

    what: str
    ours: float
    peer: str
    theirs: float
    budget: float

    @property
    def ratio(self) -> float:
        """Ours divided by theirs."""
        return self.ours / self.theirs

    def __str__(self) -> str:
        verdict = "" if self.ratio <= self.budget else " **missed**"
        return (
            f"| {self.what} | {self.ours:.1f} | {self.peer} | {self.theirs:.1f} "
            f"| {self.ratio:.2f} | {self.budget:.2f}{verdict} |"
        )


def measure(lab: Bench, runs: int) -> list[Row]:
    """Run all groups of cases."""
    one, other = lab.store("one"), lab.store("other")
    ours, go = [lab.ours], [GO]
    bare_python = Case([lab.python, "-I", "-c", "pass"], one)
    cases = {
        "get": Case([*ours, "get"], one, SERVER),
        "launched get": Case([lab.launcher, "get"], one, SERVER),
        "go get": Case([*go, "get"], one, SERVER),
        "python": bare_python,
        "gpg": Case(["/usr/bin/gpg", "--batch", "--quiet", "--decrypt", lab.ciphertext(one)], one),
        "miss": Case([*ours, "get"], one, "https://absent.example"),
        "list": Case([*ours, "list"], one),
        "version": Case([*ours, "version"], one),
        "store": Case([*ours, "store"], one, request("s{n}")),
        "launched store": Case([lab.launcher, "store"], one, request("t{n}")),
        "go store": Case([*go, "store"], other, request("s{n}")),
    }
    found = medians(cases, runs)
    bare = found["python"] + found["gpg"]
    rows = [
        Row("`get`, a hit", found["get"], "Go `get`", found["go get"], 0.60),
        Row("`get`, as `setup` installs it", found["launched get"], "Go `get`", found["go get"], 0.60),
        Row("`get`, a hit", found["get"], "bare python3 + bare gpg", bare, 1.25),
        Row("`get`, a miss", found["miss"], "bare python3", found["python"], 1.35),
        Row("`list`, few entries", found["list"], "bare python3", found["python"], 1.35),
        Row("`version`", found["version"], "bare python3", found["python"], 1.35),
        Row("`store`, no git", found["store"], "Go `store`", found["go store"], 0.60),
        Row("`store`, as `setup` installs it", found["launched store"], "Go `store`", found["go store"], 0.60),
    ]
    return [*rows, *measure_git(lab, runs), *measure_many(lab, runs)]


def measure_git(lab: Bench, runs: int) -> list[Row]:
    """Measure writes to git stores; each program has a copy of its own."""
    mine, theirs, same = lab.store("mine", git=True), lab.store("theirs", git=True), lab.store("same", git=True)
    found = medians(
        {
            "store": Case([lab.ours, "store"], mine, request("s{n}")),
            "go store": Case([GO, "store"], theirs, request("s{n}")),
            "same": Case([lab.ours, "store"], same, request("robot")),
            "get": Case([lab.ours, "get"], same, SERVER),
        },
        runs,
    )
    return [
        Row("`store`, git", found["store"], "Go `store`, git", found["go store"], 0.70),
        Row("`store` of what is there, git", found["same"], "our `get`", found["get"], 1.20),
    ]


def measure_many(lab: Bench, runs: int) -> list[Row]:
    """Measure beside 10,000 other credentials, and beside 10,000 entries of somebody else."""
    few, many, foreign = lab.store("few"), lab.store("many"), lab.store("foreign")
    shared = lab.store("shared")
    lab.fill(many, FOLDER)
    lab.fill(foreign, "personal")
    lab.fill(shared, FOLDER)
    rights = lab.know_rights(shared, FOLDER)
    found = medians(
        {
            "list": Case([lab.ours, "list"], many),
            "filtered": Case([lab.ours, "list"], rights),
            "go list": Case([GO, "list"], many),
            "one": Case([lab.ours, "get"], few, SERVER),
            "many": Case([lab.ours, "get"], many, SERVER),
            "foreign": Case([lab.ours, "get"], foreign, SERVER),
        },
        runs,
    )
    return [
        Row("`list`, 10,000 entries", found["list"], "Go `list`", found["go list"], 0.90),
        Row("`list`, 10,000 entries, reading rights", found["filtered"], "Go `list`", found["go list"], 1.25),
        Row("`get` beside 10,000 credentials", found["many"], "our `get` beside none", found["one"], 1.10),
        Row("`get` beside 10,000 foreign entries", found["foreign"], "our `get` beside none", found["one"], 1.10),
    ]


def main() -> int:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the verbs against their peers.")
    parser.add_argument("--runs", type=int, default=25, help="runs of each program that count (at least 25 to publish)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to install for")
    parser.add_argument("--pip", default="", help="install with this pip, such as pip==23.0.1, instead of our own")
    options = parser.parse_args()
    missing = [name for name in ("gpg", "git", "pass") if shutil.which(name) is None]
    if missing or not Path(GO).exists():
        parser.error(f"not installed: {', '.join(missing) or 'golang-docker-credential-helpers'}")
    folder = Path(tempfile.mkdtemp(prefix="phb", dir="/tmp"))
    lab = None
    try:
        lab = Bench(folder, options.python, options.pip)
        version = subprocess.run([lab.python, "-V"], check=True, capture_output=True).stdout.decode().strip()
        rows = measure(lab, options.runs)
    finally:
        if lab is not None:
            lab.end()
        shutil.rmtree(folder)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    print(f"{version}, {machine}, medians of {options.runs} runs in turn")
    print()
    print("| what | ms | against | ms | ratio | budget |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(row)
    return int(any(row.ratio > row.budget for row in rows))


if __name__ == "__main__":
    sys.exit(main())
