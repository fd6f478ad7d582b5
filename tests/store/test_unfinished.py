"""A merge, a rebase or the like that somebody has begun: nothing that is stored meanwhile is lost, however it ends."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.faults.meanwhile import happened, meanwhile
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import CredentialsNotFoundError, GitError, StoreError
from passhelper.store import journal, unfinished
from passhelper.store.journal import Change, Plan
from passhelper.store.store import PassStore
from passhelper.store.transaction import Transaction

NEW, GONE, NEXT = "https://new.example", "https://gone.example", "https://next.example"
UNCOMMITTED = "changed but not committed, the next change after that or passhelper sync will: "
MERGE = "a git merge in {} is not finished"
REBASE = "a git rebase in {} is not finished"
DETACHED = "{} is on no branch (detached HEAD)"

# What begins it, what the repository is in then, and what may end it without a word about our changes.
STATES: dict[str, tuple[list[str], str, list[str]]] = {
    "merge": (["merge", "other"], MERGE, ["merge", "--abort"]),
    "merge, reset": (["merge", "other"], MERGE, ["reset", "--hard"]),
    "merge, switch": (["merge", "other"], MERGE, ["checkout", "--force", "main"]),
    "rebase": (["rebase", "other"], REBASE, ["rebase", "--abort"]),
    "rebase, quit": (["rebase", "other"], REBASE, ["rebase", "--quit"]),
    "rebase --apply": (["rebase", "--apply", "other"], REBASE, ["rebase", "--abort"]),
    "rebase, skip": (["rebase", "other"], REBASE, ["rebase", "--skip"]),
    "cherry-pick": (["cherry-pick", "other"], "a git cherry-pick in {} is not finished", ["cherry-pick", "--abort"]),
    "several cherry-picks": (
        ["cherry-pick", "other~1", "other"], "a git cherry-pick in {} is not finished", ["cherry-pick", "--abort"],
    ),
    "revert": (["revert", "--no-edit", "HEAD~1"], "a git revert in {} is not finished", ["revert", "--abort"]),
    "bisect": (["bisect", "start"], "a git bisect in {} is not finished", ["bisect", "reset"]),
    "detached": (["checkout", "--detach", "other~2"], DETACHED, ["checkout", "main"]),
    "detached, force": (["checkout", "--detach", "other~2"], DETACHED, ["checkout", "--force", "main"]),
}  # fmt: skip


def git(vault: Vault, *arguments: str, check: bool = False) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "core.editor=true"]
    return vault.git(*identity, *arguments, check=check)


@pytest.fixture
def forked(git_vault: Vault) -> Vault:
    """A store whose branches ``main`` and ``other`` have changed one file, which is none of ours."""
    git_vault.store()
    git_vault.store(GONE)
    note = git_vault.path / "note"
    note.write_text("first\n")
    git(git_vault, "add", "note")
    git(git_vault, "commit", "-q", "-m", "First")
    git(git_vault, "checkout", "-q", "-b", "other")
    for text in ("theirs", "theirs too"):
        note.write_text(f"{text}\n")
        git(git_vault, "commit", "-q", "-a", "-m", text)
    git(git_vault, "checkout", "-q", "main")
    for text in ("ours", "ours too"):
        note.write_text(f"{text}\n")
        git(git_vault, "commit", "-q", "-a", "-m", text)
    return git_vault


@pytest.mark.parametrize("add", [False, True], ids=["left alone", "added by hand"])
@pytest.mark.parametrize("name", STATES)
def test_nothing_that_is_stored_meanwhile_is_lost(forked: Vault, name: str, add: bool) -> None:
    begin, what, end = STATES[name]
    git(forked, *begin)
    index, head = git(forked, "ls-files", "--stage"), git(forked, "rev-parse", "HEAD")
    forked.store(secret="changed")
    forked.store(NEW)
    forked.erase(GONE)
    assert forked.warnings == [UNCOMMITTED + what.format(forked.path)] * 3
    assert (git(forked, "ls-files", "--stage"), git(forked, "rev-parse", "HEAD")) == (index, head)
    assert len(forked.pending) == 3
    if add:
        git(forked, "add", "--all", FOLDER)
    git(forked, *end)
    if name in ("rebase, quit", "rebase, skip"):  # a note of the user's own is left over
        git(forked, "reset", "--hard")
        git(forked, "rebase", "--abort")
        git(forked, "checkout", "--force", "main")
    assert unfinished.find(forked.helper.pass_store.repository("")) == ""  # type: ignore[arg-type]
    del forked.warnings[:]
    forked.store(NEXT)
    assert (forked.get(), forked.get(NEW), forked.get(NEXT)) == (
        ("bob", "changed"),
        ("bob", "s3cret"),
        ("bob", "s3cret"),
    )
    with pytest.raises(CredentialsNotFoundError):
        forked.get(GONE)
    assert all(line.startswith("git had undone ") for line in forked.warnings)
    assert (forked.status, forked.pending) == ("", [])
    assert not (forked.path / ".git" / "passhelper" / "kept").exists()
    message = git(forked, "log", "-1", "--format=%B").splitlines()
    assert message[0] == f"Store credential for {NEXT} (bob)"
    assert message[-4:-1] == [
        f"- Store credential for {SERVER} (bob)",
        f"- Store credential for {NEW} (bob)",
        f"- Erase credential for {GONE}",
    ]


def test_a_miss_and_an_erase_see_what_git_has_undone(forked: Vault) -> None:
    git(forked, "rebase", "other")
    forked.store(NEW)
    git(forked, "add", "--all", FOLDER)
    git(forked, "rebase", "--abort")
    assert not forked.entry(NEW).exists()
    assert forked.get(NEW) == ("bob", "s3cret")
    forked.entry(NEW).unlink()
    forked.erase(NEW)
    forked.store(NEXT)
    with pytest.raises(CredentialsNotFoundError):
        forked.get(NEW)


def test_the_same_again_commits_what_waits(forked: Vault) -> None:
    git(forked, "merge", "other")
    forked.store(secret="changed")
    git(forked, "merge", "--abort")
    forked.store(secret="changed")
    assert (forked.get(), forked.status, forked.pending) == (("bob", "changed"), "", [])
    assert forked.subjects[0] == f"Store credential for {SERVER} (bob)"


def test_what_was_committed_since_is_newer(forked: Vault, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    git(forked, "merge", "other")
    forked.store(secret="old")
    monkeypatch.undo()
    git(forked, "merge", "--abort")
    forked.put(keys.encrypt(b"newer", "alice"))
    git(forked, "commit", "-q", "-m", "By hand", "-a")
    forked.store(NEXT)
    assert (forked.get(), forked.status, forked.pending) == (("bob", "newer"), "", [])


def test_what_somebody_has_changed_since_is_left(forked: Vault, keys: KeyRing) -> None:
    git(forked, "merge", "other")
    forked.store(secret="old")
    git(forked, "merge", "--abort")
    forked.put(keys.encrypt(b"newer", "alice"))
    forked.store(NEXT)
    assert (forked.get(), forked.status, forked.pending) == (("bob", "newer"), "", [])


def test_a_commit_that_failed_is_kept_too_and_nothing_stays_staged(git_vault: Vault) -> None:
    git_vault.store()
    git_vault.git("config", "commit.gpgsign", "true")
    git_vault.git("config", "gpg.program", "/bin/false")
    git_vault.store(NEW)
    git_vault.store(secret="changed")
    assert git(git_vault, "diff", "--cached", "--name-only") == ""
    git(git_vault, "reset", "--hard")
    git_vault.git("config", "commit.gpgsign", "false")
    git_vault.store(NEXT)
    assert (git_vault.get(), git_vault.get(NEW)) == (("bob", "changed"), ("bob", "s3cret"))
    assert (git_vault.status, git_vault.pending) == ("", [])


def test_a_commit_that_an_aborted_rebase_dropped_is_made_again(forked: Vault) -> None:
    """It was made while the rebase began, which then finds that the branch has moved and cannot finish."""
    git(forked, "checkout", "-q", "-b", "side")
    forked.store(NEW)
    made = git(forked, "rev-parse", "HEAD").strip()
    git(forked, "checkout", "-q", "main")
    git(forked, "merge", "-q", "--ff-only", "side")
    # As if main had still been one commit behind when the rebase looked.
    git(forked, "reset", "-q", "--hard", "HEAD~1")
    git(forked, "rebase", "other")
    git(forked, "update-ref", "refs/heads/main", made)
    log = forked.path / ".git" / "logs" / "HEAD"
    lines = log.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if "Store credential for https://new" in line)
    begin = next(number for number, line in enumerate(lines) if "rebase (start)" in line)
    log.write_text("".join([*lines[:at], lines[at], *lines[begin:]]))
    git(forked, "rebase", "--abort")
    assert not forked.entry(NEW).exists()
    for _ in range(2):
        forked.store(NEXT)
        assert forked.get(NEW) == ("bob", "s3cret")
        assert (forked.status, forked.pending, len(forked.warnings)) == ("", [], 1)


def test_commits_of_one_second_that_an_aborted_rebase_dropped(forked: Vault, tmp_path: Path) -> None:
    """Times do not tell which of them came last, but each says what it has changed."""
    for who in ("AUTHOR", "COMMITTER"):
        forked.environ[f"GIT_{who}_DATE"] = f"{int(time.time())} +0000"
    forked.store(NEW, secret="first")
    forked.store(NEW, secret="second")
    forked.store(NEW, secret="third")
    for who in ("AUTHOR", "COMMITTER"):
        del forked.environ[f"GIT_{who}_DATE"]
    first = git(forked, "rev-parse", "HEAD~2").strip()
    log = forked.path / ".git" / "logs" / "HEAD"
    lines = log.read_text()
    git(forked, "update-ref", "-m", "rebase (abort): returning to refs/heads/main", "refs/heads/main", first)
    begun = "rebase (start): checkout other"
    added = log.read_text().removeprefix(lines)
    log.write_text(lines.replace("commit: Store credential for https://new.example (bob)", begun, 1) + added)
    git(forked, "reset", "-q", "--hard")
    log.write_text(lines + added)
    assert forked.get(NEW) == ("bob", "first")
    forked.store(NEXT)
    assert (forked.get(NEW), forked.status, forked.pending) == (("bob", "third"), "", [])


def test_a_rebase_that_begins_beside_a_commit(forked: Vault, tmp_path: Path) -> None:
    """It began after we had looked; whoever stores is told, and what it drops comes back."""
    editor = script(tmp_path / "editor", 'sed -i 1ibreak "$1"')
    path = forked.environ["PATH"]
    rebase = f"git -C {forked.path} -c sequence.editor={editor} rebase -q -i HEAD~1"
    meanwhile(forked.environ, tmp_path / "bin", "git", "update-index", rebase)
    forked.store(NEW)
    forked.environ["PATH"] = path
    (warning,) = forked.warnings
    assert warning == (
        "changed and committed, but a git operation that has begun meanwhile may undo it; the next change puts it "
        f"back: a git rebase in {forked.path} is not finished"
    )
    git(forked, "rebase", "--abort")
    assert not forked.entry(NEW).exists()
    forked.store(NEXT)
    assert (forked.get(NEW), forked.status, forked.pending) == (("bob", "s3cret"), "", [])


@pytest.mark.parametrize("verb", ["store", "erase"])
def test_what_git_puts_back_while_it_is_changed(forked: Vault, tmp_path: Path, verb: str) -> None:
    """Whoever had a checkout under way has the older secret again, and the verb does not say that all is well."""
    path = forked.environ["PATH"]
    meanwhile(
        forked.environ, tmp_path / "bin", "git", "commit", f"git -C {forked.path} checkout -q --force main", times=20
    )
    before = forked.get()
    with pytest.raises(StoreError) as caught:
        forked.erase() if verb == "erase" else forked.store(secret="newer")
    entry = forked.entry()
    said = (
        "git has put back {} while it was erased"
        if verb == "erase"
        else "git has undone the change of {} while it was made"
    )
    assert str(caught.value) == f"{said.format(entry)}; try again"
    assert forked.get() == before
    forked.environ["PATH"] = path
    forked.erase()
    assert not entry.exists()


@pytest.mark.parametrize("verb", ["erase", "store"])
def test_what_git_puts_back_is_changed_again(forked: Vault, tmp_path: Path, verb: str) -> None:
    checkout = f"git -C {forked.path} checkout -q --force main"
    meanwhile(forked.environ, tmp_path / "bin", "git", "commit", checkout, times=3)
    if verb == "erase":
        forked.erase()
        assert not forked.entry().exists()
    else:
        forked.store(secret="newer")
        assert forked.get() == ("bob", "newer")
    assert happened(tmp_path / "bin", "commit") == 3
    assert (forked.status, forked.pending, forked.warnings) == ("", [], [])


def test_a_place_that_takes_no_copy(forked: Vault) -> None:
    git(forked, "merge", "other")
    (forked.path / ".git" / "passhelper" / "kept").mkdir(parents=True)
    forked.store(NEW)
    assert forked.warnings[-1].endswith(
        "; no copy of it could be kept (Is a directory), so until then git loses it when it aborts or resets anything"
    )


def test_what_the_user_took_back_is_not_made_again(forked: Vault) -> None:
    forked.store(NEW)
    git(forked, "reset", "-q", "--hard", "HEAD~1")
    git(forked, "rebase", "other")
    git(forked, "rebase", "--abort")
    forked.store(NEXT)
    assert (forked.entry(NEW).exists(), forked.warnings) == (False, [])


@pytest.mark.parametrize("text", [b"", b"x", b'{"version":2}\n', b'{"version":1,"messages":[],"files":[["a",9,1]]}\nx'])
def test_damaged_copies_hinder_nothing(git_vault: Vault, text: bytes) -> None:
    state = git_vault.path / ".git" / "passhelper"
    state.mkdir()
    (state / "kept").write_bytes(text)
    git_vault.store()
    assert (git_vault.get(), git_vault.warnings, git_vault.status) == (("bob", "s3cret"), [], "")


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "a/../../outside", ".git/config"])
def test_copies_lead_nowhere_else(git_vault: Vault, path: str) -> None:
    state = git_vault.path / ".git" / "passhelper"
    state.mkdir()
    (state / "kept").write_bytes(f'{{"version":1,"messages":[],"files":[["{path}",1,2000000000]]}}\nx'.encode())
    before = (git_vault.path / ".git" / "config").read_text()
    with contextlib.suppress(StoreError):  # refused is right, too
        git_vault.store()
    assert not (git_vault.path.parent / "outside").exists()
    assert not Path("/tmp/outside").exists()
    assert (git_vault.path / ".git" / "config").read_text() == before


def test_a_neutral_commit_names_nobody_that_waited(git_vault: Vault) -> None:
    git_vault.git("config", "passhelper.neutralCommits", "true")
    git(git_vault, "checkout", "-q", "--detach")
    git_vault.store()
    git(git_vault, "checkout", "-q", "main")
    git_vault.store(NEXT)
    assert git(git_vault, "log", "-1", "--format=%B").strip() == "Update credential"


def test_a_change_of_many_files_waits_for_nobody(forked: Vault) -> None:
    store = PassStore(forked.environ, forked.warnings.append)
    place = store.repository("")
    git(forked, "rebase", "other")
    before = forked.tree
    with Transaction(store, place), pytest.raises(GitError, match=r"rebase in .* is not finished"):
        journal.write(store, place, Plan("x", [Change(f"{FOLDER}/x", b"x")]))
    assert forked.tree == before


def test_states_of_a_linked_work_tree_are_its_own(forked: Vault, environ: dict[str, str], tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(forked, "worktree", "add", "-q", "-b", "side", str(linked))
    vault = Vault({**environ, "PASSWORD_STORE_DIR": str(linked)})
    git(vault, "merge", "other")
    vault.store(NEW)
    assert vault.warnings == [UNCOMMITTED + MERGE.format(linked)]
    forked.store(NEXT)
    assert forked.warnings == []
    git(vault, "merge", "--abort")
    vault.store(NEXT)
    assert (vault.get(NEW), vault.status) == (("bob", "s3cret"), "")


def test_an_unborn_branch_is_no_such_state(vault: Vault) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(vault.path)], check=True)
    vault.store()
    assert (vault.warnings, vault.subjects) == ([], [f"Store credential for {SERVER} (bob)"])
