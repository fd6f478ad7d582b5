"""What hurts with Docker's own helper in a shared git store, rows T1 to T9 of the pain list, side by side.

Every test first shows the pain with the Go helper and ``pass``, then that it is gone.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support import FOLDER, PASSPHRASE, Answer, Helper, KeyRing, require_go_helper, run
from support.machines.jobs import git

SERVER = "https://registry.example"
MANY = 12  # stores at once


@pytest.fixture
def go(environ: dict[str, str], git_store: Path, tmp_path: Path) -> Helper:
    """The Go helper on a copy of the test's git store; git knows who commits in both."""
    program = require_go_helper()
    for name, value in (("user.name", "t"), ("user.email", "t@example.test")):
        git(git_store, "config", name, value)
    copy = tmp_path / "go-store"
    shutil.copytree(git_store, copy)
    return Helper(program, {**environ, "PASSWORD_STORE_DIR": str(copy)})


def both(helper: Helper, go: Helper) -> list[tuple[Helper, Path]]:
    """Both helpers with their stores, the one that hurts first."""
    return [(go, store_of(go)), (helper, store_of(helper))]


def store_of(helper: Helper) -> Path:
    return Path(helper.environ["PASSWORD_STORE_DIR"])


def folder_of(store: Path, server: str = SERVER) -> Path:
    return store / FOLDER / base64.urlsafe_b64encode(server.encode()).decode()


def status(store: Path) -> str:
    """What is not committed."""
    return git(store, "status", "--porcelain", "--untracked-files=all")


def commits(store: Path) -> int:
    return int(git(store, "rev-list", "--count", "HEAD"))


def stored(answer: Answer) -> None:
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")


def committed(store: Path) -> None:
    assert status(store) == ""
    assert commits(store) == 2


# T1: git failures are swallowed: the credential is saved, the commit is lost, teammates never get it


def test_t1_no_identity(helper: Helper, go: Helper) -> None:
    for _, store in both(helper, go):
        git(store, "config", "--remove-section", "user")
        git(store, "config", "user.useConfigOnly", "true")
    assert go.store(SERVER, "alice", "s").code == 0  # and not a word that it was not committed
    assert status(store_of(go)).startswith("A ")
    assert commits(store_of(go)) == 1
    stored(helper.store(SERVER, "alice", "s"))
    committed(store_of(helper))


def test_t1_a_lock_that_a_dead_git_left(helper: Helper, go: Helper) -> None:
    for _, store in both(helper, go):
        lock = store / ".git" / "index.lock"
        lock.touch()
        os.utime(lock, (time.time() - 3600,) * 2)
    assert go.store(SERVER, "alice", "s").code == 0
    assert status(store_of(go)).startswith("?? ")
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, answer.out, answer.err.count(b"\n")) == (0, b"", 1)
    assert b"the next change will commit it" in answer.err
    (store_of(helper) / ".git" / "index.lock").unlink()
    stored(helper.store(SERVER, "alice", "s"))
    committed(store_of(helper))


