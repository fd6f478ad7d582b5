"""``.public-keys/``: which files reach the keyring, and what of them."""

from __future__ import annotations

import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import KeyRing, require
from support.people.remotes import PLAIN, File, Member, Remote
from support.programs import script
from support.worlds.impostors import adopting

from passhelper.errors import GpgError
from passhelper.store import treepolicy, trust
from passhelper.store.files import Files
from passhelper.store.store import PassStore
from passhelper.team.git import gitrepo
from passhelper.team.keyring.key import Key
from passhelper.team.keyring.keys import KeyRing as Ring
from passhelper.team.recipients import publickeys

if TYPE_CHECKING:
    from collections.abc import Iterator


class Refreshing:
    """A clone, a keyring that knows alice's key alone, and the others' keys to push.

    Attributes:
        ring: alice's keyring.
        keys: everybody's.
        warnings: what refreshing warned about.
    """

    def __init__(self, remote: Remote, member: Member, ring: KeyRing, keys: KeyRing) -> None:
        self.remote = remote
        self.member = member
        self.ring = ring
        self.keys = keys
        self.warnings: list[str] = []

    def public(self, name: str, *options: str) -> bytes:
        return self.keys.gpg(*options, "--export", self.keys[name]).stdout

    def refresh(self, changes: dict[str, File | None]) -> list[str]:
        """Push some files, take them over, and look at them."""
        self.remote.push(changes)
        self.member.git("merge", "-q", "--ff-only", self.member.fetch())
        return self.again()

    def again(self) -> list[str]:
        store = PassStore(self.member.environ, self.warnings.append)
        place = store.repository("")
        assert place is not None
        with gitrepo.opened(place, store.environ) as git:
            return publickeys.refresh(store, git)

    def pin(self, *names: str) -> None:
        store = PassStore(self.member.environ, self.warnings.append)
        place = store.repository("")
        assert place is not None
        trust.save(place.state, {".gpg-id": [self.keys[name] for name in names]}, Files(store.environ))

    @property
    def known(self) -> set[str]:
        listing = self.ring.gpg("--with-colons", "--list-keys").stdout.decode().splitlines()
        return {line.split(":")[9] for before, line in pairwise(listing) if before.startswith("pub:")}


@pytest.fixture
def team(environ: dict[str, str], keys: KeyRing, short_tmp: Path, tmp_path: Path) -> Iterator[Refreshing]:
    require("git")
    home = tempfile.mkdtemp(prefix="p", dir=short_tmp)
    ring = KeyRing(short_tmp / home, dict(keys.fingerprints))
    ring.gpg("--import", stdin=keys.gpg("--export", keys["alice"]).stdout)
    remote = Remote(tmp_path / "remote.git", environ)
    remote.push({".gpg-id": (PLAIN, f"{keys['alice']}\n{keys['bob']}\n".encode())}, parent="")
    member = Member(tmp_path / "alice", {**environ, "GNUPGHOME": str(ring.home)})
    member.clone(remote.path)
    found = Refreshing(remote, member, ring, keys)
    found.pin("alice", "bob")
    yield found
    ring.stop_agent()


def path_of(team: Refreshing, name: str) -> str:
    return f".public-keys/{team.keys[name]}"


@pytest.mark.parametrize("armor", [(), ("--armor",)])
def test_an_accepted_key_is_imported_once(team: Refreshing, armor: tuple[str, ...]) -> None:
    data = team.public("bob", *armor)
    assert team.refresh({path_of(team, "bob"): (PLAIN, data)}) == [team.keys["bob"]]
    assert team.known == {team.keys["alice"], team.keys["bob"]}
    assert team.again() == []
    assert team.warnings == []


@pytest.mark.parametrize("name", ["0x{0}", "{1}", "0x{1}", "{0}"])
def test_names_as_gopass_writes_them(team: Refreshing, name: str) -> None:
    fingerprint = team.keys["bob"]
    path = ".public-keys/" + name.format(fingerprint, fingerprint[-16:])
    assert team.refresh({path: (PLAIN, team.public("bob"))}) == [fingerprint]


