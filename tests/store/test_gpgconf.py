"""gpg.conf decides nothing about bytes: neither which are read, written, compared or encrypted anew, nor where they go.

``PASSHELPER_TEST_GPG_OPTIONS=all`` walks all that ``gpg --dump-options`` names; otherwise a few are tried.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PASSPHRASE, KeyRing, require, run
from support.programs import script
from support.worlds import gpgoptions
from support.worlds.readers import Reader, ids
from support.worlds.vault import SERVER, Vault

from passhelper import Credentials, PassHelper
from passhelper.errors import GpgError, PasshelperError, RecipientsError
from passhelper.store import gpgconf
from passhelper.store.binding import binding
from passhelper.store.cipher import decrypt
from passhelper.store.packets import key_ids
from passhelper.store.store import PassStore
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients.members import Members

FEW = (
    "use-embedded-filename", "output", "list-only", "for-your-eyes-only", "unwrap", "dry-run", "throw-keyids",
    "max-output", "status-file", "passphrase-fd", "textmode", "no-literal", "hidden-encrypt-to", "debug-all", "keyring",
)  # fmt: skip
OF_THE_MACHINE = (
    "output",
    "use-embedded-filename",
    "list-only",
    "unwrap",
    "recipient",
    "passphrase-fd",
    "debug",
    "dry-run",
)
SHORT, LONG = (
    "s3cret\r\nhidden-word",
    "s3cret\r\nhidden-word" + "x" * 3000,
)  # gpg tells the length of short messages only
EVERYTHING = os.environ.get("PASSHELPER_TEST_GPG_OPTIONS") == "all"


@pytest.fixture
def home(own_keys: KeyRing, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The keyring's directory, where gpg.conf is; the working directory is empty but for what options may name."""
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "nothing").touch()
    (folder / "stranger.asc").write_bytes(own_keys.gpg("--armor", "--export", own_keys["stranger"]).stdout)
    monkeypatch.chdir(folder)
    return own_keys.home


@pytest.fixture
def bob(keys: KeyRing, short_tmp: Path) -> Iterator[Reader]:
    """Bob's machine."""
    reader = Reader(keys, "bob", short_tmp)
    yield reader
    reader.close()


def words(keys: KeyRing) -> dict[str, str]:
    return {"folder": str(Path.cwd()), "bob": keys["bob"], "stranger": keys["stranger"]}


def add(vault: Vault, key: str) -> None:
    Members(Rekey(PassStore(vault.environ, vault.warnings.append), jobs=2)).add([key], "")


def leaks(before: set[str]) -> list[str]:
    """The files in the working directory, and what is new there and anywhere below its parent, with plain text."""
    found = [name for name in os.listdir() if name not in before and not name.startswith("other")]
    for path in Path("..").resolve().rglob("*"):
        if path.is_file() and b"hidden-word" in path.read_bytes():
            found.append(str(path))
    return found


def test_no_option_changes_a_byte(vault: Vault, own_keys: KeyRing, home: Path, bob: Reader) -> None:
    """Each option alone in gpg.conf, with ``store``, ``get`` and ``recipients add``: right, or a clear error."""
    accepted, refusals = 0, []
    names = gpgoptions.options("gpg") if EVERYTHING else FEW
    for secret in (SHORT, LONG):
        for name in names:
            line = gpgoptions.line("gpg", name, words(own_keys), home)
            (home / "gpg.conf").unlink()
            if line is None:
                continue
            accepted += 1
            before = set(os.listdir())
            shutil.rmtree(vault.path)
            vault.path.mkdir()
            (vault.path / ".gpg-id").write_text(own_keys["alice"] + "\n")
            vault.store(secret=secret)
            entry = vault.entry()
            (home / "gpg.conf").write_text(line + "\n")
            try:
                assert vault.get() == ("bob", secret), line
                vault.store("https://new.example", secret=secret)
                add(vault, own_keys["bob"])
            except PasshelperError as error:
                refusals.append(f"{line}: {error}")
            (home / "gpg.conf").unlink()
            assert vault.get() == ("bob", secret), line
            for path in (entry, vault.entry("https://new.example")):
                if path.exists():
                    # What was encrypted anew is still bound to its place, and for the right keys alone.
                    assert ids(path, own_keys) in ({"alice"}, {"alice", "bob"}), line
                    plaintext = decrypt(PassStore(vault.environ, print).gpg, path.read_bytes(), line)
                    server = SERVER if path == entry else "https://new.example"
                    assert (plaintext.data, plaintext.name) == (secret.encode(), binding(server, "bob")), line
                    assert bob.reads(path) in (None, secret.encode()), line
            assert leaks(before) == [], line
    counts = f"{len(names)} options, {accepted // 2} accepted by gpg.conf, {len(refusals)} refusals"
    sys.stdout.write("\n".join([counts, *refusals, ""]))
    assert all("corrupt" not in why and "erase" not in why for why in refusals)
    if not EVERYTHING:
        # keyboxd keeps the public keys elsewhere, whatever this line names.
        named = [] if (own_keys.home / "public-keys.d").exists() else ["keyring"] * 2
        assert [why.partition(" ")[0] for why in refusals] == named


