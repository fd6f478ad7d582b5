"""Histories of a shared store as somebody with write access might make them, and a clone that syncs with them.

The objects are git's own, written as bytes; what looks at them and merges them is the program's code, with git
below it. Only the network and the files of the work tree are left out, and no key is asked about.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from passhelper.errors import PasshelperError
from passhelper.store import trust
from passhelper.store.repository import Repository
from passhelper.store.store import PassStore
from passhelper.team.git import gitrepo, network
from passhelper.team.git.commits import MARK, SAME
from passhelper.team.sync import apply, exchange
from passhelper.team.sync.report import Options, Report
from support import FOLDER
from support.people.attackers import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

KEYS = ("A" * 40, "B" * 40, "C" * 40)  # the last one is the attacker's
SERVERS = ("https://one.example", "https://two.example")
LISTS = (".gpg-id", f"{FOLDER}/.gpg-id", *(place(server, ".gpg-id") for server in SERVERS))
OTHERS = ("personal/.gpg-id", place(SERVERS[0]).rstrip("=") + "/.gpg-id")
ENTRIES = tuple(place(server, "u.gpg") for server in SERVERS)
NOW = int(time.time()) - 1000
MARKS = ("", MARK, SAME)
_SHARED = 200  # histories in one repository; more would make git slow

Files = dict[str, bytes]
Step = tuple[int, ...]
Accepted = dict[str, frozenset[str]]


class Commit(NamedTuple):
    """A commit and what it holds."""

    id: str
    files: Files


class Outcome(NamedTuple):
    """What a history came to: how many syncs, how many went through, how many of these merged, and what was let in
    that nobody had accepted."""

    syncs: int
    passed: int
    merged: int
    bypasses: list[str]


class Objects:
    """Writes loose objects, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()

    def write(self, kind: str, data: bytes) -> str:
        whole = f"{kind} {len(data)}\0".encode() + data
        identity = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        if identity not in self._known:
            path = self._folder / identity[:2] / identity[2:]
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(zlib.compress(whole, 1))
            self._known.add(identity)
        return identity

    def tree(self, files: Mapping[str, bytes]) -> str:
        here: dict[str, tuple[str, str]] = {}
        below: dict[str, Files] = {}
        for path, data in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = data
            else:
                here[name] = ("100644", self.write("blob", data))
        here.update({name: ("40000", self.tree(inner)) for name, inner in below.items()})
        order = sorted(here, key=lambda name: name + "/" * (here[name][0] == "40000"))
        rows = [f"{here[name][0]} {name}\0".encode() + bytes.fromhex(here[name][1]) for name in order]
        return self.write("tree", b"".join(rows))

    def commit(self, files: Files, parents: list[str], when: int, mark: str = "") -> Commit:
        who = f"m <m@example.test> {when} +0000"
        lines = [f"tree {self.tree(files)}", *(f"parent {parent}" for parent in dict.fromkeys(parents))]
        lines += [f"author {who}", f"committer {who}", "", "Change", *(["", mark] if mark else [])]
        return Commit(self.write("commit", ("\n".join(lines) + "\n").encode()), files)


class Lab:
    """A repository in which one history after the other is played.

    Args:
        folder: where to make it.
        environ: for the program.
        is_runner: whether the clone is one of ``setup --ci``.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], *, is_runner: bool) -> None:
        for name in ("objects", "refs/heads", "refs/remotes/origin", "passhelper"):
            (folder / ".git" / name).mkdir(parents=True)
        self._folder = folder / ".git"
        (self._folder / "HEAD").write_text("ref: refs/heads/main\n")
        runner = "[passhelper]\n\tci = true\n" * is_runner
        (self._folder / "config").write_text(f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n{runner}")
        self.is_runner = is_runner
        self.objects = Objects(self._folder / "objects")
        self.store = PassStore({**environ, "PASSWORD_STORE_DIR": str(folder)}, lambda _: None)
        self._opened = gitrepo.opened(Repository(str(folder), str(self._folder)), self.store.environ)
        self.git = self._opened.__enter__()
        self.remote = ""

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

    @property
    def head(self) -> str:
        return (self._folder / "refs/heads/main").read_text().strip()

    @head.setter
    def head(self, commit: str) -> None:
        (self._folder / "refs/heads/main").write_text(f"{commit}\n")

    def track(self, commit: str) -> None:
        """Remember what was last seen of the remote."""
        (self._folder / "refs/remotes/origin/main").write_text(f"{commit}\n")

    def forget(self) -> None:
        """Begin anew."""
        for name in ("passhelper/trust.json", "refs/passhelper/refused"):
            (self._folder / name).unlink(missing_ok=True)

    @property
    def trust(self) -> trust.Trust:
        found = trust.load_all(str(self._folder / "passhelper"))
        assert found is not None
        return found

    @trust.setter
    def trust(self, known: trust.Trust) -> None:
        self.write(trust.FILE, trust.text(known))

    def write(self, name: str, data: bytes) -> None:
        (self._folder / "passhelper" / name).write_bytes(data)

    @property
    def refused(self) -> str:
        """The commit that was refused and may be accepted."""
        path = self._folder / "refs/passhelper/refused"
        return path.read_text().strip() if path.exists() else ""

    def files(self, commit: str) -> Files:
        """What a commit holds, by git's own word."""
        found: Files = {}
        for record in self.git.run("ls-tree", "-r", "-z", commit).split(b"\0"):
            if record:
                facts, _, name = record.decode().partition("\t")
                blob = self.git.objects.find(facts.split()[2])
                assert blob is not None
                assert blob.data is not None
                found[name] = blob.data
        return found


