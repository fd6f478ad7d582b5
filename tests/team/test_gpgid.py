"""What a ``.gpg-id`` says, and who has signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import KeyRing, run

from passhelper.errors import GpgError, LockedKeyError, TrustError
from passhelper.machine import newstore
from passhelper.store import trust
from passhelper.store.recipients import header
from passhelper.store.store import PassStore
from passhelper.team import gpgid
from passhelper.team.keys import Key
from passhelper.team.keys import KeyRing as Ring

if TYPE_CHECKING:
    from pathlib import Path

PATH = "docker-credential-helpers/.gpg-id"


def open_store(environ: dict[str, str]) -> PassStore:
    return PassStore(environ, print)


def find(environ: dict[str, str], keys: KeyRing, *names: str) -> list[Key]:
    ring = Ring(open_store(environ).gpg)
    return [ring.resolve(keys[name]) for name in names]


def verifies(environ: dict[str, str], folder: Path, text: bytes, signature: bytes) -> bool:
    (folder / "sig").write_bytes(signature)
    return run(["gpg", "--batch", "--verify", str(folder / "sig"), "-"], environ, text).code == 0


def test_each_key_stands_below_its_owner(environ: dict[str, str], keys: KeyRing) -> None:
    found = find(environ, keys, "bob", "alice")
    assert gpgid.render(found, PATH) == (
        f"# bob <bob@example.test>\n{keys['bob']}\n# alice <alice@example.test>\n{keys['alice']}\n".encode()
    )
    signed = gpgid.render(found[:1], PATH, 7)
    assert signed == f"# passhelper {PATH} 7\n# bob <bob@example.test>\n{keys['bob']}\n".encode()
    assert header(signed) == (PATH, 7)
    assert gpgid.with_header(signed, PATH, 8) == signed.replace(b" 7\n", b" 8\n")
    assert header(gpgid.with_header(b"# a note\nA\n", PATH, 1)) == (PATH, 1)


def test_nothing_is_signed_unless_a_key_is_named(environ: dict[str, str], keys: KeyRing) -> None:
    store = open_store(environ)
    assert gpgid.next_serial(store, PATH, trust.Trust({}, serials={PATH: 4})) is None
    assert gpgid.sign(store, PATH, b"text") is None
    texts, serial = gpgid.compose(store, find(environ, keys, "alice"), PATH, None)
    assert (list(texts), serial) == ([PATH], None)


def test_a_serial_is_above_what_is_there_and_what_was_accepted(store: Path, environ: dict[str, str]) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = "A" * 40
    opened = open_store(environ)
    assert gpgid.next_serial(opened, ".gpg-id", None) == 1
    assert gpgid.next_serial(opened, ".gpg-id", trust.Trust({}, serials={".gpg-id": 4})) == 5
    (store / ".gpg-id").write_text("# passhelper .gpg-id 9\nA\n")
    assert gpgid.next_serial(opened, ".gpg-id", trust.Trust({}, serials={".gpg-id": 4})) == 10


def test_a_signature_by_the_first_key_that_is_here(environ: dict[str, str], keys: KeyRing, tmp_path: Path) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = f"{keys['missing']} {keys['stranger']} {keys['signer']}"
    texts, serial = gpgid.compose(open_store(environ), find(environ, keys, "alice"), PATH, None)
    assert serial == 1
    assert list(texts) == [PATH, f"{PATH}.sig"]
    assert verifies(environ, tmp_path, texts[PATH], texts[f"{PATH}.sig"])
    assert not verifies(environ, tmp_path, texts[PATH] + b"x", texts[f"{PATH}.sig"])


def test_only_who_has_a_key_can_sign(environ: dict[str, str], keys: KeyRing) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["stranger"]
    with pytest.raises(TrustError) as caught:
        gpgid.compose(open_store(environ), find(environ, keys, "alice"), PATH, None)
    assert str(caught.value) == (
        f"{PATH} has to be signed, and no key in PASSWORD_STORE_SIGNING_KEY has its secret part here; "
        "run it on a machine that has the key"
    )


def test_a_locked_signing_key(environ: dict[str, str], own_keys: KeyRing) -> None:
    environ.update(PASSWORD_STORE_SIGNING_KEY=own_keys["locked"], GNUPGHOME=str(own_keys.home))
    with pytest.raises(LockedKeyError) as caught:
        gpgid.sign(open_store(environ), PATH, b"text")
    assert str(caught.value) == f"GPG key {own_keys['locked']}, which signs {PATH}, is locked; run: passhelper unlock"


def test_a_key_that_cannot_sign(environ: dict[str, str], keys: KeyRing) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["expired"]
    with pytest.raises(GpgError, match=f"^gpg could not sign {PATH} with {keys['expired']}: gpg: "):
        gpgid.sign(open_store(environ), PATH, b"text")


def test_a_new_store_is_signed(environ: dict[str, str], keys: KeyRing, tmp_path: Path) -> None:
    """The list, its signature and its serial are there together, and the first commit holds both files."""
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    opened = open_store(environ)
    (tmp_path / "store").mkdir()
    newstore.write_recipients(opened, find(environ, keys, "alice"))
    newstore.make_repository(opened)
    listed = run(["git", "-C", opened.root, "ls-files"], environ)
    assert listed.text.split() == [".gpg-id", ".gpg-id.sig"]
    assert header((tmp_path / "store/.gpg-id").read_bytes()) == (".gpg-id", 1)
    place = opened.repository("")
    assert place is not None
    assert trust.load(place.state) == {".gpg-id": [keys["alice"]]}
