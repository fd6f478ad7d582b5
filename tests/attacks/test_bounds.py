"""More than a store ever needs: what others have written is counted before it is read, and refused above a number.

Numbers decide here, not clocks: what was refused has not been checked out or given to gpg, and the message says what
there was too much of.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import run
from support.people.attackers import EVIL, PASSWORD, PROD, Scene, assert_unharmed, place, snapshot
from support.people.remotes import PLAIN

from passhelper.errors import RemoteError, StoreError, TrustError
from passhelper.setup.sharedstore import SharedStore
from passhelper.store import claims, forward, packets, recipients
from passhelper.store.store import PassStore
from passhelper.team.git import gitrepo, network
from passhelper.team.sync import exchange as sync_module
from passhelper.team.sync import incomingtree
from passhelper.team.sync.clone import Source
from passhelper.team.sync.report import Options

if TYPE_CHECKING:
    from pathlib import Path

RAISE = (
    "find out who pushed it and take it out of the remote; if it is right, set PASSHELPER_INCOMING=2 or more, which "
    "lets so many times as much in"
)
_LISTS = 5000  # of keys, in one push; all that one may bring take a busy machine more than a minute
AGAIN = "restore it from git, or store the credential again"


def put(scene: Scene, data: bytes) -> None:
    """Push an entry and let alice take it over."""
    scene.remote.push({place(PROD, "deploy.gpg"): (PLAIN, data)})
    scene.alice.git("fetch", "-q", "origin")
    scene.alice.git("reset", "-q", "--hard", "origin/main")


def spied(scene: Scene, tmp_path: Path) -> tuple[dict[str, str], Path]:
    """A gpg that leaves a note before it starts."""
    note, program = tmp_path / "started", tmp_path / "spy"
    program.write_text(f'#!/bin/sh\necho >> "{note}"\nexec gpg "$@"\n')
    program.chmod(0o755)
    return {"PASSHELPER_GPG": str(program)}, note


def many(message: bytes, count: int) -> bytes:
    """Name the recipient of a message over and over."""
    _, start, length = packets.header(message, 0)
    assert length is not None
    return message[: start + length] * count + message[start + length :]


@pytest.mark.parametrize("hidden", [True, False])
def test_recipients_that_gpg_would_have_to_try(scene: Scene, tmp_path: Path, *, hidden: bool) -> None:
    """gpg tries each secret key for each recipient that has no name, and again for each that has ours."""
    options = ("--throw-keyids",) if hidden else ()
    message = scene.keys.encrypt(PASSWORD.encode(), "alice", options=options)
    environ, note = spied(scene, tmp_path)
    put(scene, many(message, packets.MAX_BLIND))
    answer = scene.helper.get(PROD, **environ)
    assert answer.json["Secret"] == PASSWORD
    assert note.exists()
    note.unlink()
    for count in (packets.MAX_BLIND + 1, 2600):
        put(scene, many(message, count))
        answer = scene.helper.get(PROD, **environ)
        why = f"it hides or repeats {packets.MAX_BLIND} or more of its recipients"
        if count > packets.MAX_KEYS:
            why = f"it is encrypted to more than {packets.MAX_KEYS} keys"
        assert (answer.code, answer.text) == (1, f"{place(PROD, 'deploy.gpg')} is not an entry: {why}; {AGAIN}\n")
        assert not note.exists()
    assert scene.helper.store(PROD, "deploy", "again").code == 0  # what the message advises
    assert scene.helper.get(PROD).json["Secret"] == "again"


def test_keys_of_a_list(scene: Scene) -> None:
    """Every one of them costs whoever encrypts, and each reader, and an entry for more could not be read."""
    assert recipients.MAX_KEYS == packets.MAX_KEYS
    keys = [f"{number:040X}" for number in range(25_000)]
    for count in (recipients.MAX_KEYS + 1, len(keys)):
        commit = scene.remote.push({".gpg-id": (PLAIN, "\n".join(keys[:count]).encode())})
        answer = scene.passhelper("sync")
        said = f"commit {commit[:12]}: .gpg-id names more than 500 keys"
        assert (answer.code, answer.err.decode()) == (
            4, f"error: {said}\nhint: take out the keys of those who need not read it\n"
        )  # fmt: skip
    own = scene.alice.path / ".gpg-id"
    own.write_text("\n".join(keys))
    answer = scene.helper.store(PROD, "deploy", "x")
    assert (answer.code, "/.gpg-id names more than 500 keys; take out" in answer.text) == (1, True)
    answer = scene.helper.store(PROD, "deploy", "x", PASSWORD_STORE_KEY=" ".join(keys[:501]))
    assert (answer.code, "PASSWORD_STORE_KEY names more than 500 keys; take out" in answer.text) == (1, True)
    scene.alice.git("checkout", "-q", ".gpg-id")
    scene.remote.push({".gpg-id": scene.lines("alice")})
    assert_unharmed(scene)


def test_what_a_message_names(scene: Scene, tmp_path: Path) -> None:
    """gpg is asked once about each key, and about so many only; nothing is left out without being counted."""
    environ, note = spied(scene, tmp_path)
    before = scene.remote.head
    scene.remote.flood(lists(scene, _LISTS))
    answer = scene.passhelper("sync", **environ)
    assert (answer.code, answer.err.decode().count(scene.name("+", "alice"))) == (4, claims.MAX_NAMED)
    more = _LISTS - claims.MAX_NAMED
    assert f"), and {more} more lists in commit" in answer.err.decode()
    assert note.read_text().count("\n") < 10
    keys = "".join(f"{number:040X}\n" for number in range(recipients.MAX_KEYS))
    scene.remote.point(before)
    scene.remote.push({".gpg-id": (PLAIN, (f"{scene.keys['alice']}\n{keys}")[: 41 * 500].encode())})
    answer = scene.passhelper("sync")
    assert answer.code == 4
    assert f" and {recipients.MAX_KEYS - 1 - claims.MAX_NAMED} more keys (.gpg-id)" in answer.err.decode()


def lists(scene: Scene, count: int) -> list[tuple[str, bytes]]:
    """A list of keys for each of many servers."""
    _, text = scene.lines("alice")
    return [(place(f"https://{number}.example", ".gpg-id"), text) for number in range(count)]


def zeros(count: int) -> list[tuple[str, bytes]]:
    """Entries that are as large as one may be, and of which a fetch brings next to nothing."""
    return [(place(EVIL, f"{number}.gpg"), bytes(4 << 20)) for number in range(count)]


def refused(scene: Scene, commit: str, what: str) -> None:
    """Neither a sync nor a verb nor a first clone takes it, and nothing of it is checked out."""
    around, head = snapshot(scene), scene.alice.git("rev-parse", "HEAD")
    said = f"error: commit {commit[:12]} brings {what} at once\nhint: {RAISE}\n"
    assert scene.helper.get("https://missing.example", PASSHELPER_SYNC="pull").code == 1
    answer = scene.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (4, said)
    assert (snapshot(scene), scene.alice.git("rev-parse", "HEAD")) == (around, head)
    fresh = scene.alice.path.parent / "fresh"
    environ = {**scene.alice.environ, "PASSWORD_STORE_DIR": str(fresh)}
    answer = run([scene.installed.passhelper, "setup", "--git", str(scene.remote.path)], environ)
    assert (answer.code, said in answer.err.decode()) == (4, True), answer
    assert not fresh.exists() or not os.listdir(fresh)


def test_lists_of_keys(scene: Scene) -> None:
    refused(
        scene,
        scene.remote.flood(lists(scene, incomingtree.MAX_LISTS + 1)),
        f"more than {incomingtree.MAX_LISTS} lists of keys",
    )


def test_bytes(scene: Scene) -> None:
    """A fetch of a few hundred kilobytes; each file is allowed, and so is their number."""
    commit = scene.remote.flood(zeros(150))
    refused(scene, commit, f"more than {incomingtree.MAX_BYTES} bytes")
    before = scene.alice.path / ".git"
    assert sum(path.stat().st_size for path in before.rglob("*") if path.is_file()) < 4 << 20


def test_one_folder_over_and_over(scene: Scene) -> None:
    """A tree that names one folder many times is small, and no end of files."""
    entry = scene.remote.entries()[".gpg-id"]
    tree = scene.remote.write_tree([(*entry, f"{number}.gpg") for number in range(10)])
    for _ in range(9):
        tree = scene.remote.write_tree([("40000", tree, str(number)) for number in range(10)])
    commit = scene.remote.commit(tree, ["main"])
    scene.remote.point(commit)
    refused(scene, commit, f"more than {incomingtree.MAX_FILES} files and folders")


@pytest.mark.parametrize(
    ("name", "what"), [("MAX_COMMITS", "commits"), ("MAX_FILES", "files and folders"), ("MAX_LISTS", "lists of keys")]
)
def test_one_too_many(scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, what: str) -> None:
    """As many as are allowed come in."""
    there = 0 if what != "files and folders" else 10 + len(scene.alice.git("ls-tree", "-r", "-t", "HEAD").splitlines())
    most = there or 5
    monkeypatch.setattr(incomingtree, name, most)
    store = PassStore(scene.alice.environ, lambda _: None)
    accepted = frozenset([scene.keys["alice"]])
    number = 0

    def flood(count: int) -> str:
        nonlocal number
        number += 1
        _, text = scene.lines("alice")
        names = [f"https://{number}-{each}.example" for each in range(count)]
        files = [(place(name, ".gpg-id" if what == "lists of keys" else "x.txt"), text) for name in names]
        return scene.remote.flood(files[:1] if what == "commits" else files, commits=count if what == "commits" else 1)

    flood(5)
    sync_module.sync(store, Options(accepted=accepted))
    commit = flood(6)
    with pytest.raises(TrustError) as caught:
        sync_module.sync(store, Options(accepted=accepted))
    assert str(caught.value) == f"commit {commit[:12]} brings more than {most} {what} at once; {RAISE}"
    again = PassStore({**scene.alice.environ, "PASSHELPER_INCOMING": "2"}, lambda _: None)
    sync_module.sync(again, Options(accepted=accepted))
    assert scene.alice.git("rev-parse", "HEAD").strip() == commit


def test_one_commit_too_many_in_a_first_clone(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A whole history may be longer than what comes in at once; it has an end, too."""
    monkeypatch.setattr(incomingtree, "MAX_COMMITS", 1)
    count = int(scene.alice.git("rev-list", "--count", "HEAD"))

    def obtain(name: str, **environ: str) -> None:
        store = PassStore(
            {**scene.alice.environ, "PASSWORD_STORE_DIR": str(tmp_path / name), **environ}, lambda _: None
        )
        SharedStore(store, Source(str(scene.remote.path)), is_whole=False).obtain()

    monkeypatch.setattr(incomingtree, "MAX_FIRST_COMMITS", count)
    obtain("as many")
    monkeypatch.setattr(incomingtree, "MAX_FIRST_COMMITS", count - 1)
    with pytest.raises(TrustError, match=f"brings more than {count - 1} commits at once; find out who pushed it"):
        obtain("one too many")
    obtain("twice as many", PASSHELPER_INCOMING="2")


