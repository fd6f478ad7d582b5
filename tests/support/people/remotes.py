"""A shared remote, and somebody with write access to it who is not a friend.

The attacker needs no git client that means well: tree objects are written as bytes, so a path may be
anything that a tree can hold.
"""

from __future__ import annotations

import binascii
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support import OWN_GIT, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support import Answer

PLAIN = "100644"

File = tuple[str, bytes]
"""What an attacker puts at a path: git's mode and the content (the id of a commit for a submodule)."""


class Remote:
    """A bare repository.

    Args:
        path: where it is.
        environ: for git.
        make: whether it has to be made.
    """

    def __init__(self, path: Path, environ: dict[str, str], *, make: bool = True) -> None:
        self.path = path
        self._environ = {name: environ[name] for name in ("PATH", "HOME", "LC_ALL")} | OWN_GIT
        if make:
            self._git("init", "-q", "--bare", "-b", "main", str(path))

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        place = {} if arguments[0] == "init" else {"GIT_DIR": str(self.path)}
        known = {**self._environ, **place}
        answer = subprocess.run(["git", *arguments], env=known, input=stdin, capture_output=True, check=True)
        return answer.stdout.decode(errors="surrogateescape").strip()

    @property
    def head(self) -> str:
        """The commit that the branch points to."""
        return self._git("rev-parse", "main")

    def history(self) -> list[str]:
        """Every commit of the branch, newest first."""
        return self._git("rev-list", "main").split()

    def read(self, path: str, commit: str = "main") -> bytes:
        answer = run(["git", "--git-dir", str(self.path), "cat-file", "blob", f"{commit}:{path}"], self._environ)
        assert answer.code == 0, answer
        return answer.out

    def blob(self, identity: str) -> bytes:
        command = ["git", "--git-dir", str(self.path), "cat-file", "blob", identity]
        return run(command, self._environ).out

    def malformed(self, why: str) -> str:
        """The object about which git's own checks say something."""
        said = run(["git", "--git-dir", str(self.path), "fsck"], self._environ)
        (found,) = [line for line in (said.out + said.err).decode().splitlines() if line.endswith(f": {why}")]
        return found.removesuffix(f": {why}").rpartition(" ")[2]

    def entries(self, commit: str = "main") -> dict[str, tuple[str, str]]:
        """Every file of a commit: its mode and the id of its content."""
        listing = self._git("ls-tree", "-r", "-z", commit)
        return {
            path: (facts.split()[0], facts.split()[2])
            for line in listing.split("\0")
            if line
            for facts, path in [line.split("\t", 1)]
        }

    def push(
        self,
        changes: Mapping[str, File | None],
        *,
        parent: str = "main",
        when: int | None = None,
        subject: str = "Change",
    ) -> str:
        """Commit some files and move the branch there, as nobody's client would.

        Args:
            changes: what to put where; None takes a file away.
            parent: the commit to start from; empty for a history of its own.
            when: the date of the commit.
            subject: its message.
        """
        files = dict(self.entries(parent)) if parent else {}
        for path, file in changes.items():
            if file is None:
                files.pop(path, None)
                continue
            mode, data = file
            blob = data.decode() if mode in ("160000", "140000") else self._object("blob", data)
            files[path] = (mode, blob)
        commit = self.commit(self._tree(files), [parent] if parent else [], when=when, subject=subject)
        self.point(commit)
        return commit

    def flood(self, files: Sequence[tuple[str, bytes]], *, parent: str = "main", commits: int = 1) -> str:
        """Commit more files than :meth:`push` could make in time.

        Args:
            files: what to put where.
            parent: the commit to start from; empty for a history of its own.
            commits: how many commits come of it; all but the first change nothing.
        """
        begin = f"from {self._git('rev-parse', parent)}\n" if parent else ""
        marks = {data: number for number, data in enumerate({data for _, data in files}, 1)}
        stream = bytearray()
        for data, mark in marks.items():
            stream += b"blob\nmark :%d\ndata %d\n%s\n" % (mark, len(data), data)
        for number in range(commits):
            who = f"committer m <m@example.test> {int(time.time())} +0000\ndata 0\n"
            stream += f"commit refs/heads/flood\n{who}{'' if number else begin}".encode()
            for path, data in () if number else files:
                stream += b"M 100644 :%d %s\n" % (marks[data], os.fsencode(path))
            stream += b"\n"
        self._git("fast-import", "--quiet", "--force", stdin=bytes(stream))
        commit = self._git("rev-parse", "flood")
        self.point(commit)
        return commit

    def commit(self, tree: str, parents: list[str], *, when: int | None = None, subject: str = "Change") -> str:
        who = f"m <m@example.test> {int(time.time()) if when is None else when} +0000"
        known = [f"parent {self._git('rev-parse', parent)}" for parent in parents]
        lines = [f"tree {tree}", *known, f"author {who}", f"committer {who}", "", subject]
        return self._object("commit", ("\n".join(lines) + "\n").encode())

    def point(self, commit: str) -> None:
        """Move the branch, whatever it was."""
        self._git("update-ref", "refs/heads/main", commit)

    def _object(self, kind: str, data: bytes) -> str:
        return self._git("hash-object", "-t", kind, "-w", "--literally", "--stdin", stdin=data)

    def _tree(self, files: Mapping[str, tuple[str, str]]) -> str:
        """Write tree objects byte by byte."""
        here: dict[str, tuple[str, str]] = {}  # a file takes the place of a folder
        below: dict[str, dict[str, tuple[str, str]]] = {}
        for path, entry in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = entry
            else:
                here[name] = entry
        here.update({name: ("40000", self._tree(inner)) for name, inner in below.items() if name not in here})
        # git sorts a folder as if its name ended with a slash.
        order = sorted(here, key=lambda name: os.fsencode(name) + (b"/" if here[name][0] == "40000" else b""))
        return self.write_tree([(*here[name], name) for name in order])

    def write_tree(self, lines: Sequence[tuple[str, str, str]]) -> str:
        """Write one tree object: mode, id and name of each entry, as they are given."""
        parts = [
            b"%s %s\0%s" % (mode.encode(), os.fsencode(name), binascii.unhexlify(blob)) for mode, blob, name in lines
        ]
        return self._object("tree", b"".join(parts))

    def push_raw(self, lines: Sequence[tuple[str, str, str]]) -> str:
        """Commit a tree of one's own making."""
        commit = self.commit(self.write_tree(lines), ["main"])
        self.point(commit)
        return commit


class Member:
    """A clone of the remote, used with plain git where a test needs that."""

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        self.path = path
        self.environ = {**environ, "PASSWORD_STORE_DIR": str(path)}

    def clone(self, remote: Path) -> None:
        answer = run(["git", "clone", "-q", str(remote), str(self.path)], self.environ)
        assert answer.code == 0, answer

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.test"]
        answer = self.ask(*who, *arguments)
        assert answer.code == 0, answer
        return answer.text.strip()

    def ask(self, *arguments: str) -> Answer:
        return run(["git", "-C", str(self.path), *arguments], self.environ)

    def fetch(self) -> str:
        """Fetch without any of git's checks; gives the commit."""
        self.git("fetch", "-q", "origin", "+main:refs/remotes/origin/main")
        return self.git("rev-parse", "refs/remotes/origin/main")
