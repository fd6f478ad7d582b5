"""An attacker with write access to the remote of a team whose admin signs the lists of recipients."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import run
from support.people.attackers import ACCEPT, LATER, MALLORYS, MEND, PROD, Scene, assert_unharmed, place, snapshot
from support.people.remotes import PLAIN, Member

if TYPE_CHECKING:
    from pathlib import Path

    from support import Answer
    from support.people.remotes import File


STORE, OTHER = (
    "0123456789abcdef" * 2,
    "fedcba9876543210" * 2,
)  # identities: of this store, and of another


@pytest.fixture
def signing(scene: Scene) -> Scene:
    """Signed lists, which came in unasked."""
    return _signing(scene, f" {STORE}")


@pytest.fixture
def old(scene: Scene) -> Scene:
    """The same as it was signed before lists named their store."""
    return _signing(scene, "")


def _signing(scene: Scene, store: str) -> Scene:
    scene.alice.environ["PASSWORD_STORE_SIGNING_KEY"] = scene.keys["alice"]
    mallorys = place(MALLORYS, ".gpg-id")
    scene.remote.push({
        **scene.signed("alice", path=".gpg-id", says=f".gpg-id 3{store}"),
        **scene.signed("alice", "bob", path=mallorys, says=f"{mallorys} 5{store}"),
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
    return _not_signed(
        scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 4 {STORE}", by="bob"))
    )


def _removes_the_signature(scene: Scene) -> str:
    commit = scene.remote.push({".gpg-id.sig": None})
    return f".gpg-id has no signature in commit {commit[:12]}\nhint: {MEND}"


def _adds_unsigned(scene: Scene) -> str:
    commit = scene.remote.push({place(PROD, ".gpg-id"): scene.lines("alice", "bob")})
    return f"{place(PROD, '.gpg-id')} has no signature in commit {commit[:12]}\nhint: {MEND}"


def _replays(scene: Scene) -> str:
    """Mallory was a reader of everything once, and has kept the pair that says so."""
    commit = scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 2 {STORE}"))
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


def _brings_the_list_of_another_store(scene: Scene) -> str:
    """Alice signs that one too, and there he is a reader of everything."""
    commit = scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 9 {OTHER}"))
    return (
        f"recipients changed: {scene.name('+', 'bob')} (.gpg-id) in commit {commit[:12]}; the signed text is that of "
        f"another store\nhint: {ACCEPT}"
    )


def _brings_a_list_that_names_no_store(scene: Scene) -> str:
    """As they were signed before they did: it could be any store's."""
    commit = scene.remote.push(scene.signed("alice", "bob", path=".gpg-id", says=".gpg-id 9"))
    return (
        f"recipients changed: {scene.name('+', 'bob')} (.gpg-id) in commit {commit[:12]}; the signed text does not "
        f"name its store\nhint: {ACCEPT}"
    )


SIGNED_ATTACKS = {
    "swaps a signature": _swaps,
    "signs with his own key": _signs_himself,
    "removes a signature": _removes_the_signature,
    "adds a list without one": _adds_unsigned,
    "replays an older signed pair": _replays,
    "copies a signed pair to another directory": _copies_the_pair,
    "takes a signed list away": _takes_a_signed_list_away,
    "brings the list of another store": _brings_the_list_of_another_store,
    "brings a list that names no store": _brings_a_list_that_names_no_store,
}


@pytest.mark.parametrize("name", SIGNED_ATTACKS)
def test_sync_where_lists_are_signed(signing: Scene, name: str) -> None:
    around, head = snapshot(signing), signing.alice.git("rev-parse", "HEAD")
    said = SIGNED_ATTACKS[name](signing)
    answer = signing.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (4, f"error: {said}\n")
    assert (snapshot(signing), signing.alice.git("rev-parse", "HEAD")) == (around, head)
    assert_unharmed(signing)


def _pinned(member: Member) -> str:
    document = json.loads((member.path / ".git" / "passhelper" / "trust.json").read_text())
    return str(document.get("store", ""))


def _named(member: Member, path: str = ".gpg-id") -> list[str]:
    """What stands in the first line of a list, behind its path."""
    return (member.path / path).read_text().partition("\n")[0].split(" ")[3:]


def _other_machine(scene: Scene, folder: Path, remote: Path | None = None) -> Member:
    member = Member(folder / "store", {**scene.alice.environ, "PASSWORD_STORE_DIR": str(folder / "store")})
    member.clone(remote or scene.remote.path)
    return member


