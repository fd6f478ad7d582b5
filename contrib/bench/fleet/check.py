"""The judge of a fleet: was an acknowledged write lost? It knows git and gpg and nothing of passhelper."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BRANCH = "main"


@dataclass(frozen=True)
class Write:
    """One write that was acknowledged: the program exited 0, and so did a later sync of the same clone.

    Attributes:
        runner: who wrote.
        path: the entry's file in the store.
        blob: git's id of its ciphertext.
    """

    runner: int
    path: str
    blob: str


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; fail loudly."""
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True).stdout.decode()


def blob_of(folder: Path, path: str) -> str:
    """Name a file's content as git would."""
    return git(folder, "hash-object", "--no-filters", path).strip()


def lost(remote: Path, writes: Sequence[Write]) -> list[str]:
    """Find the acknowledged writes whose ciphertext is neither in the final tree nor in its history."""
    objects = {line.partition(" ")[0] for line in git(remote, "rev-list", "--objects", BRANCH).splitlines()}
    return [
        f"lost: runner {write.runner} wrote {write.path} ({write.blob[:12]})"
        for write in writes
        if write.blob not in objects
    ]


def diverged(remote: Path, clones: Sequence[Path]) -> list[str]:
    """Find the clones whose tree differs from the remote's, or that are not clean."""
    wanted = git(remote, "rev-parse", f"{BRANCH}^{{tree}}")
    problems = []
    for clone in clones:
        if git(clone, "rev-parse", "HEAD^{tree}") != wanted:
            problems.append(f"diverged: {clone.name} has another tree than the remote")
        if status := git(clone, "status", "--porcelain"):
            problems.append(f"not clean: {clone.name}: {status.splitlines()[0]}")
    return problems


def unreadable(remote: Path, environ: Mapping[str, str]) -> list[str]:
    """Find the entries of the final tree that gpg does not decrypt."""
    problems = []
    for path in git(remote, "ls-tree", "-r", "-z", "--name-only", BRANCH).split("\0"):
        if not path.endswith(".gpg"):
            continue
        message = subprocess.run(
            ["git", "-C", str(remote), "cat-file", "blob", f"{BRANCH}:{path}"], check=True, capture_output=True
        ).stdout
        command = ["gpg", "--batch", "--quiet", "--decrypt"]
        if subprocess.run(command, input=message, env=dict(environ), capture_output=True, check=False).returncode:
            problems.append(f"unreadable: {path}")
    return problems


def drop_one(remote: Path, write: Write) -> None:
    """Take the commit that brought a write out of the remote's history, as a careless force push would.

    What was committed on top of it is kept, so that nothing but the write is missing.
    """
    commits = git(remote, "rev-list", "--reverse", "--topo-order", BRANCH).split()
    entry = f"{write.blob}\t{write.path}"
    renamed: dict[str, str] = {}
    for commit in commits:
        tree = git(remote, "ls-tree", "-r", commit)
        kept = [line for line in tree.splitlines() if not line.endswith(entry)]
        parents = [renamed[parent] for parent in git(remote, "show", "--quiet", "--format=%P", commit).split()]
        renamed[commit] = _commit_again(remote, kept, parents)
    git(remote, "update-ref", f"refs/heads/{BRANCH}", renamed[commits[-1]])


def _commit_again(remote: Path, lines: list[str], parents: list[str]) -> str:
    index = {"GIT_INDEX_FILE": str(remote / "index-of-the-checker"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    (remote / "index-of-the-checker").unlink(missing_ok=True)
    begin = ["git", "-C", str(remote), "-c", "user.name=checker", "-c", "user.email=checker@example.test"]
    subprocess.run(
        [*begin, "update-index", "--index-info"], input="".join(f"{line}\n" for line in lines).encode(), env=index,
        check=True,
    )  # fmt: skip
    tree = subprocess.run([*begin, "write-tree"], env=index, check=True, capture_output=True).stdout.decode().strip()
    to = [word for parent in parents for word in ("-p", parent)]
    made = subprocess.run([*begin, "commit-tree", tree, *to, "-m", "Again"], env=index, check=True, capture_output=True)
    return made.stdout.decode().strip()
