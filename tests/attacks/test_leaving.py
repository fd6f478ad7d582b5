"""Who leaves has no veto: whatever he pushes, he is taken out of everything else, and what he still reads is said.

Mallory, ``bob`` in the keyring, is a member of the whole store and about to be removed. See ``attackers.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import FOLDER, PASSPHRASE
from support.people.attackers import LATER, MALLORYS, PROD, Scene, ids_of, place
from support.people.remotes import PLAIN

from passhelper.store import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.people.remotes import File

PLANT = "https://plant.example"


@pytest.fixture
def scene(scene: Scene) -> Iterator[Scene]:
    """Mallory reads everything by the store's own list, and prod's entry; his secret key is not on alice's machine."""
    ring = scene.own_keyring("bob", "stranger")
    loopback = ("--pinentry-mode", "loopback", "--passphrase", PASSPHRASE)
    ring.gpg("--import", stdin=scene.keys.gpg(*loopback, "--export-secret-keys", scene.keys["locked"]).stdout)
    scene.remote.push({".gpg-id": scene.lines("alice", "bob"), place(MALLORYS, ".gpg-id"): None})
    names = ("--accept-recipients", f"{scene.keys['alice']} {scene.keys['bob']}")
    assert scene.passhelper("sync", *names).code == 0
    assert readers(scene, PROD) == {"alice", "bob"}
    yield scene
    ring.stop_agent()


def readers(scene: Scene, server: str, file: str = "deploy.gpg") -> set[str]:
    found = ids_of((scene.alice.path / place(server, file)).read_bytes())
    return {name for name in ("alice", "bob") if scene.subkey(name) in found}


def hidden(scene: Scene) -> bytes:
    return scene.keys.encrypt(b"x", "bob", options=("--throw-keyids",))


def broken(scene: Scene) -> bytes:
    """A message to alice that gpg cannot open, and says nothing that is known about: no such cipher."""
    data = bytearray(scene.keys.encrypt(b"x" * 40, "alice", "bob"))
    data[-20:] = bytes(20)
    return bytes(data)