def _run(scene: Scene, member: Member, *arguments: str) -> Answer:
    return run([scene.installed.passhelper, *arguments], member.environ)


def test_a_store_from_before_lists_named_it(old: Scene, tmp_path: Path) -> None:
    """It works as it did, its lists count as they did, and one command brings it up, unasked on other machines."""
    second = _other_machine(old, tmp_path / "second")
    assert _run(old, second, "sync").code == 0
    assert (_pinned(old.alice), _pinned(second)) == ("", "")
    answer = old.passhelper("doctor")
    finding = "signed lists that do not name their store: 2, such as .gpg-id"
    assert finding in " ".join(answer.text.split())
    answer = old.passhelper("recipients", "add", old.keys["stranger"])
    assert answer.code == 0, answer.err
    assert _named(old.alice) == ["6"]  # as before: the other list alone would be void
    assert old.passhelper("sync").code == 0
    assert _run(old, second, "sync").code == 0

    answer = old.passhelper("recipients", "sign")
    assert (answer.code, answer.err) == (0, b"")
    serial, identity = _named(old.alice)
    mallorys = place(MALLORYS, ".gpg-id")
    assert answer.text == (
        f"signed .gpg-id, {mallorys} as lists of store {identity}, serial 7\n"
        f"for runners: PASSHELPER_STORE_ID={identity} PASSHELPER_STORE_SERIAL=7\n"
    )
    assert (serial, _named(old.alice, mallorys), _pinned(old.alice)) == ("7", ["7", identity], identity)
    assert old.passhelper("sync").code == 0
    assert _run(old, second, "sync").code == 0
    assert _pinned(second) == identity
    assert "name no store" not in " ".join(old.passhelper("doctor").text.split())
    # From now on what does not name it counts no more, here and there.
    old.remote.push(old.signed("alice", "bob", path=".gpg-id", says=".gpg-id 9"))
    for answer in (old.passhelper("sync"), _run(old, second, "sync")):
        assert answer.code == 4
        assert b"the signed text does not name its store" in answer.err
    assert_unharmed(old)