@pytest.mark.parametrize("name", ["{0}", "{1}", "bob@example.test", "bob"])
def test_a_key_that_was_not_accepted_is_not_even_looked_at(team: Refreshing, name: str) -> None:
    fingerprint = team.keys["stranger"]
    path = ".public-keys/" + name.format(fingerprint, fingerprint[-16:])
    assert team.refresh({path: (PLAIN, team.public("stranger"))}) == []
    assert team.known == {team.keys["alice"]}
    assert team.warnings == []


def test_accepting_comes_first(team: Refreshing) -> None:
    """A list that names a key does not accept it; the pin does."""
    team.pin("alice")
    assert team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))}) == []
    team.pin("alice", "bob")
    assert team.again() == [team.keys["bob"]]


def test_a_newer_version_is_taken_over(team: Refreshing, own_keys: KeyRing) -> None:
    """An expiry that its owner has set arrives; what was known of the key stays known."""
    team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))})
    own_keys.gpg("--quick-set-expire", own_keys["bob"], "2099-01-01")
    newer = own_keys.gpg("--export", own_keys["bob"]).stdout
    assert team.refresh({path_of(team, "bob"): (PLAIN, newer)}) == [team.keys["bob"]]
    listing = team.ring.gpg("--with-colons", "--list-keys", team.keys["bob"]).stdout.decode()
    assert next(line.split(":")[6] for line in listing.splitlines() if line.startswith("pub:")).startswith("4070")
    older = team.public("bob")
    assert team.refresh({path_of(team, "bob"): (PLAIN, older)}) == [team.keys["bob"]]
    assert team.ring.gpg("--with-colons", "--list-keys", team.keys["bob"]).stdout.decode() == listing


def test_a_removed_file_removes_nothing(team: Refreshing) -> None:
    team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))})
    assert team.refresh({path_of(team, "bob"): None}) == []
    assert team.known == {team.keys["alice"], team.keys["bob"]}


def test_a_key_that_was_deleted_here_comes_back(team: Refreshing) -> None:
    """The file has not changed, but the key is needed."""
    team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))})
    team.ring.gpg("--delete-keys", team.keys["bob"])
    assert team.again() == [team.keys["bob"]]


def test_a_key_that_was_deleted_here_is_not_what_another_one_calls_its_part(
    team: Refreshing, own_keys: KeyRing
) -> None:
    team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))})
    team.ring.gpg("--delete-keys", team.keys["bob"])
    team.ring.gpg("--import", stdin=adopting(own_keys, "expired", team.public("bob")), check=False)
    imported = team.again()
    if not imported:  # gpg 2.2 does not take it
        other = f"{team.keys['expired']} expired <expired@example.test>"
        assert team.warnings == [
            f"{path_of(team, 'bob')} was not imported: gpg did not take it: the key {other} calls {team.keys['bob']} a "
            "subkey of its own; find out who made it, then remove it: gpg --delete-keys " + team.keys["expired"]
        ]
        team.ring.gpg("--delete-keys", team.keys["expired"])  # what the message says
        imported = team.again()
    assert imported == [team.keys["bob"]]


def test_other_peoples_signatures_stay_out(team: Refreshing, own_keys: KeyRing) -> None:
    """Anybody can sign a key until it is megabytes large; only what its owner says travels on."""
    own_keys.gpg("--local-user", own_keys["alice"], "--quick-sign-key", own_keys["bob"])
    data = own_keys.gpg("--export", own_keys["bob"]).stdout
    assert team.refresh({path_of(team, "bob"): (PLAIN, data)}) == [team.keys["bob"]]
    listing = team.ring.gpg("--with-colons", "--list-sigs", team.keys["bob"]).stdout.decode()
    signers = {line.split(":")[4] for line in listing.splitlines() if line.startswith("sig:")}
    assert signers == {team.keys["bob"][-16:]}


def test_a_file_that_is_too_large(team: Refreshing) -> None:
    path = path_of(team, "bob")
    assert team.refresh({path: (PLAIN, team.public("bob") + b"\0" * 65536)}) == []
    assert team.warnings == [f"{path} was not imported: it is larger than 65536 bytes"]


def test_a_link_among_the_keys_is_no_file(team: Refreshing) -> None:
    assert team.refresh({path_of(team, "bob"): ("120000", b"../../key")}) == []
    assert team.warnings == []


