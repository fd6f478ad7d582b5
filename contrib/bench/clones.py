"""What it costs a runner to clone a large store, by the ways that git has.

::

    python contrib/bench/clones.py           # 10,000 entries, 5,000 commits, from git daemon on loopback

Prints a table: the time of each kind of clone and the size of its ``.git``. See ``contrib/fleets.md``.
Needs git with its daemon.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).parent / "fleet"))

from served import daemon

ENTRY = 460  # bytes of an entry for two cv25519 keys with a 40-byte secret
_KINDS = {
    "full": [],
    "`--depth 1`": ["--depth", "1"],
    "`--filter=blob:none` (partial clone)": ["--filter=blob:none"],
    "full, beside a mirror (`--reference`)": ["--reference-if-able", "{mirror}"],
}


def write_history(stream: IO[bytes], entries: int, commits: int) -> None:
    """Write a store's history for ``git fast-import``: all entries at once, then one change a commit."""
    chance = random.Random(1)
    paths = [
        f"docker-credential-helpers/{base64.urlsafe_b64encode(f'https://registry{n}.example'.encode()).decode()}/user.gpg"
        for n in range(entries)
    ]

    def change(path: str) -> None:
        stream.write(f"M 100644 inline {path}\ndata {ENTRY}\n".encode() + chance.randbytes(ENTRY) + b"\n")

    for number in range(commits):
        stream.write(f"commit refs/heads/main\ncommitter b <b@example.test> {1700000000 + number} +0000\n".encode())
        stream.write(b"data 6\nChange\n")
        for path in paths if number == 0 else [chance.choice(paths)]:
            change(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--commits", type=int, default=5_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clones-", dir="/tmp"))
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    remote, mirror = folder / "srv" / "store.git", folder / "mirror.git"

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], env=environ, check=True, capture_output=True)

    try:
        with daemon(folder / "srv") as port:
            git("init", "--quiet", "--bare", "--initial-branch", "main", str(remote))
            git("-C", str(remote), "config", "uploadpack.allowFilter", "true")
            (remote / "git-daemon-export-ok").touch()
            command = ["git", "-C", str(remote), "fast-import", "--quiet"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, env=environ) as importing:
                if importing.stdin is not None:
                    write_history(importing.stdin, options.entries, options.commits)
                    importing.stdin.close()
            git("-C", str(remote), "repack", "-a", "-d", "--quiet")
            url = f"git://127.0.0.1:{port}/store.git"
            git("clone", "--quiet", "--mirror", url, str(mirror))
            print(f"{options.entries:,} entries, {options.commits:,} commits, git daemon on loopback\n")
            print("| clone | seconds | `.git`, MB |\n|---|---|---|")
            for name, words in _KINDS.items():
                clone = folder / "clone"
                begin = time.monotonic()
                git("clone", "--quiet", *(word.format(mirror=mirror) for word in words), url, str(clone))
                seconds = time.monotonic() - begin
                size = sum(path.stat().st_size for path in (clone / ".git").rglob("*") if path.is_file())
                print(f"| {name} | {seconds:.1f} | {size / 1e6:.1f} |")
                shutil.rmtree(clone)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