def test_the_first_list_that_names_a_store_brings_no_reader_unasked(old: Scene) -> None:
    """It could be the list of any store that has an identity already."""
    commit = old.remote.push(old.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 9 {OTHER}"))
    answer = old.passhelper("sync")
    said = (
        f"error: recipients changed: {old.name('+', 'bob')} (.gpg-id) in commit {commit[:12]}; it is the first list "
        f"that names its store, so it may be another store's\nhint: {ACCEPT}\n"
    )
    assert (answer.code, answer.err.decode()) == (4, said)
    assert _pinned(old.alice) == ""
    assert_unharmed(old)


def test_nor_where_the_file_is_changed_in_the_store_itself(old: Scene) -> None:
    """As a restored backup or a merge by hand would."""
    for path, (_, data) in old.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 9 {OTHER}").items():
        (old.alice.path / path).write_bytes(data)
    answer = old.helper.store(LATER, "u", "secret")
    assert answer.code == 1
    assert answer.text.startswith(f"recipients changed: {old.name('+', 'bob')} (.gpg-id)")


def test_the_list_of_another_store_put_into_the_store_itself(signing: Scene) -> None:
    for says in (f".gpg-id 9 {OTHER}", ".gpg-id 9"):
        for path, (_, data) in signing.signed("alice", "bob", path=".gpg-id", says=says).items():
            (signing.alice.path / path).write_bytes(data)
        answer = signing.helper.store(LATER, "u", "secret")
        assert answer.code == 1
        assert answer.text.startswith(f"recipients changed: {signing.name('+', 'bob')} (.gpg-id)")
    assert signing.passhelper("recipients", "sign").code == 4  # signs nothing that was not accepted
    assert signing.stolen() <= signing.his


def test_another_store_under_the_same_readers_changes_no_pin(signing: Scene) -> None:
    """Nobody is asked, for nobody gains; but what comes after it counts as little as before."""
    signing.remote.push(signing.signed("alice", path=".gpg-id", says=f".gpg-id 9 {OTHER}"))
    assert signing.passhelper("sync").code == 0
    assert _pinned(signing.alice) == STORE
    assert "is signed as a list of another store" in " ".join(signing.passhelper("doctor").text.split())
    signing.remote.push(signing.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 10 {OTHER}"))
    assert signing.passhelper("sync").code == 4
    # One command puts it right, with a serial above all that was there.
    assert signing.passhelper("recipients", "sign").code == 0
    assert _named(signing.alice) == ["10", STORE]


def test_a_copy_that_goes_its_own_way(signing: Scene, tmp_path: Path) -> None:
    """``--new-store`` makes two stores of one; whoever has a clone of the copy says so once."""
    copy = tmp_path / "copy.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(signing.remote.path), str(copy)], check=True)
    first, second = (_other_machine(signing, tmp_path / name, copy) for name in ("first", "second"))
    for member in (first, second):
        assert _run(signing, member, "sync").code == 0
        assert _pinned(member) == STORE  # the clone of a second machine takes it from the signed lists
    assert _run(signing, first, "recipients", "sign", "--new-store").code == 0
    assert _pinned(first) != STORE
    assert _run(signing, first, "recipients", "add", signing.keys["stranger"]).code == 0
    assert _run(signing, first, "sync").code == 0
    answer = _run(signing, second, "sync")
    assert answer.code == 4
    assert b"the signed text is that of another store" in answer.err
    answer = _run(signing, second, "recipients", "accept", "--yes")
    assert answer.code == 0
    assert f"! the lists name another store: {_pinned(first)}, and the accepted one is {STORE}\n" in answer.text
    assert _run(signing, second, "sync").code == 0
    assert _pinned(second) == _pinned(first)
    # And what the copy signs is nothing to the store that it was made of.
    pair = {name: (PLAIN, (first.path / name).read_bytes()) for name in (".gpg-id", ".gpg-id.sig")}
    signing.remote.push(pair)
    answer = signing.passhelper("sync")
    assert answer.code == 4
    assert b"the signed text is that of another store" in answer.err


def test_fingerprints_accept_no_other_store(signing: Scene) -> None:
    """Whoever lets a reader in by fingerprint has not seen which store the list says that it is of."""
    commit = signing.remote.push(signing.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 9 {OTHER}"))
    assert signing.passhelper("sync").code == 4
    names = [signing.keys[name] for name in ("alice", "bob")]
    before = (signing.alice.path / ".git/passhelper/trust.json").read_bytes()
    answer = signing.passhelper("recipients", "accept", *names)
    said = f"the lists name another store: {OTHER}, and the accepted one is {STORE}"
    assert (answer.code, answer.err.decode()) == (
        4, (f"error: the fingerprints say nothing about this, so nothing was accepted: {said}\n"
        "hint: find out who did it; to accept it, run it again with --yes\n"),
    )  # fmt: skip
    assert f"! {said}" in answer.text.splitlines()
    assert f"in commit {commit[:12]} of the remote, which sync refused:" in answer.text
    assert (signing.alice.path / ".git/passhelper/trust.json").read_bytes() == before
    missing = signing.passhelper("recipients", "accept", "--yes", signing.keys["alice"])
    assert missing.err.decode().startswith(f"error: the store also names {signing.keys['bob']}")
    assert signing.passhelper("recipients", "accept", "--yes", *names).code == 0
    assert _pinned(signing.alice) == OTHER


def test_nor_where_nobody_has_signed_it(signing: Scene) -> None:
    text = (signing.alice.path / ".gpg-id").read_text().replace(STORE, OTHER)
    (signing.alice.path / ".gpg-id").write_text(text)
    answer = signing.passhelper("recipients", "accept", signing.keys["alice"], signing.keys["bob"])
    assert (answer.code, f"another store: {OTHER}" in answer.err.decode()) == (4, True), answer
    assert _pinned(signing.alice) == STORE


def test_the_first_signature_is_in_the_name_of_a_new_store(scene: Scene) -> None:
    """Whatever mallory has written above a list before: else what alice signs here would count in his other store."""
    scene.remote.push({".gpg-id": scene.lines("alice", says=f".gpg-id {'9' * 12} {OTHER}")})
    assert scene.passhelper("sync").code == 0  # nothing but a comment
    scene.alice.environ["PASSWORD_STORE_SIGNING_KEY"] = scene.keys["alice"]
    answer = scene.passhelper("recipients", "sign")
    assert answer.code == 0, answer
    serial, identity = _named(scene.alice)
    assert identity not in ("", OTHER)
    assert serial == "1"


def test_doctor_on_lists_that_name_no_store(signing: Scene) -> None:
    """Once the store is known here, no such list of another store counts, whoever signs it."""
    signing.remote.push(signing.signed("alice", path=".gpg-id", says=".gpg-id 9"))
    assert signing.passhelper("sync").code == 0
    checks = {each["id"]: each for each in signing.passhelper("doctor", "--json").json["data"]["checks"]}
    (finding,) = checks["store.signature"]["findings"]
    assert finding["cause"] == (
        "signed lists that do not name their store: 1, such as .gpg-id; "
        f"this machine knows the store as {STORE}, so no change of them counts as signed"
    )


PROD_LIST = place(PROD, ".gpg-id")


def _signed_together(scene: Scene) -> tuple[dict[str, File], dict[str, File]]:
    """Alice lets bob into the store, but not into prod: both lists, of which a pusher may bring the first alone."""
    root = scene.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 7 {STORE}\n# list {PROD_LIST} 6")
    return root, scene.signed("alice", path=PROD_LIST, says=f"{PROD_LIST} 6 {STORE}")


def _beside(commit: str) -> str:
    return (
        f".gpg-id in commit {commit[:12]} was signed beside {PROD_LIST}, which the commit does not have, or an older "
        f"one\nhint: {MEND}; if it was removed on purpose, whoever signs runs: passhelper recipients sign"
    )


@pytest.mark.parametrize("kept_back", ["the list", "its newer one"])
def test_a_list_that_comes_without_one_below_it(signing: Scene, kept_back: str) -> None:
    """It would let bob read prod."""
    root, _ = _signed_together(signing)
    older = signing.signed("alice", path=PROD_LIST, says=f"{PROD_LIST} 5 {STORE}") if kept_back != "the list" else {}
    around = snapshot(signing)
    commit = signing.remote.push({**root, **older})
    answer = signing.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (4, f"error: {_beside(commit)}\n")
    assert snapshot(signing) == around
    assert_unharmed(signing)


def test_lists_that_come_together_and_part_later(signing: Scene) -> None:
    root, prod = _signed_together(signing)
    signing.remote.push({**root, **prod})
    answer = signing.passhelper("sync")
    assert answer.code == 0
    assert all(line.startswith("accepted: ") for line in answer.err.decode().splitlines())
    before = snapshot(signing)
    commit = signing.remote.push(dict.fromkeys(prod))
    answer = signing.passhelper("sync")
    assert (answer.code, answer.err.decode()) == (4, f"error: {_beside(commit)}\n")
    assert snapshot(signing) == before


def test_a_list_without_one_below_it_in_the_store_itself(signing: Scene) -> None:
    """As ``git pull`` brings it. Whoever signs can say that the list is gone for good."""
    root, _ = _signed_together(signing)
    for path, (_, data) in root.items():
        (signing.alice.path / path).write_bytes(data)
    answer = signing.helper.store(LATER, "u", "secret")
    own = signing.alice.path / ".gpg-id"
    assert answer.code == 1
    assert answer.text == (
        f"{own} was signed beside {PROD_LIST}, which is gone or older here; run: passhelper sync; if it was removed "
        "on purpose, whoever signs runs: passhelper recipients sign\n"
    )
    assert signing.stolen() <= signing.his


def test_a_list_below_that_is_removed_on_purpose(signing: Scene) -> None:
    root, prod = _signed_together(signing)
    signing.remote.push({**root, **prod})
    assert signing.passhelper("sync").code == 0
    signing.alice.git("rm", "-q", *prod)
    assert signing.helper.store(LATER, "u", "secret").code == 1
    assert signing.passhelper("recipients", "accept", "--yes").code == 0
    answer = signing.passhelper("recipients", "sign")
    assert (answer.code, answer.err) == (0, b"")
    assert signing.helper.store(LATER, "u", "secret").code == 0


def test_a_merge_never_signs_a_list_of_another_store(signing: Scene) -> None:
    """Its readers may be allowed, and then both sides are joined: in the name of this store."""
    environ = {"PASSHELPER_ACCEPT_RECIPIENTS": " ".join(signing.keys[name] for name in ("alice", "bob", "stranger"))}
    assert signing.passhelper("recipients", "add", signing.keys["stranger"]).code == 0
    signing.remote.push(signing.signed("alice", "bob", path=".gpg-id", says=f".gpg-id 9 {OTHER}"))
    assert signing.passhelper("sync", **environ).code == 0
    text = (signing.alice.path / ".gpg-id").read_text()
    assert _named(signing.alice) == ["10", STORE]
    assert all(signing.keys[name] in text for name in ("alice", "bob", "stranger"))
    assert signing.passhelper("doctor").text.count("signed as a list of another store") == 0
