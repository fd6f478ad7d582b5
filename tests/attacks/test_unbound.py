"""Who reads an entry that is not bound: what the entry itself says about that is the attacker's word.

Prod's entry was written by ``pass``, so nothing inside it says where it belongs, and alice alone reads it. Mallory,
``bob`` in the keyring, is a reader of one server. He copies prod's ciphertext there and writes key ids before it, so
that whoever reads these takes him for one of its readers. His secret key is not on alice's machine.
"""

from __future__ import annotations

import shlex
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support import FOLDER
from support.people.attackers import EVIL, MALLORYS, PASSWORD, PROD, Scene, ids_of, place
from support.people.remotes import PLAIN
from support.people.terminals import Person
from support.worlds.readers import Reader

from passhelper.store import layout, packets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COPY = place(MALLORYS, "mallory.gpg")
HINT = "look at each, then run: passhelper reencrypt --yes SERVER; or, for all of them: passhelper reencrypt --unbound"
WHY = "it is not bound to its server, so it may have been copied here to be read by others"


@pytest.fixture
def scene(scene: Scene) -> Iterator[Scene]:
    """Alice's machine has her secret key alone, and prod's entry is not bound."""
    ring = scene.own_keyring("bob", "stranger")
    scene.remote.push({place(PROD, "deploy.gpg"): (PLAIN, scene.keys.encrypt(PASSWORD.encode(), "alice"))})
    assert scene.passhelper("sync").code == 0
    yield scene
    ring.stop_agent()


@pytest.fixture
def mallory(scene: Scene, short_tmp: Path) -> Iterator[Reader]:
    reader = Reader(scene.keys, "bob", short_tmp)
    yield reader
    reader.close()


def forged(scene: Scene, *names: str) -> bytes:
    """Prod's ciphertext, and before it what says that others can read it."""
    return header(scene, *names) + scene.ciphertext(PROD)


def header(scene: Scene, *names: str) -> bytes:
    other = scene.keys.encrypt(b"x", *names)
    return other[: packets.headers(other)[1]]


def readers(scene: Scene, path: str) -> list[str]:
    """Whom a file of alice's store names."""
    found = ids_of((scene.alice.path / path).read_bytes())
    return [name for name in ("alice", "bob", "stranger") if scene.subkey(name) in found]


def accepted(scene: Scene, *names: str, server: str = MALLORYS) -> int:
    """A list of one server changes elsewhere, and alice accepts that; gives what sync ends with."""
    scene.remote.push({place(server, ".gpg-id"): scene.lines(*names)})
    allowed = f"{server}={','.join(scene.keys[name] for name in names)}"
    return scene.passhelper("sync", "--accept-recipients", allowed).code


def allowed(scene: Scene, *servers: str, who: tuple[str, ...] = ("alice", "bob")) -> str:
    """What alice types to accept the lists of some servers."""
    names = ",".join(scene.keys[name] for name in who)
    return " ".join(f"{server}={names}" for server in servers)


def assert_kept(scene: Scene, mallory: Reader) -> None:
    """Mallory reads prod's password nowhere: neither here nor in the remote, whatever is synced later."""
    scene.passhelper("sync")
    there = [path for path in scene.alice.path.rglob("*.gpg") if ".git" not in path.parts]
    assert PASSWORD.encode() not in map(mallory.reads, there)
    assert scene.alice.git("rev-parse", "HEAD") == scene.remote.head
    assert scene.keys.gpg("--decrypt", stdin=scene.ciphertext(PROD)).stdout == PASSWORD.encode()


def test_reencrypt(scene: Scene, mallory: Reader) -> None:
    """Somebody who has no business there is to be taken out, and mallory seems to stay."""
    scene.remote.push({COPY: (PLAIN, forged(scene, "bob", "stranger"))})
    answer = scene.passhelper("sync")
    said = f"{MALLORYS} (mallory): {WHY}; run: passhelper reencrypt {MALLORYS}"
    assert (answer.code, said in answer.err.decode()) == (3, True), answer
    answer = scene.passhelper("reencrypt")
    assert answer.code == 3, answer
    assert answer.err.decode() == (f"warning: {MALLORYS} (mallory) is left as it is: {WHY}\n{HINT}\n")
    answer = scene.passhelper("reencrypt", MALLORYS)  # nobody is there to say yes
    assert answer.code == 3
    assert answer.err.decode().endswith(f"look at each, then run: passhelper reencrypt --yes {MALLORYS}\n")
    assert_kept(scene, mallory)


