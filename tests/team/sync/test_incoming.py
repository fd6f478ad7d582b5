"""What may come in from a remote, commit by commit, without the command around it."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, KeyRing, require
from support.people.remotes import PLAIN, Member, Remote
from support.programs import script

from passhelper.errors import GitError, TrustError
from passhelper.store import child, pinning, runner, trust
from passhelper.store.files import Files
from passhelper.store.store import PassStore
from passhelper.store.transaction import Transaction
from passhelper.team.git import gitrepo
from passhelper.team.git.commits import MARK
from passhelper.team.recipients import acceptance
from passhelper.team.sync.joining import Joined, Joiner

if TYPE_CHECKING:
    from pathlib import Path

ACCEPT = "run: passhelper recipients accept"
MEND = "do not merge it; find out who pushed it and take it out of the remote"
SERVER = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU="  # https://a.example


class Incoming:
    """A remote and one member's clone."""

    def __init__(self, remote: Remote, member: Member, keys: KeyRing) -> None:
        self.remote = remote
        self.member = member
        self.keys = keys
        self.warnings: list[str] = []

    def store(self) -> PassStore:
        return PassStore(self.member.environ, self.warnings.append)

    def check(self, *accepted: str) -> str:
        """Fetch, check and merge; gives the commit that was let through."""
        return self.join(*accepted)[0]

    def join(self, *accepted: str) -> tuple[str, Joined]:
        """Fetch, and make the commit that a sync would make."""
        theirs = self.member.fetch()
        store = self.store()
        place = store.repository("")
        assert place is not None
        with gitrepo.opened(place, store.environ) as git:
            return theirs, Joiner(store, git, "Merge").join(git.revision("HEAD"), theirs, frozenset(accepted))

    def refused(self, *accepted: str) -> str:
        with pytest.raises(TrustError) as caught:
            self.check(*accepted)
        assert caught.value.exit_code == 4
        return str(caught.value)

    def take(self, *accepted: str) -> None:
        """Check, take over, and accept."""
        _, joined = self.join(*accepted)
        self.member.git("merge", "-q", "--ff-only", joined.commit)
        store = self.store()
        place = store.repository("")
        assert place is not None
        with gitrepo.opened(place, store.environ) as git, Transaction(store, place):
            assert joined.acceptance.is_current()
            acceptance.save(store, git, joined.trust)

    def accept(self) -> None:
        """Accept the lists that are here, as ``recipients add`` does; the remote's commit stays as it was."""
        store = self.store()
        place = store.repository("")
        assert place is not None
        with Transaction(store, place):
            trust.save(place.state, pinning.current(store.root), Files(store.environ))

    @property
    def trust(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.member.path / ".git/passhelper/trust.json").read_text())
        return document

    @property
    def offered(self) -> str:
        """The commit that was refused and may be accepted."""
        return self.member.ask("rev-parse", "--verify", "--quiet", acceptance.REFUSED).text.strip()

    def lines(self, *names: str, says: str = "") -> tuple[str, bytes]:
        """A ``.gpg-id`` for the remote."""
        text = "".join(f"{self.keys[name]}\n" for name in names)
        return PLAIN, (f"# passhelper {says}\n{text}" if says else text).encode()

    def signed(self, *names: str, says: str, path: str = ".gpg-id", by: str = "alice") -> dict[str, tuple[str, bytes]]:
        """A ``.gpg-id`` with its signature."""
        mode, text = self.lines(*names, says=says)
        signature = self.keys.gpg("--local-user", self.keys[by], "--detach-sign", stdin=text).stdout
        return {path: (mode, text), f"{path}.sig": (PLAIN, signature)}

    def line(self, mark: str, name: str) -> str:
        return f"{mark}{self.keys[name]} {name} <{name}@example.test>"


@pytest.fixture
def team(environ: dict[str, str], keys: KeyRing, tmp_path: Path) -> Incoming:
    """A remote with a store for alice, and her clone, in which nothing is pinned yet."""
    require("git")
    remote = Remote(tmp_path / "remote.git", environ)
    found = Incoming(remote, Member(tmp_path / "alice", environ), keys)
    entry = keys.encrypt(b"secret", "alice")
    remote.push({".gpg-id": found.lines("alice"), f"{SERVER}/bob.gpg": (PLAIN, entry)}, parent="", subject="Begin")
    found.member.clone(remote.path)
    return found


