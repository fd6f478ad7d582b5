"""What may come in from a remote, commit by commit, without the command around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from remotes import PLAIN, Member, Remote
from support import FOLDER, KeyRing, require

from passhelper.errors import TrustError
from passhelper.store.store import PassStore
from passhelper.team import gitrepo, incoming

if TYPE_CHECKING:
    from pathlib import Path

ACCEPT = "run: passhelper recipients accept"
MEND = "do not merge it; find out who pushed it and take it out of the remote"
SERVER = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU="  # https://a.example


class Team:
    """A remote and one member's clone."""

    def __init__(self, remote: Remote, member: Member, keys: KeyRing) -> None:
        self.remote = remote
        self.member = member
        self.keys = keys
        self.warnings: list[str] = []

    def store(self) -> PassStore:
        return PassStore(self.member.environ, self.warnings.append)

    def check(self, *accepted: str) -> str:
        """Fetch and check; gives the commit that was let through."""
        theirs = self.member.fetch()
        store = self.store()
        place = store.repository("")
        assert place is not None
        with gitrepo.opened(place, store.environ) as git:
            incoming.check(store, git, theirs, frozenset(accepted))
        return theirs

    def refused(self, *accepted: str) -> str:
        with pytest.raises(TrustError) as caught:
            self.check(*accepted)
        assert caught.value.exit_code == 4
        return str(caught.value)

    def take(self, *accepted: str) -> None:
        """Check, take over as a fast-forward, and accept."""
        theirs = self.check(*accepted)
        self.member.git("merge", "-q", "--ff-only", theirs)
        self.accept("HEAD", theirs)

    def accept(self, commit: str, theirs: str = "") -> None:
        store = self.store()
        place = store.repository("")
        assert place is not None
        with gitrepo.opened(place, store.environ) as git, store.lock(place):
            incoming.accept(store, git, commit, theirs)

    @property
    def trust(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.member.path / ".git/passhelper/trust.json").read_text())
        return document

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
def team(environ: dict[str, str], keys: KeyRing, tmp_path: Path) -> Team:
    """A remote with a store for alice, and her clone, in which nothing is pinned yet."""
    require("git")
    remote = Remote(tmp_path / "remote.git", environ)
    found = Team(remote, Member(tmp_path / "alice", environ), keys)
    entry = keys.encrypt(b"secret", "alice")
    remote.push({".gpg-id": found.lines("alice"), f"{SERVER}/bob.gpg": (PLAIN, entry)}, parent="", subject="Begin")
    clone(found)
    return found


def clone(team: Team) -> None:
    path = team.member.path
    team.member.path = path.parent
    team.member.git("clone", "-q", str(team.remote.path), str(path))
    team.member.path = path


@pytest.fixture
def pinned(team: Team) -> Team:
    """The same after its first sync."""
    team.take()
    return team


@pytest.fixture
def signing(team: Team) -> Team:
    """The same where alice signs recipients, accepted with serial 3."""
    team.member.environ["PASSWORD_STORE_SIGNING_KEY"] = team.keys["alice"]
    team.remote.push(team.signed("alice", says=".gpg-id 3"))
    team.take()
    return team


def test_an_ordinary_change_comes_in(pinned: Team) -> None:
    other = f"{FOLDER}/b3RoZXIuZXhhbXBsZQ==/x.gpg"
    commit = pinned.remote.push({other: (PLAIN, pinned.keys.encrypt(b"s", "alice"))})
    pinned.take()
    assert pinned.trust == {"version": 1, "recipients": {".gpg-id": [pinned.keys["alice"]]}, "commit": commit}


def test_nothing_new(pinned: Team) -> None:
    before = pinned.trust
    pinned.take()
    assert pinned.trust == before
