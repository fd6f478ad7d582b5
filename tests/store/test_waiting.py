"""What waits for its commit beside what is stored and erased since: the last word counts, whatever git has undone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import FOLDER
from support.faults.meanwhile import meanwhile
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import CredentialsNotFoundError, StoreError
from passhelper.store.commit import Committer
from passhelper.store.journal import Change, Plan, write
from passhelper.store.store import PassStore

NEW, NEXT = "https://new.example", "https://next.example"


@pytest.fixture
def detached(git_vault: Vault) -> Vault:
    """A store with one credential, on no branch: what is stored waits for its commit."""
    git_vault.store(secret="first")
    git_vault.git("checkout", "-q", "--detach")
    return git_vault


def undo(vault: Vault) -> None:
    """Undo in git all that is not committed."""
    vault.git("add", "--all", FOLDER)
    vault.git("reset", "-q", "--hard")


def go_on(vault: Vault) -> None:
    """End the state in which changes wait, and store something else."""
    vault.git("checkout", "-q", "--force", "main")
    vault.store(NEXT)
    assert (vault.status, vault.pending) == ("", [])
    assert not (vault.path / ".git" / "passhelper" / "kept").exists()


def test_what_was_erased_while_git_had_undone_it_stays_erased(detached: Vault) -> None:
    detached.store(NEW)
    undo(detached)
    assert not detached.entry(NEW).exists()
    detached.erase(NEW)
    go_on(detached)
    with pytest.raises(CredentialsNotFoundError):
        detached.get(NEW)


def test_an_equivalent_name_is_erased_too(detached: Vault) -> None:
    detached.store(f"{NEW}/v2/")
    undo(detached)
    detached.erase(NEW)
    go_on(detached)
    with pytest.raises(CredentialsNotFoundError):
        detached.get(NEW)


def test_a_user_who_was_replaced_while_git_had_undone_it_does_not_come_back(detached: Vault) -> None:
    detached.store(NEW, username="bob")
    undo(detached)
    detached.store(NEW, username="zoe", secret="newer")
    go_on(detached)
    assert detached.get(NEW) == ("zoe", "newer")


def test_the_earlier_secret_stored_again_is_the_last_word(detached: Vault) -> None:
    detached.store(secret="second")
    undo(detached)
    assert detached.get() == ("bob", "first")
    detached.store(secret="first")
    go_on(detached)
    assert detached.get() == ("bob", "first")


def test_what_waits_is_put_back_before_it_is_committed(detached: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody goes back to the branch between our look at the state and our commit."""
    detached.store(NEW)
    undo(detached)
    plan = Committer.plan

    def planned(self: Committer, paths: list[str]) -> None:
        plan(self, paths)
        detached.git("checkout", "-q", "main")

    monkeypatch.setattr(Committer, "plan", planned)
    detached.store(NEXT)
    monkeypatch.undo()
    assert detached.warnings[-1].endswith(f"git has undone what waits for its commit in {detached.path}")
    go_on(detached)
    assert (detached.get(NEW), detached.get(NEXT)) == (("bob", "s3cret"), ("bob", "s3cret"))


def test_an_old_journal_is_finished_and_what_waits_is_put_back(detached: Vault) -> None:
    detached.store(NEW)
    undo(detached)
    detached.git("checkout", "-q", "main")
    store = PassStore(detached.environ, detached.warnings.append)
    write(store, store.repository(""), Plan("Something else", [Change(f"{FOLDER}/other/file", b"x")]))
    go_on(detached)
    assert (detached.get(NEW), (detached.path / FOLDER / "other" / "file").read_bytes()) == (("bob", "s3cret"), b"x")


@pytest.mark.parametrize("fails", ["", "log", "ls-tree", "cat-file", "rev-parse"])
def test_a_git_that_does_not_answer_is_no_answer(
    detached: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: str
) -> None:
    """Nothing is put back over what may be newer, and nothing that waits is forgotten. Without git, too."""
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    detached.store(secret="older")
    monkeypatch.undo()
    detached.store(NEW)
    undo(detached)
    detached.git("checkout", "-q", "main")
    detached.store(secret="first")
    detached.git("reset", "-q", "--hard")
    programs = tmp_path / "programs"
    programs.mkdir()
    gpg, git = shutil.which("gpg"), shutil.which("git")
    (programs / "gpg").symlink_to(str(gpg))
    if fails:
        script(programs / "git", f'case "$*" in *" {fails} "*) exit 128;; esac; exec {git} "$@"')
    path = detached.environ["PATH"]
    detached.environ["PATH"] = str(programs)
    detached.store(NEXT)
    assert detached.get() == ("bob", "first")
    detached.environ["PATH"] = path
    go_on(detached)
    assert (detached.get(), detached.get(NEW)) == (("bob", "first"), ("bob", "s3cret"))


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_cannot_be_put_back_keeps_nothing_from_its_commit(detached: Vault, kind: str) -> None:
    detached.store(NEW)
    undo(detached)
    detached.git("checkout", "-q", "main")
    place = detached.directory(NEW)
    if kind == "link":
        place.symlink_to("nowhere")
    else:
        place.write_bytes(b"x")
    detached.store(NEXT)
    name = f"{FOLDER}/{place.name}"
    last = detached.warnings[-1]
    assert last == f"git had undone {name}/bob.gpg before it was committed, and something is in its place now"
    assert detached.status.split() == ["??", name]
    assert detached.subjects[0] == f"Store credential for {NEXT} (bob)"