class Labs:
    """Repositories, a new one every now and then.

    Args:
        folder: where to make them.
        environ: for the program.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._labs: dict[bool, Lab] = {}
        self._uses = 0

    def lab(self, *, is_runner: bool) -> Lab:
        self._uses += 1
        if self._uses % _SHARED == 0:
            self.close()
        if is_runner not in self._labs:
            folder = self._folder / f"{self._uses}"
            self._labs[is_runner] = Lab(folder, self._environ, is_runner=is_runner)
        return self._labs[is_runner]

    def close(self) -> None:
        for lab in self._labs.values():
            lab.close()
        self._labs.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Run(exchange._Sync):
    """A sync without a network, and without files."""

    def __init__(self, lab: Lab, accepted: frozenset[str]) -> None:
        self.lab = lab
        self.store, self.git = lab.store, lab.git
        self.options = Options(accepted=accepted, push=True)
        self.progress = lambda _: None
        self.upstream = network.Upstream("main", "origin", "main", is_new=False)
        self.is_runner = lab.is_runner
        self.report = Report("origin", "main")

    def _fetch(self) -> str:
        self.lab.track(self.lab.remote)
        return self.lab.remote

    def play(self) -> None:
        self._exchange_once()
        self._finish()


@contextmanager
def without_network(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Iterator[None]:
    """Let a push move the remote's branch, and a merge move ours and what was accepted with it."""

    class Move:
        differing = ()

        def __init__(self, _git: object, _old: str, new: str, _tree: str = "") -> None:
            self._new = new

        def make(self, _store: object, state: Mapping[str, bytes]) -> None:
            for name, data in state.items():
                lab.write(name, data)
            lab.head = self._new

    def push(_git: object, _upstream: object, commit: str) -> None:
        lab.remote = commit
        lab.track(commit)

    with monkeypatch.context() as patch:
        patch.setattr(network, "push", push)
        patch.setattr(apply, "Move", Move)
        yield


def keys_of(text: bytes) -> frozenset[str]:
    """The keys of a list, read by another hand than the program's."""
    lines = (line.partition("#")[0].strip() for line in text.decode().splitlines())
    return frozenset(line for line in lines if line)


def lists_of(files: Mapping[str, bytes]) -> Accepted:
    """The lists that decide about credentials."""
    deciding = (*LISTS, *(path for path in OTHERS if path.startswith(f"{FOLDER}/")))
    return {path: keys_of(files[path]) for path in deciding if path in files}