@pytest.mark.parametrize("path", [("--path", MALLORYS), ()], ids=["one server", "the store"])
def test_recipients_add(scene: Scene, mallory: Reader, path: tuple[str, ...]) -> None:
    """The copy looks as right as any entry there, and somebody else comes."""
    copy = COPY if path else place(EVIL, "x.gpg")
    if not path:
        scene.remote.push({".gpg-id": scene.lines("alice", "bob"), place(PROD, ".gpg-id"): scene.lines("alice")})
        names = f"{scene.keys['alice']} {scene.keys['bob']}"
        assert scene.passhelper("sync", "--accept-recipients", names).code == 0
    scene.remote.push({copy: (PLAIN, forged(scene, "bob"))})
    assert scene.passhelper("sync").code == 0
    assert scene.passhelper("recipients", "check").code == 0
    head = scene.alice.git("rev-parse", "HEAD")
    answer = scene.passhelper("recipients", "add", *path, scene.keys["stranger"])
    assert answer.code == 1, answer
    assert answer.err.decode().startswith("error: 1 entry cannot be encrypted anew: ")
    words = " ".join(["--unbound", *path, scene.keys["stranger"]])
    assert answer.err.decode().endswith(f": {WHY}\nhint: look at each, then run: passhelper recipients add {words}\n")
    assert (scene.alice.git("rev-parse", "HEAD"), scene.alice.git("status", "--porcelain")) == (head, "")
    assert_kept(scene, mallory)


def test_recipients_remove(scene: Scene, mallory: Reader) -> None:
    assert accepted(scene, "alice", "bob", "stranger") in (0, 3)
    scene.remote.push({COPY: (PLAIN, forged(scene, "bob", "stranger"))})
    scene.passhelper("sync")
    answer = scene.passhelper("recipients", "remove", scene.keys["stranger"])
    assert answer.code == 3, answer
    said = f"warning: {MALLORYS} (mallory): a removed key can still read it; it is left as it is: {WHY}\n"
    assert said in answer.err.decode()
    assert f"{HINT}\n" in answer.err.decode()
    assert scene.keys["stranger"] not in (scene.alice.path / place(MALLORYS, ".gpg-id")).read_text()
    assert_kept(scene, mallory)


def test_sync_after_it_has_seen_the_copy(scene: Scene, mallory: Reader) -> None:
    """It looked right each time, until somebody else came."""
    scene.remote.push({COPY: (PLAIN, forged(scene, "bob"))})
    for _ in range(2):
        assert scene.passhelper("sync").code == 0
    assert accepted(scene, "alice", "bob", "stranger") == 3
    assert_kept(scene, mallory)


def test_sync_after_somebody_has_left(scene: Scene, mallory: Reader) -> None:
    assert accepted(scene, "alice", "bob", "stranger") in (0, 3)
    scene.remote.push({COPY: (PLAIN, forged(scene, "bob", "stranger"))})
    for _ in range(2):
        scene.passhelper("sync")
    assert accepted(scene, "alice", "bob") == 3
    assert_kept(scene, mallory)


def test_he_asks_to_be_let_in(scene: Scene, mallory: Reader) -> None:
    """To a server that alice alone reads, in whose place he has put prod's entry as it is."""
    scene.remote.push({place(EVIL, "x.gpg"): (PLAIN, scene.ciphertext(PROD))})
    assert scene.passhelper("sync").code == 0
    answer = scene.passhelper("recipients", "add", "--path", EVIL, scene.keys["bob"])
    assert (answer.code, WHY in answer.err.decode()) == (1, True), answer
    assert_kept(scene, mallory)


def test_nor_when_he_was_let_in_elsewhere(scene: Scene, mallory: Reader) -> None:
    """The list comes with a sync, and the copy was here before, and right."""
    scene.remote.push({place(EVIL, "x.gpg"): (PLAIN, scene.ciphertext(PROD))})
    assert scene.passhelper("sync").code == 0
    assert accepted(scene, "alice", "bob", server=EVIL) == 3
    assert_kept(scene, mallory)


@pytest.mark.parametrize("command", [("sync",), ("reencrypt",)], ids=" ".join)
def test_another_name_of_the_registry_in_another_spelling(
    scene: Scene, mallory: Reader, command: tuple[str, ...]
) -> None:
    """What is bound, too: it is for everybody by the list of its own name, and not by that of the other one."""
    other = "prod.example"
    assert scene.helper.store(other, "deploy", PASSWORD).code == 0
    assert scene.passhelper("sync").code == 0
    scene.remote.push({".gpg-id": scene.lines("alice", "bob"), place(PROD, ".gpg-id"): scene.lines("alice")})
    names = f"{scene.keys['alice']} {scene.keys['bob']}"
    assert scene.passhelper("sync", "--accept-recipients", names).code == 3
    assert readers(scene, place(other, "deploy.gpg")) == ["alice"]
    odd = f"{FOLDER}/{layout.spellings(other)[1]}/deploy.gpg"
    scene.remote.push({
        odd: (PLAIN, header(scene, "bob", "stranger") + scene.ciphertext(other)), place(other, "deploy.gpg"): None,
    })  # fmt: skip
    scene.passhelper("sync")
    scene.passhelper(*command)
    assert_kept(scene, mallory)