@pytest.fixture
def pinned(team: Incoming) -> Incoming:
    """The same after its first sync."""
    team.take()
    return team


@pytest.fixture
def signing(team: Incoming) -> Incoming:
    """The same where alice signs recipients, accepted with serial 3."""
    team.member.environ["PASSWORD_STORE_SIGNING_KEY"] = team.keys["alice"]
    team.remote.push(team.signed("alice", says=".gpg-id 3"))
    team.take()
    return team


def test_an_ordinary_change_comes_in(pinned: Incoming) -> None:
    other = f"{FOLDER}/b3RoZXIuZXhhbXBsZQ==/x.gpg"
    commit = pinned.remote.push({other: (PLAIN, pinned.keys.encrypt(b"s", "alice"))})
    pinned.take()
    assert pinned.trust == {"version": 1, "recipients": {".gpg-id": [pinned.keys["alice"]]}, "commit": commit}


def test_nothing_new(pinned: Incoming) -> None:
    before = pinned.trust
    pinned.take()
    assert pinned.trust == before


# Files


@pytest.mark.parametrize(
    ("mode", "path", "data", "why"),
    [
        ("120000", f"{SERVER}/bob.gpg", b"../../../../etc/passwd", f"a symbolic link: {SERVER}/bob.gpg"),
        ("120000", SERVER, b"b3RoZXI=", f"a symbolic link: {SERVER}"),
        ("120000", ".gpg-id", b"other", "a symbolic link: .gpg-id"),
        ("120000", FOLDER, b"/tmp", f"a symbolic link: {FOLDER}"),
        ("160000", f"{SERVER}/bob.gpg", b"1" * 40, f"a submodule: {SERVER}/bob.gpg"),
        ("140000", "x.gpg", b"1" * 40, "a submodule: x.gpg"),  # git takes every unknown kind for one
        (PLAIN, "../x.gpg", b"x", "a path that leaves the store: ../x.gpg"),
        (PLAIN, f"{FOLDER}/../../x.gpg", b"x", f"a path that leaves the store: {FOLDER}/../../x.gpg"),
        (PLAIN, "./x.gpg", b"x", "a path that leaves the store: ./x.gpg"),
        (PLAIN, ".git/hooks/post-merge", b"x", "a path into a git directory: .git/hooks/post-merge"),
        (PLAIN, "a/.git/config", b"x", "a path into a git directory: a/.git/config"),
        (PLAIN, ".GIT/config", b"x", "a name that some file systems take for .git: .GIT/config"),
        (PLAIN, ".git./config", b"x", "a name that some file systems take for .git: .git./config"),
        (PLAIN, ".git /config", b"x", "a name that some file systems take for .git: .git /config"),
        (PLAIN, ".git::$INDEX_ALLOCATION/config", b"x",
         "a name that some file systems take for .git: .git::$INDEX_ALLOCATION/config"),
        (PLAIN, ".git\\config", b"x", "a name that some file systems take for .git: .git\\config"),
        (PLAIN, "GIT~1/config", b"x", "a name that some file systems take for .git: GIT~1/config"),
        (PLAIN, ".g\N{ZERO WIDTH NON-JOINER}it/config", b"x",
         "a name that some file systems take for .git: .g?it/config"),
        (PLAIN, ".GPG-ID", b"x", "a name that some file systems take for .gpg-id: .GPG-ID"),
        (PLAIN, f"{FOLDER.upper()}/.gpg-id", b"x",
         f"a name that some file systems take for {FOLDER}: {FOLDER.upper()}/.gpg-id"),
        (PLAIN, f"{SERVER}/a\nb.gpg", b"x", f"a path with a control character: {SERVER}/a?b.gpg"),
        (PLAIN, f"{SERVER}/\x1b[2J.gpg", b"x", f"a path with a control character: {SERVER}/?[2J.gpg"),
        (PLAIN, f"{SERVER}/x.gpg", b"x" * (4 << 20), ""),
        (PLAIN, f"{SERVER}/x.gpg", b"x" * ((4 << 20) + 1), f"a file larger than 4194304 bytes: {SERVER}/x.gpg"),
        (PLAIN, "movie.mp4", b"x" * ((4 << 20) + 1), "a file larger than 4194304 bytes: movie.mp4"),
        (PLAIN, ".public-keys/A", b"x" * 65537, "a file larger than 65536 bytes: .public-keys/A"),
        (PLAIN, ".gpg-id", b"#" * ((1 << 20) + 1), "a file larger than 1048576 bytes: .gpg-id"),
        (PLAIN, f"{SERVER}/{'x' * 252}.gpg", b"x", f"a path that is too long: {f'{SERVER}/':x<200}..."),
        (PLAIN, "/".join(["x" * 210] * 5), b"x", f"a path that is too long: {'x' * 200}..."),
        (PLAIN, f"{SERVER}/.gpg-id/x", b"x", f"a folder in the place of a list of keys: {SERVER}/.gpg-id/x"),
        (PLAIN, ".gpg-id.sig/x", b"x", "a folder in the place of a list of keys: .gpg-id.sig/x"),
        # What is odd and harmless
        (PLAIN, f"{SERVER}/{'x' * 251}.gpg", b"x", ""),
        (PLAIN, f"{SERVER}/\udcff.gpg", b"x", ""),
        ("100755", "hooks/post-merge", b"#!/bin/sh\n", ""),
        (PLAIN, ".gitattributes", b"* filter=evil\n", ""),
        (PLAIN, "a/git~1.gpg", b"x", ""),
        (PLAIN, "robot:x.gpg", b"x", ""),
        (PLAIN, "DOMAIN\\x.gpg", b"x", ""),
        (PLAIN, ".gitlab-ci.yml", b"x", ""),
    ],
)  # fmt: skip
def test_files(pinned: Incoming, mode: str, path: str, data: bytes, why: str) -> None:
    """What a tree may not hold is refused with the commit and the path; no word of the user lets it in."""
    commit = pinned.remote.push({path: (mode, data)})
    if not why:
        assert pinned.check() == commit
        return
    assert pinned.refused() == f"commit {commit[:12]} brings {why}; {MEND}"
    assert pinned.refused(pinned.keys["alice"]) == f"commit {commit[:12]} brings {why}; {MEND}"
    assert pinned.offered == ""


