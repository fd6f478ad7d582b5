"""What somebody knows who leaves: over all of the history, and by what the secrets say, not by what commits claim."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.people.leavers import A, B, C, D, Leavers

from passhelper.errors import ConfigurationError, GitError, StoreError
from passhelper.team.entries import log, rotation
from passhelper.team.git import gitrepo, history


@pytest.fixture
def team(git_store: Path, environ: dict[str, str], keys: KeyRing) -> Leavers:
    return Leavers(environ, keys)


def test_from_coming_to_going(team: Leavers) -> None:
    team.store(A)
    assert team.states() == {}
    team.let_in("bob")
    let_in = team.head
    team.store(B, secret="b")
    assert team.states() == {A: "readable", B: "readable"}
    stored = team.head
    team.let_go("bob")
    team.store(C, secret="c")
    assert team.states() == {A: "unchanged", B: "unchanged"}
    assert team.left() == [A, B]
    a, b = rotation.find(team.pass_store, team.keys["bob"])
    assert (a.first.commit, a.last.commit) == (let_in, let_in)
    assert (b.first.commit, b.last.commit) == (stored, stored)
    assert (b.username, b.is_open, b.is_certain) == ("bob", True, True)
    team.store(A, secret="new")
    team.erase(B)
    assert team.states() == {A: "changed", B: "erased"}
    assert team.left() == []


def test_every_version_counts(team: Leavers) -> None:
    """Read by bob in the middle of its life only, over several secrets."""
    team.store(A, secret="1")
    team.let_in("bob")
    first = team.head
    team.store(A, secret="2")
    team.store(A, secret="3")
    last = team.head
    team.let_go("bob")
    for secret in ("4", "5"):
        team.store(A, secret=secret)
    (item,) = rotation.find(team.pass_store, team.keys["bob"])
    assert (item.first.commit, item.last.commit, item.state) == (first, last, "changed")


def test_the_secret_decides_and_not_the_commit(team: Leavers, keys: KeyRing) -> None:
    """A commit that looks like a change and says the same again."""
    team.let_in("bob")
    team.store(A, secret="same")
    team.store(B, secret="b")
    team.let_go("bob")
    path = team.entry(A).relative_to(team.path)
    team.write(str(path), keys.encrypt(b"same\n", "alice"), "Store credential for a.example (bob)")
    team.write(str(team.entry(B).relative_to(team.path)), keys.encrypt(b"other", "alice"), "Store credential")
    assert team.states() == {A: "unchanged", B: "changed"}  # a line end more is the same password
    team.write(str(path), keys.encrypt(b"same ", "alice"), "Re-encrypt, I say")
    team.write(str(path), keys.encrypt(b"same  ", "alice"), "Store credential for a.example (bob)")
    assert team.states()[A] == "changed"  # white space more is not


def test_a_subject_that_claims_to_re_encrypt_hides_nothing(team: Leavers, keys: KeyRing) -> None:
    """Whoever writes such subjects gets one credential more to rotate, and none less."""
    team.let_in("bob")
    team.store(A)
    team.let_go("bob")
    team.write(str(team.entry(A).relative_to(team.path)), keys.encrypt(b"new", "alice"), "Re-encrypt 1 credential")
    assert team.states() == {A: "unchanged"}


def test_what_cannot_be_compared_stays_open(team: Leavers, keys: KeyRing) -> None:
    team.let_in("bob")
    team.store(A)
    team.store(B)
    team.let_go("bob")
    for server, data in ((A, keys.encrypt(b"new", "stranger")), (B, b"no message")):
        team.write(str(team.entry(server).relative_to(team.path)), data)
    assert team.states() == {A: "unknown", B: "unknown"}
    assert team.left() == [A, B]


def test_pass_init_changes_nothing(team: Leavers, keys: KeyRing) -> None:
    """As pass does it: one commit for the list, a second one that re-encrypts."""
    team.let_in("bob")
    team.store(A)
    team.write(".gpg-id", keys["alice"].encode() + b"\n", "Set GPG id")
    path = team.entry(A).relative_to(team.path)
    team.write(str(path), keys.encrypt(b"s3cret", "alice"), "Reencrypt password store using new GPG id.")
    assert team.states() == {A: "unchanged"}


def test_one_server_alone(team: Leavers) -> None:
    team.store(A)
    team.store(B)
    team.let_in("bob", A)
    team.let_go("bob", A)
    assert team.states() == {A: "unchanged"}


def test_both_sides_of_a_merge(team: Leavers) -> None:
    """What lost a conflict is known all the same, and what came in with a merge alone."""
    team.let_in("bob")
    team.store(C, secret="0")
    team.git("checkout", "-q", "-b", "side")
    team.store(A)
    team.store(C, secret="lost")
    lost = team.head
    team.git("checkout", "-q", "main")
    team.let_go("bob")
    team.store(C, secret="2")
    team.git("merge", "-q", "-s", "ours", "-m", "Join", "side")
    assert team.states() == {A: "erased", C: "changed"}
    team.git("checkout", "-q", "-b", "other", "HEAD~1")
    team.store(D)
    team.git("checkout", "-q", "main")
    team.git("merge", "-q", "--no-commit", "-s", "ours", "other")
    team.put(team.keys.encrypt(b"s", "bob"), B)
    team.git("add", "--all")
    team.git("commit", "-q", "-m", "Join")
    assert team.states() == {A: "erased", B: "readable", C: "changed"}
    _, b, c = rotation.find(team.pass_store, team.keys["bob"])
    assert (b.first.commit, c.last.commit) == (team.head, lost)


def test_hidden_recipients_may_be_anybody(team: Leavers, keys: KeyRing) -> None:
    team.write(f"{FOLDER}/YS5leGFtcGxl/u.gpg", keys.encrypt(b"s", "alice", options=("--throw-keyids",)))
    (item,) = rotation.find(team.pass_store, keys["bob"])
    assert (item.server, item.state, item.is_certain) == ("a.example", "readable", False)


def test_other_entries_are_nobodys_business(team: Leavers, keys: KeyRing) -> None:
    team.write("mail.gpg", keys.encrypt(b"x", "bob"))
    team.write(f"{FOLDER}/notes.gpg", keys.encrypt(b"x", "bob"))
    assert team.states() == {}


def test_settings_of_git_hide_nothing(team: Leavers) -> None:
    """Its porcelain shows history as a user likes to see it."""
    team.let_in("bob")
    team.store(A)
    team.git("checkout", "-q", "--orphan", "root")
    team.git("commit", "-q", "-m", "Begin anew")
    team.git("config", "user.signingKey", team.keys["alice"])
    team.put(team.keys.encrypt(b"s", "bob"), B)
    team.git("add", "--all")
    team.git("commit", "-q", "--gpg-sign", "-m", "Signed ü")
    team.git("checkout", "-q", "-b", "side", "HEAD~1")
    team.store(C)
    team.git("checkout", "-q", "root")
    team.git("merge", "-q", "--no-commit", "--no-ff", "side")
    team.put(team.keys.encrypt(b"s", "bob"), D)
    team.git("add", "--all")
    team.git("commit", "-q", "-m", "Join")

    def told() -> tuple[list[rotation.RotationItem], list[log.Event]]:
        return rotation.find(team.pass_store, team.keys["bob"]), log.events(team.pass_store)

    items, events = told()
    assert {item.server for item in items} == {A, B, C, D}
    assert {event.server for event in events} == {"", A, B, C}
    for name, value in (
        ("log.showSignature", "true"), ("log.showRoot", "false"), ("log.diffMerges", "off"), ("log.follow", "true"),
        ("log.mailmap", "true"), ("log.date", "relative"), ("log.decorate", "full"), ("log.abbrevCommit", "true"),
        ("diff.renames", "copies"), ("diff.noprefix", "true"), ("diff.relative", "true"), ("diff.external", "false"),
        ("diff.ignoreSubmodules", "all"), ("diff.orderFile", "/nowhere"), ("format.pretty", "oneline"),
        ("notes.displayRef", "*"), ("core.quotePath", "true"), ("core.abbrev", "4"), ("color.ui", "always"),
        ("i18n.logOutputEncoding", "UTF-16"),
    ):  # fmt: skip
        team.git("config", name, value)
        assert told() == (items, events), name


def test_history_that_cannot_be_read_is_not_a_short_one(team: Leavers, monkeypatch: pytest.MonkeyPatch) -> None:
    team.let_in("bob")
    team.store(A)
    with monkeypatch.context() as patch:
        patch.setattr(history, "_FORMAT", f"gpg: Good{history._FORMAT}")
        with pytest.raises(GitError, match="says what nobody can read: gpg: Good"):
            team.states()
    with monkeypatch.context() as patch:
        patch.setattr(gitrepo.Git, "SECONDS", 0.0)
        with pytest.raises(GitError, match="did not finish within"):
            team.states()
    head = team.head
    commit = team.path / ".git" / "objects" / head[:2] / head[2:]
    kept = commit.rename(team.path / ".git" / "kept")
    with pytest.raises(GitError, match=f"bad object {head}"):
        team.states()
    kept.rename(commit)
    (team.path / ".git" / "refs" / "heads" / "main").write_bytes(b"")  # as a crash leaves it
    with pytest.raises(GitError, match=r"git symbolic-ref failed|broken ref refs/heads/main"):
        team.states()


def test_a_key_that_is_not_in_the_keyring_any_more(git_store: Path, environ: dict[str, str], own_keys: KeyRing) -> None:
    """Its public part travelled in the store's history."""
    environ["GNUPGHOME"] = str(own_keys.home)
    team = Leavers(environ, own_keys)
    team.store(A)
    team.let_in("stranger")
    team.let_go("stranger")
    own_keys.gpg("--delete-keys", own_keys["stranger"])
    own_keys.gpg("--delete-secret-and-public-key", own_keys["bob"])
    assert (team.path / ".public-keys").is_dir()
    assert team.states("stranger") == {A: "unchanged"}
    with pytest.raises(ConfigurationError, match=r"^no key for [0-9A-F]{40} in this keyring; run: "):
        team.states("bob")
    with pytest.raises(ConfigurationError):
        rotation.find(team.pass_store, "bob@example.test")


def test_a_shallow_clone_does_not_know(team: Leavers, tmp_path: Path) -> None:
    team.store(A)
    team.git("clone", "-q", "--depth", "1", f"file://{team.path}", str(tmp_path / "clone"))
    team.environ["PASSWORD_STORE_DIR"] = str(tmp_path / "clone")
    with pytest.raises(GitError) as caught:
        team.states()
    assert (
        caught.value.cause == f"{tmp_path}/clone is a shallow clone, which does not know what a key could read before"
    )
    assert caught.value.remedy == f"run: git -C {tmp_path}/clone fetch --unshallow"


def test_a_store_without_history(store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    team = Leavers(environ, keys)
    with pytest.raises(StoreError) as caught:
        team.states()
    assert str(caught.value) == (
        f"{store} is not a git repository, so nobody knows what a key could read before; "
        "run: passhelper list --readable-by KEY"
    )
    team.git("init", "-q")
    assert team.states() == {}