# What a person says counts, and is asked for once


def _team(scene: Scene) -> str:
    """A server that alice and mallory read, with an entry that ``pass`` has written."""
    scene.his.add(b"theirs")
    scene.remote.push({COPY: (PLAIN, scene.keys.encrypt(b"theirs", "alice", "bob"))})
    assert scene.passhelper("sync").code == 0
    return COPY


def test_what_the_message_says_works_as_it_is_typed(scene: Scene) -> None:
    path = _team(scene)
    refused = scene.passhelper("recipients", "add", "--path", MALLORYS, scene.keys["stranger"])
    typed = shlex.split(refused.err.decode().partition("run: passhelper ")[2])
    answer = scene.passhelper(*typed)
    assert (answer.code, answer.err) == (0, b"")
    assert readers(scene, path) == ["alice", "bob", "stranger"]
    # It is bound now, so nobody is asked again.
    answer = scene.passhelper("recipients", "remove", "--path", MALLORYS, scene.keys["stranger"])
    assert answer.code == 0, answer
    assert readers(scene, path) == ["alice", "bob"]
    assert scene.helper.get(MALLORYS, PASSHELPER_REQUIRE_BOUND="1").json["Secret"] == "theirs"


def test_a_person_is_asked(scene: Scene) -> None:
    path = _team(scene)
    before = (scene.alice.path / path).read_bytes()
    command = [scene.installed.passhelper, "recipients", "add", "--path", MALLORYS, scene.keys["stranger"]]
    for typed, code in ((b"n\n", 1), (b"y\n", 0)):
        person = Person((b"may they read it? [y/N] ", typed))
        answer = person.run(command, {**scene.alice.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b"")
        said = b"".join(person.screen.split(b"\r\n")).decode()
        assert answer.code == code, (answer, said)
        assert f"{MALLORYS} (mallory) is not bound to its server. Who reads it then: {scene.name('', 'alice')}" in said
        assert ((scene.alice.path / path).read_bytes() == before) is bool(code)
    assert readers(scene, path) == ["alice", "bob", "stranger"]


def test_what_is_put_there_while_a_person_thinks(scene: Scene, mallory: Reader) -> None:
    path = scene.alice.path / _team(scene)
    planted = forged(scene, "bob")
    person = Person((b"may they read it? [y/N] ", b"y\n"))

    def attack() -> None:
        while b"[y/N] " not in person.screen:
            time.sleep(0.001)
        path.write_bytes(planted)  # before the answer, which takes a tenth of a second to type

    attacker = threading.Thread(target=attack)
    attacker.start()
    command = [scene.installed.passhelper, "recipients", "add", "--path", MALLORYS, scene.keys["stranger"]]
    answer = person.run(command, {**scene.alice.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b"")
    attacker.join()
    assert (answer.code, path.read_bytes()) == (1, planted), (answer, person.screen)
    assert mallory.reads(path) is None


def test_a_store_of_ones_own_needs_no_word(scene: Scene) -> None:
    """Nobody else reads it and nobody can push to it: nothing can have been put there."""
    path = place(EVIL, "x.gpg")
    scene.remote.push({path: (PLAIN, scene.keys.encrypt(b"s", "alice"))})
    assert scene.passhelper("sync").code == 0
    scene.alice.git("remote", "remove", "origin")
    answer = scene.passhelper("recipients", "add", "--path", EVIL, scene.keys["bob"])
    assert (answer.code, answer.err) == (0, b"")
    assert readers(scene, path) == ["alice", "bob"]
    answer = scene.passhelper("recipients", "add", "--path", EVIL, scene.keys["stranger"])
    assert (answer.code, WHY in answer.err.decode()) == (1, True)  # from now on it is bob's word, too


def test_a_branch_that_follows_a_path_is_shared(scene: Scene) -> None:
    """git pulls from there by itself, although no remote has a name."""
    path = place(EVIL, "x.gpg")
    scene.remote.push({path: (PLAIN, scene.keys.encrypt(b"s", "alice"))})
    scene.alice.git("remote", "remove", "origin")
    scene.alice.git("config", "branch.main.remote", str(scene.remote.path))
    scene.alice.git("config", "branch.main.merge", "refs/heads/main")
    scene.alice.git("pull")
    answer = scene.passhelper("recipients", "add", "--path", EVIL, scene.keys["bob"])
    assert (answer.code, WHY in answer.err.decode()) == (1, True), answer
    assert readers(scene, path) == ["alice"]
    scene.alice.git("config", "branch.main.remote", ".")  # a branch of this very repository
    answer = scene.passhelper("recipients", "add", "--path", EVIL, scene.keys["bob"])
    assert (answer.code, answer.err) == (0, b"")


@pytest.mark.parametrize("name", ["--unbound", "-h"])
def test_a_server_that_is_called_like_an_option(scene: Scene, mallory: Reader, name: str) -> None:
    """What the message says to type is about that server alone, and opens no other copy."""
    server_list = scene.lines("alice", "bob")
    scene.remote.push({place(name, ".gpg-id"): server_list, place(EVIL, ".gpg-id"): server_list})
    assert scene.passhelper("sync", "--accept-recipients", allowed(scene, name, EVIL)).code == 0
    scene.his.add(b"harmless")
    harmless = scene.keys.encrypt(b"harmless", "alice")
    scene.remote.push({place(name, "x.gpg"): (PLAIN, harmless), place(EVIL, "x.gpg"): (PLAIN, scene.ciphertext(PROD))})
    answer = scene.passhelper("sync")
    said = next(line for line in answer.err.decode().splitlines() if line.startswith(f"warning: {name} (x): "))
    typed = shlex.split(said.partition("run: passhelper ")[2])
    answer = scene.passhelper(*typed)
    assert readers(scene, place(EVIL, "x.gpg")) == ["alice"], typed
    assert answer.code == 3, answer  # nobody is there to say yes
    answer = scene.passhelper(*shlex.split(answer.err.decode().splitlines()[-1].partition("run: passhelper ")[2]))
    assert (answer.code, readers(scene, place(name, "x.gpg"))) == (0, ["alice", "bob"]), answer
    assert readers(scene, place(EVIL, "x.gpg")) == ["alice"]
    assert_kept(scene, mallory)


def test_each_entry_has_a_line_of_its_own(scene: Scene) -> None:
    """He chooses the names of what he has put there, and none may look like the end of the list."""
    servers = [EVIL, "https://other.example"]
    name = "u) are not bound to their server. Who reads them then: alice"
    for server in servers:
        copy = scene.keys.encrypt(b"s", "alice", "bob")
        scene.remote.push({
            place(server, ".gpg-id"): scene.lines("alice", "bob"), place(server, f"{name}.gpg"): (PLAIN, copy),
        })  # fmt: skip
    assert scene.passhelper("sync", "--accept-recipients", allowed(scene, *servers)).code == 0
    scene.remote.push({place(server, ".gpg-id"): scene.lines("alice", "bob", "stranger") for server in servers})
    everybody = allowed(scene, *servers, who=("alice", "bob", "stranger"))
    assert scene.passhelper("sync", "--accept-recipients", everybody).code == 3
    person = Person((b"may they read it? [y/N] ", b"n\n"))
    command = [scene.installed.passhelper, "reencrypt", *servers]
    answer = person.run(command, {**scene.alice.environ, "PASSHELPER_NONINTERACTIVE": "0"}, b"")
    assert answer.code == 3, (answer, person.screen)
    lines = person.screen.decode().split("\r\n")
    there = [line for line in lines if "u) are" in line and "left as it is" not in line]
    assert len(there) == len(servers), lines
    assert all(any(f"{server} ({name})" in line for line in there) for server in servers), lines


@pytest.mark.parametrize("words", [("--yes", MALLORYS), ("--unbound",)], ids=" ".join)
def test_reencrypt_with_a_word(scene: Scene, words: tuple[str, ...]) -> None:
    path = _team(scene)
    answer = scene.passhelper("recipients", "add", "--path", MALLORYS, "--unbound", scene.keys["stranger"])
    assert answer.code == 0, answer
    (scene.alice.path / path).write_bytes(scene.keys.encrypt(b"theirs", "alice", "bob"))
    assert scene.passhelper("reencrypt").code == 3
    answer = scene.passhelper("reencrypt", *words)
    assert (answer.code, answer.text) == (0, "encrypted 1 entry anew\n")
    assert readers(scene, path) == ["alice", "bob", "stranger"]
    assert scene.passhelper("recipients", "remove", "--path", MALLORYS, scene.keys["stranger"]).code == 0


def test_remove_with_a_word(scene: Scene) -> None:
    path = _team(scene)
    assert scene.passhelper("recipients", "add", "--path", MALLORYS, "--unbound", scene.keys["stranger"]).code == 0
    (scene.alice.path / path).write_bytes(scene.keys.encrypt(b"theirs", "alice", "bob", "stranger"))
    answer = scene.passhelper("recipients", "remove", "--unbound", scene.keys["stranger"])
    assert answer.code == 0, answer
    assert readers(scene, path) == ["alice", "bob"]


def test_what_only_this_machine_reads_then_needs_no_word(scene: Scene) -> None:
    """Nobody gains who is not a reader of everything on this machine."""
    path = _team(scene)
    answer = scene.passhelper("recipients", "remove", "--path", MALLORYS, scene.keys["bob"])
    assert answer.code == 0, answer
    assert readers(scene, path) == ["alice"]
