"""Changes of many files: whole, finished by whoever writes next, and never aimed elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.worlds.vault import SERVER, Vault

from passhelper.errors import GitError, StoreError
from passhelper.store import journal
from passhelper.store.journal import Change, Plan
from passhelper.store.store import PassStore
from passhelper.store.transaction import Transaction
from passhelper.store.workspace import Lock

OTHER = "https://other.example"
EMPTY = f"{FOLDER}/new/.gpg-id"


@pytest.fixture(params=["vault", "git_vault"], ids=["no git", "git"])
def some(request: pytest.FixtureRequest) -> Vault:
    """A store of either kind that holds one credential and has nothing left to commit."""
    vault: Vault = request.getfixturevalue(request.param)
    vault.store()
    return vault


def prepared(vault: Vault, keys: KeyRing) -> tuple[PassStore, dict[str, bytes]]:
    """Write a journal that replaces, adds and removes, and die; returns what the store will hold."""
    store = PassStore(vault.environ, vault.warnings.append)
    old = vault.entry().relative_to(vault.path)
    new = vault.entry(OTHER).relative_to(vault.path)
    data = keys.encrypt(b"moved", "alice")
    plan = Plan("Change it all", [
        Change(".gpg-id", f"{keys['alice']}\n{keys['bob']}\n".encode()), Change(str(new), data), Change(str(old), None),
    ])  # fmt: skip
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), plan)
    expected = {name: content for name, content in vault.tree.items() if not name.startswith(f"{FOLDER}/")}
    expected |= {".gpg-id": plan.changes[0].data or b"", str(new.parent): b"", str(new): data}
    return store, {name: content for name, content in expected.items() if "journal" not in name}


def finish(store: PassStore) -> None:
    with Transaction(store, store.repository("")):  # that is all
        pass


def test_nothing_changes_until_the_journal_is_complete(
    some: Vault, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = some.tree

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prepared(some, keys)
    monkeypatch.undo()
    assert some.tree == before
    finish(PassStore(some.environ, some.warnings.append))
    assert some.tree == before


def test_who_locks_next_finishes(some: Vault, keys: KeyRing) -> None:
    store, expected = prepared(some, keys)
    finish(store)
    assert some.tree == expected
    assert some.warnings == []
    if some.path.joinpath(".git").exists():
        assert some.subjects[0] == "Change it all"
        assert some.subjects.count("Change it all") == 1
        assert (some.status, some.pending) == ("", [])
    finish(store)
    assert some.tree == expected


@pytest.mark.parametrize("steps", range(4))
def test_a_change_that_had_begun_is_finished(some: Vault, keys: KeyRing, steps: int) -> None:
    store, expected = prepared(some, keys)
    for name in [".gpg-id", *sorted(name for name in expected if name.endswith(".gpg"))][:steps]:
        some.path.joinpath(name).parent.mkdir(exist_ok=True)
        some.path.joinpath(name).write_bytes(expected[name])
    if steps == 3:
        some.entry().unlink()
    finish(store)
    assert some.tree == expected
    assert some.warnings == []


def test_readers_do_not_finish(some: Vault, keys: KeyRing) -> None:
    prepared(some, keys)
    assert some.get() == ("bob", "s3cret")
    assert list(some.list()) == [SERVER]
    with Lock(PassStore(some.environ, some.warnings.append), None, shared=True):
        pass
    assert some.entry().exists()


def test_erase_finishes(some: Vault, keys: KeyRing) -> None:
    _, expected = prepared(some, keys)
    some.erase()
    assert some.tree == expected


def test_store_finishes_before_it_looks_who_may_read(some: Vault, keys: KeyRing) -> None:
    """The new .gpg-id comes from the journal, and what it names is what is encrypted to (or refused)."""
    prepared(some, keys)
    if some.path.joinpath(".git").exists():
        some.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['bob']}"
    some.store("https://third.example")
    listing = keys.gpg("--list-only", "--list-packets", str(some.entry("https://third.example"))).stdout
    assert listing.count(b":pubkey enc packet:") == 2
    assert some.get(OTHER) == ("bob", "moved")


def test_store_of_what_is_there_finishes(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    store = PassStore(git_vault.environ, git_vault.warnings.append)
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), Plan("Note", [Change(EMPTY, b"x\n")]))
    git_vault.store()
    assert git_vault.subjects[0] == "Note"
    assert git_vault.path.joinpath(EMPTY).read_bytes() == b"x\n"


def test_what_another_program_wrote_since_is_kept(some: Vault, keys: KeyRing) -> None:
    store, expected = prepared(some, keys)
    theirs = keys.encrypt(b"theirs", "alice")
    some.put(theirs)
    some.put(theirs, OTHER)
    finish(store)
    assert some.entry().read_bytes() == some.entry(OTHER).read_bytes() == theirs
    assert some.path.joinpath(".gpg-id").read_bytes() == expected[".gpg-id"]
    assert len(some.warnings) == 2
    assert some.warnings[0].endswith("bob.gpg was written by another program meanwhile and left as it is")


def test_state_changes_too_and_is_not_committed(git_vault: Vault) -> None:
    git_vault.store()
    store = PassStore(git_vault.environ, git_vault.warnings.append)
    plan = Plan("Note", [Change(EMPTY, b"x\n")])
    plan.state = {"note": b"first", "other": b""}
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), plan)
        journal.finish(store, store.repository(""))
    state = git_vault.path / ".git" / "passhelper"
    assert (state.joinpath("note").read_bytes(), state.joinpath("other").read_bytes()) == (b"first", b"")
    assert git_vault.status == ""


def a_commit(vault: Vault, path: str, data: bytes) -> str:
    """Make a commit object with one more file, without touching the work tree, the index or HEAD."""
    blob = vault.path.parent / "blob"
    blob.write_bytes(data)
    vault.environ["GIT_INDEX_FILE"] = str(vault.path.parent / "index")
    vault.git("read-tree", "HEAD")
    oid = vault.git("hash-object", "-w", "--no-filters", str(blob)).strip()
    vault.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{path}")
    tree = vault.git("write-tree").strip()
    del vault.environ["GIT_INDEX_FILE"]
    return vault.git(
        "-c", "user.name=t", "-c", "user.email=t@t.test", "commit-tree", "-p", "HEAD", "-m", "M", tree
    ).strip()


def with_commit(vault: Vault) -> tuple[PassStore, Plan]:
    vault.store()
    plan = Plan("Merge it", [Change(EMPTY, b"x\n")])
    plan.commit, plan.previous = a_commit(vault, EMPTY, b"x\n"), vault.git("rev-parse", "HEAD").strip()
    store = PassStore(vault.environ, vault.warnings.append)
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), plan)
    return store, plan


def test_a_commit_that_exists_is_taken(git_vault: Vault) -> None:
    store, plan = with_commit(git_vault)
    finish(store)
    assert git_vault.git("rev-parse", "HEAD").strip() == plan.commit
    assert git_vault.git("symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert (git_vault.status, git_vault.pending, git_vault.warnings) == ("", [], [])
    assert git_vault.path.joinpath(EMPTY).read_bytes() == b"x\n"


def test_a_commit_that_had_been_taken_is_finished(git_vault: Vault) -> None:
    store, plan = with_commit(git_vault)
    git_vault.git("update-ref", "HEAD", plan.commit)
    finish(store)
    assert git_vault.git("rev-parse", "HEAD").strip() == plan.commit
    assert (git_vault.status, git_vault.pending) == ("", [])


def test_a_commit_beside_another_one_becomes_an_ordinary_one(git_vault: Vault) -> None:
    """Somebody used git by hand in between: his commit stays, and the change comes after it."""
    store, _ = with_commit(git_vault)
    git_vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "--allow-empty", "-q", "-m", "By hand")
    finish(store)
    assert git_vault.subjects[:2] == ["Merge it", "By hand"]
    assert (git_vault.status, git_vault.pending) == ("", [])
    assert git_vault.path.joinpath(EMPTY).read_bytes() == b"x\n"


@pytest.mark.parametrize("old", [False, True], ids=["new", "of an earlier version"])
def test_what_was_decided_since_is_not_undone(git_vault: Vault, old: bool) -> None:
    """As what ``recipients accept`` writes."""
    git_vault.store()
    store = PassStore(git_vault.environ, git_vault.warnings.append)
    place = store.repository("")
    state = git_vault.path / ".git" / "passhelper"
    (state / "note").write_bytes(b"before")
    (state / "same").write_bytes(b"before")
    plan = Plan("Note", [Change(EMPTY, b"x\n")])
    plan.state = {"note": b"planned", "same": b"planned"}
    with Transaction(store, place):
        journal.write(store, place, plan)
    path = Path(store.journal(place))
    if old:
        first, _, rest = path.read_bytes().partition(b"\n")
        header = json.loads(first)
        header["state"] = [item[:2] for item in header["state"]]
        path.write_bytes(json.dumps(header).encode() + b"\n" + rest)
        os.utime(path, (1, 1))
        os.utime(state / "same", (0, 0))
    (state / "note").write_bytes(b"accepted")
    finish(store)
    assert ((state / "note").read_bytes(), (state / "same").read_bytes()) == (b"accepted", b"planned")
    assert git_vault.warnings == [f"{state / 'note'} was changed since and left as it is"]
    assert git_vault.path.joinpath(EMPTY).read_bytes() == b"x\n"


def test_who_locks_while_it_cannot_be_finished_fails(git_vault: Vault) -> None:
    """Nobody goes on beside it: what he decided would be undone when it is finished."""
    _, plan = with_commit(git_vault)
    lock = git_vault.path / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    for _ in range(2):
        with pytest.raises(GitError, match=r"a merge in .* cannot be finished now: another git is at work") as caught:
            git_vault.store(OTHER)
        assert caught.value.remedy == "run: passhelper sync, once git can work there"
    assert not git_vault.entry(OTHER).exists()
    assert git_vault.get() == ("bob", "s3cret")
    lock.unlink()
    git_vault.store(OTHER)
    assert git_vault.git("rev-parse", "HEAD~1").strip() == plan.commit
    assert (git_vault.status, git_vault.pending, git_vault.warnings) == ("", [], [])


def test_a_journal_is_never_overwritten(some: Vault, keys: KeyRing) -> None:
    store, expected = prepared(some, keys)
    before = Path(store.journal(store.repository(""))).read_bytes()
    with pytest.raises(GitError, match="is not finished"):
        journal.write(store, store.repository(""), Plan("Another", [Change(EMPTY, b"x")]))
    assert Path(store.journal(store.repository(""))).read_bytes() == before
    finish(store)
    assert some.tree == expected


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", ".git/hooks/post-commit", "a/.GIT/config", "a//b", ""])
def test_a_path_that_leads_elsewhere_is_refused(some: Vault, name: str) -> None:
    store = PassStore(some.environ, some.warnings.append)
    before = some.tree
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), Plan("x", [Change(EMPTY, b"x"), Change("a", b"x")]))
    path = Path(store.journal(store.repository("")))
    path.write_bytes(path.read_bytes().replace(b'"a"', f'"{name}"'.encode()))
    with pytest.raises(StoreError, match="is not a path in the store") as caught:
        finish(store)
    assert caught.value.remedy == "remove it, then run: passhelper recipients check"
    path.unlink()
    assert some.tree == before


def test_a_link_on_the_way_is_refused(some: Vault, tmp_path: Path) -> None:
    store = PassStore(some.environ, some.warnings.append)
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), Plan("x", [Change(EMPTY, b"x")]))
    some.path.joinpath(FOLDER, "new").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="is not a path in the store"):
        finish(store)
    assert not tmp_path.joinpath(".gpg-id").exists()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b'"version":1', b'"version":2', "unknown format"),
        (b'"version":1', b'"version"', "Expecting"),
        (b'"subject"', b'"sbject"', "'subject'"),
        (b"xyz", b"xy", "it ends too early"),
        (b'",3]', b'","3"]', ""),
    ],
)
def test_a_damaged_journal_says_so(some: Vault, before: bytes, after: bytes, why: str) -> None:
    store = PassStore(some.environ, some.warnings.append)
    with Transaction(store, store.repository("")):
        journal.write(store, store.repository(""), Plan("x", [Change(EMPTY, b"xyz")]))
    path = Path(store.journal(store.repository("")))
    assert before in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before, after))
    with pytest.raises(StoreError, match=f"{path} is damaged: .*{why}"):
        some.store(OTHER)
    assert some.get() == ("bob", "s3cret")