def test_what_is_there_already_needs_no_second_look(pinned: Incoming) -> None:
    """A link that was in the store before passhelper came does not stop every sync."""
    pinned.remote.push({"old": ("120000", b"target")})
    pinned.member.git("merge", "-q", "--ff-only", pinned.member.fetch())
    pinned.remote.push({"x.gpg": (PLAIN, b"x")})
    pinned.check()


def test_a_commit_in_an_unknown_encoding(pinned: Incoming) -> None:
    """Nothing of a commit says that its text can be read, not where it looks like a merge of our own either."""
    parent = pinned.remote.push({"x.gpg": (PLAIN, b"x")})
    tree = pinned.remote._git("rev-parse", f"{parent}^{{tree}}")
    who = "m <m@example.test> 1 +0000"
    text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\nencoding none\n\nx\n\n{MARK}\n"
    pinned.remote.point(pinned.remote._object("commit", text.encode()))
    pinned.take()
    commit = pinned.remote.push({"y.gpg": (PLAIN, b"y")})
    assert pinned.check() == commit


def test_two_entries_of_one_name(pinned: Incoming) -> None:
    """git's own tools never write such a tree; a merge by path would take either."""
    blob = pinned.remote.entries()[".gpg-id"]
    commit = pinned.remote.push_raw([(*blob, ".gpg-id"), (*blob, "x"), (*blob, "x")])
    assert pinned.refused() == f"commit {commit[:12]} brings a path that is there twice: x; {MEND}"


