"""The remote that is away, hangs, refuses, or is not there at all: exit 6 or a remedy, and nothing lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.faults.meanwhile import happened, meanwhile
from support.people.clones import Clone, Team
from support.processes import children, is_alive
from support.programs import script
from support.waiting import until
from support.worlds.vault import SERVER

from passhelper.errors import ConfigurationError, GitError, RemoteError, StoreError
from passhelper.store import commit
from passhelper.team.git import blobs, gitrepo, network
from passhelper.team.sync import exchange as sync_module

OTHER = "https://b.example"


# Away


def test_what_was_done_here_stays_when_the_remote_is_away(team: Team, ann: Clone) -> None:
    ann.store()
    ann.put(ann.entry().read_bytes(), OTHER)
    with team.offline(), pytest.raises(RemoteError, match="the remote origin cannot be fetched from: fatal") as caught:
        ann.sync()
    assert caught.value.exit_code == 6
    assert caught.value.remedy == f"look: git -C {ann.path} fetch origin"
    assert (ann.status, ann.get()) == ("", ("bob", "s3cret"))
    assert ann.subjects[0] == "Commit changes that were left without a commit"
    assert ann.sync().pushed == 2


def test_no_word_of_a_server_is_advice(ann: Clone, tmp_path: Path) -> None:
    """Not even where it says what git says of a lock that is there."""
    said = f"fatal: Unable to create '{ann.path}/.git/x; touch evil; .lock': File exists."
    ann.environ["GIT_SSH_COMMAND"] = script(tmp_path / "ssh", f'echo "{said}" >&2; exit 1')
    ann.git("remote", "set-url", "origin", "ssh://evil.example/store")
    with pytest.raises(GitError) as caught:
        ann.sync()
    assert "evil" not in caught.value.remedy


def test_a_remote_that_hangs_is_ended_with_all_that_it_started(
    team: Team, ann: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SECONDS", 0.5)
    ids = tmp_path / "ids"
    stubborn = f'trap "" TERM\necho $$ >> {ids}\nsleep 600 & echo $! >> {ids}; wait'
    ann.environ["GIT_SSH_COMMAND"] = script(tmp_path / "ssh", stubborn)
    ann.git("remote", "set-url", "origin", "ssh://away.example/store")
    with pytest.raises(RemoteError, match=r"cannot be fetched from: no answer within 0\.5 s"):
        ann.sync()
    assert children() == set()
    until(lambda: not any(is_alive(int(process)) for process in ids.read_text().split()))


def test_ssh_asks_nobody(ann: Clone, tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = script(tmp_path / "my ssh", f'echo "$@" >> {said}\necho "kex: connection reset" >&2\nexit 255')
    ann.git("config", "core.sshCommand", f"'{program}' -v")
    ann.git("remote", "set-url", "origin", "ssh://me@away.example/store")
    with pytest.raises(RemoteError, match="cannot be fetched from: kex: connection reset"):
        ann.sync()
    assert said.read_text().startswith("-v -oBatchMode=yes ")


def test_a_program_that_is_no_ssh_command_is_left_as_it_is(ann: Clone, tmp_path: Path) -> None:
    said = tmp_path / "said"
    ann.environ["GIT_SSH"] = script(tmp_path / "plink", f'echo "$@" >> {said}\nexit 1')
    ann.git("remote", "set-url", "origin", "ssh://me@away.example/store")
    with pytest.raises(RemoteError):
        ann.sync()
    assert "BatchMode" not in said.read_text()


def test_a_remote_that_goes_away_between_two_questions(team: Team, git_store: Path, tmp_path: Path) -> None:
    ann = team.adopt(git_store)
    (tmp_path / "bin").mkdir()
    gone = 'echo "fatal: couldn\'t find remote ref refs/heads/main" >&2; exit 128'
    script(tmp_path / "bin" / "git", f'case " $* " in *" fetch "*) {gone};; esac; exec /usr/bin/git "$@"')
    ann.environ["PATH"] = f"{tmp_path}/bin:{ann.environ['PATH']}"
    with team.offline(), pytest.raises(RemoteError, match="the remote origin cannot be asked for its branches: fatal"):
        ann.sync()


def test_an_object_that_is_missing(ann: Clone) -> None:
    place = ann.helper.pass_store.repository("")
    assert place is not None
    with gitrepo.opened(place, ann.environ) as git, pytest.raises(GitError, match=r"object 0+ is missing") as caught:
        blobs.read(git, ["0" * 40])
    assert caught.value.remedy == f"run: git -C {ann.path} fsck"


def test_a_password_in_a_url_is_not_shown(ann: Clone, tmp_path: Path) -> None:
    """git leaves it out itself; not every ssh does."""
    ann.environ["GIT_SSH_COMMAND"] = script(
        tmp_path / "ssh", 'echo "no answer from ssh://me:p@hunter2@127.0.0.1" >&2; exit 1'
    )
    for url in ("http://me:hunter2@127.0.0.1:9/store", "ssh://127.0.0.1/store"):
        ann.git("remote", "set-url", "origin", url)
        with pytest.raises(RemoteError, match=r"127\.0\.0\.1") as caught:
            ann.sync()
        assert "hunter2" not in str(caught.value)


def test_a_remote_that_runs_a_program_is_refused(ann: Clone, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    ann.git("remote", "set-url", "origin", f"ext::sh -c 'touch {mark}'")
    ann.git("config", "protocol.ext.allow", "always")
    with pytest.raises(RemoteError, match="transport 'ext' not allowed"):
        ann.sync()
    assert not mark.exists()


# Refusing


def hook(team: Team, name: str, text: str) -> None:
    script(team.hook(name), text)


def test_a_push_that_the_server_does_not_take(team: Team, ann: Clone) -> None:
    hook(team, "pre-receive", "echo 'only signed commits' >&2; exit 1")
    ann.store()
    head = ann.head
    with pytest.raises(RemoteError, match=r"origin/main does not take the push: pre-receive hook declined") as caught:
        ann.sync()
    assert caught.value.exit_code == 6
    assert not isinstance(caught.value, network.RejectedError)
    assert (ann.head, ann.status) == (head, "")


def test_a_lock_at_the_server_that_nobody_holds_any_more(team: Team, ann: Clone) -> None:
    """It is no race that others win: a few tries are enough, and the server's words are told."""
    tries = team.folder / "tries"
    hook(team, "pre-receive", f"echo x >> '{tries}'")
    lock = team.remote / "refs" / "heads" / "main.lock"
    lock.touch()
    ann.store()
    with pytest.raises(RemoteError) as caught:
        ann.sync()
    assert not isinstance(caught.value, network.RejectedError)
    assert "origin/main does not take the push: failed to update ref (the server says: " in str(caught.value)
    assert re.search(r"Unable to create '[^']*/refs/heads/main\.lock': File exists", str(caught.value))
    assert caught.value.remedy == "ask whoever runs the remote; the commits stay here"
    assert len(tries.read_text().splitlines()) == 4
    hook(team, "pre-receive", f"rm -f '{tries}'; [ -e '{tries}.2' ] && rm -f '{lock}'; touch '{tries}.2'")
    assert ann.sync().pushed == 1  # one that is held for a moment is waited for