def readers(lists: Mapping[str, frozenset[str]], path: str) -> frozenset[str]:
    """Who reads an entry by some lists: the nearest one counts."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        found = lists.get(f"{folder}/.gpg-id".lstrip("/"))
        if found is not None:
            return found
    return frozenset()


class Walk:
    """One history: steps of the user here, of others and of an attacker there, and syncs between them.

    Attributes:
        accepted: what the user has accepted, kept by the test and not by the program.
        offered: what he has accepted of a commit that is not merged yet.
    """

    def __init__(self, lab: Lab) -> None:
        lab.forget()
        self.lab = lab
        self.clock = NOW
        self.commits: list[Commit] = []
        self.accepted: Accepted = {}
        self.offered: Accepted | None = None
        self.syncs = self.passed = self.merged = 0
        self.bypasses: list[str] = []

    def begin(self, choice: int) -> None:
        """Make a store with some lists, and the clone that has accepted them."""
        files: Files = dict.fromkeys(ENTRIES, b"e")
        files[".gpg-id"] = _text(0b11 if choice & 1 else 0b01, 0)
        for number, path in enumerate((*LISTS[1:], *OTHERS)):
            if choice >> (number + 1) & 1:
                files[path] = _text(0b01 if number % 2 else 0b11, 0)
        first = self.lab.objects.commit(files, [], self.clock)
        self.commits = [first]
        self.lab.head = self.lab.remote = first.id
        self.lab.track(first.id)
        self.accepted = lists_of(files)
        self._pin(first.id)

    def step(self, step: Step) -> None:
        kind, *choice = step
        # Attackers are busier than users are.
        actions = (
            self.attack, self.attack, self.attack, self.restore, self.attack_merge, self.attack_merge, self.point,
            self.edit, self.edit, self.store, self.beside, self.sync, self.sync, self.sync_asked, self.offer,
        )  # fmt: skip
        self.clock += choice[0] % 3
        actions[kind % len(actions)](*choice)

    # Here

    @property
    def here(self) -> Commit:
        return self._find(self.lab.head)

    def _find(self, commit: str) -> Commit:
        for one in self.commits:
            if one.id == commit:
                return one
        found = Commit(commit, self.lab.files(commit))
        self.commits.append(found)
        return found

    def edit(self, a: int, b: int, c: int, _: int) -> None:
        """The user changes a list, which is an acceptance: of this list."""
        here = self.here
        files = _edited(here.files, LISTS[a % len(LISTS)], b, c)
        if ".gpg-id" not in files:
            return
        made = self._commit(files, [here.id])
        self.lab.head = made.id
        path = LISTS[a % len(LISTS)]
        known = self.lab.trust
        if path in files:
            self.accepted[path] = keys_of(files[path])
            known.pins[path] = sorted(self.accepted[path])
        else:
            self.accepted.pop(path, None)
            known.pins.pop(path, None)
        self.lab.trust = known

    def store(self, a: int, b: int, _c: int, _d: int) -> None:
        here = self.here
        made = self._commit({**here.files, ENTRIES[a % 2]: b"%d" % b}, [here.id])
        self.lab.head = made.id

    def beside(self, a: int, b: int, c: int, d: int) -> None:
        """Something comes in by plain git, and nobody has accepted it."""
        here, other = self.here, self.commits[d % len(self.commits)]
        files = _edited(other.files if c % 2 else here.files, LISTS[a % len(LISTS)], b, c)
        made = self._commit(files, [here.id, other.id])
        self.lab.head = made.id

    def sync(self, _a: int = 0, _b: int = 0, _c: int = 0, _d: int = 0) -> None:
        """What goes through without a question holds what was accepted."""
        self._sync(frozenset())

    def sync_asked(self, a: int, _b: int, _c: int, _d: int) -> None:
        """The user names the complete set of keys."""
        self._sync(frozenset(key for number, key in enumerate(KEYS) if (a | 1) >> number & 1))

    def offer(self, a: int, _b: int, _c: int, _d: int) -> None:
        """The user accepts what is here, and the commit that was refused last."""
        refused = self.lab.refused
        if not refused or a % 2:
            return
        known = self.lab.trust
        self.accepted = lists_of(self.here.files)
        self.offered = lists_of(self._find(refused).files)
        known.pins = {path: sorted(keys) for path, keys in self.accepted.items()}
        known.offer = refused
        self.lab.trust = known

    def _sync(self, allowed: frozenset[str]) -> None:
        self.clock += 1
        before, head, theirs = self.lab.trust, self.lab.head, self.lab.remote
        self.syncs += 1
        try:
            _Run(self.lab, allowed).play()
        except PasshelperError:
            # HEAD may have moved all the same: the merge went through and the push did not.
            self._judge(before, allowed, whole=False)
            return
        self.passed += 1
        self.merged += self.lab.head not in (head, theirs)
        self._judge(before, allowed, whole=True)

    def _judge(self, before: trust.Trust, allowed: frozenset[str], *, whole: bool) -> None:
        """Compare what is pinned, and after a whole sync what there is, with what was accepted."""
        pins = {path: frozenset(keys) for path, keys in self.lab.trust.pins.items()}
        there = lists_of(self.here.files)
        if not whole:
            there = pins
        elif self.lab.is_runner:  # which may hold lists that it has not accepted, and does not use
            there = {path: keys for path, keys in there.items() if path in pins or path in before.pins}
        for path in sorted({*there, *pins, *self.accepted}):
            if there.get(path) != pins.get(path):
                self.bypasses.append(f"{path}: pinned {pins.get(path)}, and there is {there.get(path)}")
            if not self._may(path, there, allowed):
                self.bypasses.append(f"{path}: {there.get(path)} and not {self.accepted.get(path)}")
        if whole and not self.bypasses:
            for entry in ENTRIES:
                may = readers(self.accepted, entry) | allowed | readers(self.offered or {}, entry)
                if not self.lab.is_runner and not readers(there, entry) <= may:
                    self.bypasses.append(f"{entry} for {readers(there, entry)}")
        self.accepted = pins
        if not self.lab.trust.offer:
            self.offered = None

    def _may(self, path: str, there: Accepted, allowed: frozenset[str]) -> bool:
        """Return whether a list may be what it is."""
        now, then = there.get(path), self.accepted.get(path)
        if now == then:
            return True
        if now is None:
            gone = self.offered is not None and path not in self.offered
            return gone or (bool(allowed) and bool(readers(there, path)) and readers(there, path) <= allowed)
        if now and now <= allowed:
            return True
        if self.offered is None or path not in self.offered:
            return False
        old, new = then or frozenset(), self.offered[path]
        return now <= old | new and not (old - now) & new

    # There

    def attack(self, a: int, b: int, c: int, d: int) -> None:
        """A commit on top of what the remote has, or of anything else."""
        parent = self._find(self.lab.remote) if d % 3 else self.commits[d % len(self.commits)]
        path = (*LISTS, *LISTS, *OTHERS)[a % (2 * len(LISTS) + len(OTHERS))]
        files = _edited(parent.files, path, b, c)
        if d % 5 == 0:
            files[ENTRIES[b % 2]] = b"%d" % c
        self._push(files, [parent.id], a)

    def restore(self, a: int, b: int, c: int, d: int) -> None:
        """A list goes back to what it once was."""
        parent, other = self._find(self.lab.remote), self.commits[b % len(self.commits)]
        path = LISTS[a % len(LISTS)]
        files = {**parent.files}
        files.pop(path, None)
        if path in other.files:
            files[path] = other.files[path] + b"# again\n" * (c % 2)
        self._push(files, [parent.id], d)

    def attack_merge(self, a: int, b: int, c: int, d: int) -> None:
        """A merge of any two commits that says what the attacker likes, with our mark or without it."""
        first, second = self.commits[a % len(self.commits)], self.commits[b % len(self.commits)]
        files = (first.files, second.files, self._find(self.lab.remote).files)[c % 3]
        if d % 2:
            files = _edited(files, LISTS[d % len(LISTS)], c, d)
        self._push(files, [first.id, second.id], b + d)

    def point(self, a: int, _b: int, _c: int, _d: int) -> None:
        """The remote's branch goes to any commit."""
        self.lab.remote = self.commits[a % len(self.commits)].id

    def _push(self, files: Files, parents: list[str], mark: int) -> None:
        self.lab.remote = self._commit(files, parents, MARKS[mark % len(MARKS)]).id

    def _commit(self, files: Files, parents: list[str], mark: str = "") -> Commit:
        made = self.lab.objects.commit(dict(files), parents, self.clock, mark)
        self.commits.append(made)
        return made

    def _pin(self, commit: str) -> None:
        pins = {path: sorted(keys) for path, keys in self.accepted.items()}
        self.lab.trust = trust.Trust(pins, {"": commit})