def test_no_throw_away_keyring_is_left(team: Refreshing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    team.refresh({path_of(team, "bob"): (PLAIN, team.public("bob"))})
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("step", "why"),
    [("*import-export*", "gpg cannot read it: gpg: broken"), ("*--import", "gpg did not take it: gpg: broken")],
)
def test_a_gpg_that_fails(team: Refreshing, tmp_path: Path, step: str, why: str) -> None:
    """Beside any keyring, or in the user's own, where the import is all there is."""
    others = "*--homedir*--import" if step == "*--import" else "nothing"
    text = f'case "$*" in {others}) ;; {step}) echo "gpg: broken" >&2; exit 2;; esac\nexec gpg "$@"'
    team.member.environ["PASSHELPER_GPG"] = script(tmp_path / "gpg", text)
    path = path_of(team, "bob")
    assert team.refresh({path: (PLAIN, team.public("bob"))}) == []
    assert team.warnings == [f"{path} was not imported: {why}"]
    assert team.known == {team.keys["alice"]}


def test_a_key_too_large_to_travel(environ: dict[str, str], keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treepolicy, "MAX_KEY", 100)
    store = PassStore(environ, print)
    with pytest.raises(GpgError) as caught:
        publickeys.export(store, Ring(store.gpg).resolve(keys["bob"]))
    assert str(caught.value) == (
        f"the public key {keys['bob']} bob <bob@example.test> is larger than 100 bytes; "
        "remove its photo or old user ids"
    )


def test_export(environ: dict[str, str], keys: KeyRing) -> None:
    store = PassStore(environ, print)
    key = Ring(store.gpg).resolve(keys["bob"])
    path, data = publickeys.export(store, key)
    assert path == f".public-keys/{keys['bob']}"
    assert data.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    gone = Key(keys["missing"], "", (), 0, False, (), False, False, ())
    with pytest.raises(GpgError, match=f"^gpg could not export {keys['missing']}: "):
        publickeys.export(store, gone)


# Files that the signed lists name

STORE = "0123456789abcdef" * 2
NOT_NAMED = (
    "was not imported: no signed list of recipients names it as it is; on a machine with the signing key, run: "
    "passhelper recipients sign"
)


