"""An attacker with write access to the shared remote: the scene, and what he can push.

Alice's machine is the one attacked: it has synced before, holds prod's password, and pulls whatever the remote has.
Mallory is a member who reads one server of his own; his key is in alice's keyring, so that encrypting
to it would work.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.store.packets import key_ids
from support import FOLDER, Answer, Helper, KeyRing, Program, run, tree
from support.people.remotes import PLAIN, File, Member, Remote

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

    def own_keyring(self, *names: str) -> KeyRing:
        """Give alice a keyring with her own secret key and some public keys, and nothing else."""
        ring = KeyRing(self.sign.parent / "ring", dict(self.keys.fingerprints))
        ring.home.mkdir(mode=0o700)
        ring.gpg("--import", stdin=self.keys.gpg("--export-secret-keys", self.keys["alice"]).stdout)
        for name in names:
            ring.gpg("--import", stdin=self.public(name))
        self.alice.environ["GNUPGHOME"] = str(ring.home)
        return ring

    def subkey(self, name: str) -> str:
        listing = self.keys.gpg("--with-colons", "--list-keys", self.keys[name]).stdout.decode()
        return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub:"))

    @property
    def pins(self) -> dict[str, list[str]]:
        """What alice's machine has accepted."""
        pins: dict[str, list[str]] = json.loads((self.alice.path / ".git/passhelper/trust.json").read_text())[
            "recipients"
        ]
        return pins

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
        # A gpg.conf of the whole machine could send it elsewhere, and an empty password would look like a stolen one.
        decrypt = ("--output", "-", "--decrypt")
        return {self.keys.gpg(*decrypt, stdin=data).stdout for data in there if identity in ids_of(data)}


def ids_of(data: bytes) -> list[str]:
    try:
        return key_ids(data)
    except ValueError:
        return []


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
    assert scene.stolen() <= scene.his, scene.stolen() - scene.his
    assert not scene.sign.exists()


# What he can push. Each attack does so, and says with what sync refuses it; nothing if it is harmless.

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


@attack("dates a commit beyond all calendars")
def _(scene: Scene) -> str:
    commit = scene.remote.push({place(EVIL, "x.gpg"): (PLAIN, b"x")}, when=1 << 62)
    scene.remote.push({place(EVIL, "x.gpg"): None})  # today, and nothing of it is left
    return (
        f"commit {commit[:12]} is dated {1 << 62} seconds after 1970, more than an hour ahead of this clock\n"
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
    return f"the remote sends what git refuses: object {found[:12]}: {why}\nhint: {MEND}"


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


@attack("puts a file in the place of the folder")
def _(scene: Scene) -> str:
    """Taken over, it would leave a store that no command starts with."""
    inside = [path for path in scene.remote.entries() if path.startswith(f"{FOLDER}/")]
    commit = scene.remote.push({**dict.fromkeys(inside), FOLDER: (PLAIN, b"x")})
    return f"commit {commit[:12]} brings a file in the place of a folder: {FOLDER}\nhint: {MEND}"


@attack("puts a file in the place of a server's folder")
def _(scene: Scene) -> str:
    inside = [path for path in scene.remote.entries() if path.startswith(f"{place(PROD)}/")]
    commit = scene.remote.push({**dict.fromkeys(inside), place(PROD): (PLAIN, b"x")})
    return f"commit {commit[:12]} brings a file in the place of a folder: {place(PROD)}\nhint: {MEND}"


@attack("puts a file in the place of the public keys")
def _(scene: Scene) -> str:
    commit = scene.remote.push({".public-keys": (PLAIN, b"x")})
    return f"commit {commit[:12]} brings a file in the place of a folder: .public-keys\nhint: {MEND}"


@attack("adds names that are not text")
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
        f"commit {commit[:12]}: {place(PROD, '.gpg-id')} has a line that is not a key: '--output=/tmp/x'\n"
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