@pytest.mark.parametrize("name", ["/etc/x.gpg", "../x.gpg", "a/../../x.gpg"])
def test_one_entry_that_is_a_whole_path(pinned: Incoming, name: str) -> None:
    blob = pinned.remote.entries()[".gpg-id"]
    commit = pinned.remote.push_raw([(*blob, ".gpg-id"), (*blob, name)])
    assert pinned.refused() == f"commit {commit[:12]} brings a path that leaves the store: {name}; {MEND}"


def test_two_paths_that_are_one_where_case_does_not_count(pinned: Incoming) -> None:
    commit = pinned.remote.push({"Team/x.gpg": (PLAIN, b"x"), "team/X.gpg": (PLAIN, b"y")})
    assert pinned.check() == commit
    pinned.member.git("config", "core.ignorecase", "true")
    assert pinned.refused() == (
        f"commit {commit[:12]} brings a path that this file system takes for Team: team; {MEND}"
    )


# History


def rewritten(team: Incoming) -> tuple[str, str]:
    """Put a history of its own in place of the remote's; gives the commit that is gone and the new one."""
    before = team.remote.head
    return before, team.remote.push({".gpg-id": team.lines("alice")}, parent="", subject="Another")


def test_a_rewritten_history(pinned: Incoming) -> None:
    before, commit = rewritten(pinned)
    assert pinned.refused() == (
        f"the remote's history was rewritten: commit {commit[:12]} does not contain {before[:12]}, which was accepted "
        f"here; find out who did it; to accept it, {ACCEPT}"
    )
    assert pinned.offered == commit


def test_a_history_that_was_rolled_back(pinned: Incoming) -> None:
    old = pinned.remote.head
    pinned.remote.push({"x.gpg": (PLAIN, b"x")})
    pinned.take()
    pinned.remote.point(old)
    assert pinned.refused().startswith(f"the remote's history was rewritten: commit {old[:12]} does not contain ")


def test_another_history_at_the_first_look(team: Incoming) -> None:
    _, commit = rewritten(team)
    assert team.refused() == (
        f"the remote's history is another one: commit {commit[:12]} has no commit in common with this store; "
        f"check the remote; to accept it, {ACCEPT}"
    )


def test_a_git_that_cannot_compare_histories_is_no_other_history(team: Incoming, tmp_path: Path) -> None:
    team.remote.push({"x.gpg": (PLAIN, b"x")})
    (tmp_path / "bin").mkdir()
    fails = "echo fatal: out of memory >&2; exit 128"
    script(tmp_path / "bin" / "git", f'case "$*" in *merge-base*) {fails};; esac; exec /usr/bin/git "$@"')
    team.member.environ["PATH"] = f"{tmp_path / 'bin'}:{team.member.environ['PATH']}"
    with pytest.raises(GitError, match=r"^git merge-base failed in .*: fatal: out of memory$"):
        team.check()
    assert team.offered == ""


@pytest.mark.parametrize("ahead", [3000, 4200])
def test_a_commit_from_the_future(pinned: Incoming, ahead: int) -> None:
    when = int(time.time()) + ahead
    commit = pinned.remote.push({"x.gpg": (PLAIN, b"x")}, when=when)
    pinned.remote.push({"y.gpg": (PLAIN, b"x")})  # its child is of today
    if ahead < 3600:
        pinned.check()
        return
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))
    assert pinned.refused() == (
        f"commit {commit[:12]} is dated {date}, more than an hour ahead of this clock; "
        f"check this clock; to accept it, {ACCEPT}"
    )


def test_a_commit_from_beyond_all_calendars(pinned: Incoming) -> None:
    pinned.remote.push({"x.gpg": (PLAIN, b"x")}, when=(1 << 63) - 1)
    assert "is dated " in pinned.refused()


# Readers


def test_an_added_reader(pinned: Incoming) -> None:
    commit = pinned.remote.push({".gpg-id": pinned.lines("alice", "bob")})
    assert pinned.refused() == (
        f"recipients changed: {pinned.line('+', 'bob')} (.gpg-id) in commit {commit[:12]}; {ACCEPT}"
    )
    assert pinned.offered == commit
    assert pinned.trust["recipients"] == {".gpg-id": [pinned.keys["alice"]]}


