"""What an attacker with write access to the remote puts among the team's public keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.people.attackers import Scene
from support.people.remotes import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable


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
    ring = scene.own_keyring()
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
    ring = scene.own_keyring()
    scene.remote.push({f".public-keys/{scene.keys['bob']}": (PLAIN, scene.public("bob")),
                       f".public-keys/{scene.keys['stranger']}": (PLAIN, scene.public("stranger"))})  # fmt: skip
    answer = scene.passhelper("sync")
    listed = ring.gpg("--with-colons", "--list-keys").stdout.decode()
    ring.stop_agent()
    assert answer.code == 0
    assert scene.keys["bob"] in listed
    assert scene.keys["stranger"] not in listed
