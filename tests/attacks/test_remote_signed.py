"""An attacker with write access to the remote of a team whose admin signs the lists of recipients."""

from __future__ import annotations

import pytest
from attackers import ACCEPT, MALLORYS, MEND, PROD, Scene, assert_unharmed, place, snapshot
from remotes import PLAIN


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
