"""What a ``.gpg-id`` says, and who has signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import KeyRing, run

from passhelper.errors import GpgError, LockedKeyError, TrustError
from passhelper.setup import newstore
from passhelper.store import trust
from passhelper.store.recipients import header, is_identity
from passhelper.store.store import PassStore
from passhelper.team.keyring.key import Key
from passhelper.team.keyring.keys import KeyRing as Ring
from passhelper.team.recipients import gpgid

if TYPE_CHECKING:
    from pathlib import Path

PATH = "docker-credential-helpers/.gpg-id"
STORE, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2  # identities


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
    text = f"# bob <bob@example.test>\n{keys['bob']}\n# alice <alice@example.test>\n{keys['alice']}\n".encode()
    assert gpgid.render(found) == text


def test_nothing_is_signed_unless_a_key_is_named(environ: dict[str, str], store: Path) -> None:
    opened = open_store(environ)
    signer = gpgid.Signer(opened, None)
    assert not signer.is_wanted
    assert gpgid.sign(opened, PATH, b"text") is None
    assert signer.seal(PATH, b"text") == (b"text", None)


def write(store: Path, path: str, says: str, keys: KeyRing, signer: str = "alice") -> None:
    """Write a list and its signature."""
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    text = f"# passhelper {path} {says}\nA\n".encode()
    (store / path).write_bytes(text)
    (store / f"{path}.sig").write_bytes(keys.gpg("-u", keys[signer], "--detach-sign", stdin=text).stdout)


def test_a_serial_is_above_every_other_of_the_store(store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    """One number then says of all lists how new a runner wants them."""
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    opened = open_store(environ)
    assert gpgid.Signer(opened, None).serial == 1
    assert gpgid.Signer(opened, trust.Trust({}, serials={PATH: 4})).serial == 5
    write(store, ".gpg-id", "9", keys)
    assert gpgid.Signer(opened, trust.Trust({}, serials={PATH: 4})).serial == 10
    write(store, "docker-credential-helpers/aHR0cHM6Ly9h/.gpg-id", "11", keys)
    assert gpgid.Signer(opened, None).serial == 12
    write(store, ".gpg-id", "90", keys, "bob")  # nobody has asked him
    assert gpgid.Signer(opened, None).serial == 12
    (store / ".gpg-id.sig").unlink()
    assert gpgid.Signer(opened, None).serial == 12


def test_what_the_lists_call_the_store(store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    opened = open_store(environ)
    made = {gpgid.Signer(opened, None).identity for _ in range(2)}
    assert len(made) == 2
    assert all(map(is_identity, made))
    assert gpgid.Signer(opened, trust.Trust({}, store=STORE)).identity == STORE
    (store / ".gpg-id").write_text(f"# passhelper .gpg-id 9 {STORE}\nA\n")
    assert gpgid.Signer(opened, None).identity != STORE  # so says who has signed nothing
    write(store, ".gpg-id", f"9 {STORE}", keys, "bob")
    assert gpgid.Signer(opened, None).identity == ""
    write(store, ".gpg-id", f"9 {STORE}", keys)
    assert gpgid.Signer(opened, None).identity == STORE
    assert gpgid.Signer(opened, trust.Trust({}, store=OTHER)).identity == OTHER
    assert gpgid.Signer(opened, None, OTHER).identity == OTHER
    write(store, ".gpg-id", "9", keys)
    assert gpgid.Signer(opened, None).identity == ""  # signed before lists named their store: all of them, or none


def test_a_signature_by_the_first_key_that_is_here(
    environ: dict[str, str], store: Path, keys: KeyRing, tmp_path: Path
) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = f"{keys['missing']} {keys['stranger']} {keys['signer']}"
    signer = gpgid.Signer(open_store(environ), trust.Trust({}, store=STORE))
    text, signature = signer.seal(PATH, b"A\n")
    assert text == f"# passhelper {PATH} 1 {STORE}\nA\n".encode()
    assert signature is not None
    assert verifies(environ, tmp_path, text, signature)
    assert not verifies(environ, tmp_path, text + b"x", signature)


def test_only_who_has_a_key_can_sign(environ: dict[str, str], store: Path, keys: KeyRing) -> None:
    environ["PASSWORD_STORE_SIGNING_KEY"] = keys["stranger"]
    with pytest.raises(TrustError) as caught:
        gpgid.Signer(open_store(environ), None).seal(PATH, b"A\n")
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
    named = header((tmp_path / "store/.gpg-id").read_bytes())
    assert named is not None
    assert (named.path, named.serial, is_identity(named.store)) == (".gpg-id", 1, True)
    place = opened.repository("")
    assert place is not None
    known = trust.load_all(place.state)
    assert known is not None
    assert known.pins == {".gpg-id": [keys["alice"]]}
    assert (known.serials, known.store) == ({".gpg-id": 1}, named.store)