@pytest.mark.parametrize("way", ["sync", "first push"])
def test_whoever_would_push_too_much_is_told_before(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """Nobody else could sync after that, and he would not know."""
    alice = scene.alice
    monkeypatch.setattr(incomingtree, "MAX_BYTES", 1000)
    scene.helper.store("https://large.example", "u", "x" * 4000)
    remote = scene.remote.path
    if way == "first push":
        remote = tmp_path / "empty.git"
        assert run(["git", "init", "-q", "--bare", str(remote)], alice.environ).code == 0
        alice.git("remote", "remove", "origin")

    def push(**environ: str) -> None:
        store = PassStore({**alice.environ, **environ}, lambda _: None)
        if way == "sync":
            sync_module.sync(store, Options())
        else:
            SharedStore(store, Source(str(remote)), is_whole=False).publish()

    def tip() -> bytes:
        return run(["git", "--git-dir", str(remote), "rev-parse", "--verify", "--quiet", "main"], alice.environ).out

    before = tip()
    with pytest.raises(StoreError) as caught:
        push()
    head = alice.git("rev-parse", "HEAD").strip()
    assert str(caught.value) == (
        f"not pushed, because no other clone would accept it: commit {head[:12]} brings more than 1000 bytes at once; "
        f"push it in parts that others sync one by one: git -C {alice.path} push REMOTE COMMIT:BRANCH; or set "
        "PASSHELPER_INCOMING=2 or more, here and wherever it is synced"
    )
    assert tip() == before
    push(PASSHELPER_INCOMING="100")
    assert tip().decode().strip() == head


def test_whoever_would_push_what_no_store_may_hold_is_told_before(scene: Scene) -> None:
    alice = scene.alice
    os.symlink("/etc/passwd", alice.path / "link")
    alice.git("add", "link")
    alice.git("-c", "user.name=a", "-c", "user.email=a@example.test", "commit", "-q", "-m", "Link")
    before = scene.remote.head
    answer = scene.passhelper("sync")
    head = alice.git("rev-parse", "HEAD").strip()
    assert (answer.code, scene.remote.head) == (1, before)
    assert answer.err.decode() == (
        f"error: not pushed, because no other clone would accept it: commit {head[:12]} brings a symbolic link: link\n"
        f"hint: remove it, commit that, and sync again; look: git -C {alice.path} show --stat {head[:12]}\n"
    )
    alice.git("rm", "-q", "link")
    alice.git("-c", "user.name=a", "-c", "user.email=a@example.test", "commit", "-q", "-m", "Mend")
    assert scene.passhelper("sync").code == 0


def test_an_honest_large_store(scene: Scene, tmp_path: Path) -> None:
    """More commits than may come in at once later, thousands of credentials, and a list of its own for every second."""
    entry = scene.keys.encrypt(PASSWORD.encode(), "alice")
    _, text = scene.lines("alice")
    names = [f"https://{number}.registry.example/a/longer/path" for number in range(5_000)]
    files = [(place(name, "deploy.gpg"), entry) for name in names]
    files += [(place(name, ".gpg-id"), text) for name in names[::2]]
    scene.remote.flood(files, commits=incomingtree.MAX_COMMITS + 1)
    environ = {**scene.alice.environ, "PASSWORD_STORE_DIR": str(tmp_path / "fresh")}
    shared = SharedStore(PassStore(environ, lambda _: None), Source(str(scene.remote.path)), is_whole=False)
    shared.obtain()
    shared.accept(None)
    assert len(list((tmp_path / "fresh").rglob("*.gpg"))) > len(names)
    scene.remote.flood([(place(EVIL, "deploy.gpg"), entry)], commits=incomingtree.MAX_COMMITS - 1)
    answer = run([scene.installed.passhelper, "sync"], environ)
    assert answer.code == 0, answer


def test_bytes_of_a_fast_forward(scene: Scene) -> None:
    """The fetch of a verb leaves to sync what is more than it can write in a moment, though it is one content."""
    scene.remote.flood(zeros(5))
    assert forward._LIMIT < 5 * (4 << 20)
    head = scene.alice.git("rev-parse", "HEAD")
    scene.helper.get("https://missing.example", PASSHELPER_SYNC="pull")
    assert scene.alice.git("rev-parse", "HEAD") == head
    assert scene.alice.git("rev-parse", "origin/main") == scene.remote.head


@pytest.mark.timeout(300)  # git packs, sends and unpacks 48 MB of noise
def test_memory(scene: Scene) -> None:
    """What a merge brings lies in memory three times at most, beside what the program needs anyway."""
    scene.remote._git("config", "core.bigFileThreshold", "1m")  # or git looks for what they have in common, for minutes
    scene.remote.flood([(place(EVIL, f"{number}.gpg"), os.urandom(4 << 20)) for number in range(12)])
    script = (
        "import os\nfrom passhelper.store.store import PassStore\nfrom passhelper.team.sync import exchange as sync\n"
        "sync.sync(PassStore(os.environ, print), sync.Options())\n"
        # Not ru_maxrss, which begins at that of the process that has started this one.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    answer = run([scene.installed.python, "-c", script], scene.alice.environ)
    peak = int(answer.out.split()[-1]) << 10
    assert answer.code == 0, answer
    assert peak < (120 << 20) + 3 * 12 * (4 << 20)


def test_a_remote_that_is_slow_each_time(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte and then another is an answer that never ends: all that a command waits for its remote has one end."""
    program, started = tmp_path / "ssh", tmp_path / "started"
    program.write_text(f'#!/bin/sh\necho >> "{started}"\nprintf fff0\nwhile sleep 0.2; do printf x; done\n')
    program.chmod(0o755)
    scene.alice.git("remote", "set-url", "origin", "ssh://slow.example/store")
    monkeypatch.setattr(network, "SECONDS", 0.8)
    monkeypatch.setattr(network, "ALL_SECONDS", 1.0)
    store = PassStore({**scene.alice.environ, "GIT_SSH_COMMAND": str(program)}, lambda _: None)
    with gitrepo.opened(sync_module.shared_repository(store), store.environ) as git:
        upstream = network.find(git)
        for late in ("no answer within 0.8 s", "it has kept us for 1 s in all", "it has kept us for 1 s in all"):
            with pytest.raises(RemoteError, match=f"the remote origin cannot be fetched from: {late}"):
                network.fetch(git, upstream)
    assert started.read_text().count("\n") <= 3