@pytest.mark.parametrize("secret", [SHORT, LONG], ids=["short", "long"])
def test_nor_does_the_machines_own_file(vault: Vault, own_keys: KeyRing, home: Path, secret: str) -> None:
    """gpg reads it whatever its arguments are; what no argument undoes is found out."""
    require("unshare")
    if os.geteuid() != 0:
        pytest.skip("only root puts a file in place of /etc/gnupg/gpg.conf, for its own processes")
    etc = Path(tempfile.mkdtemp(dir=home)) / "etc"
    shutil.copytree("/etc", etc, symlinks=True)  # with common.conf, if there is one, which may say where all keys are
    machine = etc / "gnupg"
    machine.mkdir(exist_ok=True)
    lines = [gpgoptions.line("gpg", name, words(own_keys), home) for name in OF_THE_MACHINE]
    (home / "gpg.conf").unlink()
    vault.environ["PASSHELPER_GPG"] = script(
        home / "gpg",
        f"""exec unshare --mount sh -c 'mount --bind {etc} /etc; exec /usr/bin/gpg "$@"' gpg "$@" """,
    )
    if run([vault.environ["PASSHELPER_GPG"], "--version"], vault.environ).code != 0:
        pytest.skip("no mount namespaces here")
    before = set(os.listdir())
    vault.store(secret=secret)
    refusals = {}
    for line in filter(None, lines):
        (machine / "gpg.conf").write_text(line + "\n")
        for doing in ("get", "store"):
            try:
                if doing == "get":
                    assert vault.get() == ("bob", secret), line
                else:
                    vault.store("https://new.example", secret=secret)
            except (GpgError, RecipientsError) as error:
                refusals[line.partition(" ")[0], doing] = str(error)
        (machine / "gpg.conf").unlink()
        if vault.entry("https://new.example").exists():
            assert vault.get("https://new.example") == ("bob", secret), line
            vault.erase("https://new.example")
        assert leaks(before) == [], line
    others = "; check PASSWORD_STORE_GPG_OPTS and the gpg.conf of this machine (run: gpgconf --list-dirs sysconfdir)"
    assert sorted(refusals) == [("dry-run", "store"), ("list-only", "get"), ("recipient", "store"), ("unwrap", "get")]
    for name in ("list-only", "unwrap"):
        assert refusals[name, "get"].startswith("gpg did not give the plaintext of ")
        assert refusals[name, "get"].endswith(others)
    assert refusals["recipient", "store"] == f"gpg encrypted it to other keys than it was told{others}"


@pytest.mark.parametrize("option", ["--output {folder}/out", "--use-embedded-filename", "--for-your-eyes-only",
                                    "--textmode", "--max-output 3", "--status-file {folder}/out",
                                    "--set-filename leak", "--options {folder}/opt", "--list-only",
                                    "--unwrap"])  # fmt: skip
def test_nor_do_the_users_own_options(vault: Vault, home: Path, option: str) -> None:
    """``PASSWORD_STORE_GPG_OPTS`` wins, but not where it would lose or show a secret."""
    vault.store(secret=SHORT)
    (Path.cwd() / "opt").write_text(f"output {Path.cwd()}/out\n")
    before = {*os.listdir(), "out"}
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = option.format(folder=Path.cwd())
    if option in ("--list-only", "--unwrap"):  # which nothing undoes
        with pytest.raises(GpgError, match=r"^gpg did not give the plaintext of "):
            vault.get()
    else:
        assert vault.get() == ("bob", SHORT)
    vault.store(secret=SHORT + "new")
    del vault.environ["PASSWORD_STORE_GPG_OPTS"]
    vault.environ["PASSHELPER_REQUIRE_BOUND"] = "1"
    assert vault.get() == ("bob", SHORT + "new")
    assert leaks(before) == []


