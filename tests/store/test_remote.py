"""Automatic sync of the verbs: push after a commit, fetch before a miss, and what neither will do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.faults.meanwhile import meanwhile
from support.people.clones import SERVER, Clone, Team
from support.programs import script

from passhelper import CredentialsNotFoundError
from passhelper.errors import ConfigurationError
from passhelper.store import autosync, forward, journal, remote
from passhelper.store.store import PassStore
from passhelper.team.git import commits

OTHER = "https://b.example"
NOT_PUSHED = "changed here but not pushed, the next change or passhelper sync pushes it"


@pytest.fixture
def team(tmp_path: Path, git_store: Path, environ: dict[str, str]) -> Team:
    """A remote with the store of ``a`` in it; nothing is synced by itself yet."""
    team = Team(tmp_path, environ)
    a = team.adopt(git_store)
    a.store("https://first.example")
    a.sync()
    return team


@pytest.fixture
def a(team: Team, git_store: Path) -> Clone:
    """The clone that was there first."""
    return Clone({**team.environ, "PASSWORD_STORE_DIR": str(git_store)})


@pytest.fixture
def b(team: Team) -> Clone:
    """A second clone, with its recipients accepted."""
    clone = team.clone("b")
    clone.sync()
    return clone


def auto(clone: Clone, words: str) -> Clone:
    clone.git("config", "passhelper.sync", words)
    return clone


def state(clone: Clone, name: str) -> Path:
    return clone.path / ".git" / "passhelper" / name


def misses(clone: Clone, server: str = SERVER) -> bool:
    try:
        clone.get(server)
    except CredentialsNotFoundError:
        return True
    return False


def ask_again(clone: Clone) -> None:
    """Let the time pass during which nobody asks again."""
    state(clone, "asked").unlink(missing_ok=True)


# Push


def test_nothing_is_pushed_unless_somebody_says_so(team: Team, a: Clone) -> None:
    before = team.head
    for words in ("off", "pull", ""):
        auto(a, words)
        a.store(secret=words)
    assert team.head == before
    assert not state(a, "unpushed").exists()
    auto(a, "push,pull")
    a.environ["PASSHELPER_SYNC"] = "off"
    a.store(secret="other")
    assert team.head == before


@pytest.mark.parametrize("where", ["git config", "environment"])
def test_store_and_erase_are_pushed(team: Team, a: Clone, where: str) -> None:
    if where == "git config":
        auto(a, "push")
    else:
        a.environ["PASSHELPER_SYNC"] = "push, pull"
    a.store()
    assert team.head == a.head
    assert f"{FOLDER}/" in team.git("ls-tree", "-r", "--name-only", "main")
    a.erase()
    assert team.head == a.head
    assert a.warnings == []
    assert not state(a, "unpushed").exists()


def test_pushed_to_the_branch_that_belongs_to_it(team: Team, a: Clone) -> None:
    a.git("branch", "-q", "-m", "main", "Mine")
    a.git("branch", "-q", "--set-upstream-to=origin/main")
    auto(a, "push").store()
    assert team.head == a.head
    assert team.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_the_only_remote_may_have_any_name(team: Team, a: Clone) -> None:
    a.git("remote", "rename", "origin", "GitHub")
    a.git("config", "--unset", "branch.main.remote")
    auto(a, "push").store()
    assert (team.head, a.warnings) == (a.head, [])


def test_names_of_branches_that_differ_in_case_alone(team: Team, a: Clone) -> None:
    a.git("branch", "-q", "-m", "main", "Main")
    a.git("branch", "-q", "--set-upstream-to=origin/main")
    a.git("config", "branch.main.merge", "refs/heads/other")
    auto(a, "push").store()
    assert team.head == a.head
    assert team.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_store_without_a_remote_pushes_nowhere(git_store: Path, environ: dict[str, str]) -> None:
    alone = auto(Clone(environ), "push,pull")
    alone.store()
    assert misses(alone, OTHER)
    assert alone.warnings == []


def test_a_runner_keeps_what_it_writes(team: Team, a: Clone, b: Clone) -> None:
    a.store()
    a.sync()
    before = team.head
    b.git("config", "passhelper.ci", "true")
    b.environ["PASSHELPER_SYNC"] = "push,pull"
    b.store(OTHER)
    assert misses(b)
    assert team.head == before


def test_what_could_not_be_pushed_goes_out_with_the_next_command(team: Team, a: Clone) -> None:
    auto(a, "push")
    with team.offline():
        a.store()
        (warning,) = a.warnings
        assert warning.startswith(f"{NOT_PUSHED}: fatal: ")
        assert a.get() == ("bob", "s3cret")
        a.store(OTHER)
        assert len(a.warnings) == 2
    assert team.head != a.head
    a.store(OTHER)  # which is there already
    assert team.head == a.head
    assert len(a.warnings) == 2
    assert not state(a, "unpushed").exists()


def test_a_miss_pushes_what_is_left(team: Team, a: Clone) -> None:
    auto(a, "push,pull")
    with team.offline():
        a.store()
    assert misses(a, OTHER)
    assert team.head == a.head


def test_sync_by_hand_leaves_nothing_to_push(team: Team, a: Clone) -> None:
    auto(a, "push")
    with team.offline():
        a.store()
    a.sync()
    with team.offline():  # so it must not ask
        a.store()
    assert len(a.warnings) == 1
    assert not state(a, "unpushed").exists()


def test_a_push_that_others_were_faster_than(team: Team, a: Clone, b: Clone) -> None:
    b.store(OTHER)
    b.sync()
    auto(a, "push").store()
    (warning,) = a.warnings
    assert warning == f"{NOT_PUSHED}: rejected: fetch first"
    assert state(a, "unpushed").exists()
    a.sync()
    assert team.head == a.head
    assert a.get(OTHER) == ("bob", "s3cret")


def test_readers_that_nobody_accepted_are_not_spread(team: Team, a: Clone, keys: KeyRing) -> None:
    a.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    before = team.head
    auto(a, "push").erase("https://first.example")
    assert team.head == before
    assert a.warnings == [f"{NOT_PUSHED}: the recipients here are not the accepted ones"]


@pytest.mark.parametrize("how", ["exit 128", "exec sleep 9"])
@pytest.mark.parametrize("question", ["rev-parse", "symbolic-ref", "config"])
def test_a_git_that_does_not_answer_leaves_a_note(
    team: Team, a: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str, how: str
) -> None:
    monkeypatch.setattr(remote.Remote, "SECONDS", 0.5)
    auto(a, "push")
    if question == "config":  # which is asked for what was left
        with team.offline():
            a.store()
        a.warnings.clear()
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "git", f'case " $* " in *" {question} "*) {how} ;; esac; exec /usr/bin/git "$@"')
    path = a.environ["PATH"]
    a.environ["PATH"] = f"{tmp_path}/bin:{path}"
    before = team.head
    a.store()
    why = "failed" if how == "exit 128" else "did not finish within 0.5 s"
    assert len(a.warnings) == 1
    assert a.warnings[0].startswith(f"{NOT_PUSHED}: git {question} {why} in {a.path}")
    assert (team.head, state(a, "unpushed").exists()) == (before, True)
    a.environ["PATH"] = path
    a.store()
    assert team.head == a.head
    assert not state(a, "unpushed").exists()


def test_a_branch_without_a_commit_is_not_taken_for_pushed(team: Team, a: Clone) -> None:
    auto(a, "push")
    with team.offline():
        a.store()
    a.git("checkout", "-q", "--orphan", "new")
    a.store()
    assert len(a.warnings) == 2
    assert state(a, "unpushed").exists()


def test_a_commit_that_failed_is_not_pushed(team: Team, a: Clone, tmp_path: Path) -> None:
    auto(a, "push")
    before = team.head
    a.git("config", "commit.gpgsign", "true")
    a.git("config", "gpg.program", script(tmp_path / "no", "exit 1"))
    a.store()
    assert team.head == before
    assert len(a.warnings) == 1
    assert "not committed" in a.warnings[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("push.gpgSign", "true"),
        ("push.gpgSign", "if-asked"),
        ("push.followTags", "true"),
        ("push.recurseSubmodules", "only"),
        ("push.default", "nothing"),
        ("push.useForceIfIncludes", "true"),
        ("remote.origin.push", "refs/heads/nothing"),
    ],
)
def test_a_users_own_settings_do_not_keep_a_push_from_its_remote(team: Team, a: Clone, name: str, value: str) -> None:
    auto(a, "push").git("config", name, value)
    a.git("-c", "user.name=t", "-c", "user.email=t@t.test", "tag", "-a", "-m", "mine", "mine")
    a.store()
    assert (a.warnings, team.head) == ([], a.head)
    assert "mine" not in a.git("ls-remote", "--tags", "origin")


# Fetch


def test_a_miss_finds_what_others_have_stored(team: Team, a: Clone, b: Clone) -> None:
    a.store(secret="news")
    a.sync()
    assert misses(b)
    auto(b, "pull")
    assert b.get() == ("bob", "news")
    assert (b.head, b.status, b.warnings) == (a.head, "", [])
    assert state(b, "trust.json").read_text().find(a.head) > 0
    a.erase()
    a.store(OTHER)
    a.sync()
    ask_again(b)
    assert b.get(OTHER) == ("bob", "s3cret")
    assert misses(b)
    assert not b.directory().exists()
    assert b.status == ""
    b.store(secret="mine")
    b.sync()
    assert team.head == b.head


def test_a_hit_asks_nobody(team: Team, a: Clone, b: Clone) -> None:
    auto(b, "pull,push")
    with team.offline():
        assert b.get("https://first.example") == ("bob", "s3cret")
    assert not state(b, "asked").exists()


def test_at_most_once_a_minute(team: Team, a: Clone, b: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    auto(b, "pull")
    assert misses(b)
    a.store()
    a.sync()
    assert misses(b)
    stamp = state(b, "asked").stat().st_mtime
    os.utime(state(b, "asked"), (stamp - autosync.PAUSE - 1,) * 2)
    assert not misses(b)
    # A clock that went back does not silence it for good.
    b.erase()
    os.utime(state(b, "asked"), (time.time() + 9999,) * 2)
    a.store(OTHER)
    assert misses(b)
    assert state(b, "asked").stat().st_mtime < time.time() + 1


def test_a_failure_counts_too(team: Team, a: Clone, b: Clone) -> None:
    auto(b, "pull")
    a.store()
    a.sync()
    with team.offline():
        assert misses(b)
    assert misses(b)
    assert b.warnings == []


def test_an_equivalent_name_is_found_after_a_fetch(team: Team, a: Clone, b: Clone) -> None:
    a.store("https://registry.example/v2/")
    a.sync()
    assert auto(b, "pull").get("registry.example") == ("bob", "s3cret")


def test_a_clone_of_the_folder_alone(team: Team, a: Clone, keys: KeyRing, tmp_path: Path) -> None:
    """``docker-credential-helpers`` can be a repository of its own inside a store of pass."""
    (tmp_path / "inner").mkdir()
    inner = Team(tmp_path / "inner", team.environ)
    stores = []
    for name in ("x", "y"):
        root = tmp_path / name
        root.mkdir()
        (root / ".gpg-id").write_text(keys["alice"] + "\n")
        stores.append(Clone({**team.environ, "PASSWORD_STORE_DIR": str(root)}))
    x, y = stores
    x.git("init", "-q", "-b", "main", FOLDER)
    folder = x.path / FOLDER
    for command in (("remote", "add", "origin", str(inner.remote)), ("config", "passhelper.sync", "push")):
        x.git("-C", str(folder), *command)
    x.store()
    assert x.warnings == []
    y.git("clone", "-q", str(inner.remote), FOLDER)
    y.store("https://y.example")  # pins
    y.git("-C", FOLDER, "reset", "-q", "--hard", "HEAD~1")
    x.store(OTHER)
    y.git("-C", FOLDER, "config", "passhelper.sync", "pull")
    assert y.get(OTHER) == ("bob", "s3cret")


# What is left to sync


def left_alone(clone: Clone, server: str = SERVER) -> None:
    """A miss that changes nothing in the work tree, the branch or the pins, and says nothing."""
    auto(clone, "pull")
    before = clone.tree, clone.head, state(clone, "trust.json").read_bytes()
    ask_again(clone)
    assert misses(clone, server)
    assert (clone.tree, clone.head, state(clone, "trust.json").read_bytes()) == before
    assert clone.warnings == []
    assert not state(clone, "journal").exists()


def spread(clone: Clone, path: str, data: bytes | None, *, mode: str = "") -> None:
    """Push a file beside a new credential, with git alone."""
    clone.store()
    clone.write(path, data)
    if mode:
        blob = clone.git("rev-parse", f"HEAD:{path}")
        clone.git("update-index", "--cacheinfo", f"{mode},{blob.strip()},{path}")
        clone.git("commit", "-q", "--amend", "--no-edit")
    clone.git("push", "-q", "--force", "origin", "HEAD:main")


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (".gpg-id", ""),
        (f"{FOLDER}/.gpg-id", ""),
        (f"{FOLDER}/YS5leGFtcGxl/.gpg-id", ""),
        (".gpg-id.sig", ""),
        (".public-keys/" + "A" * 40, ""),
        ("README", ""),
        ("personal/bank.gpg", ""),
        (f"{FOLDER}/.gitattributes", ""),
        (f"{FOLDER}/YS5leGFtcGxl/link.gpg", "120000"),
        (f"{FOLDER}/YS5leGFtcGxl/a\x01b.gpg", ""),
        (f"{FOLDER}/YS5leGFtcGxl/large.gpg", ""),
    ],
)
def test_anything_but_entries(team: Team, a: Clone, b: Clone, keys: KeyRing, path: str, mode: str) -> None:
    data = keys["bob"].encode() + b"\n"
    if "large" in path:
        data = b"x" * ((4 << 20) + 1)
    spread(a, path, data, mode=mode)
    left_alone(b)


def test_two_histories(team: Team, a: Clone, b: Clone) -> None:
    a.store()
    a.sync()
    b.store(OTHER)
    left_alone(b)


def test_a_rewritten_history(team: Team, a: Clone, b: Clone) -> None:
    a.store()
    a.git("reset", "-q", "--soft", "HEAD~2")
    a.git("commit", "-q", "-m", "Another past")
    a.git("push", "-q", "--force", "origin", "HEAD:main")
    left_alone(b)


def test_a_history_that_was_rolled_back(team: Team, a: Clone, b: Clone) -> None:
    """HEAD was moved back by hand; the remote lacks what was accepted here."""
    a.store(OTHER)
    a.sync()
    b.sync()
    b.git("reset", "-q", "--hard", "HEAD~1")
    a.git("reset", "-q", "--hard", "HEAD~1")
    a.store()
    a.git("push", "-q", "--force", "origin", "HEAD:main")
    left_alone(b)


def test_a_commit_from_the_future(team: Team, a: Clone, b: Clone) -> None:
    a.at(int(time.time()) + 2 * 3600).store()
    a.git("push", "-q", "origin", "HEAD:main")
    left_alone(b)


def test_recipients_that_differ_here(team: Team, a: Clone, b: Clone, keys: KeyRing) -> None:
    a.store()
    a.sync()
    (b.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    left_alone(b)


def test_a_store_that_was_never_pinned(team: Team, a: Clone) -> None:
    c = team.clone("c")
    a.store()
    a.sync()
    auto(c, "pull")
    head = c.head
    assert misses(c)
    assert c.head == head


def test_work_that_is_not_committed(team: Team, a: Clone, b: Clone) -> None:
    first = "https://first.example"
    a.store(first, secret="newer")
    a.store()
    a.sync()
    b.entry(first).write_bytes(b"by hand")
    left_alone(b)
    b.git("checkout", "-q", "--", ".")
    b.put(b"by hand", OTHER)  # in nobody's way
    ask_again(b)
    assert not misses(b)
    assert b.get(first) == ("bob", "newer")
    assert b.entry(OTHER).read_bytes() == b"by hand"


def test_a_file_that_git_does_not_know_in_the_way(team: Team, a: Clone, b: Clone) -> None:
    a.store(username="carl")
    a.store(OTHER)
    a.sync()
    b.put(b"by hand", SERVER, "carl.gpg")
    left_alone(b, OTHER)


def test_a_link_in_the_way(team: Team, a: Clone, b: Clone, tmp_path: Path) -> None:
    a.store()
    a.store(OTHER)
    a.sync()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    b.directory().symlink_to(elsewhere)
    left_alone(b, OTHER)
    assert list(elsewhere.iterdir()) == []


def test_more_than_a_few(team: Team, a: Clone, b: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_MOST", 1)
    a.store()
    a.store(OTHER)
    a.sync()
    left_alone(b)


def test_a_killed_fast_forward_is_finished_by_the_next_writer(
    team: Team, a: Clone, b: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.store()
    a.store("https://first.example", secret="newer")
    a.sync()
    finish = journal.finish
    monkeypatch.setattr(journal, "finish", lambda *_: None)  # as if it were killed here
    auto(b, "pull")
    assert misses(b)
    monkeypatch.setattr(journal, "finish", finish)
    assert state(b, "journal").exists()
    b.store(OTHER)
    assert b.get() == ("bob", "s3cret")
    assert b.get("https://first.example") == ("bob", "newer")
    assert b.git("rev-parse", "HEAD~1").strip() == a.head
    assert b.status == ""


def test_the_subject_has_the_mark_of_sync() -> None:
    """Should the branch move on first, sync must know that such a commit decides nothing."""
    assert commits.MARK in forward.SUBJECT.splitlines()


# Messages and settings


@pytest.mark.parametrize("value", ["x", "0", "-1", "1e9"])
def test_a_time_limit_that_is_none(team: Team, a: Clone, value: str) -> None:
    a.environ["PASSHELPER_SYNC_TIMEOUT"] = value
    with pytest.raises(ConfigurationError) as caught:
        auto(a, "push,pull").store()
    assert str(caught.value) == (
        f"PASSHELPER_SYNC_TIMEOUT is not a number of seconds: {value!r}; "
        "set it to a number above 0 and below 86400, such as 5"
    )
    assert a.warnings == []


def test_ssh_asks_nobody(team: Team, a: Clone, tmp_path: Path) -> None:
    log = tmp_path / "log"
    ssh = script(tmp_path / "ssh", f'echo "$@" >> {log}; exit 1')
    a.git("remote", "set-url", "origin", "ssh://nobody@localhost/x.git")
    auto(a, "push,pull")
    for name, value in (("core.sshCommand", f"{ssh} -v"), ("GIT_SSH_COMMAND", f"{ssh} -4")):
        if name.startswith("core"):
            a.git("config", name, value)
        else:
            a.environ[name] = value
        ask_again(a)
        misses(a, OTHER)
    assert [line.split()[:2] for line in log.read_text().splitlines()] == [["-v", "-oBatchMode=yes"],
                                                                           ["-4", "-oBatchMode=yes"]]  # fmt: skip


def test_pull_never_raises(environ: dict[str, str], tmp_path: Path) -> None:
    environ["PASSWORD_STORE_DIR"] = str(tmp_path / "none")
    assert autosync.pull(PassStore(environ, lambda _: None)) is False


def test_the_branch_that_was_looked_at_is_pushed(team: Team, a: Clone, tmp_path: Path) -> None:
    """Somebody switches to another branch while it is pushed; that one is nobody's business there."""
    auto(a, "push")
    git = f"git -C {a.path}"
    switch = f"{git} checkout -q -b private; {git} commit -q --allow-empty -m Private"
    meanwhile(a.environ, tmp_path / "bin", "git", "push", switch)
    a.store()
    assert a.git("rev-parse", "main").strip() == team.head
    assert a.head != team.head
    assert a.warnings == []