def test_t1_what_could_not_be_committed_is_made_up_for(helper: Helper, go: Helper, tmp_path: Path) -> None:
    """A git that fails once; the next change brings the lost one along."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "git").write_text("#!/bin/sh\nexit 1\n")
    (broken / "git").chmod(0o755)
    for program, store in both(helper, go):
        answer = program.store(SERVER, "alice", "s", PATH=f"{broken}:{program.environ['PATH']}")
        assert answer.code == 0
        assert status(store) != ""
        assert (b"warning: changed but not committed" in answer.err) == (program is helper)
        assert program.store("https://other.example", "bob", "s").code == 0
    assert status(store_of(go)).startswith("?? ")
    committed(store_of(helper))


def test_t1_many_at_once(helper: Helper, go: Helper) -> None:
    for _ in range(5):  # the race is lost nearly every time
        at_once(go)
        if status(store_of(go)):
            break
    assert status(store_of(go)) != ""
    at_once(helper)
    assert status(store_of(helper)) == ""
    assert commits(store_of(helper)) == 1 + MANY


def at_once(helper: Helper) -> None:
    """Store many credentials side by side; every one says that it worked."""
    answers: list[Answer] = []
    stamp = time.monotonic_ns()
    runs = [
        threading.Thread(target=lambda n=number: answers.append(helper.store(f"r{n}-{stamp}.example", "u", "s")))
        for number in range(MANY)
    ]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert [answer.code for answer in answers] == [0] * MANY


# T2: commit spam


def test_t2_the_same_again_is_no_commit(helper: Helper, go: Helper) -> None:
    for program, _ in both(helper, go):
        for _ in range(3):
            assert program.store(SERVER, "alice", "same").code == 0
    assert commits(store_of(go)) == 1 + 3
    assert commits(store_of(helper)) == 1 + 1
    assert helper.store(SERVER, "alice", "other").code == 0
    assert commits(store_of(helper)) == 1 + 2


# T6: logout destroys the recipients of a single server


def test_t6_logout_keeps_the_recipients_of_a_server(helper: Helper, go: Helper, keys: KeyRing) -> None:
    for program, store in both(helper, go):
        folder = folder_of(store)
        folder.mkdir(parents=True)
        (folder / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
        git(store, "add", "--all")
        git(store, "commit", "-q", "-m", "Let bob read this one")
        (folder / "robot.gpg").write_bytes(keys.encrypt(b"s", "alice", "bob"))
        git(store, "add", "--all")
        git(store, "commit", "-q", "-m", "As pass would")
        assert program.erase(SERVER).code == 0
        assert not (folder / "robot.gpg").exists()
        assert status(store) == ""
    assert not folder_of(store_of(go)).exists()
    assert (folder_of(store_of(helper)) / ".gpg-id").exists()
    assert (
        helper.store(SERVER, "robot", "again", PASSHELPER_ACCEPT_RECIPIENTS=f"{keys['alice']} {keys['bob']}").code == 0
    )
    path = folder_of(store_of(helper)) / "robot.gpg"
    readers = keys.gpg("--list-only", "--status-fd", "1", "--decrypt", str(path), check=False).stdout
    assert readers.count(b" ENC_TO ") == 2


# T7: commits that are signed with a key that is locked, or wants to be touched


def test_t7_a_signing_key_that_is_locked(
    helper: Helper, go: Helper, own_keys: KeyRing, environ: dict[str, str]
) -> None:
    for program, store in both(helper, go):
        program.environ["GNUPGHOME"] = str(own_keys.home)
        git(store, "config", "pass.signcommits", "true")
        git(store, "config", "user.signingkey", own_keys["locked"])
    stored(go.store(SERVER, "alice", "s"))  # nobody is told that it was not committed
    assert status(store_of(go)).startswith("A ")
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, answer.out, answer.err.count(b"\n")) == (0, b"", 1)
    assert b"warning: changed but not committed, the next change will commit it: " in answer.err
    assert b"git could not sign the commit" in answer.err
    assert commits(store_of(helper)) == 1  # least of all unsigned
    assert helper.get(SERVER).json["Secret"] == "s"

    unlock = ["--pinentry-mode", "loopback", "--passphrase", PASSPHRASE, "--local-user", own_keys["locked"], "--sign"]
    own_keys.gpg(*unlock, stdin=b"x")
    stored(helper.store("https://other.example", "bob", "s"))
    committed(store_of(helper))
    verify = ["git", "-C", str(store_of(helper)), "verify-commit", "HEAD"]
    assert run(verify, helper.environ).code == 0


# T8: run from a git hook or a CI step whose variables aim git elsewhere


def test_t8_from_the_hook_of_another_repository(helper: Helper, go: Helper, tmp_path: Path) -> None:
    """A server's hook that logs in to build an image: its variables forbid git to commit, there and in the store."""
    work, server = tmp_path / "work", tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(server)], check=True)
    request = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": "s"})
    log = tmp_path / "log"
    for number, (program, _) in enumerate(both(helper, go)):
        hook = server / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in program.environ.items())
        store = f"env {settings} {shlex.quote(program.program)} store"
        hook.write_text(f"#!/bin/sh\nenv > {log}\nprintf %s {shlex.quote(request)} | {store} 2>&1\n")
        hook.chmod(0o755)
        (work / "file").write_text(str(number))
        git(work, "add", ".")
        git(work, "commit", "-q", "-m", "Work")
        git(work, "push", "-q", str(server), "main")  # which fails if the hook does
    assert "GIT_QUARANTINE_PATH=" in log.read_text()
    assert status(store_of(go)).startswith("A ")
    committed(store_of(helper))
    assert git(server, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_t8_variables_of_another_repository(helper: Helper, go: Helper, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "-b", "main", str(other)], check=True)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    (other / "work.txt").write_text("not to be touched")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "Work")
    before = git(other, "rev-parse", "HEAD"), git(other, "status", "--porcelain")
    aimed = {
        "GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git" / "index"), "GIT_WORK_TREE": str(other),
        "GIT_OBJECT_DIRECTORY": str(other / ".git" / "objects"), "GIT_PREFIX": "sub/",
        # What `git -c core.hooksPath=... commit` hands on: the other repository's hooks judge the store's commit.
        "GIT_CONFIG_PARAMETERS": f"'core.hooksPath'='{hooks}'",
    }  # fmt: skip
    assert go.store(SERVER, "alice", "s", **aimed).code == 0
    assert commits(store_of(go)) == 1
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    stored(helper.store(SERVER, "alice", "s", **aimed))
    committed(store_of(helper))
    assert not (tmp_path / "ran").exists()
    assert (git(other, "rev-parse", "HEAD"), git(other, "status", "--porcelain")) == before


# T9: the log of a shared repository says who logs in where


def test_t9_neutral_subjects(helper: Helper, go: Helper) -> None:
    name = base64.urlsafe_b64encode(SERVER.encode()).decode()
    for program, store in both(helper, go):
        git(store, "config", "passhelper.neutralCommits", "true")
        assert program.store(SERVER, "alice", "s").code == 0
        assert program.erase(SERVER).code == 0
    told = git(store_of(go), "log", "--format=%B")
    assert "alice" in told
    assert name in told
    told = git(store_of(helper), "log", "--format=%B")
    assert "alice" not in told
    assert "registry.example" not in told
    assert name not in told
    assert told.split("\n\n")[0].strip() == "Update credential"
