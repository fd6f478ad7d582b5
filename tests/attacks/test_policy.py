"""One server has one policy: its list counts for every spelling of its directory and for every name of its registry.

Alice alone reads prod; mallory reads whatever has no list of its own, and he can push. See ``attackers.py``.
"""

from __future__ import annotations

import base64
import shlex

import pytest
from support import FOLDER
from support.people.attackers import PASSWORD, PROD, Scene, ids_of, place
from support.people.remotes import PLAIN

from passhelper.store import layout

# The bytes of this one have a "/" or "+" in the standard alphabet, and padding.
ODD = "https://b\u00fccher.example/\u00ff\u00bf>"


@pytest.fixture
def scene(scene: Scene) -> Scene:
    """Alice alone reads prod, from a list of its own; mallory has become a member of everything else."""
    scene.his.add(b"new")  # what is stored later is his, too
    scene.remote.push({place(PROD, ".gpg-id"): scene.lines("alice"), ".gpg-id": scene.lines("alice", "bob")})
    assert scene.passhelper("sync", "--accept-recipients", f"{scene.keys['alice']} {scene.keys['bob']}").code == 0
    return scene


def others(server: str) -> list[str]:
    """Every other spelling of a server's directory that is read."""
    canonical = base64.urlsafe_b64encode(server.encode()).decode()
    names = layout.spellings(server)
    assert names[0] == canonical
    return names[1:]


def readers(scene: Scene, path: str) -> set[str]:
    """Who reads a file of alice's store."""
    found = ids_of((scene.alice.path / path).read_bytes())
    return {name for name in ("alice", "bob") if scene.subkey(name) in found}


@pytest.mark.parametrize("spelling", others(PROD))
def test_a_copy_in_another_spelling_gets_no_reader(scene: Scene, spelling: str) -> None:
    copy = f"{FOLDER}/{spelling}/deploy.gpg"
    scene.remote.push({copy: (PLAIN, scene.ciphertext(PROD))})
    for _ in range(2):
        assert scene.passhelper("sync").text.find("readers added") == -1
    assert readers(scene, copy) == {"alice"}
    assert scene.passhelper("reencrypt").code == 0
    assert readers(scene, copy) == {"alice"}
    # Every look tells the truth: the readers are right, and the directory is odd.
    assert scene.passhelper("recipients", "check").code == 0
    assert scene.passhelper("reencrypt", PROD, "--yes").code == 0
    assert scene.stolen() <= scene.his


@pytest.mark.parametrize("other", ["prod.example", "prod.example:443", "https://PROD.example/v2/"])
def test_another_name_of_the_registry_is_not_read_by_more(scene: Scene, other: str) -> None:
    """Who stores prod's new password as docker does, without the scheme, would let mallory read it."""
    scene.his.add(b"fine")
    refused = scene.helper.store(other, "deploy", "newest")
    said = (
        f"{other} would be read by {scene.keys['bob']}, but {place(PROD, '.gpg-id')} limits who reads {PROD}, which is "
        f"the same registry; run: passhelper recipients remove --path {other} {scene.keys['bob']}\n"
    )
    assert (refused.code, refused.text) == (1, said)
    assert not (scene.alice.path / place(other)).exists()
    assert scene.helper.store("http://prod.example", "deploy", "fine").code == 0  # another registry
    # What the message says, typed.
    assert scene.passhelper(*shlex.split(refused.text.partition("run: passhelper ")[2])).code == 0
    assert scene.helper.store(other, "deploy", "newest").code == 0
    assert readers(scene, place(other, "deploy.gpg")) == {"alice"}
    assert scene.stolen() <= scene.his


@pytest.mark.parametrize("spelling", others(PROD))
def test_a_decoy_in_another_spelling_is_named(scene: Scene, spelling: str) -> None:
    """What mallory put beside the entry is not served, and he is said to read it."""
    copy = f"{FOLDER}/{spelling}/deploy.gpg"
    scene.his.add(b"decoy")
    scene.remote.push({copy: (PLAIN, scene.keys.encrypt(b"decoy", "alice", "bob"))})
    listed = scene.passhelper("list", "--readable-by", scene.keys["bob"], "--json")  # before sync takes him out
    assert PROD not in {item["server"] for item in listed.json["data"]}
    scene.alice.git("pull", "-q", "--no-rebase")
    listed = scene.passhelper("list", "--readable-by", scene.keys["bob"], "--json")
    assert PROD in {item["server"] for item in listed.json["data"]}
    assert scene.helper.get(PROD).json["Secret"] == PASSWORD
    assert scene.passhelper("recipients", "check").code == 3
    assert scene.passhelper("sync").code == 0
    assert readers(scene, copy) == {"alice"}