READS, MAY, NOT = "a removed key can still read it; ", "a removed key may still read it; ", ""
PLANTS: dict[str, tuple[Callable[[Scene], bytes], str]] = {
    "that only he can read": (lambda scene: scene.keys.encrypt(b"x", "bob"), READS),
    "that he hides": (hidden, MAY),
    "for a key of hers that is locked": (lambda scene: scene.keys.encrypt(b"x", "bob", "locked"), READS),
    "that is bound elsewhere": (lambda scene: scene.ciphertext(PROD), READS),
    "that is damaged": (broken, READS),
    "that is not a message": (lambda _: b"\x84\x5e\x03", MAY),
    "that has a password of its own": (
        lambda scene: (
            scene.keys.gpg("--pinentry-mode", "loopback", "--passphrase", "x", "--symmetric", stdin=b"x").stdout
        ),
        MAY,
    ),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_an_entry(scene: Scene, kind: str) -> None:
    """It is skipped and named; the rest is done."""
    make, readable = PLANTS[kind]
    scene.remote.push({place(PLANT, "x.gpg"): (PLAIN, make(scene))})
    scene.passhelper("sync")
    answer = scene.passhelper("recipients", "remove", scene.keys["bob"])
    assert answer.code == 3, answer
    warning = next(line for line in answer.err.decode().splitlines() if line.startswith(f"warning: {PLANT} (x): "))
    assert warning.startswith(f"warning: {PLANT} (x): {readable}it is left as it is: ")
    assert f"removed {scene.name('', 'bob')}" in answer.text
    assert readers(scene, PROD) == {"alice"}
    assert scene.keys["bob"] not in (scene.alice.path / ".gpg-id").read_text()
    # He is not a recipient of what comes next, here and in the remote.
    assert scene.helper.store(LATER, "deploy", "new").code == 0
    assert readers(scene, LATER) == {"alice"}
    assert scene.passhelper("sync").code in (0, 3)
    assert scene.keys["bob"].encode() not in scene.remote.read(".gpg-id")
    check = scene.passhelper("recipients", "check", "--json")
    if kind == "that he hides":  # who reads it, nobody sees: it is only counted
        assert (check.code, check.json["data"]["uncertain"]) == (0, 1)
    else:
        assert check.code == 3
        assert PLANT in {each["server"] for each in check.json["data"]["drift"]}


def test_json(scene: Scene) -> None:
    scene.remote.push({place(PLANT, "x.gpg"): (PLAIN, scene.keys.encrypt(b"x", "bob"))})
    scene.passhelper("sync")
    data = scene.passhelper("recipients", "remove", "--json", scene.keys["bob"]).json["data"]
    (left,) = data["left"]
    assert left["reason"].startswith("it is encrypted to ")
    assert {**left, "reason": ""} == {"server": PLANT, "username": "x", "reason": "", "readable": True}
    assert data["lists"] == []


def test_an_entry_that_is_not_bound_and_lacks_a_reader(scene: Scene) -> None:
    """He is taken out of it, and nobody is added."""
    scene.remote.push({".gpg-id": scene.lines("alice", "bob", "stranger")})
    names = [scene.keys[name] for name in ("alice", "bob", "stranger")]
    assert scene.passhelper("sync", "--accept-recipients", " ".join(names)).code == 0
    scene.remote.push({place(PLANT, "x.gpg"): (PLAIN, scene.keys.encrypt(b"x", "alice", "bob"))})
    assert scene.passhelper("sync").code == 3
    answer = scene.passhelper("recipients", "remove", scene.keys["bob"])
    assert (answer.code, f"{PLANT} (x): " in answer.err.decode()) == (0, False), answer
    assert readers(scene, PLANT, "x.gpg") == {"alice"}
    assert scene.subkey("stranger") not in ids_of((scene.alice.path / place(PLANT, "x.gpg")).read_bytes())


@pytest.mark.parametrize("path", [(), ("--path", PROD)], ids=["everywhere", "one server"])
def test_an_entry_in_another_spelling(scene: Scene, path: tuple[str, ...]) -> None:
    odd = f"{FOLDER}/{place(PROD).rpartition('/')[2].rstrip('=')}/deploy.gpg"
    scene.remote.push({odd: (PLAIN, scene.ciphertext(PROD))})
    assert scene.passhelper("sync").code == 0
    assert scene.passhelper("recipients", "remove", *path, scene.keys["bob"]).code == 0
    assert readers(scene, PROD) == {"alice"}
    assert scene.subkey("bob") not in ids_of((scene.alice.path / odd).read_bytes())


def accepted(scene: Scene, files: dict[str, File]) -> None:
    scene.remote.push(files)
    names = ",".join(scene.keys[name] for name in ("alice", "bob", "stranger"))
    folders = [path.split("/")[1] for path in files if path.endswith("/.gpg-id")]
    words = [names, *(f"{layout.decode_server(folder)}={names}" for folder in folders)]
    assert scene.passhelper("sync", "--accept-recipients", " ".join(words)).code in (0, 3)


def test_a_list_that_names_only_him(scene: Scene) -> None:
    """Nobody would be left there, so it stays; the rest is done."""
    path = place(PLANT, ".gpg-id")
    accepted(scene, {path: scene.lines("bob"), place(PLANT, "x.gpg"): (PLAIN, scene.keys.encrypt(b"x", "bob"))})
    answer = scene.passhelper("recipients", "remove", scene.keys["bob"])
    assert answer.code == 3
    assert answer.err.decode().startswith(
        f"warning: {path} still names the removed key: {path} would name no key any more; "
        f"add another one first: passhelper recipients add --path {PLANT} KEY\n"
    )
    assert readers(scene, PROD) == {"alice"}
    assert scene.keys["bob"] not in (scene.alice.path / ".gpg-id").read_text()
    (listed,) = scene.passhelper("recipients", "list", "--json").json["data"][1:]
    assert (listed["file"], listed["fingerprint"]) == (path, scene.keys["bob"])


def test_a_list_that_does_not_name_the_remover(scene: Scene) -> None:
    """He is taken out of it; a member who can read the entry encrypts it anew when he syncs."""
    path, entry = place(PLANT, ".gpg-id"), place(PLANT, "x.gpg")
    data = scene.keys.encrypt(b"x", "bob", "stranger")
    accepted(scene, {path: scene.lines("bob", "stranger"), entry: (PLAIN, data)})
    answer = scene.passhelper("recipients", "remove", scene.keys["bob"])
    assert answer.code == 3
    said = f"warning: {PLANT} (x): a removed key can still read it; it is left as it is: it is encrypted to "
    assert said in answer.err.decode()
    assert (scene.alice.path / path).read_text().split() == [scene.keys["stranger"]]
    assert readers(scene, PROD) == {"alice"}


def test_a_machine_whose_gpg_is_broken_changes_nothing(scene: Scene) -> None:
    """That is nobody's veto: nothing says that the entries are to blame."""
    before = scene.alice.git("rev-parse", "HEAD"), (scene.alice.path / ".gpg-id").read_text()
    wrapper = scene.sign.parent / "gpg"
    wrapper.write_text('#!/bin/sh\ncase " $* " in *" --decrypt "*) exit 2 ;; esac\nexec gpg "$@"\n')
    wrapper.chmod(0o755)
    answer = scene.passhelper("recipients", "remove", scene.keys["bob"], PASSHELPER_GPG=str(wrapper))
    assert answer.code == 1, answer
    assert answer.err.decode().startswith("error: 2 entries cannot be encrypted anew: ")
    assert (scene.alice.git("rev-parse", "HEAD"), (scene.alice.path / ".gpg-id").read_text()) == before