@pytest.mark.parametrize("given", [b"abc", b"", b"a\nb\n"])
def test_texts_of_other_programs_may_change_their_line_ends(vault: Vault, keys: KeyRing, given: bytes) -> None:
    vault.put(keys.encrypt(given, "alice", options=("--textmode",)))
    assert vault.get() == ("bob", given.decode().rstrip("\n"))


def test_a_gpg_that_gives_less_than_it_says(vault: Vault, tmp_path: Path) -> None:
    vault.store(secret="long enough")
    for filtered in ("head -c 5", "cat; printf x", "true"):
        vault.environ["PASSHELPER_GPG"] = script(tmp_path / "g", f'/usr/bin/gpg "$@" | {{ {filtered}; }}')
        with pytest.raises(GpgError, match="did not give the plaintext"):
            vault.get()
    del vault.environ["PASSHELPER_GPG"]
    vault.store(secret="x" * 3000)  # its length is told by nobody
    vault.environ["PASSHELPER_GPG"] = script(tmp_path / "g", '/usr/bin/gpg "$@" | cat >/dev/null')
    with pytest.raises(GpgError, match="did not give the plaintext"):
        vault.get()


def test_a_gpg_that_encrypts_less_than_it_is_given(vault: Vault, tmp_path: Path) -> None:
    vault.environ["PASSHELPER_GPG"] = script(tmp_path / "g", 'read -r line; exec /usr/bin/gpg "$@"')
    for secret in ("a" * 20 + "\n" + "b" * 100, "a" * 20 + "\n" + "b" * 400):
        with pytest.raises(GpgError, match="gpg did not encrypt all of it"):
            vault.store(secret=secret)
    assert not vault.directory().exists()


# What counts


def test_groups_and_trust_in_gpg_conf_count(vault: Vault, own_keys: KeyRing, home: Path) -> None:
    """A name in ``.gpg-id`` may be a group; gpg's trust rules hold for it."""
    (home / "gpg.conf").write_text(f'group "team = {own_keys["alice"]} {own_keys["bob"]}"\ntrust-model always\n')
    (vault.path / ".gpg-id").write_text("team\n")
    vault.store()
    assert len(key_ids(vault.entry().read_bytes())) == 2
    assert vault.get() == ("bob", "s3cret")


def test_a_group_named_like_a_fingerprint_is_nobody(vault: Vault, own_keys: KeyRing, home: Path) -> None:
    """A fingerprint in ``.gpg-id`` means that key, whatever gpg.conf calls by the same digits."""
    (home / "gpg.conf").write_text(f"group {own_keys['alice']}={own_keys['bob']}\n")
    vault.store()
    (reader,) = key_ids(vault.entry().read_bytes())
    listing = own_keys.gpg("--with-colons", "--list-keys", own_keys["alice"]).stdout.decode()
    assert reader in [line.split(":")[4] for line in listing.splitlines() if line.startswith("sub")]


def test_a_pinentry_mode_in_gpg_conf_counts(vault: Vault, own_keys: KeyRing, home: Path, tmp_path: Path) -> None:
    """With a passphrase's file, as machines without a person have it."""
    (tmp_path / "p").write_text(PASSPHRASE)
    (vault.path / ".gpg-id").write_text(own_keys["locked"] + "\n")
    vault.store()
    with pytest.raises(PasshelperError, match="is locked"):
        vault.get()
    (home / "gpg.conf").write_text(f"pinentry-mode loopback\npassphrase-file {tmp_path}/p\n")
    environ = {**vault.environ, "PASSHELPER_NONINTERACTIVE": "0"}
    assert PassHelper(environ).get(SERVER) == Credentials(SERVER, "bob", "s3cret")


def test_lines() -> None:
    text = (
        b'# x\n\n  group  a = b c \r\ngroup "q"\nalways-trust\nalways-trust no\ngroup\noutput x\n'
        b"--group x=y\nGROUP z\ngrou z\n"
    )
    assert gpgconf.options(text) == ["--group=a = b c", "--group=q", "--always-trust"]
    assert gpgconf.options(b"keyring \xff/x") == ["--keyring=" + os.fsdecode(b"\xff/x")]


def test_a_configuration_that_cannot_be_read_counts_for_nothing(vault: Vault, home: Path) -> None:
    vault.store()
    (home / "gpg.conf").mkdir()
    assert vault.get() == ("bob", "s3cret")
    (home / "gpg.conf").rmdir()
    (home / "gpg.conf").write_text("an-option-of-another-version\n")
    assert vault.get() == ("bob", "s3cret")