def test_nobody_is_added_where_the_directory_is_odd(scene: Scene) -> None:
    """Not even to what is bound to a server without a list, before it lies where it belongs."""
    scene.his.add(PASSWORD.encode())  # this is for everybody, but it was stored before mallory came
    server, odd = "https://all.example", others("https://all.example")[0]
    name = FOLDER + "/" + odd
    assert scene.helper.store(server, "deploy", "new").code == 0
    assert scene.passhelper("recipients", "remove", scene.keys["bob"]).code == 0
    assert scene.passhelper("sync").code == 0
    scene.remote.push({f"{name}/deploy.gpg": (PLAIN, scene.ciphertext(server)), place(server, "deploy.gpg"): None})
    assert scene.passhelper("sync").code == 0
    why = "its directory does not have its usual name, so nobody is added to its readers"
    added = scene.passhelper("recipients", "add", scene.keys["bob"])
    assert added.code == 3
    assert f"warning: {server} (deploy): it is left as it is: {why}; run: passhelper doctor --fix" in added.err.decode()
    for words in (["sync"], ["recipients", "check"], ["reencrypt"], ["reencrypt", server, "--yes"]):
        answer = scene.passhelper(*words)
        assert (answer.code, why in (answer.out + answer.err).decode()) == (3, True), (words, answer)
    assert readers(scene, f"{name}/deploy.gpg") == {"alice"}
    checks = {each["id"]: each for each in scene.passhelper("doctor", "--json").json["data"]["checks"]}
    (finding,) = checks["store.spelling"]["findings"]
    assert finding == {
        "severity": "warning",
        "cause": f"{name} is not the usual directory of {server}, so nobody is added to its readers",
        "remedy": "run: passhelper doctor --fix",
    }
    fixed = scene.passhelper("doctor", "--fix", "--json").json["data"]
    assert {"id": "store.spelling", "what": f"moved the credential of {server}"} in fixed["repaired"]
    assert not (scene.alice.path / name).exists()
    assert scene.helper.get(server).json["Secret"] == "new"
    assert scene.passhelper("sync").code == 0
    assert readers(scene, place(server, "deploy.gpg")) == {"alice", "bob"}


def test_what_is_moved_by_the_doctor_and_not_bound_gets_no_reader(scene: Scene) -> None:
    server = "https://all.example"
    name = f"{FOLDER}/{others(server)[0]}"
    scene.remote.push({f"{name}/deploy.gpg": (PLAIN, scene.keys.encrypt(PASSWORD.encode(), "alice"))})
    assert scene.passhelper("sync").code == 3
    scene.passhelper("doctor", "--fix")
    for _ in range(2):
        assert scene.passhelper("sync").code == 3
    assert readers(scene, place(server, "deploy.gpg")) == {"alice"}
    assert scene.stolen() <= scene.his


def test_a_new_member_does_not_read_the_registry_under_another_name(scene: Scene) -> None:
    """Stored before mallory came, when no list was in the way; prod's own list does not name him."""
    other = "prod.example"
    assert scene.passhelper("recipients", "remove", scene.keys["bob"]).code == 0
    assert scene.helper.store(other, "deploy", PASSWORD).code == 0
    assert scene.passhelper("sync").code == 0
    added = scene.passhelper("recipients", "add", scene.keys["bob"])
    why = (
        f"{place(PROD, '.gpg-id')} limits who reads {PROD}, which is the same registry, so it gets no reader whom that"
    )
    remedy = f"run: passhelper recipients remove --path {other} {scene.keys['bob']}"
    said = f"warning: {other} (deploy): it is left as it is: {why} does not name; {remedy}\n"
    assert (added.code, added.err.decode()) == (3, said)
    for words in (["sync"], ["recipients", "check"], ["reencrypt", other, "--yes"]):
        answer = scene.passhelper(*words)
        assert (answer.code, remedy in (answer.out + answer.err).decode()) == (3, True), (words, answer)
    assert readers(scene, place(other, "deploy.gpg")) == {"alice"}
    # The remedy; then everything is in line.
    assert scene.passhelper(*shlex.split(remedy.removeprefix("run: passhelper "))).code == 0
    assert [scene.passhelper(*words).code for words in (["sync"], ["recipients", "check"], ["doctor"])][:2] == [0, 0]
    assert scene.stolen() <= scene.his
    # Whoever is let in under both names reads both.
    scene.his.add(PASSWORD.encode())
    assert scene.passhelper("recipients", "add", "--path", PROD, scene.keys["bob"]).code == 3
    assert scene.passhelper("recipients", "add", "--path", other, scene.keys["bob"]).code == 0
    assert readers(scene, place(other, "deploy.gpg")) == {"alice", "bob"}
    assert readers(scene, place(PROD, "deploy.gpg")) == {"alice", "bob"}