@pytest.mark.parametrize(
    ("path", "names", "said"),
    [
        (f"{FOLDER}/.gpg-id", ("alice", "bob"), "+alice +bob"),
        (f"{SERVER}/.gpg-id", ("bob",), "+bob"),
        (f"{SERVER}/.gpg-id", ("alice",), "+alice"),
        (f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU/.gpg-id", ("bob",), "+bob"),  # the server in another spelling
        (f"{FOLDER}/new/.gpg-id", ("bob",), "+bob"),
        (f"{SERVER}/folder/.gpg-id", ("bob",), "+bob"),  # for pass, which also looks there
        ("personal/.gpg-id", ("bob",), "+bob"),
        (".gpg-id", (), "-alice"),
        (".gpg-id", ("bob",), "+bob -alice"),
    ],
)
def test_a_new_or_changed_list(pinned: Incoming, path: str, names: tuple[str, ...], said: str) -> None:
    commit = pinned.remote.push({path: pinned.lines(*names)})
    words = " ".join(sorted((pinned.line(word[0], word[1:]) for word in said.split()), key=_by_key))
    assert pinned.refused() == f"recipients changed: {words} ({path}) in commit {commit[:12]}; {ACCEPT}"


def _by_key(text: str) -> tuple[bool, str]:
    return text[0] == "-", text


@pytest.fixture
def restricted(pinned: Incoming) -> Incoming:
    """A server that only alice reads, in a store that bob reads, too; both accepted."""
    pinned.remote.push({f"{SERVER}/.gpg-id": pinned.lines("alice"), ".gpg-id": pinned.lines("alice", "bob")})
    pinned.take(pinned.keys["alice"], pinned.keys["bob"])
    return pinned


@pytest.mark.parametrize("move", [False, True])
def test_a_list_that_is_gone_widens_the_readers(restricted: Incoming, move: bool) -> None:
    """Removed, or renamed out of the way: the list above counts from then on."""
    taken = {f"{SERVER}/.gpg-id": None}
    moved = {f"{SERVER}/.gpg-id.old": restricted.lines("alice")} if move else {}
    commit = restricted.remote.push({**taken, **moved})
    assert restricted.refused() == (
        f"recipients changed: {restricted.line('-', 'alice')} ({SERVER}/.gpg-id) in commit {commit[:12]}; {ACCEPT}"
    )
    # The complete set that the user allows for this server has to hold those who read it now.
    both = (restricted.keys["alice"], restricted.keys["bob"])
    for allowed in ((both[0],), both, (f"https://a.example={both[0]}",)):
        assert "recipients changed: " in restricted.refused(*allowed)
    restricted.take(f"https://a.example={','.join(both)}")
    assert list(restricted.trust["recipients"]) == [".gpg-id"]  # type: ignore[call-overload]


def test_a_whole_server_that_is_gone_takes_its_list_along(restricted: Incoming) -> None:
    restricted.remote.push({f"{SERVER}/.gpg-id": None, f"{SERVER}/bob.gpg": None})
    assert restricted.refused().startswith(f"recipients changed: {restricted.line('-', 'alice')} ({SERVER}/.gpg-id)")


@pytest.mark.parametrize("text", ["{0}\r\n", "# team\n{0} # alice\n\n", "0x{0}\n", "{0}", "{0}\n{0}\n0x{0}\n"])
def test_other_ways_to_write_the_same_keys(pinned: Incoming, text: str) -> None:
    pinned.remote.push({".gpg-id": (PLAIN, text.format(pinned.keys["alice"]).encode())})
    pinned.take()
    assert pinned.trust["recipients"] == {".gpg-id": [pinned.keys["alice"]]}


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\xff\n", ".gpg-id is not UTF-8"), (b"--output=x\n", ".gpg-id has a line that is not a key: '--output=x'")],
)
def test_a_list_that_is_none(pinned: Incoming, data: bytes, said: str) -> None:
    commit = pinned.remote.push({".gpg-id": (PLAIN, data)})
    assert pinned.refused() == f"commit {commit[:12]}: {said}; write one key fingerprint per line"


