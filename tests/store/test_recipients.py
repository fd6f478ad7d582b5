"""Who can read an entry: ``.gpg-id`` files as pass(1) reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FOLDER, KeyRing
from support.programs import script as program
from support.worlds.vault import Vault

from passhelper.errors import GpgError, StoreError, StoreNotInitializedError, TrustError
from passhelper.settings import store_path
from passhelper.store import recipients
from passhelper.store.gpg import Gpg
from passhelper.store.keynames import is_fingerprint, normalize
from passhelper.store.packets import key_ids
from passhelper.store.recipients import candidates, find, parse
from passhelper.store.signature import verify_signature

A, B, C = "A" * 40, "B" * 40, "C" * 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}\n{B}\n", [A, B]),
        (f"{A}\n{B}", [A, B]),
        (f"{A}\r\n{B}\r\n", [A, B]),
        (f"\ufeff{A}\n", [A]),
        (f"# team\n{A} # alice\n\n  {B}\t\n#{C}\n", [A, B]),
        (f"{A}\n{A}\n", [A]),
        ("alice@example.test\n", ["alice@example.test"]),
        ("Alice Example <alice@example.test> # boss\n", ["Alice Example <alice@example.test>"]),
        (f"0x{A.lower()}\n{A}\n{B}!\n", [A, f"{B}!"]),  # as gpg is given them
        ("0xabcd1234\ndad\n0xdad\n", ["ABCD1234", "dad", "0xdad"]),  # the last two are texts to look for
        (f"# a comment\u2028{C}\n{A}\n", [A]),  # one line to pass, so one line here
        (f"# a comment\x0c{C}\n{A}\n", [A]),
        ("", []),
        ("# nobody\n\n", []),
    ],
)
def test_lines(text: str, expected: list[str]) -> None:
    assert parse(text.encode(), ".gpg-id") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "L is not UTF-8; write one key fingerprint per line"),
        (b"--output=x\n", "L has a line that is not a key: '--output=x'; write one key fingerprint per line"),
        (b"a\x1bb\n", "L has a line that is not a key: 'a\\x1bb'; write one key fingerprint per line"),
        (b"AAAA\rBBBB\n", "L has a line that is not a key: 'AAAA\\rBBBB'; write one key fingerprint per line"),
        (b"a\0b\n", "L has a line that is not a key: 'a\\x00b'; write one key fingerprint per line"),
    ],
)
def test_lines_that_are_no_keys(text: bytes, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse(text, "L")
    assert str(caught.value) == message


@given(st.binary(max_size=60))
def test_any_file_has_an_answer(text: bytes) -> None:
    try:
        keys = parse(text, "L")
    except StoreError:
        return
    assert all(key and key.isprintable() and not key.startswith("-") and "#" not in key for key in keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("key", "expected"),
    [(A, True), (A.lower(), True), (f"0x{A}", True), (f"{A}!", True), ("D" * 64, True), ("A" * 16, False),
     ("A" * 39, False), ("G" * 40, False), ("a@b.example", False), ("", False), ("D" * 32, False)],
)  # fmt: skip
def test_only_full_fingerprints_are_a_statement_of_trust(key: str, expected: bool) -> None:
    assert is_fingerprint(key) == expected


def test_two_spellings_of_a_fingerprint_compare_equal() -> None:
    assert normalize("0x" + A.lower()) == normalize(A) == A
    assert normalize(f"0x{A.lower()}!") == f"{A}!"  # exactly this subkey, which is another reader than the key
    assert normalize("Alice <a@b>") == "Alice <a@b>"


# Which file counts


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    assert candidates("YQ==") == [f"{FOLDER}/YQ==/.gpg-id", f"{FOLDER}/.gpg-id", ".gpg-id"]
    write(tmp_path / ".gpg-id", A)
    assert (find(str(tmp_path), "YQ==", {}).keys, find(str(tmp_path), "YQ==", {}).path) == ([A], ".gpg-id")
    write(tmp_path / FOLDER / ".gpg-id", B)
    assert find(str(tmp_path), "YQ==", {}).keys == [B]
    write(tmp_path / FOLDER / "YQ==" / ".gpg-id", C)
    assert find(str(tmp_path), "YQ==", {}).keys == [C]
    assert find(str(tmp_path), "Yg==", {}).keys == [B]
    assert find(str(tmp_path), "", {}).keys == [B]


def test_password_store_key_overrides_the_files(tmp_path: Path) -> None:
    write(tmp_path / ".gpg-id", A)
    found = find(str(tmp_path), "YQ==", {"PASSWORD_STORE_KEY": f" {B}  {C}\n"})
    assert (found.keys, found.path, found.label) == ([B, C], "", "PASSWORD_STORE_KEY")
    assert found.all_fingerprints
    assert find(str(tmp_path), "YQ==", {"PASSWORD_STORE_KEY": " "}).keys == [A]


def test_a_store_without_recipients_is_not_initialised(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreNotInitializedError) as caught:
            find(str(root), "YQ==", {})
        assert str(caught.value) == f"password store not initialised at {root}; run: passhelper setup"
    with pytest.raises(StoreNotInitializedError):
        find(str(tmp_path / "nowhere"), "YQ==", {"PASSWORD_STORE_KEY": A})


def test_a_file_that_names_nobody_is_no_reason_to_look_further(tmp_path: Path) -> None:
    write(tmp_path / ".gpg-id", A)
    path = tmp_path / FOLDER / ".gpg-id"
    write(path, "# nobody\n")
    with pytest.raises(StoreError) as caught:
        find(str(tmp_path), "YQ==", {})
    assert str(caught.value) == f"{path} names no key; write one key fingerprint per line"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(A)
    (tmp_path / ".gpg-id").symlink_to("other")
    with pytest.raises(StoreError) as caught:
        find(str(tmp_path), "", {})
    message = f"{tmp_path}/.gpg-id is not a regular file; links inside a store are not followed: replace it"
    assert str(caught.value) == message


def test_a_directory_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / ".gpg-id"
    path.mkdir()
    with pytest.raises(StoreError, match="is not a regular file"):
        find(str(tmp_path), "", {})
    path.rmdir()
    with open(path, "wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(StoreError, match=r"^.*/.gpg-id is larger than 1048576 bytes$"):
        find(str(tmp_path), "", {})


def test_an_age_store_is_named(tmp_path: Path) -> None:
    (tmp_path / ".age-recipients").write_text("age1...")
    with pytest.raises(StoreError) as caught:
        find(str(tmp_path), "", {})
    assert (
        str(caught.value)
        == f"{tmp_path} is an age store, which is not supported; set PASSWORD_STORE_DIR to a GPG store"
    )


def subkey(ring: KeyRing, name: str) -> str:
    listing = ring.gpg("--with-colons", "--list-keys", ring[name]).stdout.decode()
    return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))


@pytest.mark.parametrize("ending", ["\n", "", "\r\n"])
@pytest.mark.parametrize("template", ["{0}{1}{0}", "{0} # one{1}#{2}{1}{1}"], ids=["twice", "comments"])
def test_an_entry_is_encrypted_to_the_files_keys(vault: Vault, keys: KeyRing, ending: str, template: str) -> None:
    lines = template.format(keys["alice"], ending or "\n", keys["missing"]) + ending
    (vault.path / ".gpg-id").write_bytes(lines.encode())
    vault.store()
    assert key_ids(vault.entry().read_bytes()) == [subkey(keys, "alice")]
    assert vault.get() == ("bob", "s3cret")


def test_each_server_has_the_recipients_of_its_nearest_file(vault: Vault, keys: KeyRing) -> None:
    write(vault.path / FOLDER / ".gpg-id", keys["alice"] + "\n" + keys["bob"])
    write(vault.directory("b.example") / ".gpg-id", keys["bob"])
    vault.store("a.example")
    vault.store("b.example")
    assert key_ids(vault.entry("a.example").read_bytes()) == [subkey(keys, "alice"), subkey(keys, "bob")]
    assert key_ids(vault.entry("b.example").read_bytes()) == [subkey(keys, "bob")]
    assert vault.list() == {"a.example": "bob", "b.example": "bob"}
    vault.erase("b.example")
    assert (vault.directory("b.example") / ".gpg-id").read_text() == keys["bob"]
    assert vault.list() == {"a.example": "bob"}


def test_password_store_key_is_what_the_entry_is_encrypted_to(vault: Vault, keys: KeyRing) -> None:
    vault.environ["PASSWORD_STORE_KEY"] = f"{keys['bob']} {keys['stranger']}"
    vault.store()
    assert key_ids(vault.entry().read_bytes()) == [subkey(keys, "bob"), subkey(keys, "stranger")]


def test_a_recipient_file_in_a_hand_made_spelling_is_not_bypassed(vault: Vault, keys: KeyRing) -> None:
    write(vault.path / FOLDER / "YQ" / ".gpg-id", keys["bob"])
    with pytest.raises(StoreError) as caught:
        vault.store("a")
    assert str(caught.value) == (
        f"{FOLDER}/YQ/.gpg-id limits who reads this server, but its directory does not have its usual name; "
        f"move it to {FOLDER}/YQ=="
    )
    assert not (vault.path / FOLDER / "YQ==").exists()


# Signatures


def sign(ring: KeyRing, name: str, path: Path) -> Path:
    signature = Path(f"{path}.sig")
    signature.write_bytes(ring.gpg("-u", ring[name], "--detach-sign", "-o", "-", str(path)).stdout)
    return signature


@pytest.fixture
def signed(vault: Vault, keys: KeyRing) -> Vault:
    sign(keys, "signer", vault.path / ".gpg-id")
    vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["signer"]
    return vault


def test_a_good_signature_is_accepted(signed: Vault, keys: KeyRing) -> None:
    signed.store()
    signed.environ["PASSWORD_STORE_SIGNING_KEY"] = f"{keys['alice']} 0x{keys['signer'].lower()}"
    signed.store(secret="other")
    assert signed.get() == ("bob", "other")


def test_a_missing_signature_refuses_writes_and_no_reads(signed: Vault) -> None:
    signed.store()
    (signed.path / ".gpg-id.sig").unlink()
    before = signed.tree
    with pytest.raises(TrustError) as caught:
        signed.store(secret="other")
    path = signed.path / ".gpg-id"
    assert str(caught.value) == (
        f"{path} has no signature; run: gpg --detach-sign {path}, or unset PASSWORD_STORE_SIGNING_KEY"
    )
    assert signed.tree == before
    assert signed.get() == ("bob", "s3cret")


@pytest.mark.parametrize("how", ["changed", "other-key", "other-file", "garbage", "empty", "short-id"])
def test_a_bad_signature_refuses_writes(signed: Vault, keys: KeyRing, how: str) -> None:
    path = signed.path / ".gpg-id"
    if how == "changed":
        path.write_text(keys["alice"] + "\n" + keys["bob"] + "\n")
    elif how == "other-key":
        sign(keys, "bob", path)
    elif how == "other-file":
        (signed.path / "x").write_text(keys["bob"])
        sign(keys, "signer", signed.path / "x").rename(signed.path / ".gpg-id.sig")
        (signed.path / "x").unlink()
    elif how == "short-id":  # as in pass(1), only full fingerprints count
        signed.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["signer"][-16:]
    else:
        (signed.path / ".gpg-id.sig").write_bytes(b"garbage" if how == "garbage" else b"")
    before = signed.tree
    with pytest.raises(TrustError) as caught:
        signed.store()
    assert str(caught.value) == (
        f"the signature of {path} is not by a key in PASSWORD_STORE_SIGNING_KEY; "
        "find out who changed it, then sign it again"
    )
    assert signed.tree == before


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec sleep 30", "gpg cannot check a signature: it took too long; run: passhelper doctor"),
        ("echo 'gpg: waiting for lock (held by 4711) ...' >&2; exit 2", "gpg waits for a lock in "),
    ],
    ids=["hangs", "waits for a lock"],
)
def test_a_gpg_that_gives_no_answer_accuses_nobody(signed: Vault, tmp_path: Path, script: str, said: str) -> None:
    """To look for whoever has changed the file would be the wrong advice."""
    text = f'case " $* " in *" --verify "*) {script} ;; esac; exec /usr/bin/gpg "$@"'
    signed.environ.update(PASSHELPER_GPG=program(tmp_path / "g", text), PASSHELPER_TIMEOUT="1")
    before = signed.tree
    with pytest.raises(GpgError) as caught:
        signed.store()
    assert str(caught.value).startswith(said)
    assert signed.tree == before


def test_password_store_key_needs_no_signature(signed: Vault, keys: KeyRing) -> None:
    (signed.path / ".gpg-id.sig").unlink()
    signed.environ["PASSWORD_STORE_KEY"] = keys["alice"]
    signed.store()
    assert signed.get() == ("bob", "s3cret")


def test_a_per_server_file_needs_a_signature_of_its_own(signed: Vault, keys: KeyRing) -> None:
    path = signed.directory() / ".gpg-id"
    write(path, keys["alice"])
    with pytest.raises(TrustError, match=r"YQ|\.gpg-id has no signature"):
        signed.store()
    sign(keys, "signer", path)
    signed.store()


def test_without_a_signing_key_nothing_is_asked(vault: Vault, environ: dict[str, str]) -> None:
    found = find(str(vault.path), "", environ)
    verify_signature(str(vault.path), found, Gpg({**environ, "PASSHELPER_GPG": "/nonexistent"}))


def test_a_snap_has_a_home_of_its_own(tmp_path: Path) -> None:
    """Another store below it would be seen by that snap alone."""
    below = f"{tmp_path}/snap/docker/1"
    environ = {"HOME": below, "SNAP_USER_DATA": below, "SNAP_NAME": "docker", "SNAP_REAL_HOME": str(tmp_path)}
    root = store_path(environ)
    with pytest.raises(StoreNotInitializedError) as caught:
        find(root, FOLDER, environ)
    assert caught.value.cause == f"password store not initialised at {root}"
    own = f"{tmp_path}/.password-store"
    assert caught.value.remedy == (
        f"set PASSWORD_STORE_DIR={own} and GNUPGHOME={tmp_path}/.gnupg, for HOME is that of the snap docker; "
        "where it may not read them, use a docker that is not a snap"
    )
    for other in ({**environ, "PASSWORD_STORE_DIR": own}, {"HOME": str(tmp_path)}):
        with pytest.raises(StoreNotInitializedError) as caught:
            find(store_path(other), FOLDER, other)
        assert caught.value.remedy == "run: passhelper setup"


# What a signed list says about itself

IDENTITY, DIGEST, KEY = "0123456789abcdef" * 2, "ab" * 32, "A1" * 20


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# passhelper .gpg-id 7\n", (".gpg-id", 7, "", {})),
        (f"# passhelper .gpg-id 7 {IDENTITY}", (".gpg-id", 7, IDENTITY, {})),
        (f"# passhelper .gpg-id 7 {IDENTITY}\r\n", (".gpg-id", 7, IDENTITY, {})),
        (
            f"# passhelper a 7 {IDENTITY}\n# key {KEY} {DIGEST}\nx\n# key {KEY} {DIGEST}\n",
            ("a", 7, IDENTITY, {KEY: DIGEST}),
        ),
        (f"# passhelper a 7 {IDENTITY}\n# key {KEY.lower()} {DIGEST}", ("a", 7, IDENTITY, {KEY: DIGEST})),
        (f"# passhelper a 7 {IDENTITY}\n# key {KEY} {DIGEST[1:]}\n", ("a", 7, IDENTITY, {})),
        (f"# passhelper a 7 {IDENTITY}\n# key {KEY} {DIGEST.upper()}\n", ("a", 7, IDENTITY, {})),
        (f"# passhelper a 7 {IDENTITY}\n# key {KEY}\n", ("a", 7, IDENTITY, {})),
        (f"# passhelper a 7 {IDENTITY} \n", None),
        (f"# passhelper a 7 {IDENTITY[1:]}\n", None),
        (f"# passhelper a 7 {IDENTITY.upper()}\n", None),
        (f"# passhelper a 7 {IDENTITY[:-1]}\ufb00\n", None),
        (f"# passhelper a 7 {IDENTITY} {IDENTITY}\n", None),
        (f"# passhelper a \u0667 {IDENTITY}\n", None),
        (f"\ufeff# passhelper a 7 {IDENTITY}\n", None),
        (f"\n# passhelper a 7 {IDENTITY}\n", None),
    ],
)
def test_what_a_list_says_about_itself(text: str, found: tuple[object, ...] | None) -> None:
    named = recipients.header(text.encode())
    assert (named and (named.path, named.serial, named.store, named.keys)) == found


@pytest.mark.parametrize(
    "before", ["", "# passhelper b 3\n", f"# passhelper b 3 {IDENTITY}\n# key {KEY} {'cd' * 32}\n"]
)
@pytest.mark.parametrize("rest", ["", "# alice\nA\n", f"# a note\n# key {KEY} {DIGEST}\nA"])
def test_a_list_says_something_else_about_itself(before: str, rest: str) -> None:
    new = recipients.Header("a", 8, IDENTITY, {KEY: DIGEST}, {"b/a": 3})
    text = recipients.with_header((before + rest).encode(), new)
    assert text.decode() == f"# passhelper a 8 {IDENTITY}\n# key {KEY} {DIGEST}\n# list b/a 3\n{rest}"
    named = recipients.header(text)
    assert (named and named.lists) == {"b/a": 3}
    assert recipients.body(text).decode() == rest
    assert recipients.with_header(text, recipients.Header("a", 9)).decode() == f"# passhelper a 9\n{rest}"
