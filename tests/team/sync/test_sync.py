"""``sync`` between clones of a bare remote: everybody ends with the same store, and nothing is lost."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.faults.meanwhile import happened, meanwhile
from support.people.clones import Clone, Team, converge
from support.processes import descriptors
from support.programs import script
from support.worlds.vault import SERVER

from passhelper.errors import GitError, RemoteError, StoreError, TrustError
from passhelper.store import commit, journal, pinning, trust
from passhelper.store.files import Files
from passhelper.store.recipients import Header, with_header
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.git.commits import MARK, SAME
from passhelper.team.recipients import gpgid
from passhelper.team.recipients.members import Members
from passhelper.team.sync import exchange as sync_module

OTHER = "https://b.example"
NOW = int(time.time()) - 1000


@pytest.fixture
def ann(team: Team, git_store: Path) -> Clone:
    """Who made the store and has pushed it."""
    ann = team.adopt(git_store)
    ann.store()
    ann.sync()
    return ann


# Without conflicts


def test_who_accepts_for_the_first_time_meanwhile(ann: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never pinned is not the same as what another sync in this clone has just pinned: fetched again, it fits."""
    file = ann.path / ".git" / "passhelper" / trust.FILE
    pins = file.read_bytes()
    file.unlink()
    once, tries = sync_module._Sync._exchange_once, []

    def exchange(self: sync_module._Sync) -> None:
        tries.append(self)
        if len(tries) == 1:
            file.write_bytes(pins)
            raise TrustError("by what was accepted before")
        once(self)

    monkeypatch.setattr(sync_module._Sync, "_exchange_once", exchange)
    ann.sync()
    assert len(tries) == 2


def test_first_push(team: Team, git_store: Path) -> None:
    ann = team.adopt(git_store)
    ann.store()
    report = ann.sync()
    assert (report.pushed, report.fetched) == (2, 0)
    assert team.head == ann.head
    assert ann.git("rev-parse", "--abbrev-ref", "@{upstream}").strip() == "origin/main"