def test_the_complete_set_of_keys_allowed(pinned: Incoming) -> None:
    """Any list within the set passes; one key beyond it does not, however many of the set are there."""
    keys = pinned.keys
    pinned.remote.push({".gpg-id": pinned.lines("alice", "bob")})
    for accepted in ([keys["bob"]], [keys["alice"]], [keys["stranger"], keys["bob"]], ["bob@example.test"]):
        assert "recipients changed: " in pinned.refused(*accepted)
    assert pinned.check(keys["alice"], keys["bob"].lower(), keys["stranger"])
    pinned.member.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']}, 0x{keys['bob']}"
    assert pinned.check()
    assert "recipients changed: " in pinned.refused(keys["alice"])  # the command line's set goes first


def test_an_empty_list_is_never_within_the_set(pinned: Incoming) -> None:
    """It stops every write; that is nobody's wish."""
    pinned.remote.push({".gpg-id": (PLAIN, b"# nobody\n")})
    assert "recipients changed: " in pinned.refused(pinned.keys["alice"])


def test_an_own_change_that_the_remote_has_not_seen(pinned: Incoming) -> None:
    """The list there is the one that both began with: it says nothing about the one here."""
    (pinned.member.path / ".gpg-id").write_bytes(pinned.lines("alice", "bob")[1])
    pinned.member.git("commit", "-q", "-a", "-m", "Add bob")
    pinned.accept()
    pinned.remote.push({"x.gpg": (PLAIN, b"x")})
    pinned.check()


def test_a_key_that_was_removed_here_and_stands_in_their_change(pinned: Incoming) -> None:
    """Both sides changed the list: what comes from there is looked at as it is."""
    pinned.remote.push({".gpg-id": pinned.lines("alice", "bob")})
    pinned.take(pinned.keys["alice"], pinned.keys["bob"])
    (pinned.member.path / ".gpg-id").write_bytes(pinned.lines("alice")[1])
    pinned.member.git("commit", "-q", "-a", "-m", "Remove bob")
    pinned.accept()
    commit = pinned.remote.push({".gpg-id": pinned.lines("alice", "bob", "stranger")})
    message = pinned.refused()
    assert message.startswith("recipients changed: +")
    assert pinned.line("+", "stranger") in message
    assert f"(.gpg-id) in commit {commit[:12]}" in message


def test_a_change_that_came_in_beside_passhelper(pinned: Incoming) -> None:
    """Merged with plain git, so it is here; it was never accepted, so sync refuses it like any other."""
    pinned.remote.push({".gpg-id": pinned.lines("alice", "bob")})
    commit = pinned.member.fetch()
    pinned.member.git("merge", "-q", "--ff-only", commit)
    pinned.remote.push({"x.gpg": (PLAIN, b"x")})
    assert pinned.refused().startswith(f"recipients changed: {pinned.line('+', 'bob')} (.gpg-id) in commit ")
    pinned.remote.push({".gpg-id": pinned.lines("alice")})  # somebody has mended it
    pinned.take()
    assert pinned.trust["recipients"] == {".gpg-id": [pinned.keys["alice"]]}


def test_a_store_that_was_never_pinned(team: Incoming) -> None:
    """What is here counts as accepted, what comes does not."""
    team.remote.push({".gpg-id": team.lines("alice", "bob")})
    assert "recipients changed: " in team.refused()
    assert not (team.member.path / ".git/passhelper/trust.json").exists()


def test_what_is_accepted_is_pinned_once_and_for_all(pinned: Incoming) -> None:
    commit = pinned.remote.push({".gpg-id": pinned.lines("alice", "bob")})
    pinned.take(pinned.keys["alice"], pinned.keys["bob"])
    assert pinned.trust == {
        "version": 1, "commit": commit, "recipients": {".gpg-id": sorted([pinned.keys["alice"], pinned.keys["bob"]])},
    }  # fmt: skip
    before = pinned.trust
    pinned.take()
    assert pinned.trust == before
    assert pinned.offered == ""


# A runner's clone, in which setup --ci has pinned nothing, or less than there is