def test_what_an_aborted_rebase_dropped_can_be_got_and_erased(git_vault: Vault) -> None:
    """As when a rebase begins while something is committed: the log has the commit, and the branch has not."""
    git_vault.store()
    git_vault.store(NEW)
    git_vault.git("update-ref", "ORIG_HEAD", "HEAD~1")
    made = git_vault.git("rev-parse", "HEAD").strip()
    git_vault.git("reset", "-q", "--hard", "HEAD~1")
    log = git_vault.path / ".git" / "logs" / "HEAD"
    lines = log.read_text().splitlines(keepends=True)[:-1]
    end = lines[-1].partition("\t")[0].split(" ", 2)[2]
    log.write_text("".join([*lines, f"{made} {made} {end}\trebase (abort): returning to refs/heads/main\n"]))
    assert git_vault.get(NEW) == ("bob", "s3cret")
    git_vault.entry(NEW).unlink()
    (git_vault.path / ".git" / "passhelper" / "aborted").unlink()
    (git_vault.path / ".git" / "passhelper" / "kept").unlink()
    git_vault.erase(NEW)
    git_vault.store(NEXT)
    with pytest.raises(CredentialsNotFoundError):
        git_vault.get(NEW)


def test_a_commit_that_is_interrupted_leaves_a_copy(git_vault: Vault, tmp_path: Path) -> None:
    """As by Ctrl-C at the prompt for the passphrase of a key that signs."""
    git_vault.store(secret="first")
    path = git_vault.environ["PATH"]
    meanwhile(git_vault.environ, tmp_path / "bin", "git", "commit", "kill -INT $PPID; exec sleep 600", times=2)
    for server in (SERVER, NEW):
        with pytest.raises(KeyboardInterrupt):
            git_vault.store(server)
    git_vault.environ["PATH"] = path
    undo(git_vault)
    go_on(git_vault)
    assert (git_vault.get(), git_vault.get(NEW)) == (("bob", "s3cret"), ("bob", "s3cret"))


def test_what_git_undoes_before_it_is_committed_is_not_called_stored(
    detached: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody goes back to the branch, by force, between the write and the look at what is unfinished."""
    commit = Committer.commit

    def committed(self: Committer, subject: str) -> None:
        detached.git("checkout", "-q", "--force", "main")
        commit(self, subject)

    monkeypatch.setattr(Committer, "commit", committed)
    with pytest.raises(StoreError, match="has undone"):
        detached.store(secret="second")
    monkeypatch.undo()
    assert detached.get() == ("bob", "first")
    detached.store(secret="second")
    assert (detached.get(), detached.status, detached.pending) == (("bob", "second"), "", [])


@pytest.mark.parametrize("merge", [False, True], ids=["commit", "merge"])
def test_what_was_committed_by_hand_and_erased_elsewhere_does_not_come_back(detached: Vault, merge: bool) -> None:
    """Be it by somebody whose clock is behind, or before it was stored here, in a branch that is merged."""
    detached.git("config", "user.name", "t")
    detached.git("config", "user.email", "t@example.test")
    detached.git("checkout", "-q", "-b", "side", "main")
    detached.git("commit", "-q", "--allow-empty", "-m", "Side")
    detached.git("checkout", "-q", "--detach", "main")
    detached.store(NEW)
    detached.git("checkout", "-q", "main")
    if merge:
        detached.git("merge", "-q", "--no-ff", "--no-commit", "side")
    detached.git("add", "--all", FOLDER)
    detached.git("commit", "-q", "-m", "By hand")
    detached.git("rm", "-q", "-r", str(detached.directory(NEW)))
    detached.git("commit", "-q", "--date=2001-01-01T00:00:00Z", "-m", "Erased")
    detached.store(NEXT)
    with pytest.raises(CredentialsNotFoundError):
        detached.get(NEW)
    assert (detached.status, detached.pending) == ("", [])
