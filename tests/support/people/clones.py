"""A team: a bare remote and clones of it, each a store of its own with clocks that a test can set."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from passhelper.team.sync.exchange import sync
from passhelper.team.sync.report import Options, Report
from support.programs import script
from support.worlds.vault import SERVER, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHO = {
    "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.test",
    "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.test",
}  # fmt: skip


class Clone(Vault):
    """One member's store."""

    def sync(self, **options: object) -> Report:
        """Sync in this process."""
        return sync(self.helper.pass_store, Options(**options))  # type: ignore[arg-type]

    def at(self, moment: int) -> Clone:
        """The same clone with its clock at a moment, in seconds since 1970, for commits."""
        self.environ.update(GIT_COMMITTER_DATE=f"@{moment} +0000", GIT_AUTHOR_DATE=f"@{moment} +0000")
        return self

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    @property
    def files(self) -> dict[str, bytes]:
        """Every file but git's own."""
        return {name: data for name, data in self.tree.items() if (self.path / name).is_file()}

    @property
    def commits(self) -> list[str]:
        """Every commit of its history."""
        return self.git("rev-list", "HEAD").split()

    @property
    def tree_id(self) -> str:
        return self.git("rev-parse", "HEAD^{tree}").strip()

    def holds(self, commit: str) -> bool:
        return commit in self.commits

    def write(self, path: str, data: bytes | None, subject: str = "By hand") -> str:
        """Commit a file as a person would with git alone; gives the commit."""
        full = self.path / path
        if data is None:
            full.unlink()
        else:
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(data)
        self.git("add", "--force", "--all", "--", path)
        self.git("commit", "-q", "-m", subject)
        return self.head


class Team:
    """A bare remote and its clones, in which an erase is one for all of them.

    Args:
        folder: where they are.
        environ: of all of them.
    """

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = {**environ, **_WHO}
        self.remote = folder / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.remote)], check=True, env=environ)

    def adopt(self, store: Path) -> Clone:
        """Let a store be shared here."""
        clone = Clone({**self.environ, "PASSWORD_STORE_DIR": str(store)})
        clone.git("remote", "add", "origin", str(self.remote))
        clone.git("config", "passhelper.sharedErase", "true")
        return clone

    def clone(self, name: str, *options: str) -> Clone:
        path = self.folder / name
        command = ["git", "clone", "-q", *options, f"file://{self.remote}", str(path)]
        subprocess.run(command, check=True, env=self.environ, capture_output=True)
        clone = Clone({**self.environ, "PASSWORD_STORE_DIR": str(path)})
        clone.git("config", "passhelper.sharedErase", "true")
        return clone

    @property
    def head(self) -> str:
        return self.git("rev-parse", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", "--git-dir", str(self.remote), *arguments]
        return subprocess.run(command, check=True, env=self.environ, capture_output=True).stdout.decode().strip()

    def overtake(self, clone: Clone, *commits: str) -> None:
        """Let others be faster than the next pushes: each finds one of these commits of a clone where it would go."""
        for number, commit in enumerate(commits, 1):
            clone.git("push", "-q", str(self.remote), f"{commit}:refs/others/{number}")
        git = f"git --git-dir '{self.remote}'"
        script(
            self.hook("update"),
            f"""for number in {" ".join(str(number) for number in range(1, len(commits) + 1))}; do
                if other=$({git} rev-parse -q --verify refs/others/$number); then
                    {git} update-ref -d refs/others/$number && {git} update-ref "$1" "$other"
                    exit 0
                fi
            done""",
        )

    def hook(self, name: str) -> Path:
        """Where a hook of the server belongs."""
        (self.remote / "hooks").mkdir(exist_ok=True)
        return self.remote / "hooks" / name

    @contextmanager
    def offline(self) -> Iterator[None]:
        """While it lasts, nobody reaches the remote."""
        away = self.remote.with_suffix(".away")
        os.rename(self.remote, away)
        try:
            yield
        finally:
            os.rename(away, self.remote)


def converge(*clones: Clone) -> None:
    """Sync clones in turn until all have what all have: each twice is enough."""
    for _ in range(2):
        for clone in clones:
            clone.sync()
    assert len({clone.head for clone in clones}) == 1
    assert len({tuple(sorted(clone.files.items())) for clone in clones}) == 1
    for clone in clones:
        assert clone.status == ""


__all__ = ["SERVER", "Clone", "Team", "converge"]