def test_a_clone_for_reading_follows(team: Incoming) -> None:
    """It encrypts to nobody, so a change of the lists is none of its business; and nothing becomes accepted."""
    place = team.member.path / ".git/passhelper"
    place.mkdir()
    (place / "trust.json").write_text('{"version":1,"recipients":{}}')
    team.member.git("config", "passhelper.ci", "true")
    team.remote.push({".gpg-id": team.lines("alice", "bob")})
    team.take()
    assert team.trust["recipients"] == {}
    rewritten(team)
    assert "history was rewritten" in team.refused()


def test_a_runner_that_accepts_some(team: Incoming) -> None:
    team.member.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = team.keys["alice"]
    place = team.member.path / ".git/passhelper"
    place.mkdir()
    pins = {"version": 1, "recipients": {".gpg-id": [team.keys["alice"]]}}
    (place / "trust.json").write_text(json.dumps(pins))
    team.member.git("config", "passhelper.ci", "true")
    team.remote.push({f"{SERVER}/.gpg-id": team.lines("bob"), f"{FOLDER}/.gpg-id": team.lines("alice")})
    team.take()
    assert team.trust["recipients"] == {".gpg-id": [team.keys["alice"]], f"{FOLDER}/.gpg-id": [team.keys["alice"]]}
    team.remote.push({".gpg-id": team.lines("alice", "bob")})
    assert "recipients changed: " in team.refused()


# Signatures


def test_a_newer_signed_list_comes_in_unasked(signing: Incoming) -> None:
    assert signing.trust["serials"] == {".gpg-id": 3}
    signing.remote.push(signing.signed("alice", "bob", says=".gpg-id 4"))
    signing.take()
    assert signing.trust["serials"] == {".gpg-id": 4}
    assert signing.trust["recipients"] == {".gpg-id": sorted([signing.keys["alice"], signing.keys["bob"]])}


def test_a_new_signed_list_comes_in_unasked(signing: Incoming) -> None:
    path = f"{SERVER}/.gpg-id"
    signing.remote.push(signing.signed("alice", "bob", says=f"{path} 1", path=path))
    signing.take()
    assert signing.trust["serials"] == {".gpg-id": 3, path: 1}


def test_an_older_signed_pair_put_back(signing: Incoming) -> None:
    old = signing.signed("alice", "bob", says=".gpg-id 2")
    commit = signing.remote.push(old)
    assert signing.refused() == (
        f"recipients changed: {signing.line('+', 'bob')} (.gpg-id) in commit {commit[:12]}; "
        f"its serial 2 is not above the accepted 3; {ACCEPT}"
    )


def test_an_older_signed_pair_before_anything_was_pinned(team: Incoming) -> None:
    """The list that is here says how new it is."""
    team.member.environ["PASSWORD_STORE_SIGNING_KEY"] = team.keys["alice"]
    team.remote.push(team.signed("alice", says=".gpg-id 3"))
    team.member.git("merge", "-q", "--ff-only", team.member.fetch())
    team.remote.push(team.signed("alice", "bob", says=".gpg-id 3"))
    assert "its serial 3 is not above the accepted 3" in team.refused()


def test_a_signed_pair_copied_to_another_directory(signing: Incoming) -> None:
    """Bob reads one server; the pair that says so is copied to where it would let him read another."""
    theirs = f"{FOLDER}/Ym9i/.gpg-id"
    signing.remote.push(signing.signed("alice", "bob", says=f"{theirs} 9", path=theirs))
    signing.take()
    pair = signing.signed("alice", "bob", says=f"{theirs} 9")
    commit = signing.remote.push({f"{SERVER}/.gpg-id": pair[".gpg-id"], f"{SERVER}/.gpg-id.sig": pair[".gpg-id.sig"]})
    words = " ".join(sorted([signing.line("+", "alice"), signing.line("+", "bob")]))
    assert signing.refused() == (
        f"recipients changed: {words} ({SERVER}/.gpg-id) in commit {commit[:12]}; "
        f"the signed text is that of {theirs}; {ACCEPT}"
    )


