"""An attacker with write access to the shared remote, and what each of his pushes comes to.

Alice's machine is the one attacked: it has synced before, holds prod's password, and pulls whatever the remote has.
Mallory is a member who reads one server of his own; his key is in alice's keyring, so that encrypting
to it would work. After every attack nothing was executed, nothing outside the store has changed, alice's
work tree and branch are as they were, her credentials work, and mallory reads no other password, here or in what
she pushed.
"""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from remotes import PLAIN, File, Member, Remote
from support import FOLDER, NOT_FOUND, Answer, Helper, KeyRing, Program, require, run, tree

from passhelper.store.packets import key_ids
from passhelper.store.store import PassStore
from passhelper.team import clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROD, MALLORYS, EVIL = "https://prod.example", "https://mallory.example", "https://evil.example"
LATER = "https://later.example"
PASSWORD = "hunter2"
ACCEPT = "run: passhelper recipients accept"
MEND = "do not merge it; find out who pushed it and take it out of the remote"


def place(server: str, file: str = "") -> str:
    """Where a server is in the store."""
    return "/".join(filter(None, (FOLDER, base64.urlsafe_b64encode(server.encode()).decode(), file)))


@dataclass
class Scene:
    """Alice's machine, the remote, and the trap that nothing may snap.

    Attributes:
        remote: the shared remote.
        alice: her clone.
        keys: everybody's; mallory is ``bob``.
        installed: the programs.
        sign: the file that exists when something of the attacker's was executed.
        his: the passwords that mallory may read.
    """

    remote: Remote
    alice: Member
    keys: KeyRing
    installed: Program
    sign: Path
    his: set[bytes] = field(default_factory=lambda: {b"his own"})

    @property
    def helper(self) -> Helper:
        return Helper(self.installed.helper, self.alice.environ)

    def passhelper(self, *arguments: str, **environ: str) -> Answer:
        return run([self.installed.passhelper, *arguments], {**self.alice.environ, **environ})

    def lines(self, *names: str, says: str = "") -> File:
        """A ``.gpg-id``."""
        text = "".join(f"{self.keys[name]}\n" for name in names)
        return PLAIN, (f"# passhelper {says}\n{text}" if says else text).encode()

    def signed(self, *names: str, path: str, says: str, by: str = "alice") -> dict[str, File]:
        """A ``.gpg-id`` and its signature."""
        mode, text = self.lines(*names, says=says)
        signature = self.keys.gpg("--local-user", self.keys[by], "--detach-sign", stdin=text).stdout
        return {path: (mode, text), f"{path}.sig": (PLAIN, signature)}

    def name(self, mark: str, name: str) -> str:
        return f"{mark}{self.keys[name]} {name} <{name}@example.test>"

    def program(self, text: str = "") -> bytes:
        """A program that gives itself away."""
        return f"#!/bin/sh\n: > {self.sign}\n{text}\n".encode()

    def ciphertext(self, server: str) -> bytes:
        """What lies at a server, as the remote has it."""
        path = next(
            path for path in self.remote.entries() if path.startswith(f"{place(server)}/") and path.endswith(".gpg")
        )
        return self.remote.read(path)

    def public(self, *names: str) -> bytes:
        return self.keys.gpg("--export", *(self.keys[name] for name in names)).stdout

    def subkey(self, name: str) -> str:
        listing = self.keys.gpg("--with-colons", "--list-keys", self.keys[name]).stdout.decode()
        return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub:"))

    def stolen(self) -> set[bytes]:
        """Every password that mallory's key opens, in the store and in the remote's history."""
        identity = self.subkey("bob")
        blobs = {
            blob
            for commit in self.remote.history()
            for path, (mode, blob) in self.remote.entries(commit).items()
            if path.endswith(".gpg") and mode != "160000"
        }
        there = {self.remote.blob(blob) for blob in blobs}
        there |= {path.read_bytes() for path in self.alice.path.rglob("*.gpg") if ".git" not in path.parts}
        return {self.keys.gpg("--decrypt", stdin=data).stdout for data in there if identity in _ids(data)}


def _ids(data: bytes) -> list[str]:
    try:
        return key_ids(data)
    except ValueError:
        return []