def play(lab: Lab, begin: int, steps: list[Step]) -> Outcome:
    """Play one history, with a sync at its end."""
    walk = Walk(lab)
    walk.begin(begin)
    for step in steps:
        walk.step(step)
        if walk.bypasses:
            break
    else:
        walk.sync()
    return Outcome(walk.syncs, walk.passed, walk.merged, walk.bypasses)


def _text(keys: int, style: int) -> bytes:
    """Write a list: the keys whose bits are set, in one of several ways."""
    names = [key for number, key in enumerate(KEYS) if keys >> number & 1]
    if style & 1:
        names.reverse()
    text = "".join(f"{name}\n" for name in names)
    if style & 2:
        text = f"# {style}\n{text}"
    return (text.replace("\n", "\r\n") if style & 4 else text).encode()


def _edited(files: Mapping[str, bytes], path: str, how: int, what: int) -> Files:
    """Change a list: only how it is written, who is in it, or whether it is there."""
    found = dict(files)
    now = keys_of(found[path]) if path in found else frozenset()
    bits = sum(1 << number for number, key in enumerate(KEYS) if key in now)
    if how % 5 == 0:
        found.pop(path, None)
    elif how % 5 in (1, 2) and path in found:
        found[path] = _text(bits, what)
    elif how % 5 == 3 and path in found:
        found[path] = _text(bits ^ (1 << what % 3), what >> 2) or b"# nobody\n"
    else:
        found[path] = _text(what % 8, what >> 3) or b"# nobody\n"
    return found


def environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """An environment in which there is a git, and no gpg to ask about keys that are only names."""
    folder.mkdir()
    real = next(path for part in environ["PATH"].split(os.pathsep) if (path := Path(part, "git")).exists())
    (folder / "git").symlink_to(real)
    return {**environ, "PATH": str(folder)}