def test_a_branch_where_the_server_has_a_folder_of_branches(team: Team, ann: Clone) -> None:
    """Nobody wins that race, however often it is run."""
    tries = team.folder / "tries"
    hook(team, "pre-receive", f"echo x >> '{tries}'")
    ann.sync()
    team.git("update-ref", "refs/heads/new/one", team.head)
    ann.git("switch", "-q", "-c", "new")
    ann.store()
    with pytest.raises(RemoteError, match="'refs/heads/new/one' exists; cannot create 'refs/heads/new'") as caught:
        ann.sync()
    assert not isinstance(caught.value, network.RejectedError)
    assert tries.read_text() == "x\n"


def test_a_branch_where_this_clone_has_a_folder_of_branches(team: Team, ann: Clone) -> None:
    ann.sync()
    ann.git("update-ref", "-d", "refs/remotes/origin/main")
    ann.git("update-ref", "refs/remotes/origin/main/old", "HEAD")
    with pytest.raises(RemoteError, match="'refs/remotes/origin/main/old' exists; cannot create"):
        ann.sync()


def test_others_who_never_stop_pushing(team: Team, ann: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    hook(
        team, "update", f'git --git-dir {team.remote} update-ref "$1" $(git commit-tree -p $2 -m x $2^{{tree}}); exit 0'
    )
    monkeypatch.setattr(sync_module, "PATIENCE", 0.5)
    ann.store()
    tip = ann.head
    with pytest.raises(RemoteError, match="others keep pushing to origin/main") as caught:
        ann.sync()
    assert caught.value.exit_code == 6
    assert ann.holds(tip)
    (team.remote / "hooks" / "update").unlink()
    ann.sync()
    assert team.head == ann.head


def test_a_remote_that_is_busy_for_a_moment(team: Team, ann: Clone, tmp_path: Path) -> None:
    """Once it has answered, a failure is tried again."""
    bob = team.clone("bob")
    team.overtake(bob, bob.write("notes", b"bob's"))
    ann.store()
    folder = tmp_path / "bin"
    meanwhile(ann.environ, folder, "git", "fetch", "case $n in [234]) exit 128;; esac", times=9)
    ann.sync()
    assert (team.head, happened(folder, "fetch")) == (ann.head, 5)
    assert ann.holds(bob.head)


# Not there


def test_a_store_without_git(store: Path, environ: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="is not a git repository") as caught:
        Clone(environ).sync()
    assert caught.value.remedy == "run: passhelper setup --git URL"


def test_no_store(environ: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="is not a git repository"):
        Clone(environ).sync()


def test_no_remote(git_store: Path, environ: dict[str, str]) -> None:
    with pytest.raises(GitError, match="has no remote to sync with") as caught:
        Clone(environ).sync()
    assert caught.value.remedy == f"run: git -C {git_store} remote add origin URL"


def test_several_remotes(team: Team, git_store: Path) -> None:
    ann = team.adopt(git_store)
    ann.git("remote", "rename", "origin", "mirror")
    ann.git("remote", "add", "backup", str(team.remote))
    with pytest.raises(ConfigurationError, match="has several remotes: mirror, backup") as caught:
        ann.sync()
    assert caught.value.remedy == "name one: passhelper sync --remote NAME"
    assert ann.sync(remote="mirror").remote == "mirror"
    assert ann.sync().remote == "mirror"
    assert ann.sync(remote="backup").remote == "backup"
    assert ann.git("config", "branch.main.remote") == "mirror\n"


def test_several_remotes_of_which_git_takes_one(team: Team, git_store: Path) -> None:
    """Automatic sync and the doctor have always taken it, too."""
    ann = team.adopt(git_store)
    ann.git("remote", "add", "backup", str(team.remote))
    assert ann.sync().remote == "origin"


def test_a_remote_of_that_name_is_not_there(ann: Clone) -> None:
    with pytest.raises(ConfigurationError, match="has no remote other") as caught:
        ann.sync(remote="other")
    assert caught.value.remedy == "use one of: origin"


def test_on_no_branch(ann: Clone) -> None:
    ann.git("checkout", "-q", "--detach")
    with pytest.raises(GitError, match="is on no branch") as caught:
        ann.sync()
    assert caught.value.remedy.startswith(
        f"run: git -C {ann.path} branch detached, then git -C {ann.path} switch main "
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("MERGE_HEAD", "merge"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
    ],
)
def test_something_of_gits_own_that_is_not_finished(ann: Clone, name: str, command: str) -> None:
    (ann.path / ".git" / name).touch()
    with pytest.raises(GitError, match=f"a git {command} in {ann.path} is not finished") as caught:
        ann.sync()
    assert caught.value.remedy.startswith(f"run: git -C {ann.path} status, and finish or abort it as that says; ")


def test_a_branch_that_somebody_deleted_is_made_again(team: Team, ann: Clone) -> None:
    team.git("update-ref", "-d", "refs/heads/main")
    ann.store(SERVER)
    ann.sync()
    assert team.head == ann.head


def test_another_git_that_is_at_work(ann: Clone, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = team.clone("bob")
    bob.store(OTHER)
    bob.sync()
    lock = ann.path / ".git" / "index.lock"
    lock.touch()
    with monkeypatch.context() as hasty:
        hasty.setattr(commit, "TIMEOUT", 1.0)
        with pytest.raises(GitError, match=r"a merge in .* cannot be finished now: another git is at work"):
            ann.sync()
        with pytest.raises(GitError, match=r"a merge in .* cannot be finished now"):
            ann.sync()
    lock.unlink()
    ann.sync()
    assert (ann.head, ann.status) == (bob.head, "")
    assert not os.path.exists(ann.path / ".git" / "passhelper" / "journal")