@pytest.fixture(scope="session")
def stage(keys: KeyRing, installed: Program, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A team of two that has synced; made once and copied for each attack."""
    require("git")
    folder = tmp_path_factory.mktemp("stage")
    for name in ("alices", "home"):
        (folder / name).mkdir()
    environ = {
        "HOME": str(folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
        "GNUPGHOME": str(keys.home), "PASSHELPER_NONINTERACTIVE": "1",
    }  # fmt: skip
    remote = Remote(folder / "remote.git", environ)
    found = Scene(remote, Member(folder / "alices" / "store", environ), keys, installed, folder / "sign")
    remote.push({".gpg-id": found.lines("alice"), place(MALLORYS, ".gpg-id"): found.lines("alice", "bob")}, parent="")
    found.alice.clone(remote.path)
    assert found.passhelper("sync").code == 0
    assert found.helper.store(PROD, "deploy", PASSWORD).code == 0
    assert found.helper.store(MALLORYS, "mallory", "his own").code == 0
    assert found.passhelper("sync").code == 0
    return found


@pytest.fixture
def scene(stage: Scene, environ: dict[str, str], tmp_path: Path) -> Scene:
    for name in ("alices", "remote.git"):
        shutil.copytree(stage.sign.parent / name, tmp_path / name)
    alice = Member(tmp_path / "alices" / "store", environ)
    alice.git("remote", "set-url", "origin", str(tmp_path / "remote.git"))
    remote = Remote(tmp_path / "remote.git", environ, make=False)
    return Scene(remote, alice, stage.keys, stage.installed, tmp_path / "sign")


# What he can push. Each attack does so, and says with what sync refuses it; nothing if it is harmless.

Attack = "Callable[[Scene], str]"
ATTACKS: dict[str, Callable[[Scene], str]] = {}


def attack(name: str) -> Callable[[Callable[[Scene], str]], Callable[[Scene], str]]:
    def register(function: Callable[[Scene], str]) -> Callable[[Scene], str]:
        ATTACKS[name] = function
        return function

    return register


def _added(scene: Scene, path: str, said: str, **files: File) -> str:
    commit = scene.remote.push({path: scene.lines("alice", "bob"), **files})
    return f"recipients changed: {said} ({path}) in commit {commit[:12]}\nhint: {ACCEPT}"


@attack("adds a key")
def _(scene: Scene) -> str:
    return _added(scene, ".gpg-id", scene.name("+", "bob"))


@attack("adds a key for one server")
def _(scene: Scene) -> str:
    words = " ".join(sorted([scene.name("+", "alice"), scene.name("+", "bob")]))
    return _added(scene, place(PROD, ".gpg-id"), words)


@attack("adds a key for the server in another spelling")
def _(scene: Scene) -> str:
    words = " ".join(sorted([scene.name("+", "alice"), scene.name("+", "bob")]))
    return _added(scene, place(PROD).rstrip("=") + "/.gpg-id", words)


@attack("adds a key nobody has heard of, by its e-mail address")
def _(scene: Scene) -> str:
    commit = scene.remote.push({".gpg-id": (PLAIN, f"{scene.keys['alice']}\nceo@evil.example\n".encode())})
    return (
        f"recipients changed: +ceo@evil.example (not in this keyring) (.gpg-id) in commit {commit[:12]}\nhint: {ACCEPT}"
    )


@attack("renames a list, so that another one counts")
def _(scene: Scene) -> str:
    scene.his.add(b"new")  # for once he is a reader of the rest
    scene.remote.push({place(PROD, ".gpg-id"): scene.lines("alice"), ".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync", "--accept-recipients", f"{scene.keys['alice']} {scene.keys['bob']}").code == 0
    commit = scene.remote.push({place(PROD, ".gpg-id"): None, place(PROD, ".gpg-ids"): scene.lines("alice")})
    return (
        f"recipients changed: {scene.name('-', 'alice')} ({place(PROD, '.gpg-id')}) in commit {commit[:12]}\n"
        f"hint: {ACCEPT}"
    )


@attack("makes a list a link")
def _(scene: Scene) -> str:
    commit = scene.remote.push({".gpg-id": ("120000", place(MALLORYS, ".gpg-id").encode())})
    return f"commit {commit[:12]} brings a symbolic link: .gpg-id\nhint: {MEND}"


@attack("makes a server a link to another")
def _(scene: Scene) -> str:
    inside = [path for path in scene.remote.entries() if path.startswith(f"{place(PROD)}/")]
    commit = scene.remote.push({**dict.fromkeys(inside), place(PROD): ("120000", place(MALLORYS).encode())})
    return f"commit {commit[:12]} brings a symbolic link: {place(PROD)}\nhint: {MEND}"


@attack("replaces an entry by a link")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(PROD, "deploy.gpg"): ("120000", b"/etc/passwd")})
    return f"commit {commit[:12]} brings a symbolic link: {place(PROD, 'deploy.gpg')}\nhint: {MEND}"


@attack("replaces an entry by a submodule")
def _(scene: Scene) -> str:
    modules = b'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c true\n'
    changes = {place(PROD, "deploy.gpg"): ("160000", scene.remote.head.encode()), ".gitmodules": (PLAIN, modules)}
    commit = scene.remote.push(changes)
    return f"commit {commit[:12]} brings a submodule: {place(PROD, 'deploy.gpg')}\nhint: {MEND}"


@attack("dates a commit in 2099")
def _(scene: Scene) -> str:
    other = scene.keys.encrypt(b"attackers", "alice")
    commit = scene.remote.push({place(PROD, "deploy.gpg"): (PLAIN, other)}, when=4070908800)
    return (
        f"commit {commit[:12]} is dated 2099-01-01 00:00 UTC, more than an hour ahead of this clock\n"
        f"hint: check this clock; to accept it, {ACCEPT}"
    )


@attack("rewrites history")
def _(scene: Scene) -> str:
    before = scene.remote.head
    commit = scene.remote.push({".gpg-id": scene.lines("alice")}, parent="")
    return _rewritten(commit, before)


@attack("rolls history back")
def _(scene: Scene) -> str:
    before = scene.remote.head
    commit = scene.remote.history()[1]
    scene.remote.point(commit)
    return _rewritten(commit, before)


def _rewritten(commit: str, before: str) -> str:
    return (
        f"the remote's history was rewritten: commit {commit[:12]} does not contain {before[:12]}, which was accepted "
        f"here\nhint: find out who did it; to accept it, {ACCEPT}"
    )


def _malformed(scene: Scene, why: str) -> str:
    """What git itself refuses while it fetches; it names the tree, not the path."""
    found = scene.remote.malformed(why)
    return f"the remote origin sends what git refuses: object {found[:12]}: {why}\nhint: {MEND}"


@attack("adds a path that climbs out")
def _(scene: Scene) -> str:
    scene.remote.push({"../sign": (PLAIN, b"x")})
    return _malformed(scene, "hasDotdot: contains '..'")


@attack("adds a path into git's own directory")
def _(scene: Scene) -> str:
    scene.remote.push({".git/hooks/post-merge": ("100755", scene.program())})
    return _malformed(scene, "hasDotgit: contains '.git'")


@attack("adds a path with .git in other case")
def _(scene: Scene) -> str:
    scene.remote.push({".GiT/hooks/post-merge": ("100755", scene.program())})
    return _malformed(scene, "hasDotgit: contains '.git'")


@attack("adds a path with .git as Windows shortens it")
def _(scene: Scene) -> str:
    scene.remote.push({"GIT~1/hooks/post-merge": ("100755", scene.program())})
    return _malformed(scene, "hasDotgit: contains '.git'")


@attack("adds a path that no file system could hold")
def _(scene: Scene) -> str:
    """Begun to be written under a journal, it would block every later write."""
    path = place(PROD, f"{'x' * 252}.gpg")
    commit = scene.remote.push({path: (PLAIN, b"x")})
    return f"commit {commit[:12]} brings a path that is too long: {path[:200]}...\nhint: {MEND}"


@attack("puts a folder in the place of a list")
def _(scene: Scene) -> str:
    path = place(PROD, ".gpg-id/x")
    commit = scene.remote.push({path: (PLAIN, b"x")})
    return f"commit {commit[:12]} brings a folder in the place of a list of keys: {path}\nhint: {MEND}"


@attack("adds names that are no text")
def _(scene: Scene) -> str:
    """Odd, and nothing of ours: they come in as they are."""
    scene.remote.push({place(EVIL, "\udcff\udcfe.gpg"): (PLAIN, b"x"), "\udcc3.txt": (PLAIN, b"x")})
    return ""


@attack("adds one entry that is a whole path")
def _(scene: Scene) -> str:
    blob = scene.remote.entries()[".gpg-id"]
    scene.remote.push_raw([(*blob, "../sign"), (*blob, ".gpg-id")])
    return _malformed(scene, "fullPathname: contains full pathnames")


@attack("adds the same name twice")
def _(scene: Scene) -> str:
    entries = scene.remote.entries()
    scene.remote.push_raw([(*entries[".gpg-id"], ".gpg-id"), (*entries[place(MALLORYS, ".gpg-id")], ".gpg-id")])
    return _malformed(scene, "duplicateEntries: contains duplicate file entries")


@attack("adds a list in another case, for Macs and Windows")
def _(scene: Scene) -> str:
    commit = scene.remote.push({".GPG-ID": scene.lines("alice", "bob")})
    return f"commit {commit[:12]} brings a name that some file systems take for .gpg-id: .GPG-ID\nhint: {MEND}"


@attack("adds a path with control characters")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(PROD, "\x1b]0;owned\x07\n.gpg"): (PLAIN, b"x")})
    shown = place(PROD, "?]0;owned??.gpg")
    return f"commit {commit[:12]} brings a path with a control character: {shown}\nhint: {MEND}"


@attack("adds a huge entry")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(EVIL, "x.gpg"): (PLAIN, b"\0" * (5 << 20))})
    return f"commit {commit[:12]} brings a file larger than 4194304 bytes: {place(EVIL, 'x.gpg')}\nhint: {MEND}"


@attack("adds a huge list")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(EVIL, ".gpg-id"): (PLAIN, b"#" * (2 << 20))})
    return f"commit {commit[:12]} brings a file larger than 1048576 bytes: {place(EVIL, '.gpg-id')}\nhint: {MEND}"


@attack("adds a huge public key")
def _(scene: Scene) -> str:
    path = f".public-keys/{scene.keys['alice']}"
    commit = scene.remote.push({path: (PLAIN, b"\0" * 65537)})
    return f"commit {commit[:12]} brings a file larger than 65536 bytes: {path}\nhint: {MEND}"


@attack("adds a list that is an option")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(PROD, ".gpg-id"): (PLAIN, b"--output=/tmp/x\n")})
    return (
        f"commit {commit[:12]}: {place(PROD, '.gpg-id')} has a line that is no key: '--output=/tmp/x'\n"
        "hint: write one key fingerprint per line"
    )


@attack("adds hooks")
def _(scene: Scene) -> str:
    """Beside git's own directory they are files like any other, even where the user's settings lead git to them."""
    scene.alice.git("config", "core.hooksPath", "hooks")
    names = ("post-merge", "post-checkout", "pre-push", "post-commit", "reference-transaction", "post-index-change")
    scene.remote.push({f"hooks/{name}": ("100755", scene.program()) for name in names})
    return ""


@attack("adds attributes with a filter")
def _(scene: Scene) -> str:
    program = scene.sign.parent / "filter"
    program.write_bytes(scene.program("tr a-z A-Z"))
    program.chmod(0o755)
    for kind in ("filter.evil.clean", "filter.evil.smudge", "merge.evil.driver", "diff.evil.textconv", "diff.external"):
        scene.alice.git("config", "--global", kind, str(program))
    all_of_it = b"filter=evil merge=evil diff=evil text working-tree-encoding=UTF-16"
    text = b"[attr]binary " + all_of_it + b"\n* " + all_of_it + b"\n"
    scene.remote.push({".gitattributes": (PLAIN, text), f"{FOLDER}/.gitattributes": (PLAIN, text)})
    return ""


@attack("adds settings, extensions and a configuration for git")
def _(scene: Scene) -> str:
    """For programs that look for them in the current directory or in the store; ours do not."""
    names = (
        ".gitconfig",
        ".extensions/show.bash",
        "gpg",
        "git",
        ".envrc",
        "sitecustomize.py",
        "gpg.conf",
        ".gitmodules",
    )
    scene.remote.push({name: ("100755", scene.program()) for name in names})
    return ""


@attack("copies prod's ciphertext under a host of his own")
def _(scene: Scene) -> str:
    scene.remote.push({place(EVIL, "deploy.gpg"): (PLAIN, scene.ciphertext(PROD))})
    return ""


@attack("copies prod's ciphertext into the directory that he reads")
def _(scene: Scene) -> str:
    scene.remote.push({place(MALLORYS, "mallory.gpg"): (PLAIN, scene.ciphertext(PROD))})
    return "DRIFT"


@attack("copies an unbound ciphertext into the directory that he reads")
def _(scene: Scene) -> str:
    """Nothing inside it says where it belongs: sync must not open it for him."""
    scene.remote.push({place(MALLORYS, "mallory.gpg"): (PLAIN, scene.keys.encrypt(PASSWORD.encode(), "alice"))})
    return "DRIFT"


@attack("puts a key among the public keys that is in nobody's list")
def _(scene: Scene) -> str:
    scene.remote.push({f".public-keys/{scene.keys['stranger']}": (PLAIN, scene.public("stranger"))})
    return ""


def snapshot(scene: Scene) -> dict[str, bytes]:
    """Everything around alice's store and the store itself, without git's own files and the keyring."""
    home = scene.alice.path.parent
    return {name: data for name, data in tree(home).items() if not name.startswith("store/.git/")}


def assert_unharmed(scene: Scene) -> None:
    """Nothing ran, the passwords work, and mallory reads what he read before."""
    assert not scene.sign.exists()
    assert scene.helper.get(PROD).json["Secret"] == PASSWORD
    assert scene.stolen() <= scene.his
    answer = scene.helper.store(PROD, "deploy", "changed")
    assert answer.code in (0, 1)
    assert scene.helper.store(LATER, "deploy", "new").code in (0, 1)
    scene.passhelper("sync")
    assert scene.stolen() <= scene.his
    assert not scene.sign.exists()


@pytest.mark.parametrize("name", ATTACKS)
def test_sync(scene: Scene, name: str) -> None:
    around, head = snapshot(scene), scene.alice.git("rev-parse", "HEAD")
    said = ATTACKS[name](scene)
    if scene.alice.git("rev-parse", "HEAD") != head:  # it took two steps, and the first was let in
        around, head = snapshot(scene), scene.alice.git("rev-parse", "HEAD")
    # A miss fetches, too, in a clone that syncs by itself.
    missed = scene.helper.get("https://missing.example", PASSHELPER_SYNC="pull")
    assert (missed.code, missed.out, missed.err) == (1, NOT_FOUND, b"")
    if said not in ("", "DRIFT"):
        assert (snapshot(scene), scene.alice.git("rev-parse", "HEAD")) == (around, head)
    answer = scene.passhelper("sync")
    if said == "":
        assert (answer.code, answer.err) == (0, b"")
        # What has come in lies there as it was pushed, and nowhere else.
        changed = {name: data for name, data in snapshot(scene).items() if around.get(name) != data}
        assert {name.removeprefix("store/"): data for name, data in changed.items() if data} == pushed(scene, head)
    elif said == "DRIFT":
        assert answer.code == 3
    else:
        assert (answer.code, answer.err.decode()) == (4, f"error: {said}\n")
        assert (snapshot(scene), scene.alice.git("rev-parse", "HEAD")) == (around, head)
        assert scene.passhelper("sync").code == 4  # asking again is no answer
    assert_unharmed(scene)


def pushed(scene: Scene, before: str) -> dict[str, bytes]:
    """What the remote has that alice had not."""
    known = scene.remote.entries(before)
    return {path: scene.remote.read(path) for path, entry in scene.remote.entries().items() if known.get(path) != entry}


def test_the_traps_are_real_ones(scene: Scene) -> None:
    """Plain git runs the hooks, and a fresh clone by plain git the filter."""
    ATTACKS["adds hooks"](scene)
    scene.alice.ask("pull", "-q", "--ff-only")
    assert scene.sign.exists()
    scene.sign.unlink()
    ATTACKS["adds attributes with a filter"](scene)
    Member(scene.sign.parent / "plain", scene.alice.environ).clone(scene.remote.path)
    assert scene.sign.exists()


def test_a_copied_password_is_not_handed_out(scene: Scene) -> None:
    ATTACKS["copies prod's ciphertext under a host of his own"](scene)
    assert scene.passhelper("sync").code == 0
    answer = scene.helper.get(EVIL)
    assert answer.code == 1
    assert answer.text == (
        f"entry was moved here from another server: {place(EVIL, 'deploy.gpg')}; "
        "do not use it; find out who moved it, then erase it and store it again\n"
    )


# What the user accepts comes in, and only that


def test_accepting_a_member(scene: Scene) -> None:
    said = ATTACKS["adds a key"](scene)
    assert scene.passhelper("sync").code == 4
    shown = scene.passhelper("recipients", "accept")
    assert shown.code == 4
    lines = shown.text.splitlines()
    commit = said.partition(" in commit ")[2][:12]
    at = lines.index(f"in commit {commit} of the remote, which sync refused:")
    alice, bob = (f"{scene.keys[name]} {name} <{name}@example.test>" for name in ("alice", "bob"))
    assert set(lines[at + 1 :]) == {f"  {alice} (.gpg-id)", f"+ {bob} (.gpg-id)"}
    half = scene.passhelper("recipients", "accept", scene.keys["alice"])
    assert half.err.decode().startswith(f"error: the store also names {scene.keys['bob']}, so nothing was accepted\n")
    # Another one is pushed while the user thinks: that is not what was accepted.
    answer = scene.passhelper("recipients", "accept", scene.keys["alice"], scene.keys["bob"])
    assert answer.text.splitlines()[-1] == "accepted; run: passhelper sync"
    scene.remote.push({".gpg-id": scene.lines("alice", "bob", "stranger")})
    assert scene.passhelper("sync").code == 4
    scene.remote.push({".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync").code == 0
    assert scene.passhelper("recipients", "accept").text == "these recipients are accepted already\n"
    assert scene.helper.store(LATER, "deploy", "new").code == 0
    assert b"new" in {scene.keys.gpg("--decrypt", stdin=path.read_bytes()).stdout
                      for path in (scene.alice.path / place(LATER)).glob("*.gpg")
                      if scene.subkey("bob") in _ids(path.read_bytes())}  # fmt: skip


@pytest.mark.parametrize("name", ["rewrites history", "rolls history back", "dates a commit in 2099"])
def test_accepting_a_history(scene: Scene, name: str) -> None:
    said = ATTACKS[name](scene).partition("\n")[0]
    assert scene.passhelper("sync").code == 4
    shown = scene.passhelper("recipients", "accept", "--yes")
    assert (shown.code, shown.text.splitlines()[-1]) == (0, "accepted; run: passhelper sync")
    assert f"! {said}" in shown.text.splitlines()
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.alice.git("merge-base", "--is-ancestor", scene.remote.head, "HEAD") == ""


# The same where the admin signs: alice's machine knows her own key as the one that may


@pytest.fixture
def signing(scene: Scene) -> Scene:
    """Signed lists, which came in unasked."""
    scene.alice.environ["PASSWORD_STORE_SIGNING_KEY"] = scene.keys["alice"]
    mallorys = place(MALLORYS, ".gpg-id")
    scene.remote.push({
        **scene.signed("alice", path=".gpg-id", says=".gpg-id 3"),
        **scene.signed("alice", "bob", path=mallorys, says=f"{mallorys} 5"),
    })  # fmt: skip
    answer = scene.passhelper("sync")
    assert (answer.code, answer.err) == (0, b"")
    return scene


def _not_signed(commit: str, path: str = ".gpg-id") -> str:
    return (
        f"the signature of {path} in commit {commit[:12]} is not by a key in PASSWORD_STORE_SIGNING_KEY\nhint: {MEND}"
    )


def _swaps(scene: Scene) -> str:
    return _not_signed(scene.remote.push({".gpg-id.sig": (PLAIN, scene.remote.read(place(MALLORYS, ".gpg-id.sig")))}))


def _signs_himself(scene: Scene) -> str:
    return _not_signed(scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=".gpg-id 4", by="bob")))


def _removes_the_signature(scene: Scene) -> str:
    commit = scene.remote.push({".gpg-id.sig": None})
    return f".gpg-id has no signature in commit {commit[:12]}\nhint: {MEND}"


def _adds_unsigned(scene: Scene) -> str:
    commit = scene.remote.push({place(PROD, ".gpg-id"): scene.lines("alice", "bob")})
    return f"{place(PROD, '.gpg-id')} has no signature in commit {commit[:12]}\nhint: {MEND}"


def _replays(scene: Scene) -> str:
    """Mallory was a reader of everything once, and has kept the pair that says so."""
    commit = scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=".gpg-id 2"))
    return (
        f"recipients changed: {scene.name('+', 'bob')} (.gpg-id) in commit {commit[:12]}; its serial 2 is not "
        f"above the accepted 3\nhint: {ACCEPT}"
    )


def _copies_the_pair(scene: Scene) -> str:
    theirs = place(MALLORYS, ".gpg-id")
    pair = {name: (PLAIN, scene.remote.read(f"{theirs}{name}")) for name in ("", ".sig")}
    commit = scene.remote.push({place(PROD, f".gpg-id{name}"): file for name, file in pair.items()})
    words = " ".join(sorted([scene.name("+", "alice"), scene.name("+", "bob")]))
    return (
        f"recipients changed: {words} ({place(PROD, '.gpg-id')}) in commit {commit[:12]}; the signed text is that of "
        f"{theirs}\nhint: {ACCEPT}"
    )


def _takes_a_signed_list_away(scene: Scene) -> str:
    """Then the list above counts; here that takes a reader away, elsewhere it may add some."""
    path = place(MALLORYS, ".gpg-id")
    commit = scene.remote.push({path: None, f"{path}.sig": None})
    words = " ".join(sorted([scene.name("-", "alice"), scene.name("-", "bob")]))
    return f"recipients changed: {words} ({path}) in commit {commit[:12]}\nhint: {ACCEPT}"


SIGNED_ATTACKS = {
    "swaps a signature": _swaps,
    "signs with his own key": _signs_himself,
    "removes a signature": _removes_the_signature,
    "adds a list without one": _adds_unsigned,
    "replays an older signed pair": _replays,
    "copies a signed pair to another directory": _copies_the_pair,
    "takes a signed list away": _takes_a_signed_list_away,
}


@pytest.mark.parametrize("name", SIGNED_ATTACKS)
def test_sync_where_lists_are_signed(signing: Scene, name: str) -> None:
    around, head = snapshot(signing), signing.alice.git("rev-parse", "HEAD")
    said = SIGNED_ATTACKS[name](signing)
    answer = signing.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (4, f"error: {said}\n")
    assert (snapshot(signing), signing.alice.git("rev-parse", "HEAD")) == (around, head)
    assert_unharmed(signing)


# Public keys: an offer, taken only for a reader who was accepted


def _keyring(scene: Scene, *names: str) -> KeyRing:
    """Give alice a keyring that knows only some keys."""
    ring = KeyRing(scene.sign.parent / "ring", dict(scene.keys.fingerprints))
    ring.home.mkdir(mode=0o700)
    secret = scene.keys.gpg("--export-secret-keys", scene.keys["alice"]).stdout
    ring.gpg("--import", stdin=secret)
    for name in names:
        ring.gpg("--import", stdin=scene.public(name))
    scene.alice.environ["GNUPGHOME"] = str(ring.home)
    return ring


KEY_ATTACKS: dict[str, tuple[Callable[[Scene], bytes], str]] = {
    "a secret key": (
        lambda scene: scene.keys.gpg("--export-secret-keys", scene.keys["bob"]).stdout, "it holds a secret key"
    ),
    "a second key": (lambda scene: scene.public("bob", "stranger"), "it holds 2 keys"),
    "two keys in two armors": (
        lambda scene: b"".join(scene.keys.gpg("--armor", "--export", scene.keys[name]).stdout
                               for name in ("bob", "stranger")), "it holds 2 keys"
    ),
    "another key": (lambda scene: scene.public("stranger"), "it holds another key, {stranger}"),
    "no key": (lambda _: b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
               "it holds no key"),
    "a message": (lambda scene: scene.keys.encrypt(b"x", "alice"), "it holds no key"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEY_ATTACKS)
def test_public_keys(scene: Scene, kind: str) -> None:
    """Said on stderr, and nothing of it reaches the keyring; the sync goes on."""
    data, why = KEY_ATTACKS[kind]
    ring = _keyring(scene)
    path = f".public-keys/{scene.keys['bob']}"
    scene.remote.push({path: (PLAIN, data(scene))})
    before = ring.gpg("--list-keys").stdout, ring.gpg("--list-secret-keys").stdout
    answer = scene.passhelper("sync")
    ring.stop_agent()
    said = why.format_map(scene.keys.fingerprints)
    assert f"warning: {path} was not imported: {said}\n" in answer.err.decode()
    assert (ring.gpg("--list-keys").stdout, ring.gpg("--list-secret-keys").stdout) == before
    ring.stop_agent()


def test_the_key_of_a_member_who_was_accepted(scene: Scene) -> None:
    ring = _keyring(scene)
    scene.remote.push({f".public-keys/{scene.keys['bob']}": (PLAIN, scene.public("bob")),
                       f".public-keys/{scene.keys['stranger']}": (PLAIN, scene.public("stranger"))})  # fmt: skip
    answer = scene.passhelper("sync")
    listed = ring.gpg("--with-colons", "--list-keys").stdout.decode()
    ring.stop_agent()
    assert answer.code == 0
    assert scene.keys["bob"] in listed
    assert scene.keys["stranger"] not in listed


# The first clone


@pytest.mark.parametrize("name", ATTACKS)
def test_first_clone(scene: Scene, name: str) -> None:
    """Files that a tree may not hold are refused; readers are shown, for there is nothing to compare them with."""
    said = ATTACKS[name](scene)
    home = scene.sign.parent / "new" / "home"
    home.mkdir(parents=True)
    store = home.parent / "store"
    environ = {"PASSWORD_STORE_DIR": str(store), "HOME": str(home)}
    around = tree(scene.sign.parent)
    answer = scene.passhelper("setup", "--git", str(scene.remote.path), "--no-docker", **environ)
    new = {path for path in tree(scene.sign.parent) if path not in around}
    assert not scene.sign.exists()
    assert {path.split("/")[0] for path in new} <= {"new"}
    if " brings " in said or " sends what git refuses: " in said or "no key:" in said:
        assert answer.code == 4, answer
        assert not any(path.startswith("new/store") and not path.startswith("new/store/.git") for path in new)
        assert not store.exists() or not list(store.iterdir())
    else:
        assert answer.code in (0, 1), answer  # 1: this test's PATH has no launcher
        head = Member(store, scene.alice.environ).git("rev-parse", "HEAD")
        assert head == scene.remote.head


def test_a_clone_that_was_killed_before_anything_was_accepted(scene: Scene) -> None:
    """Such a one is not taken for a store of one's own, whose recipients the first write would pin."""
    ATTACKS["adds a key"](scene)
    environ = {**scene.alice.environ, "PASSWORD_STORE_DIR": str(scene.sign.parent / "new")}
    clone.clone(PassStore(environ, print), clone.Source(str(scene.remote.path)))
    answer = Helper(scene.installed.helper, environ).store(LATER, "deploy", "new")
    assert answer.code == 1
    words = " ".join(sorted([scene.name("+", "alice"), scene.name("+", "bob")]))
    assert answer.text == f"recipients changed: {words} (.gpg-id); {ACCEPT}\n"


def test_the_first_look(scene: Scene) -> None:
    """What plain git has cloned is pinned as it is found, by the first write: SECURITY.md says so."""
    ATTACKS["adds a key"](scene)
    late = Member(scene.sign.parent / "late", scene.alice.environ)
    late.clone(scene.remote.path)
    helper = Helper(scene.installed.helper, late.environ)
    assert helper.store(LATER, "deploy", "new").code == 0
    assert scene.subkey("bob") in _ids(next((late.path / place(LATER)).glob("*.gpg")).read_bytes())
    # From then on nobody is added.
    scene.remote.push({".gpg-id": scene.lines("alice", "bob", "stranger")})
    late.git("pull", "-q", "--no-rebase")
    assert helper.store(LATER, "deploy", "newer").text.startswith(
        f"recipients changed: {scene.name('+', 'stranger')} (.gpg-id)"
    )


def test_a_runner_is_attacked(scene: Scene) -> None:
    """``setup --ci`` refuses the same files, and accepts nobody whom its environment does not name."""
    where = {"PASSHELPER_STORE_URL": str(scene.remote.path), "XDG_RUNTIME_DIR": str(scene.keys.home.parent)}
    key = scene.keys.gpg("--export-secret-keys", "--armor", scene.keys["alice"]).stdout.decode()
    environ = {name: value for name, value in scene.alice.environ.items()
               if name not in ("GNUPGHOME", "PASSWORD_STORE_DIR")}  # fmt: skip
    ATTACKS["makes a server a link to another"](scene)
    answer = run([scene.installed.passhelper, "setup", "--ci"], {**environ, **where, "PASSHELPER_GPG_KEY": key})
    assert (answer.code, answer.out) == (4, b"false\n")
    assert f"brings a symbolic link: {place(PROD)}" in answer.err.decode()
