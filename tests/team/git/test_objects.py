"""The one ``git cat-file`` of a command: its answers are those of now, it ends in time, and on every path."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import children, is_alive
from support.programs import script
from support.waiting import until
from support.worlds.vault import Vault

from passhelper.errors import GitError
from passhelper.store.repository import Repository
from passhelper.store.runner import Runner
from passhelper.team.git import blobs, gitrepo, objects
from passhelper.team.git.gitrepo import Git
from passhelper.team.git.objects import Objects


@pytest.fixture
def git(git_vault: Vault) -> Iterator[Git]:
    with gitrepo.opened(place(git_vault), git_vault.environ) as git:
        yield git


def place(vault: Vault) -> Repository:
    return Repository(str(vault.path), str(vault.path / ".git"))


def head(vault: Vault) -> str:
    return vault.git("rev-parse", "HEAD").strip()


def commit(vault: Vault) -> None:
    vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "--allow-empty", "-m", "More")


def slow(vault: Vault, folder: Path, *, seconds: float = 0.3) -> Objects:
    """Objects of a git that never answers."""
    return Objects(
        [script(folder / "git", "exec sleep 600"), "-C", str(vault.path)], vault.environ, 0o77, seconds=seconds, limit=9
    )


def test_names_mean_what_they_mean_now(git_vault: Vault, git: Git) -> None:
    assert git.revision("HEAD") == head(git_vault)
    for change in (["pack-refs", "--all"], ["checkout", "-q", "-b", "other"], ["gc", "-q", "--prune=now"]):
        commit(git_vault)
        git_vault.git(*change)
        commit(git_vault)
        assert git.revision("HEAD") == head(git_vault)
        assert git.has_commit(head(git_vault))
    assert len(children()) == 1


def test_what_is_not_there(git_vault: Vault, git: Git) -> None:
    assert git.revision("refs/heads/nobody") == ""
    assert git.revision("HEAD\nHEAD") == ""
    assert not git.has_commit("0" * 40)
    assert not git.has_commit(git_vault.git("rev-parse", "HEAD:.gpg-id").strip())
    assert not git.has_commit("HEAD")
    assert git.file(head(git_vault), ".gpg-id") == (git_vault.path / ".gpg-id").read_bytes()
    assert git.file(head(git_vault), "no such file") is None
    assert git.file(head(git_vault), "") is None  # a tree


def test_a_reference_to_a_missing_object_is_no_missing_reference(git_vault: Vault, git: Git) -> None:
    (git_vault.path / ".git" / "refs" / "heads" / "main").write_text("1" * 40 + "\n")
    assert git.revision("HEAD") == "1" * 40


def test_a_name_with_a_line_end_is_asked_for_on_its_own(git_vault: Vault, git: Git) -> None:
    (git_vault.path / "two\nlines").write_bytes(b"text")
    git_vault.git("add", ".")
    commit(git_vault)
    assert git.file(head(git_vault), "two\nlines") == b"text"
    with pytest.raises(ValueError, match="two"):
        git.objects.find(f"{head(git_vault)}:two\nlines")


def test_thousands_at_once(git_vault: Vault, git: Git) -> None:
    ids = {}
    for number in range(300):
        data = b"%d" % number * 1000
        (git_vault.path / f"{number}").write_bytes(data)
        ids[blobs.of_file(str(git_vault.path / f"{number}"), 40)] = data
    git_vault.git("add", ".")
    assert blobs.read(git, list(ids) * 10) == ids


def test_what_is_too_large(git_vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    (git_vault.path / "large").write_bytes(bytes(10 << 20))
    git_vault.git("add", ".")
    large = blobs.of_file(str(git_vault.path / "large"), 40)
    small = blobs.of_file(str(git_vault.path / ".gpg-id"), 40)
    monkeypatch.setattr(Runner, "LIMIT", 1 << 20)
    with gitrepo.opened(place(git_vault), git_vault.environ) as git:
        with pytest.raises(GitError, match=f"object {large} in .* is larger than 1048576 bytes"):
            blobs.read(git, [small, large])
        assert git.objects.find(large) == objects.Object(large, "blob", None)
        assert blobs.read(git, [small]) == {small: (git_vault.path / ".gpg-id").read_bytes()}
    assert children() == set()


def test_it_ends_with_the_command(git_vault: Vault) -> None:
    def interrupted() -> None:
        with gitrepo.opened(place(git_vault), git_vault.environ) as git:
            git.revision("HEAD")
            assert len(children()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert children() == set()


def test_it_ends_when_the_command_is_killed(git_vault: Vault) -> None:
    root = str(git_vault.path)
    code = (
        "import os, time\n"
        "from passhelper.store.repository import Repository\n"
        "from passhelper.team.git import gitrepo\n"
        f"with gitrepo.opened(Repository({root!r}, {root + '/.git'!r}), os.environ) as git:\n"
        "    git.revision('HEAD'); print(git.objects._process.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=git_vault.environ, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    until(lambda: not is_alive(child))


def test_a_git_that_hangs(git_vault: Vault, tmp_path: Path) -> None:
    asked = slow(git_vault, tmp_path)
    with pytest.raises(GitError, match=r"git cat-file did not finish within 0\.3 s in"):
        asked.find("HEAD")
    assert children() == set()


def test_ctrl_c_while_it_is_waited_for(git_vault: Vault, tmp_path: Path) -> None:
    asked = slow(git_vault, tmp_path, seconds=60)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(KeyboardInterrupt):
        asked.find("HEAD")
    assert children() == set()


def test_a_git_that_ends_says_why(git_vault: Vault, git: Git) -> None:
    os.rename(git_vault.path / ".git", git_vault.path / "was")
    with pytest.raises(GitError, match=f"{git_vault.path} is not a repository that git can read"):
        git.objects.find("HEAD")
    os.rename(git_vault.path / "was", git_vault.path / ".git")
    assert git.revision("HEAD") == head(git_vault)  # the next question starts another


def test_it_runs_with_what_every_git_gets(git_vault: Vault) -> None:
    git_vault.environ.update(GIT_DIR="/nonexistent", PASSHELPER_PASSPHRASE="secret")
    with gitrepo.opened(place(git_vault), git_vault.environ) as git:
        assert git.revision("HEAD") != ""
        (process,) = children()
        said = Path(f"/proc/{process}/environ").read_bytes()
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    assert b"GIT_DIR=" not in said
    assert b"secret" not in said
    assert words[1:3] == [b"-C", os.fsencode(git_vault.path)]
    assert {b"core.hooksPath=/dev/null", b"core.fsmonitor=false"} <= set(words)


def test_what_a_commit_says_is_read_through_it(git_vault: Vault, git: Git) -> None:
    before = head(git_vault)
    commit(git_vault)
    found = git.commit(head(git_vault))
    assert ([parent.hexsha for parent in found.parents], found.message) == ([before], "More\n")
    assert len(children()) == 1