@pytest.mark.parametrize("name", ["main", "heads/main", "origin/main", "HEAD"])
def test_a_tag_that_is_called_like_a_branch(team: Team, ann: Clone, name: str) -> None:
    """git calls the branch ``heads/main`` then, where it is asked for a short name."""
    ann.git("tag", name, "HEAD~1")
    ann.git("push", "-q", "origin", f"refs/tags/{name}")
    ann.store(OTHER)
    report = ann.sync()
    assert (report.branch, report.pushed) == ("main", 1)
    bob = team.clone("bob")
    bob.git("tag", "--force", name, "HEAD~1")
    bob.sync()
    bob.environ["PASSHELPER_SYNC"] = "push"
    bob.store(OTHER, secret="bob's")
    assert bob.warnings == []
    assert team.git("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    assert team.git("rev-parse", "refs/heads/main") == bob.head
    ann.sync()
    assert ann.head == bob.head


def test_a_store_without_a_commit_and_a_remote_without_a_branch(team: Team, environ: dict[str, str]) -> None:
    store = Path(environ["PASSWORD_STORE_DIR"])
    store.mkdir()
    ann = Clone(dict(team.environ))
    ann.git("init", "-q", "-b", "main")
    ann.git("remote", "add", "origin", str(team.remote))
    report = ann.sync()
    assert (report.pushed, report.fetched) == (0, 0)


def test_an_empty_clone_becomes_the_store(team: Team, ann: Clone, keys: KeyRing) -> None:
    path = team.folder / "empty"
    path.mkdir()
    bob = Clone({**team.environ, "PASSWORD_STORE_DIR": str(path)})
    bob.git("init", "-q", "-b", "main")
    bob.git("remote", "add", "origin", str(team.remote))
    with pytest.raises(TrustError, match="recipients changed"):
        bob.sync()
    report = bob.sync(accepted=frozenset([keys["alice"]]))
    assert (report.fetched, bob.head, bob.status) == (2, ann.head, "")
    assert bob.get() == ("bob", "s3cret")


def test_fast_forward(team: Team, ann: Clone, bob: Clone) -> None:
    ann.store(OTHER)
    ann.sync()
    report = bob.sync()
    assert (report.pushed, report.fetched, report.conflicts) == (0, 1, [])
    assert bob.get(OTHER) == ("bob", "s3cret")
    assert bob.head == ann.head == team.head
    assert bob.status == ""


def test_nothing_to_do_changes_nothing(team: Team, ann: Clone, bob: Clone) -> None:
    before = team.head
    for _ in range(2):
        for clone in (ann, bob):
            report = clone.sync()
            assert (report.pushed, report.fetched, report.committed) == (0, 0, 0)
    assert team.head == before == ann.head == bob.head


def test_changes_of_different_servers(ann: Clone, bob: Clone) -> None:
    ann.store(secret="new")
    bob.store(OTHER, "zoe", "other")
    ann.sync()
    assert bob.sync().conflicts == []
    converge(ann, bob)
    assert ann.get() == ("bob", "new")
    assert ann.get(OTHER) == ("zoe", "other")
    assert len([line for line in ann.subjects if line.startswith("Merge ")]) == 1


def test_an_erased_server_goes_everywhere(ann: Clone, bob: Clone) -> None:
    ann.erase()
    ann.sync()
    bob.sync()
    assert bob.list() == {}
    assert not bob.directory().exists()


def test_files_have_the_modes_of_the_store(ann: Clone, bob: Clone) -> None:
    ann.store(OTHER)
    (ann.path / "tool").write_text("#!/bin/sh\n")
    (ann.path / "tool").chmod(0o755)
    ann.git("add", "tool")
    ann.git("commit", "-q", "-m", "tool")
    ann.sync()
    umask = os.umask(0)
    try:
        bob.sync()
    finally:
        os.umask(umask)
    modes = {path: stat.S_IMODE((bob.path / path).stat().st_mode) for path in (bob.entry(OTHER), bob.directory(OTHER))}
    assert list(modes.values()) == [0o600, 0o700]
    assert (stat.S_IMODE((bob.path / "tool").stat().st_mode), bob.status) == (0o600, "")  # nothing that came may be run
    loose = stat.S_IMODE((bob.path / ".git" / "passhelper").stat().st_mode)
    assert loose == 0o700


def test_git_has_all_that_was_written(ann: Clone, bob: Clone) -> None:
    """Odd names, more than one git answer's worth, and an index that says the same as the files."""
    for number, username in enumerate(["ünï", "a b", "<token>", "-rf", "..", "x/y"]):
        ann.store(f"https://{number}.example", username)
    (ann.path / "large").write_bytes(os.urandom(3 << 20))
    ann.git("add", "large")
    ann.git("commit", "-q", "-m", "large")
    ann.sync()
    bob.store(OTHER)
    bob.sync()
    assert (bob.status, bob.tree_id) == ("", bob.git("write-tree").strip())
    converge(ann, bob)


# Conflicts


def conflict(ann: Clone, bob: Clone) -> str:
    """Sync both, who have changed the same server; gives who won."""
    a, b = ann.head, bob.head
    ann.sync()
    found = bob.sync().conflicts
    assert [(one.kind, one.name) for one in found] == [("server", SERVER)]
    converge(ann, bob)
    assert ann.holds(a)
    assert ann.holds(b)
    assert {found[0].winning, found[0].losing} == {a, b}
    winner = {a: "ann", b: "bob"}[found[0].winning]
    assert found[0].winner == {"ann": "theirs", "bob": "ours"}[winner]
    assert len([line for line in ann.subjects if line.startswith("Merge ")]) == 1
    return winner


@pytest.mark.parametrize(("a", "b", "winner"), [(NOW, NOW + 1, "bob"), (NOW + 1, NOW, "ann")], ids=["bob", "ann"])
def test_both_changed_a_credential(ann: Clone, bob: Clone, a: int, b: int, winner: str) -> None:
    ann.at(a).store(secret="ann's")
    bob.at(b).store(secret="bob's")
    assert conflict(ann, bob) == winner
    assert ann.get() == bob.get() == ("bob", f"{winner}'s")


def test_both_in_the_same_second(ann: Clone, bob: Clone) -> None:
    ann.at(NOW).store(secret="ann's")
    bob.at(NOW).store(secret="bob's")
    expected = "ann" if ann.head > bob.head else "bob"
    assert conflict(ann, bob) == expected
    assert ann.get() == bob.get() == ("bob", f"{expected}'s")


def test_a_clock_that_is_wrong_decides_all_the_same_everywhere(ann: Clone, bob: Clone) -> None:
    """Bob stores last, with a clock that is a day behind: Ann's wins, on both."""
    ann.at(NOW).store(secret="ann's")
    bob.at(NOW - 86400).store(secret="bob's")
    assert conflict(ann, bob) == "ann"
    assert ann.get() == bob.get() == ("bob", "ann's")


@pytest.mark.parametrize(("a", "b", "winner"), [(NOW, NOW + 1, "bob"), (NOW + 1, NOW, "ann")], ids=["bob", "ann"])
def test_a_change_against_an_erasure(ann: Clone, bob: Clone, a: int, b: int, winner: str) -> None:
    ann.at(a).store(secret="kept")
    bob.at(b).erase()
    assert conflict(ann, bob) == winner
    assert ann.list() == bob.list() == ({} if winner == "bob" else {SERVER: "bob"})


def test_both_added_a_server_with_other_usernames(ann: Clone, bob: Clone) -> None:
    ann.at(NOW).store(username="ann", secret="1")
    bob.at(NOW + 1).store(username="zoe", secret="2")
    assert conflict(ann, bob) == "bob"
    assert ann.get() == bob.get() == ("zoe", "2")
    assert len(list(ann.directory().iterdir())) == 1


def test_both_changed_the_recipients(ann: Clone, bob: Clone, keys: KeyRing) -> None:
    mine = f"{keys['alice']}\n"
    for clone, others in ((ann, ["bob"]), (bob, ["signer"])):
        text = mine + "".join(f"# {name}\n{keys[name]}\n" for name in others)
        clone.write(".gpg-id", text.encode())
        accept(clone)
    ann.sync()
    everybody = frozenset(keys[name] for name in ("alice", "bob", "signer"))
    with pytest.raises(TrustError, match="recipients changed") as caught:
        bob.sync()
    assert caught.value.exit_code == 4
    found = bob.sync(accepted=everybody).conflicts
    assert [(one.kind, one.name, one.winner) for one in found] == [("recipients", ".gpg-id", "both")]
    ann.sync(accepted=everybody)
    converge(ann, bob)
    assert set((ann.path / ".gpg-id").read_text().split()) == {"#", "bob", "signer", *everybody}
    assert trust.load(str(bob.path / ".git" / "passhelper")) == {".gpg-id": sorted(everybody)}


def test_recipients_are_accepted_together_with_the_merge(team: Team, ann: Clone, bob: Clone, keys: KeyRing) -> None:
    """Whatever happens after it, nobody has to accept them twice."""
    ann.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    accept(ann)
    ann.sync()
    bob.store(OTHER)
    script(team.hook("pre-receive"), "exit 1")
    with pytest.raises(RemoteError, match="does not take the push"):
        bob.sync(accepted=frozenset([keys["alice"], keys["bob"]]))
    team.hook("pre-receive").unlink()
    bob.store("https://c.example")
    bob.sync()
    converge(ann, bob)


def accept(clone: Clone) -> None:
    state = clone.path / ".git" / "passhelper"
    trust.save(str(state), pinning.current(str(clone.path)), Files(clone.helper.pass_store.environ))


STORE = "0123456789abcdef" * 2  # its identity


def signed(clone: Clone, keys: KeyRing, serial: int, *readers: str) -> None:
    """Commit a signed list of readers."""
    header = Header(".gpg-id", serial, STORE)
    text = with_header("".join(f"{keys[name]}\n" for name in readers).encode(), header)
    signature = gpgid.sign(clone.helper.pass_store, ".gpg-id", text)
    assert signature is not None
    (clone.path / ".gpg-id.sig").write_bytes(signature)
    (clone.path / ".gpg-id").write_bytes(text)
    clone.git("add", ".")
    clone.git("commit", "-q", "-m", "Readers")
    accept(clone)


def test_a_signed_list_is_signed_anew_by_who_can(
    team: Team, ann: Clone, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.environ["PASSWORD_STORE_SIGNING_KEY"] = ann.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["signer"]
    signed(ann, keys, 1, "alice")
    ann.sync()
    bob = team.clone("bob")
    bob.sync()
    signed(ann, keys, 2, "alice", "bob")
    signed(bob, keys, 2, "alice", "stranger")
    ann.sync()
    head = bob.head
    everybody = frozenset(keys[name] for name in ("alice", "bob", "stranger"))
    with pytest.raises(TrustError, match="its serial 2 is not above the accepted 2"):
        bob.sync()
    with monkeypatch.context() as patch:
        patch.setattr(gpgid, "sign", lambda *_: None)
        with pytest.raises(TrustError, match=r"both sides have changed \.gpg-id, which is signed") as caught:
            bob.sync(accepted=everybody)
    assert caught.value.exit_code == 4
    assert caught.value.remedy == "run: passhelper sync on a machine with a key in PASSWORD_STORE_SIGNING_KEY"
    assert bob.head == head
    bob.sync(accepted=everybody)
    ann.sync()  # unasked: it is signed, is itself, and is newer
    converge(ann, bob)
    first, *named = (ann.path / ".gpg-id").read_text().splitlines()
    assert first == f"# passhelper .gpg-id 3 {STORE}"
    assert set(named) == {keys["alice"], keys["bob"], keys["stranger"]}
    ann.store(OTHER)


def test_a_commit_from_the_future_is_refused(ann: Clone, bob: Clone) -> None:
    ann.at(int(time.time()) + 7200).store(secret="x")
    ann.sync()
    before = bob.tree
    with pytest.raises(TrustError, match="more than an hour ahead"):
        bob.sync()
    assert bob.tree == before


def test_three_clones_in_any_order(team: Team, ann: Clone, bob: Clone) -> None:
    carl = team.clone("carl")
    carl.sync()
    for moment, clone in ((NOW + 2, ann), (NOW + 3, bob), (NOW + 1, carl)):
        clone.at(moment).store(secret=str(moment))
        clone.store(f"https://{moment}.example")
    tips = [clone.head for clone in (ann, bob, carl)]
    carl.sync()
    ann.sync()
    bob.sync()
    converge(ann, bob, carl)
    assert ann.get() == ("bob", str(NOW + 3))
    assert len(ann.list()) == 4
    assert all(ann.holds(tip) for tip in tips)


# Others who push meanwhile


def copied(clone: Clone, server: str) -> str:
    """What commits an entry for one more server, for sh(1)."""
    folder = clone.directory(server)
    git = f"git -C {clone.path}"
    return f"mkdir {folder} && cp {clone.entry(OTHER)} {folder}/ && {git} add {folder} && {git} commit -q -m Late"


def test_a_lost_race_costs_no_extra_merge(team: Team, ann: Clone, bob: Clone) -> None:
    """However often somebody was faster, one merge comes out; and who merged the same at once ends with one commit."""
    carl = team.clone("carl")
    carl.sync()
    bob.store(OTHER)
    carl.store("https://carl.example")
    carl.sync()
    ann.sync()
    made = []
    for number in range(3):
        ann.store(f"https://{number}.example")
        made.append(ann.head)
    team.overtake(ann, *made)
    bob.sync()
    assert team.git("for-each-ref", "refs/others") == ""
    assert [line for line in bob.subjects if line.startswith("Merge ")] == ["Merge origin/main"]
    assert team.head == bob.head
    converge(ann, bob, carl)


def test_an_own_merge_that_nobody_has_seen_is_forgotten(team: Team, ann: Clone, bob: Clone) -> None:
    bob.store(OTHER)
    ann.store(secret="a")
    ann.sync()
    (team.remote / "hooks" / "update").write_text("#!/bin/sh\nexit 1\n")
    (team.remote / "hooks" / "update").chmod(0o755)
    with pytest.raises(RemoteError):
        bob.sync()
    assert bob.subjects[0] == "Merge origin/main"
    (team.remote / "hooks" / "update").unlink()
    # Somebody else merges the same two, and is faster.
    carl = team.clone("carl")
    carl.sync()
    carl.git("fetch", "-q", str(bob.path), "main")
    carl.git("merge", "-q", "--no-ff", "-m", "carl's", "FETCH_HEAD^1")
    carl.git("push", "-q")
    assert carl.tree_id == bob.tree_id
    bob.sync()
    assert bob.head == carl.head == team.head


def test_a_conflict_is_told_though_somebody_else_was_faster_to_settle_it(team: Team, ann: Clone, bob: Clone) -> None:
    bob.at(NOW).store(secret="bob's")
    ann.at(NOW + 1).store(secret="ann's")
    tips = (ann.head, bob.head)
    ann.sync()
    ann.git("fetch", "-q", str(bob.path), "main")
    ann.git("merge", "-q", "-s", "ours", "-m", "the same", "FETCH_HEAD")
    team.overtake(ann, ann.head)
    found = bob.sync().conflicts
    assert [(one.name, one.winning, one.losing) for one in found] == [(SERVER, *tips)]
    assert bob.head == ann.head == team.head


def test_somebody_elses_merge_stays(team: Team, ann: Clone, bob: Clone) -> None:
    bob.store(OTHER)
    ann.store(secret="a")
    ann.sync()
    bob.git("fetch", "-q")
    bob.git("merge", "-q", "-m", "by hand", "origin/main")
    merge = bob.head
    ann.store(secret="b")
    ann.sync()
    bob.sync()
    assert bob.holds(merge)
    converge(ann, bob)


def test_a_store_made_while_a_merge_is_prepared(ann: Clone, bob: Clone, tmp_path: Path) -> None:
    ann.store(secret="a")
    ann.sync()
    bob.store(OTHER)
    meanwhile(bob.environ, tmp_path / "bin", "git", "mktree", copied(bob, "https://late.example"))
    bob.sync()
    assert happened(tmp_path / "bin", "mktree") == 1
    assert set(bob.list()) == {SERVER, OTHER, "https://late.example"}
    assert [line for line in bob.subjects if line.startswith(("Merge ", "Take over "))] == ["Merge origin/main"]
    converge(ann, bob)


# Killed, and somebody else was faster than the next sync


def interrupted(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sync die when all is ready and nothing has changed yet."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            clone.sync()
    assert (clone.path / ".git" / "passhelper" / "journal").exists()


def test_the_next_verb_finishes_a_merge(ann: Clone, bob: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.store(secret="ann's")
    ann.sync()
    bob.store(OTHER)
    interrupted(bob, monkeypatch)
    bob.store("https://c.example")
    assert (bob.subjects[1], bob.get(), bob.status) == ("Merge origin/main", ("bob", "ann's"), "")
    converge(ann, bob)


def test_a_commit_of_another_program_before_a_merge_is_finished(
    ann: Clone, bob: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the merge had taken over is kept, and is nobody's decision: what comes later wins."""
    ann.at(NOW).store(secret="first")
    ann.sync()
    bob.store(OTHER)
    interrupted(bob, monkeypatch)
    bob.write("notes", b"by hand")
    ann.at(NOW + 1).store(secret="second")
    ann.sync()
    assert bob.sync().conflicts == []
    converge(ann, bob)
    assert bob.get() == ("bob", "second")
    assert set(bob.list()) == {SERVER, OTHER}
    assert (ann.path / "notes").read_bytes() == b"by hand"
    assert bob.warnings == []


def test_an_entry_that_another_program_wrote_before_a_merge_is_finished(
    ann: Clone, bob: Clone, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.at(NOW).store(secret="ann's")
    ann.sync()
    interrupted(bob, monkeypatch)
    bob.write(str(bob.entry().relative_to(bob.path)), keys.encrypt(b"by hand", "alice"))
    bob.sync()
    converge(ann, bob)
    assert bob.get() == ("bob", "by hand")
    assert any("was written by another program meanwhile" in warning for warning in bob.warnings)


def test_locks_of_gits_that_were_killed(ann: Clone, bob: Clone) -> None:
    ann.store(OTHER)
    ann.sync()
    lock = bob.path / ".git" / "refs" / "remotes" / "origin" / "main.lock"
    lock.touch()
    with pytest.raises(GitError, match="another git is at work in") as caught:
        bob.sync()
    assert (caught.value.exit_code, caught.value.remedy) == (1, f"run: passhelper doctor, should {lock} stay")
    os.utime(lock, (1, 1))
    with pytest.raises(GitError, match="another git is at work in"):
        bob.sync()  # it may be somebody's all the same
    lock.unlink()
    bob.sync()
    assert (bob.head, bob.warnings) == (ann.head, [])


def test_a_store_that_never_keeps_still(
    ann: Clone, bob: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ann.store(secret="a")
    ann.sync()
    bob.store(OTHER)
    monkeypatch.setattr(sync_module, "_MOVES", 2)
    moved = f"git -C {bob.path} commit -q --allow-empty -m $n"
    meanwhile(bob.environ, tmp_path / "bin", "git", "mktree", moved, times=9)
    with pytest.raises(GitError, match="keeps changing while it is synced") as caught:
        bob.sync()
    assert (caught.value.remedy, bob.status) == ("run: passhelper sync", "")


# What was not committed


def test_what_waits_for_its_commit_is_committed_first(team: Team, ann: Clone) -> None:
    lock = ann.path / ".git" / "index.lock"
    lock.touch()
    ann.put(ann.entry().read_bytes(), "https://by-hand.example")
    lock.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "TIMEOUT", 0.2)
        lock.touch()
        ann.store(OTHER)
        lock.unlink()
    assert len(ann.pending) == 1
    report = ann.sync()
    assert (report.committed, report.pushed, ann.pending, ann.status) == (2, 1, [], "")
    assert team.git("log", "-1", "--format=%s", "main") == "Commit changes that were left without a commit"


def test_what_cannot_be_committed_is_an_error(ann: Clone, keys: KeyRing) -> None:
    ann.git("config", "commit.gpgsign", "true")
    ann.git("config", "user.signingkey", keys["locked"])
    ann.store(OTHER)
    assert ann.warnings
    with pytest.raises(GitError, match="the store's changes cannot be committed: git could not sign"):
        ann.sync()
    assert len(ann.pending) == 1


def test_other_peoples_changes_are_left_alone(ann: Clone, bob: Clone) -> None:
    ann.write("notes", b"1")
    ann.sync()
    bob.sync()
    (bob.path / "notes").write_bytes(b"mine")
    (bob.path / "staged").write_bytes(b"mine")
    bob.git("add", "staged")
    ann.store(OTHER)
    ann.sync()
    bob.store("https://c.example")
    bob.sync()
    assert bob.status == " M notes\nA  staged\n"
    assert set(bob.list()) == {SERVER, OTHER, "https://c.example"}


@pytest.mark.parametrize("theirs", [b"2", None])
def test_other_peoples_changes_are_never_overwritten(ann: Clone, bob: Clone, theirs: bytes | None) -> None:
    ann.write("notes", b"1")
    ann.sync()
    bob.sync()
    (bob.path / "notes").write_bytes(b"mine")
    before, head = bob.tree, bob.head
    ann.write("notes", theirs)
    ann.store(OTHER)
    ann.sync()
    with pytest.raises(StoreError, match="notes has changes here that are not committed"):
        bob.sync()
    assert (bob.tree, bob.head, bob.status) == (before, head, " M notes\n")
    bob.git("checkout", "--", "notes")
    bob.sync()
    converge(ann, bob)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "file above"])
def test_files_that_git_does_not_know_are_never_overwritten(ann: Clone, bob: Clone, kind: str) -> None:
    ann.write("notes/today", b"1")
    ann.sync()
    path = bob.path / "notes"
    if kind == "file above":
        path.write_bytes(b"mine")
    elif kind == "link":
        path.symlink_to(bob.path.parent)
    else:
        path.mkdir()
        if kind == "file":
            (path / "today").write_bytes(b"mine")
        else:
            (path / "today").mkdir()
            (path / "today" / "mine").write_bytes(b"mine")
    before, head = bob.tree, bob.head
    with pytest.raises(StoreError, match=r"not committed|is a symbolic link"):
        bob.sync()
    assert (bob.tree, bob.head) == (before, head)
    assert not (bob.path.parent / "today").exists()


def test_a_git_that_does_not_say_where_it_is_makes_no_other_commit(ann: Clone, bob: Clone, tmp_path: Path) -> None:
    ann.store(OTHER)
    ann.sync()
    (tmp_path / "bin").mkdir()
    text = 'case "$*" in *"rev-parse --verify --quiet HEAD") exit 128 ;; esac; exec /usr/bin/git "$@"'
    script(tmp_path / "bin" / "git", text)
    path, head = bob.environ["PATH"], bob.head
    bob.environ["PATH"] = f"{tmp_path}/bin:{path}"
    with pytest.raises(GitError, match="cannot be finished now"):
        bob.sync()
    assert bob.head == head
    bob.environ["PATH"] = path
    bob.sync()
    assert (bob.head, bob.status) == (ann.head, "")


@pytest.mark.parametrize("is_behind", [True, False])
@pytest.mark.parametrize("way", ["to a file", "to a folder"])
def test_a_folder_and_a_file_take_each_others_place(ann: Clone, bob: Clone, way: str, *, is_behind: bool) -> None:
    inside, outside = ("a.gpg/b/c.gpg", "a.gpg") if way == "to a file" else ("a.gpg", "a.gpg/b/c.gpg")
    ann.write(inside, b"old")
    ann.sync()
    bob.sync()
    (bob.path / inside).parent.joinpath("empty").mkdir(exist_ok=True)
    ann.write(inside, None)
    for folder in (inside.rpartition("/")[0], "a.gpg"):
        if (ann.path / folder).is_dir() and folder:
            (ann.path / folder).rmdir()
    ann.write(outside, b"new")
    ann.sync()
    if not is_behind:
        bob.store(OTHER)
    before = descriptors()
    bob.sync()
    assert descriptors() == before
    assert (bob.path / outside).read_bytes() == b"new"
    converge(ann, bob)


@pytest.mark.parametrize(
    ("way", "step"),
    [("to a file", "unlink"), ("to a file", "rmdir"), ("to a file", "replace"), ("to a folder", "unlink"),
     ("to a folder", "replace")],
)  # fmt: skip
def test_killed_while_a_folder_and_a_file_change_places(
    ann: Clone, bob: Clone, monkeypatch: pytest.MonkeyPatch, way: str, step: str
) -> None:
    inside, outside = ("a.gpg/b.gpg", "a.gpg") if way == "to a file" else ("a.gpg", "a.gpg/b.gpg")
    ann.write(inside, b"old")
    ann.sync()
    bob.sync()
    ann.write(inside, None)
    if way == "to a file":
        (ann.path / "a.gpg").rmdir()
    ann.write(outside, b"new")
    ann.sync()
    call = getattr(os, step)

    def die(path: str, *more: str) -> None:
        if "a.gpg" in (more or (path,))[0]:
            raise KeyboardInterrupt
        call(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, die)
        with pytest.raises(KeyboardInterrupt):
            bob.sync()
    bob.sync()
    assert (bob.path / outside).read_bytes() == b"new"
    converge(ann, bob)


@pytest.mark.parametrize("way", ["to a file", "to a folder"])
def test_what_takes_the_place_first_is_left_alone(
    ann: Clone, bob: Clone, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Another program's file, written between a kill and the end of the merge, stops no verb."""
    ann.write("a.gpg" if way == "to a file" else "a.gpg/b.gpg", b"new")
    ann.store(OTHER)
    ann.sync()
    with monkeypatch.context() as patch:
        patch.setattr(journal, "finish", lambda *_: None)  # as if it were killed here
        with pytest.raises(GitError, match="cannot be finished"):
            bob.sync()
    theirs = bob.path / ("a.gpg/theirs" if way == "to a file" else "a.gpg")
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(b"theirs")
    bob.store("https://third.example")
    assert len(bob.warnings) == 1
    assert bob.warnings[0].endswith("was written by another program meanwhile and left as it is")
    assert theirs.read_bytes() == b"theirs"
    assert bob.get(OTHER) == ("bob", "s3cret")


def test_what_is_there_already_as_it_comes_is_taken(ann: Clone, bob: Clone) -> None:
    ann.write("notes", b"1")
    ann.sync()
    (bob.path / "notes").write_bytes(b"1")
    bob.sync()
    assert (bob.status, bob.head) == ("", ann.head)


def test_recipients_that_were_changed_here_and_not_accepted(ann: Clone, keys: KeyRing) -> None:
    path = ann.path / ".gpg-id"
    path.write_text(path.read_text() + keys["bob"] + "\n")
    with pytest.raises(TrustError, match=rf"recipients changed: \+{keys['bob']}"):
        ann.sync()
    ann.git("commit", "-q", "-a", "-m", "by hand")
    with pytest.raises(TrustError, match=rf"recipients changed: \+{keys['bob']}"):
        ann.sync()
    accept(ann)
    report = ann.sync()
    assert (report.pushed, report.added) == (2, [SERVER])  # the second one lets him read what is there


def test_a_list_that_was_removed_here_and_not_accepted(ann: Clone, keys: KeyRing) -> None:
    """The environment allows it only if it allows those who read by the list above."""
    path = f"{FOLDER}/{ann.directory().name}/.gpg-id"
    ann.write(path, f"{keys['alice']}\n".encode())
    ann.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    accept(ann)
    ann.sync()
    (ann.path / path).unlink()
    both = f"{keys['alice']},{keys['bob']}"
    for allowed in ("", keys["alice"], keys["bob"], both, f"{SERVER}={keys['bob']}"):
        ann.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = allowed
        with pytest.raises(TrustError, match=rf"^recipients changed: -{keys['alice']} .* \({path}\); run: "):
            ann.sync()
    ann.git("commit", "-q", "-a", "-m", "by hand")
    with pytest.raises(TrustError, match=rf"^recipients changed: -{keys['alice']} .* \({path}\); run: "):
        ann.sync()
    ann.git("reset", "-q", "--soft", "HEAD^")
    ann.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{SERVER}={both}"
    assert ann.sync().pushed > 0
    assert trust.load(str(ann.path / ".git" / "passhelper")) == {".gpg-id": sorted([keys["alice"], keys["bob"]])}


def test_a_runner_follows_lists_that_it_has_not_accepted(team: Team, ann: Clone, keys: KeyRing) -> None:
    """It takes over what others have and spreads nothing of its own."""
    bob = team.clone("bob")
    bob.git("config", "passhelper.ci", "true")
    state = bob.path / ".git" / "passhelper"
    state.mkdir()
    (state / "trust.json").write_text('{"version":1,"recipients":{}}')
    ann.write(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode())
    accept(ann)
    ann.sync()
    assert bob.sync().fetched == 2
    assert trust.load(str(state)) == {}
    bob.write(".gpg-id", f"{keys['alice']}\n{keys['stranger']}\n".encode())
    with pytest.raises(TrustError, match=r"^recipients changed: "):
        bob.sync(push=True)
    assert team.head == ann.head


# Commits


def test_a_merge_is_signed_where_the_user_says_so(ann: Clone, bob: Clone, keys: KeyRing) -> None:
    bob.git("config", "commit.gpgsign", "true")
    bob.git("config", "user.signingkey", keys["alice"])
    bob.store(OTHER)
    ann.store(secret="a")
    ann.sync()
    bob.sync()
    assert bob.git("log", "-1", "--format=%s %G?") in ("Merge origin/main U\n", "Merge origin/main G\n")


def test_a_merge_that_cannot_be_signed_is_not_made(ann: Clone, bob: Clone, keys: KeyRing) -> None:
    bob.store(OTHER)
    bob.git("config", "pass.signcommits", "true")
    bob.git("config", "user.signingkey", keys["locked"])
    ann.store(secret="a")
    ann.sync()
    head, before = bob.head, bob.tree
    with pytest.raises(GitError, match="git could not sign the commit"):
        bob.sync()
    assert (bob.head, bob.tree, bob.status) == (head, before, "")


def test_a_merge_without_an_identity(ann: Clone, bob: Clone) -> None:
    for name in [name for name in bob.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_"))]:
        del bob.environ[name]
    bob.store(OTHER)
    ann.store(secret="a")
    ann.sync()
    bob.sync()
    assert bob.git("log", "-1", "--format=%cn <%ce>") == "passhelper <passhelper@localhost>\n"


SIGNED_OFF = "Signed-off-by: Ann Example <ann@example.test>"


def test_a_server_that_wants_every_commit_signed_off(team: Team, ann: Clone, keys: KeyRing) -> None:
    script(
        team.hook("pre-receive"),
        f"""while read -r old new _; do
            for commit in $(git rev-list "$old..$new"); do
                git log -1 --format=%B "$commit" | git interpret-trailers --parse | grep -qx "{SIGNED_OFF}" || exit 1
            done
        done""",
    )
    bob = team.clone("bob")
    for clone in (ann, bob):
        clone.git("config", "passhelper.trailer", SIGNED_OFF)
    ann.store(OTHER)
    assert ann.sync().pushed == 1
    bob.store(secret="bob's")
    assert bob.sync().pushed == 2  # with the merge
    assert bob.git("log", "-1", "--format=%B").split("\n")[-4:-2] == [MARK, SIGNED_OFF]
    Members(Rekey(bob.helper.pass_store)).add([keys["bob"]])
    assert bob.sync().pushed == 1
    assert bob.git("log", "-1", "--format=%B").split("\n")[-4:-2] == [SAME, SIGNED_OFF]
    ann.git("config", "--unset", "passhelper.trailer")
    ann.store("https://c.example")
    with pytest.raises(RemoteError):
        ann.sync(accepted=frozenset([f"{keys['alice']},{keys['bob']}"]))


@pytest.mark.parametrize("wrong", ["Signed-off-by", "Signed-off-by: ", "a b: c", "Signed-off-by: a\nb", ": x"])
def test_what_is_not_a_trailer(ann: Clone, wrong: str) -> None:
    head = ann.head
    ann.git("config", "passhelper.trailer", wrong)
    ann.store(OTHER)
    assert ann.head == head
    (warning,) = ann.warnings
    assert "git config passhelper.trailer is not a trailer: " in warning
    assert warning.endswith("set it to one line, such as Signed-off-by: NAME <ADDRESS>")


@pytest.mark.parametrize("neutral", ["false", "true"])
def test_a_re_encryption_says_that_it_changes_nothing(ann: Clone, keys: KeyRing, neutral: str) -> None:
    ann.git("config", "passhelper.neutralCommits", neutral)
    (ann.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    accept(ann)
    ann.sync()
    subject, _, *body = ann.git("log", "-1", "--format=%B").splitlines()
    assert subject == {"true": "Update credential", "false": "Re-encrypt 1 credential"}[neutral]
    assert SAME in body


@pytest.mark.parametrize("neutral", ["false", "true"])
def test_a_merge_says_what_became_of_conflicts(ann: Clone, bob: Clone, neutral: str) -> None:
    bob.git("config", "passhelper.neutralCommits", neutral)
    ann.at(NOW).store(secret="ann's")
    bob.at(NOW + 1).store(secret="bob's")
    ann.sync()
    bob.sync()
    message = bob.git("log", "-1", "--format=%B")
    assert message.startswith("Merge origin/main\n")
    assert MARK in message.splitlines()
    assert (SERVER in message) == (neutral == "false")


# Repositories of another shape


def test_branches_of_another_name(team: Team, ann: Clone, keys: KeyRing) -> None:
    team.git("branch", "-m", "main", "trunk")
    bob = team.clone("bob")
    bob.git("branch", "-m", "trunk", "here")
    bob.store(OTHER)
    bob.sync()
    assert team.git("rev-parse", "trunk") == bob.head
    carl = team.folder / "carl"
    carl.mkdir()
    clone = Clone({**team.environ, "PASSWORD_STORE_DIR": str(carl)})
    clone.git("init", "-q", "-b", "main")
    clone.git("remote", "add", "upstream", str(team.remote))
    report = clone.sync(accepted=frozenset([keys["alice"]]))
    assert (report.remote, report.branch, clone.head) == ("upstream", "trunk", bob.head)
    assert team.git("branch", "--format=%(refname:short)") == "trunk"
    clone.store("https://c.example")
    clone.sync()
    assert team.git("rev-parse", "trunk") == clone.head


def test_a_remote_that_does_not_say_which_branch_counts(team: Team, ann: Clone, keys: KeyRing) -> None:
    """Its HEAD is a commit: what is not called as here is taken only where nobody could mean another one."""
    ann.store(OTHER)
    ann.sync()
    team.git("branch", "-m", "main", "trunk")
    team.git("update-ref", "--no-deref", "HEAD", team.git("rev-parse", "trunk"))
    team.git("branch", "attic", "trunk~1")

    def clone(name: str) -> Clone:
        path = team.folder / name
        path.mkdir()
        made = Clone({**team.environ, "PASSWORD_STORE_DIR": str(path)})
        made.git("init", "-q", "-b", "here")
        made.git("remote", "add", "origin", str(team.remote))
        return made

    bob = clone("bob")
    accepted = frozenset([keys["alice"]])
    with pytest.raises(StoreError) as caught:
        bob.sync(accepted=accepted)
    assert str(caught.value) == (
        "the remote origin does not say which of its branches counts: attic, trunk; let its HEAD name one, there: git "
        "symbolic-ref HEAD refs/heads/NAME"
    )
    team.git("branch", "-m", "trunk", "main")
    assert (bob.sync(accepted=accepted).branch, bob.head) == ("main", ann.head)
    team.git("branch", "-D", "attic")
    team.git("branch", "-m", "main", "trunk")
    carl = clone("carl")
    assert (carl.sync(accepted=accepted).branch, carl.head) == ("trunk", ann.head)


def test_a_repository_of_the_credentials_alone(environ: dict[str, str], store: Path, tmp_path: Path) -> None:
    """The store's root belongs to somebody else; git begins at our folder."""
    team = Team(tmp_path, environ)
    folder = store / FOLDER
    folder.mkdir()
    ann = Clone({**team.environ, "PASSWORD_STORE_DIR": str(store)})
    for arguments in (["init", "-q", "-b", "main"], ["remote", "add", "origin", str(team.remote)]):
        ann.git("-C", FOLDER, *arguments)
    ann.at(NOW).store()
    assert ann.sync().pushed == 1
    other = tmp_path / "bob"
    (other / FOLDER).mkdir(parents=True)
    (other / ".gpg-id").write_text((store / ".gpg-id").read_text())
    bob = Clone({**team.environ, "PASSWORD_STORE_DIR": str(other)})
    for arguments in (["init", "-q", "-b", "main"], ["remote", "add", "origin", str(team.remote)]):
        bob.git("-C", FOLDER, *arguments)
    bob.sync()
    ann.at(NOW + 1).store(username="x")
    bob.at(NOW + 2).store(username="y")
    ann.sync()
    assert [one.name for one in bob.sync().conflicts] == [SERVER]
    ann.sync()
    assert ann.get() == bob.get() == ("y", "s3cret")
    assert not (store / ".git").exists()


def test_a_shallow_clone(team: Team, ann: Clone) -> None:
    for number in range(3):
        ann.store(secret=str(number))
    ann.sync()
    bob = team.clone("bob", "--depth", "1")
    assert len(bob.commits) == 1
    ann.store(OTHER)
    ann.sync()
    bob.sync()
    assert bob.get(OTHER) == ("bob", "s3cret")
    bob.store("https://c.example")
    bob.sync()
    assert len(bob.commits) == 3
    ann.sync()
    assert ann.head == bob.head
    ann.store(secret="other")
    ann.sync()
    bob.store("https://d.example")
    bob.sync()
    assert bob.git("rev-parse", "--is-shallow-repository") == "true\n"  # who was last was not a question
    converge(ann, bob)


def test_a_shallow_clone_looks_for_what_it_has_in_common(team: Team, ann: Clone, keys: KeyRing) -> None:
    """Somebody took back what the clone began with, and the user has accepted that."""

    def name(*readers: str) -> None:
        ann.write(".gpg-id", "".join(f"{keys[reader]}\n" for reader in readers).encode())
        accept(ann)

    name("alice", "bob")
    ann.sync()
    before = ann.head
    name("alice", "bob", "stranger")
    ann.store(OTHER)
    ann.sync()
    bob = team.clone("bob", "--depth", "1")
    bob.sync()
    bob.store("https://c.example")
    ann.git("reset", "-q", "--hard", before)
    name("alice")
    ann.store("https://d.example")
    ann.git("push", "-q", "--force")
    with pytest.raises(TrustError, match="history was rewritten"):
        bob.sync()
    state = str(bob.path / ".git" / "passhelper")
    known = trust.load_all(state)
    assert known is not None
    known.offer = team.head
    trust.save_all(state, known, Files(bob.helper.pass_store.environ))
    bob.sync(accepted=frozenset([keys["alice"], keys["stranger"]]))
    assert set(bob.list()) == {SERVER, OTHER, "https://c.example", "https://d.example"}
    assert bob.get() == ("bob", "s3cret")
    assert set((bob.path / ".gpg-id").read_text().split()) == {keys["alice"], keys["stranger"]}


def test_a_list_of_readers_that_counts_for_others_too_is_left_alone(ann: Clone, keys: KeyRing) -> None:
    ann.write("personal/mail.gpg", b"x")
    (ann.path / ".gpg-id").write_text(f"{keys['alice']}\n# and a comment\n")
    ann.sync()
    assert ann.status == " M .gpg-id\n"


def test_a_shallow_clone_fetches_what_a_merge_needs(team: Team, ann: Clone) -> None:
    ann.store(secret="1")
    ann.sync()
    bob = team.clone("bob", "--depth", "1")
    bob.at(NOW).store(secret="bob's")
    ann.at(NOW + 1).store(secret="ann's")
    ann.sync()
    assert [one.winner for one in bob.sync().conflicts] == ["theirs"]
    assert bob.git("rev-parse", "--is-shallow-repository") == "false\n"
    converge(ann, bob)


def test_a_dry_run_fetches_no_more_of_the_history(team: Team, ann: Clone) -> None:
    ann.store(secret="1")
    ann.sync()
    bob = team.clone("bob", "--depth", "1")
    bob.at(NOW).store(secret="bob's")
    ann.at(NOW + 1).store(secret="ann's")
    ann.sync()
    report = bob.sync(dry_run=True)
    assert (report.conflicts, len(report.unknown), report.fetched) == ([], 1, 1)
    assert bob.git("rev-parse", "--is-shallow-repository") == "true\n"
    assert ann.sync(dry_run=True).unknown == []


def test_a_branch_beside_the_first_one_is_shared_under_its_own_name(team: Team, ann: Clone) -> None:
    before = team.head
    ann.git("switch", "-q", "-c", "topic")
    ann.store(OTHER)
    report = ann.sync()
    assert (report.branch, team.head) == ("topic", before)
    assert team.git("rev-parse", "topic") == ann.head
    assert ann.git("rev-parse", "--abbrev-ref", "@{upstream}").strip() == "origin/topic"
    ann.git("switch", "-q", "main")
    assert ann.sync().branch == "main"
    assert team.head == before


def test_a_remote_that_lags_behind_another(team: Team, ann: Clone, tmp_path: Path) -> None:
    """What one of them had is no promise of the other; what it had itself, is."""
    other = tmp_path / "other.git"
    ann.git("clone", "-q", "--bare", str(team.remote), str(other))
    ann.git("remote", "add", "second", str(other))
    before = ann.head
    ann.store(OTHER)
    ann.sync()
    assert ann.sync(remote="second").pushed == 1
    ann.store(OTHER, secret="newer")
    ann.sync()
    second = Clone({**team.environ, "GIT_DIR": str(other)})
    assert second.git("rev-parse", "main") == ann.git("rev-parse", "HEAD~1")
    assert ann.sync(remote="second", dry_run=True).pushed == 1
    second.git("update-ref", "refs/heads/main", before)
    with pytest.raises(TrustError, match="the remote's history was rewritten"):
        ann.sync(remote="second")
    assert ann.sync().pushed == 0


def test_a_history_that_has_nothing_in_common(team: Team, ann: Clone, keys: KeyRing) -> None:
    path = team.folder / "bob"
    path.mkdir()
    (path / ".gpg-id").write_text(keys["alice"] + "\n")
    bob = Clone({**team.environ, "PASSWORD_STORE_DIR": str(path)})
    bob.git("init", "-q", "-b", "main")
    bob.git("remote", "add", "origin", str(team.remote))
    bob.write(".gpg-id", (path / ".gpg-id").read_bytes())
    bob.store(OTHER)
    with pytest.raises(TrustError, match="no commit in common"):
        bob.sync()
    assert set(bob.list()) == {OTHER}


# Runners, and what is only tried


def test_a_runner_pushes_only_when_told_to(team: Team, ann: Clone) -> None:
    bob = team.clone("bob")
    bob.git("config", "passhelper.ci", "true")
    bob.sync()
    bob.store(OTHER)
    ann.store("https://c.example")
    ann.sync()
    report = bob.sync()
    assert (report.pushed, report.kept, report.fetched) == (0, 2, 1)
    assert team.head == ann.head
    report = bob.sync(push=True)
    assert report.pushed == 2
    assert team.head == bob.head


def test_a_dry_run_changes_nothing(team: Team, ann: Clone, bob: Clone) -> None:
    ann.at(NOW).store(secret="ann's")
    ann.sync()
    bob.at(NOW + 1).store(secret="bob's")
    bob.put(ann.entry().read_bytes(), OTHER)
    before, head, theirs = bob.tree, bob.head, team.head
    state = sorted((bob.path / ".git" / "passhelper").iterdir())
    report = bob.sync(dry_run=True)
    assert (report.committed, report.fetched, report.pushed) == (1, 1, 2)
    assert [(one.name, one.winner) for one in report.conflicts] == [(SERVER, "ours")]
    assert (bob.tree, bob.head, team.head) == (before, head, theirs)
    assert sorted((bob.path / ".git" / "passhelper").iterdir()) == state
    assert bob.status == f"?? {bob.directory(OTHER).relative_to(bob.path)}/\n"


def test_nothing_waits_for_its_push_afterwards(ann: Clone) -> None:
    mark = ann.path / ".git" / "passhelper" / "unpushed"
    mark.touch()
    ann.sync()
    assert not mark.exists()


def test_the_time_of_the_last_sync_is_kept(ann: Clone) -> None:
    path = ann.path / ".git" / "passhelper" / "synced"
    assert abs(int(path.read_text()) - time.time()) < 60
    path.unlink()
    ann.sync(dry_run=True)
    assert not path.exists()