@pytest.fixture
def revoked(short_tmp: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """A key of a member: its fingerprint, and its file before and after it was revoked."""
    home = Path(tempfile.mkdtemp(prefix="v", dir=short_tmp))
    ring = KeyRing(home, {})
    ring.gpg("--passphrase", "", "--quick-gen-key", "carol <carol@example.test>", "default", "default", "never")
    listing = ring.gpg("--with-colons", "--list-keys").stdout.decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr:"))
    before = ring.gpg("--armor", "--export", fingerprint).stdout
    certificate = (home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
    ring.gpg("--import", stdin=certificate.replace(":-----BEGIN", "-----BEGIN").encode())
    yield fingerprint, before, ring.gpg("--armor", "--export", fingerprint).stdout
    ring.stop_agent()


def signed_list(
    team: Refreshing, serial: int, fingerprint: str, file: bytes | None, store: str = STORE
) -> dict[str, File | None]:
    """A list of alice and carol that names carol's file, signed by alice."""
    digest = f"# key {fingerprint} {hashlib.sha256(file).hexdigest()}\n" if file is not None else ""
    text = (
        f"{f'# passhelper .gpg-id {serial} {store}'.rstrip()}\n{digest}{team.keys['alice']}\n{fingerprint}\n".encode()
    )
    signature = team.keys.gpg("--local-user", team.keys["alice"], "--detach-sign", stdin=text).stdout
    return {".gpg-id": (PLAIN, text), ".gpg-id.sig": (PLAIN, signature)}


@pytest.fixture
def bound(team: Refreshing, revoked: tuple[str, bytes, bytes]) -> Refreshing:
    """Lists are signed and name their store; serial 3 was accepted."""
    team.member.environ["PASSWORD_STORE_SIGNING_KEY"] = team.keys["alice"]
    state = str(team.member.path / ".git" / "passhelper")
    pins = {".gpg-id": sorted([team.keys["alice"], revoked[0]])}
    trust.save_all(state, trust.Trust(pins, {}, {".gpg-id": 3}, store=STORE), Files(team.member.environ))
    return team


def is_revoked(team: Refreshing, fingerprint: str) -> bool:
    listing = team.ring.gpg("--with-colons", "--list-keys", fingerprint).stdout.decode().splitlines()
    return any(line.startswith("pub:r:") for line in listing)


def test_an_old_file_cannot_hide_a_revocation(bound: Refreshing, revoked: tuple[str, bytes, bytes]) -> None:
    fingerprint, before, after = revoked
    path = f".public-keys/{fingerprint}"
    assert bound.refresh({**signed_list(bound, 3, fingerprint, after), path: (PLAIN, before)}) == []
    assert bound.warnings == [f"{path} {NOT_NAMED}"]
    assert fingerprint not in bound.known
    assert bound.refresh({path: (PLAIN, after)}) == [fingerprint]
    assert is_revoked(bound, fingerprint)
    bound.warnings.clear()
    assert bound.again() == []
    assert bound.warnings == []


@pytest.mark.parametrize("attack", ["an older list", "of another store", "without a name", "not signed", "names none"])
def test_nor_with_a_list_that_does_not_count(bound: Refreshing, revoked: tuple[str, bytes, bytes], attack: str) -> None:
    """It names the old file, and the same keys, so that nobody is asked about it."""
    fingerprint, before, after = revoked
    pushed = {
        "an older list": signed_list(bound, 2, fingerprint, before),
        "of another store": signed_list(bound, 9, fingerprint, before, "fedcba9876543210" * 2),
        "without a name": signed_list(bound, 9, fingerprint, before, ""),
        "not signed": {
            **signed_list(bound, 9, fingerprint, before),
            ".gpg-id.sig": signed_list(bound, 9, fingerprint, after)[".gpg-id.sig"],
        },
        "names none": signed_list(bound, 9, fingerprint, None),
    }[attack]
    path = f".public-keys/{fingerprint}"
    assert bound.refresh({**pushed, path: (PLAIN, before)}) == []
    assert bound.warnings == [f"{path} {NOT_NAMED}"]
    assert fingerprint not in bound.known


def test_the_newest_of_several_lists_knows_the_file(bound: Refreshing, revoked: tuple[str, bytes, bytes]) -> None:
    fingerprint, before, after = revoked
    other = signed_list(bound, 4, fingerprint, before)
    place = "docker-credential-helpers/eA==/.gpg-id"
    first = other[".gpg-id"]
    assert first is not None
    text = first[1].replace(b".gpg-id 4", f"{place} 4".encode())
    signature = bound.keys.gpg("--local-user", bound.keys["alice"], "--detach-sign", stdin=text).stdout
    state = str(bound.member.path / ".git" / "passhelper")
    known = trust.load_all(state)
    assert known is not None
    known.pins[place] = known.pins[".gpg-id"]
    trust.save_all(state, known, Files(bound.member.environ))
    path = f".public-keys/{fingerprint}"
    lists = {**signed_list(bound, 5, fingerprint, after), place: (PLAIN, text), f"{place}.sig": (PLAIN, signature)}
    assert bound.refresh({**lists, path: (PLAIN, before)}) == []
    assert bound.refresh({path: (PLAIN, after)}) == [fingerprint]


def test_a_file_under_another_name_is_not_complained_of(bound: Refreshing, revoked: tuple[str, bytes, bytes]) -> None:
    """As gopass writes it, beside ours."""
    fingerprint, before, after = revoked
    files = {f".public-keys/0x{fingerprint[-16:]}": (PLAIN, before), f".public-keys/{fingerprint}": (PLAIN, after)}
    assert bound.refresh({**signed_list(bound, 3, fingerprint, after), **files}) == [fingerprint]
    assert bound.warnings == []


def test_a_store_that_names_no_store_imports_as_it_did(bound: Refreshing, revoked: tuple[str, bytes, bytes]) -> None:
    fingerprint, before, _ = revoked
    state = str(bound.member.path / ".git" / "passhelper")
    pins = {".gpg-id": sorted([bound.keys["alice"], fingerprint])}
    trust.save_all(state, trust.Trust(pins), Files(bound.member.environ))
    old = signed_list(bound, 3, fingerprint, None, "")
    assert bound.refresh({**old, f".public-keys/{fingerprint}": (PLAIN, before)}) == [fingerprint]