def test_a_signed_list_without_place_and_serial(signing: Incoming) -> None:
    """As ``pass init`` signs it: who is known, not where and when."""
    pair = signing.signed("alice", "bob", says="")
    commit = signing.remote.push(pair)
    assert signing.refused() == (
        f"recipients changed: {signing.line('+', 'bob')} (.gpg-id) in commit {commit[:12]}; "
        f"the signed text does not say which file it is and how new; {ACCEPT}"
    )
    signing.take(signing.keys["alice"], signing.keys["bob"])


def bad_signatures(team: Incoming) -> dict[str, dict[str, tuple[str, bytes]]]:
    good = team.signed("alice", "bob", says=".gpg-id 4")
    text = good[".gpg-id"]
    inline = team.keys.gpg("--local-user", team.keys["alice"], "--sign", stdin=team.lines("alice")[1]).stdout
    return {
        "swapped": {".gpg-id.sig": team.signed("alice", says=".gpg-id 2")[".gpg-id.sig"]},
        "of another text": {".gpg-id": text},
        "by another member": team.signed("alice", "bob", says=".gpg-id 4", by="bob"),
        "empty": {**good, ".gpg-id.sig": (PLAIN, b"")},
        "not detached": {".gpg-id": text, ".gpg-id.sig": (PLAIN, inline)},
        "broken": {**good, ".gpg-id.sig": (PLAIN, good[".gpg-id.sig"][1][:-3])},
    }


@pytest.mark.parametrize("kind", ["swapped", "of another text", "by another member", "empty", "not detached", "broken"])
def test_a_signature_that_is_not_good(signing: Incoming, kind: str) -> None:
    commit = signing.remote.push(bad_signatures(signing)[kind])
    said = f"the signature of .gpg-id in commit {commit[:12]} is not by a key in PASSWORD_STORE_SIGNING_KEY; {MEND}"
    assert signing.refused() == said
    assert signing.refused(signing.keys["alice"], signing.keys["bob"]) == said  # no word of the user helps
    assert signing.offered == ""


def test_a_signature_that_is_gone(signing: Incoming) -> None:
    commit = signing.remote.push({".gpg-id.sig": None})
    assert signing.refused() == f".gpg-id has no signature in commit {commit[:12]}; {MEND}"


def test_a_revoked_signing_key(team: Incoming, own_keys: KeyRing) -> None:
    """gpg calls the signature valid all the same."""
    team.member.environ.update(PASSWORD_STORE_SIGNING_KEY=own_keys["alice"], GNUPGHOME=str(own_keys.home))
    commit = team.remote.push(team.signed("alice", says=".gpg-id 1"))
    revocation = (own_keys.home / "openpgp-revocs.d" / f"{own_keys['alice']}.rev").read_bytes()
    own_keys.gpg("--import", stdin=revocation.replace(b":-----BEGIN", b"-----BEGIN"))
    assert team.refused().startswith(f"the signature of .gpg-id in commit {commit[:12]} is not by a key in ")


def test_signatures_of_other_peoples_directories_are_not_asked_for(signing: Incoming) -> None:
    """A list that no credential of ours depends on is still compared, but need not be signed."""
    signing.remote.push({"personal/.gpg-id": signing.lines("bob")})
    assert signing.refused().startswith(f"recipients changed: {signing.line('+', 'bob')} (personal/.gpg-id)")


def test_a_listing_that_is_too_long_is_not_read_in_part(signing: Incoming, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind the part that was read would come in unseen, if git has ended before we look."""

    def finish_late(children: list[child.Child], seconds: float) -> None:
        for one in children:
            if not one.writers and sys.platform != "darwin":
                os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        child.finish(children, seconds)

    monkeypatch.setattr(runner, "finish", finish_late)
    monkeypatch.setattr(runner.Runner, "LIMIT", 2000)
    many = {f"{FOLDER}/{number}.txt": (PLAIN, b"x") for number in range(30)}
    signing.remote.push({**many, f"{SERVER}/.gpg-id": signing.lines("alice", "stranger")})
    with pytest.raises(GitError, match=f"^git diff-tree printed more than 2000 bytes in {signing.member.path}$"):
        signing.check()
