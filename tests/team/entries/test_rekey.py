"""Recipients added and removed: everything or nothing, bound as before, and nobody else's entries."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from support import FOLDER, PASSPHRASE, KeyRing, require, run
from support.programs import script
from support.worlds.readers import Reader, files, ids, tidy
from support.worlds.vault import SERVER, Vault

from passhelper.errors import (
    ConfigurationError,
    GitError,
    LockedKeyError,
    PasshelperError,
    RecipientsError,
    StoreError,
    TrustError,
)
from passhelper.store import recipients
from passhelper.store.store import PassStore
from passhelper.team.entries import reencrypt as module
from passhelper.team.entries.batch import Result
from passhelper.team.entries.failures import failure
from passhelper.team.entries.pipeline import Reencryption
from passhelper.team.entries.reencrypt import Rekey
from passhelper.team.recipients.members import Members, Report

OTHER = "https://other.example"

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.fixture(params=["vault", "git_vault"], ids=["no git", "git"])
def some(request: pytest.FixtureRequest) -> Vault:
    """A store of either kind with two credentials, one of them not bound."""
    vault: Vault = request.getfixturevalue(request.param)
    vault.store()
    vault.store(OTHER)
    return vault


@pytest.fixture
def bob(keys: KeyRing, short_tmp: Path) -> Iterator[Reader]:
    """Bob's machine."""
    reader = Reader(keys, "bob", short_tmp)
    yield reader
    reader.close()


def rekey(vault: Vault) -> Rekey:
    return Rekey(PassStore(vault.environ, vault.warnings.append), jobs=2)


def members(vault: Vault) -> Members:
    return Members(rekey(vault))


def add(vault: Vault, *names: str, server: str = "") -> Report:
    return members(vault).add(names, server)


def remove(vault: Vault, *names: str, server: str = "") -> Report:
    return members(vault).remove(names, server)


def readers(vault: Vault, keys: KeyRing) -> list[set[str]]:
    return [ids(path, keys) for path in files(vault.path)]


def refused(vault: Vault, kind: type[PasshelperError], action: object, *arguments: str, server: str = "") -> str:
    """Do something that is refused; nothing changes. Returns the message."""
    before = vault.tree
    subjects = vault.subjects if (vault.path / ".git").exists() else []
    with pytest.raises(kind) as caught:
        action(vault, *arguments, server=server)  # type: ignore[operator]
    assert vault.tree == before
    if subjects:
        assert vault.subjects == subjects
        assert vault.status == ""
    return str(caught.value)


# Add and remove


def test_added_and_removed(some: Vault, keys: KeyRing, bob: Reader) -> None:
    report = add(some, keys["bob"])
    assert report.keys == (f"{keys['bob']} bob <bob@example.test>",)
    assert (report.files, len(report.result.changed)) == ((".gpg-id",), 2)
    text = f"{keys['alice']}\n# bob <bob@example.test>\n{keys['bob']}\n"
    assert (some.path / ".gpg-id").read_text() == text
    assert readers(some, keys) == [{"alice", "bob"}] * 2
    assert len(bob.readable(files(some.path))) == 2
    assert some.get() == some.get(OTHER) == ("bob", "s3cret")
    tidy(some.path, some.environ)
    report = remove(some, "bob@example.test")
    assert (report.files, len(report.result.changed)) == ((".gpg-id",), 2)
    assert (some.path / ".gpg-id").read_text() == f"{keys['alice']}\n"
    assert bob.readable(files(some.path)) == []
    assert some.get() == some.get(OTHER) == ("bob", "s3cret")
    tidy(some.path, some.environ)
    assert some.warnings == []


def test_one_commit_each_and_pinned(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    before = len(git_vault.subjects)
    add(git_vault, keys["bob"])
    assert git_vault.subjects[0] == f"Add recipient: {keys['bob']} bob <bob@example.test>"
    assert len(git_vault.subjects) == before + 1
    pins = json.loads((git_vault.path / ".git/passhelper/trust.json").read_text())["recipients"]
    assert pins == {".gpg-id": sorted([keys["alice"], keys["bob"]])}
    git_vault.store(secret="new")  # is not refused
    assert (git_vault.path / ".public-keys" / keys["bob"]).read_bytes().startswith(b"-----BEGIN PGP PUBLIC KEY")
    assert (git_vault.path / ".public-keys" / keys["alice"]).exists()
    remove(git_vault, keys["bob"])
    assert git_vault.subjects[0] == f"Remove recipient: {keys['bob']} bob <bob@example.test>"


def test_key_file(vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    vault.store()
    file = tmp_path / "bob.asc"
    file.write_bytes(keys.gpg("--armor", "--export", keys["bob"]).stdout)
    assert add(vault, str(file)).keys == (f"{keys['bob']} bob <bob@example.test>",)
    assert remove(vault, str(file)).keys == (f"{keys['bob']} bob <bob@example.test>",)


def test_who_is_there_already_is_not_added_again(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    subjects = git_vault.subjects
    assert add(git_vault, keys["alice"], "alice@example.test").keys == ()
    assert git_vault.subjects == subjects


def test_several_at_once(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    report = add(vault, keys["bob"], keys["stranger"], "bob@example.test")
    assert len(report.keys) == 2
    assert readers(vault, keys) == [{"alice", "bob", "stranger"}]
    remove(vault, keys["bob"], keys["stranger"])
    assert readers(vault, keys) == [{"alice"}]


def test_empty_store(vault: Vault, keys: KeyRing) -> None:
    assert add(vault, keys["bob"]).files == (".gpg-id",)
    assert remove(vault, keys["bob"]).result.changed == []


def test_what_is_right_already_is_not_written(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    path = git_vault.put(keys.encrypt(b"s", "alice", "bob"), OTHER)
    before = path.read_bytes()
    add(git_vault, keys["bob"])
    assert path.read_bytes() == before
    assert readers(git_vault, keys) == [{"alice", "bob"}] * 2


def test_hidden_readers_are_always_replaced(vault: Vault, keys: KeyRing, bob: Reader) -> None:
    """Who they are cannot be seen: the one who goes may be among them."""
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    vault.put(keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",)))
    assert len(bob.readable(files(vault.path))) == 1
    remove(vault, keys["bob"])
    assert readers(vault, keys) == [{"alice"}]
    assert bob.readable(files(vault.path)) == []


def test_options_that_hide_readers_are_refused(vault: Vault, keys: KeyRing) -> None:
    """Nobody could tell any more who they are."""
    vault.store()
    vault.environ["PASSWORD_STORE_GPG_OPTS"] = "--throw-keyids"
    assert "gpg did not write down whom it encrypted it to" in refused(vault, StoreError, add, keys["bob"])


# What the file says


def test_comments_stay_and_short_names_become_fingerprints(vault: Vault, keys: KeyRing) -> None:
    file = vault.path / ".gpg-id"
    file.write_text(f"# The team\n\nalice@example.test # on duty\r\n# bob\n{keys['bob']}\n# end")
    keys.gpg("--quick-lsign-key", keys["alice"], check=False)
    add(vault, keys["stranger"])
    assert file.read_text() == (
        f"# The team\n\n# alice <alice@example.test>\n{keys['alice']} # on duty\n# bob\n{keys['bob']}\n# end\n"
        f"# stranger <stranger@example.test>\n{keys['stranger']}\n"
    )
    remove(vault, keys["bob"])
    assert file.read_text() == (
        f"# The team\n\n# alice <alice@example.test>\n{keys['alice']} # on duty\n# end\n"
        f"# stranger <stranger@example.test>\n{keys['stranger']}\n"
    )


def test_ambiguous_and_unknown_lines_are_named(vault: Vault, keys: KeyRing) -> None:
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\nexample.test\n")
    message = refused(vault, ConfigurationError, add, keys["bob"])
    assert " keys for example.test in .gpg-id: " in message
    assert message.endswith("; replace the line with a fingerprint")
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\nnobody.test\n")
    assert refused(vault, RecipientsError, add, keys["bob"]) == (
        "nobody.test in .gpg-id means no key in this keyring; replace the line with a fingerprint"
    )


def test_signed(git_vault: Vault, keys: KeyRing) -> None:
    file, signature = git_vault.path / ".gpg-id", git_vault.path / ".gpg-id.sig"
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    signature.write_bytes(keys.gpg("-u", keys["alice"], "--detach-sign", stdin=file.read_bytes()).stdout)
    git_vault.store()
    add(git_vault, keys["bob"])
    assert file.read_text().startswith("# passhelper .gpg-id 1\n")
    add(git_vault, keys["stranger"])
    assert file.read_text().startswith("# passhelper .gpg-id 2\n")
    keys.gpg("--verify", str(signature), str(file))
    assert "passhelper" not in git_vault.status
    git_vault.store(secret="new")
    add(git_vault, keys["locked"], server=SERVER)
    own = git_vault.directory() / ".gpg-id"
    assert own.read_text().startswith(f"# passhelper {FOLDER}/{git_vault.directory().name}/.gpg-id 3\n")
    assert own.read_text().count("# passhelper") == 1
    git_vault.store(secret="newer")


def test_a_signed_list_names_the_lists_below_it(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    members(git_vault).sign()
    add(git_vault, keys["locked"], server=SERVER)
    own = f"{FOLDER}/{git_vault.directory().name}/.gpg-id"

    def lists() -> dict[str, int]:
        header = recipients.header((git_vault.path / ".gpg-id").read_bytes())
        assert header is not None
        return header.lists

    add(git_vault, keys["bob"])
    assert lists() == {own: 2}
    add(git_vault, keys["bob"], server=SERVER)
    assert lists() == {own: 2}  # it may become newer
    git_vault.store(secret="newer")
    members(git_vault).remove([keys["locked"]])
    assert lists() == {own: 2}
    members(git_vault).sign()
    header = recipients.header((git_vault.path / ".gpg-id").read_bytes())
    assert lists() == {own: header.serial if header else 0}
    git_vault.store(secret="newest")


def test_signed_lists_name_the_files_of_the_keys(git_vault: Vault, keys: KeyRing) -> None:
    """As they are when it is signed: with all that the signer knows of a key, whatever lay there before."""
    git_vault.store()
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    members(git_vault).sign()
    add(git_vault, keys["bob"])
    folder = git_vault.path / ".public-keys"
    named = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (keys["alice"], keys["bob"])}

    def digests(path: Path) -> dict[str, str]:
        header = recipients.header(path.read_bytes())
        assert header is not None
        return header.keys

    assert digests(git_vault.path / ".gpg-id") == named
    file = folder / keys["bob"]
    good = file.read_bytes()
    for bad in (keys.gpg("--armor", "--export", keys["stranger"]).stdout, b"x", b""):
        file.write_bytes(bad)
        members(git_vault).sign()
        assert file.read_bytes() == good
        assert digests(git_vault.path / ".gpg-id") == named
    members(git_vault).remove([keys["bob"]])
    assert digests(git_vault.path / ".gpg-id") == {keys["alice"]: named[keys["alice"]]}
    assert (git_vault.path / ".gpg-id").read_text().splitlines()[2:] == [keys["alice"]]


def test_a_store_is_signed_in_no_name_that_nobody_can_check(git_vault: Vault, keys: KeyRing) -> None:
    """Its lists may be another store's; who knows that they are not imports the key, or makes a new name."""
    store = "0123456789abcdef" * 2
    file = git_vault.path / ".gpg-id"
    file.write_text(f"# passhelper .gpg-id 4 {store}\n{keys['alice']}\n")
    signature = keys.gpg("-u", keys["bob"], "--detach-sign", stdin=file.read_bytes()).stdout
    (git_vault.path / ".gpg-id.sig").write_bytes(signature)
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    with pytest.raises(TrustError) as caught:
        members(git_vault).sign()
    assert str(caught.value) == (
        f".gpg-id says that it is a list of store {store}, and it is not signed by a key in PASSWORD_STORE_SIGNING_KEY "
        "that this keyring holds; import the key that has signed it, or run: passhelper recipients sign --new-store"
    )
    signed = members(git_vault).sign(other_store=True)
    assert (signed.identity != store, signed.serial) == (True, 1)


def test_signed_and_no_key_to_sign_with(git_vault: Vault, keys: KeyRing) -> None:
    file = git_vault.path / ".gpg-id"
    sig = keys.gpg("-u", keys["alice"], "--detach-sign", stdin=file.read_bytes()).stdout
    (git_vault.path / ".gpg-id.sig").write_bytes(sig)
    git_vault.git("add", ".gpg-id.sig")
    git_vault.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "-m", "Sign")
    assert refused(git_vault, ConfigurationError, add, keys["bob"]) == (
        f"{file} is signed, and a change would make its signature void; "
        "set PASSWORD_STORE_SIGNING_KEY to the fingerprint of the key that signs it"
    )
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["stranger"]
    assert refused(git_vault, TrustError, add, keys["bob"]).startswith(f"the signature of {file} is not by a key in")


# Refused, and nothing changes


def test_unusable_keys_are_all_named(some: Vault, keys: KeyRing) -> None:
    message = refused(some, RecipientsError, add, keys["expired"], keys["signer"])
    assert message.startswith("cannot encrypt for 2 of 3 recipients in .gpg-id: ")
    assert f"key {keys['expired']} expired <expired@example.test> expired on 2020-01-03" in message
    assert f"key {keys['signer']} signer <signer@example.test> has no encryption subkey" in message
    for wanted, text in (("nobody@example.test", "no key for nobody@example.test in this keyring"),
                         ("DEADBEEF", "not the name of a key: DEADBEEF"),
                         ("gone.asc", "there is no key file gone.asc here"),
                         ("no/where", "there is no key file no/where here"),
                         (keys["missing"], "no key for")):  # fmt: skip
        assert text in refused(some, ConfigurationError, add, wanted)


def test_a_teammates_expired_key_blocks_unless_it_may_be_left_out(some: Vault, keys: KeyRing) -> None:
    with (some.path / ".gpg-id").open("a") as file:
        file.write(f"{keys['expired']}\n{keys['missing']}\n")
    some.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['expired']} {keys['missing']}"
    if (some.path / ".git").exists():
        some.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-qam", "Add")
    message = refused(some, RecipientsError, add, keys["bob"])
    assert "cannot encrypt for 2 of 4 recipients" in message
    some.environ["PASSHELPER_SKIP_UNUSABLE"] = "1"
    add(some, keys["bob"])
    assert readers(some, keys) == [{"alice", "bob"}] * 2
    assert {keys["expired"], keys["missing"]} <= set((some.path / ".gpg-id").read_text().split())
    assert any("expired on" in warning for warning in some.warnings)
    assert rekey(some).reencrypt().changed == []  # what is missing cannot be added


def test_never_the_last_one_never_oneself(some: Vault, keys: KeyRing) -> None:
    assert refused(some, ConfigurationError, remove, keys["alice"]) == (
        ".gpg-id would name no key any more; add another one first: passhelper recipients add KEY"
    )
    add(some, keys["stranger"])
    assert refused(some, ConfigurationError, remove, "alice@example.test").startswith(
        ".gpg-id would name no key of this machine, which could then not read what it stores"
    )


def test_who_is_no_recipient(some: Vault, keys: KeyRing) -> None:
    for wanted in (keys["bob"], "bob@example.test", "x", keys["missing"]):
        assert refused(some, ConfigurationError, remove, wanted) == (
            f"{wanted} is not a recipient; run: passhelper recipients list"
        )


def test_a_key_that_is_not_here_is_removed(some: Vault, keys: KeyRing, bob: Reader) -> None:
    """Somebody left long ago; nobody has his key."""
    with (some.path / ".gpg-id").open("a") as file:
        file.write(f"{keys['missing']}\n")
    some.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['missing']}"
    some.put(keys.encrypt(b"s", "alice", "bob").replace(b"no", b"no"), OTHER)
    remove(some, keys["missing"])
    assert keys["missing"] not in (some.path / ".gpg-id").read_text()
    assert readers(some, keys) == [{"alice"}] * 2


def test_recipients_that_nobody_accepted(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    with (git_vault.path / ".gpg-id").open("a") as file:
        file.write(f"{keys['stranger']}\n")
    before = git_vault.tree
    for action in (add, remove):
        with pytest.raises(TrustError, match=f"recipients changed: \\+{keys['stranger']}"):
            action(git_vault, keys["bob"] if action is add else keys["alice"])
    with pytest.raises(TrustError, match="recipients changed"):
        rekey(git_vault).reencrypt()
    assert git_vault.tree == before


def test_entries_that_cannot_be_decrypted_are_all_named(some: Vault, keys: KeyRing) -> None:
    some.put(keys.encrypt(b"s", "stranger"), "https://c.example")
    some.put(keys.encrypt(b"s", "alice")[:-20], "https://d.example", "joe.gpg")
    some.put(b"", "https://e.example")
    before = some.tree
    with pytest.raises(StoreError) as caught:
        add(some, keys["bob"])
    message = str(caught.value)
    assert message.startswith("3 entries cannot be encrypted anew: ")
    for server in (
        "https://c.example (bob): it is encrypted to ",
        "https://d.example (joe): ",
        "https://e.example (bob): ",
    ):
        assert server in message
    assert message.endswith("; ask a member who can read them to do this")
    assert some.tree == before


def test_a_moved_entry_is_refused(some: Vault, keys: KeyRing) -> None:
    shutil.copy(some.entry(), some.put(b"", "https://evil.example"))
    before = some.tree
    with pytest.raises(StoreError, match=r"https://evil\.example \(bob\): it was moved here from another server"):
        add(some, keys["bob"])
    assert some.tree == before


def test_an_unbound_copy_gets_no_reader(some: Vault, keys: KeyRing, bob: Reader) -> None:
    """An insider copies what only alice reads to where he reads too, and waits for anybody to be added."""
    add(some, keys["bob"])
    planted = some.put(keys.encrypt(b"restricted", "alice"), "https://evil.example")
    before = some.tree
    with pytest.raises(StoreError, match="may have been copied here to be read by others") as caught:
        add(some, keys["stranger"])
    assert caught.value.remedy == "look at each, then run it again with --unbound"
    assert some.tree == before
    assert bob.reads(planted) is None


def test_a_locked_key(vault: Vault, own_keys: KeyRing) -> None:
    vault.environ["GNUPGHOME"] = str(own_keys.home)
    (vault.path / ".gpg-id").write_text(f"{own_keys['locked']}\n")
    vault.store()
    vault.store(OTHER)
    assert "is locked; run: passhelper unlock" in refused(vault, LockedKeyError, add, own_keys["bob"])
    vault.environ["PASSHELPER_PASSPHRASE"] = PASSPHRASE
    add(vault, own_keys["bob"])
    assert readers(vault, own_keys) == [{"locked", "bob"}] * 2


def test_the_override_makes_no_sense(vault: Vault, keys: KeyRing) -> None:
    vault.environ["PASSWORD_STORE_KEY"] = keys["bob"]
    message = refused(vault, ConfigurationError, add, keys["bob"])
    assert message == "PASSWORD_STORE_KEY overrides every .gpg-id; unset PASSWORD_STORE_KEY"


def test_git_is_missing(git_vault: Vault, keys: KeyRing, tmp_path: Path) -> None:
    git_vault.store()
    tmp_path.joinpath("bin").mkdir()
    for program in ("gpg", "gpg-agent", "gpgconf"):
        tmp_path.joinpath("bin", program).symlink_to(shutil.which(program) or "")
    path, git_vault.environ["PATH"] = git_vault.environ["PATH"], str(tmp_path / "bin")
    with pytest.raises(GitError, match=f"git not found in PATH, which {git_vault.path} is kept with; install git"):
        add(git_vault, keys["bob"])
    git_vault.environ["PATH"] = path
    assert git_vault.status == ""


def test_a_gpg_that_encrypts_to_somebody_else_is_found_out(some: Vault, keys: KeyRing, tmp_path: Path) -> None:
    some.environ["PASSHELPER_GPG"] = script(
        tmp_path / "evil-gpg", f'case "$*" in *--encrypt*) exec gpg "$@" -r {keys["stranger"]};; esac; exec gpg "$@"'
    )
    some.environ["PASSWORD_STORE_GPG_OPTS"] = f"-r {keys['stranger']}"
    message = refused(some, StoreError, add, keys["bob"])
    assert "gpg encrypted it to other keys than it was told" in message


# One server


def test_for_one_server(some: Vault, keys: KeyRing, bob: Reader) -> None:
    report = add(some, keys["bob"], server=SERVER)
    own = f"{FOLDER}/{some.directory().name}/.gpg-id"
    assert (report.files, len(report.result.changed)) == ((own,), 1)
    assert (some.path / own).read_text() == f"{keys['alice']}\n# bob <bob@example.test>\n{keys['bob']}\n"
    assert bob.readable(files(some.path)) == [some.entry()]
    some.store(secret="new")
    assert ids(some.entry(), keys) == {"alice", "bob"}
    tidy(some.path, some.environ)
    add(some, keys["stranger"])  # the store's; this server has its own
    assert (ids(some.entry(), keys), ids(some.entry(OTHER), keys)) == ({"alice", "bob"}, {"alice", "stranger"})
    remove(some, keys["bob"], server=SERVER)
    assert ids(some.entry(), keys) == {"alice"}


def test_who_leaves_leaves_everywhere(some: Vault, keys: KeyRing, bob: Reader) -> None:
    add(some, keys["bob"], server=SERVER)
    add(some, keys["bob"])
    report = remove(some, keys["bob"])
    assert len(report.files) == 2
    assert bob.readable(files(some.path)) == []
    tidy(some.path, some.environ)


def test_a_server_that_does_not_exist_yet(vault: Vault, keys: KeyRing) -> None:
    add(vault, keys["bob"], server="new.example")
    vault.store("new.example")
    assert ids(vault.entry("new.example"), keys) == {"alice", "bob"}


def test_a_server_that_is_stored_by_another_name(some: Vault, keys: KeyRing) -> None:
    message = refused(some, ConfigurationError, add, keys["bob"], server="a.example")
    assert message == f"nothing is stored for a.example, but for {SERVER}; name the server as it is stored"


def test_a_hand_made_spelling(vault: Vault, keys: KeyRing) -> None:
    bare = vault.directory("ab").with_name(vault.directory("ab").name.rstrip("="))
    bare.mkdir(parents=True)
    (bare / "u.gpg").write_bytes(keys.encrypt(b"s", "alice"))
    report = add(vault, keys["bob"])
    (left,) = report.left
    assert str(left.error) == (
        "its directory does not have its usual name, so nobody is added to its readers; "
        "run: passhelper doctor --fix, then passhelper sync or passhelper reencrypt"
    )
    assert ids(bare / "u.gpg", keys) == {"alice"}
    # Who goes is taken out there as well.
    (bare / "u.gpg").write_bytes(keys.encrypt(b"s", "alice", "bob"))
    remove(vault, keys["bob"], server="ab")
    assert ids(bare / "u.gpg", keys) == {"alice"}
    (bare / ".gpg-id").write_text(f"{keys['alice']}\n")
    assert refused(vault, ConfigurationError, add, keys["bob"], server="ab") == (
        f"{FOLDER}/YWI/.gpg-id limits who reads ab, but its directory does not have its usual name; "
        f"move it to {FOLDER}/YWI="
    )


def test_hidden_readers_in_a_hand_made_spelling(vault: Vault, keys: KeyRing, bob: Reader) -> None:
    """Nobody knows who they are, so it is left, and said: nobody is added, and nobody is shut out."""
    (vault.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    bare = vault.directory("ab").with_name(vault.directory("ab").name.rstrip("="))
    bare.mkdir(parents=True)
    (bare / "u.gpg").write_bytes(keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",)))
    before = (bare / "u.gpg").read_bytes()
    report = remove(vault, keys["bob"])
    assert [left.is_readable for left in report.left] == [None]
    assert (bare / "u.gpg").read_bytes() == before


# Other people's entries


def personal(vault: Vault, keys: KeyRing) -> dict[str, bytes]:
    """Put entries of another kind beside ours; returns all that must stay as it is."""
    for name in ("mail.gpg", "bank/card.gpg"):
        path = vault.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(keys.encrypt(b"private", "alice"))
    return {name: data for name, data in vault.tree.items() if name.startswith(("mail", "bank", ".gpg-id"))}


def test_personal_entries_are_left_alone(some: Vault, keys: KeyRing, bob: Reader) -> None:
    before = personal(some, keys)
    if (some.path / ".git").exists():
        some.git("add", ".")
        some.git("-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-qm", "Mine")
    report = add(some, keys["bob"])
    assert report.files == (f"{FOLDER}/.gpg-id",)
    assert before.items() <= some.tree.items()
    assert bob.readable(some.path.rglob("*.gpg")) != []
    assert set(bob.readable(some.path.rglob("*.gpg"))) == set(files(some.path))
    tidy(some.path, some.environ)
    remove(some, keys["bob"])
    assert before.items() <= some.tree.items()
    assert bob.readable(some.path.rglob("*.gpg")) == []
    tidy(some.path, some.environ)


def test_pass_encrypts_personal_entries_anew(vault: Vault, keys: KeyRing, bob: Reader) -> None:
    """What the test above is about: the same with `pass` gives bob everything."""
    require("pass")
    vault.store()
    personal(vault, keys)
    answer = run(["pass", "init", keys["alice"], keys["bob"]], vault.environ)
    assert answer.code == 0
    assert bob.reads(vault.path / "mail.gpg") == b"private"
    assert bob.reads(vault.path / "bank" / "card.gpg") == b"private"


def test_other_files_among_ours_are_named(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    copy = vault.put(vault.entry().read_bytes(), file="bob.sync-conflict-20240101.gpg")
    (vault.path / FOLDER / "hand-made").mkdir()
    (vault.path / FOLDER / "hand-made" / "x.gpg").write_bytes(b"?")
    report = add(vault, keys["bob"])
    assert set(report.strays) == {os.path.relpath(copy, vault.path), f"{FOLDER}/hand-made/x.gpg"}
    assert ids(copy, keys) == {"alice"}


def test_a_nested_repository(vault: Vault, keys: KeyRing) -> None:
    """The credentials are a repository of their own inside a store of another one."""
    require("git")
    vault.store()
    run(["git", "init", "-q", str(vault.path)], vault.environ)
    run(["git", "init", "-q", str(vault.path / FOLDER)], vault.environ)
    report = add(vault, keys["bob"])
    assert report.files == (f"{FOLDER}/.gpg-id",)
    log = run(["git", "-C", str(vault.path / FOLDER), "log", "--format=%s"], vault.environ)
    assert log.text.startswith("Add recipient: ")


def test_a_server_that_is_a_repository_of_its_own(git_vault: Vault, keys: KeyRing) -> None:
    git_vault.store()
    run(["git", "init", "-q", str(git_vault.directory())], git_vault.environ)
    with pytest.raises(StoreError, match="is a git repository of its own; move its entry into the store's repository"):
        add(git_vault, keys["bob"])
    assert ids(git_vault.entry(), keys) == {"alice"}


# Bound as before


def names(vault: Vault, keys: KeyRing, path: Path) -> str:
    said = keys.gpg("--status-fd", "2", "--decrypt", str(path)).stderr.decode()
    return next(line for line in said.splitlines() if " PLAINTEXT " in line).split(" ")[4]


def test_bindings_are_kept_and_never_added(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    unbound = vault.put(keys.encrypt(b"s", "alice", options=("--set-filename", "mine.txt")), OTHER)
    bound = names(vault, keys, vault.entry())
    assert bound.startswith("passhelper1:")
    add(vault, keys["bob"])
    assert names(vault, keys, vault.entry()) == bound
    assert names(vault, keys, unbound) == ""
    vault.environ["PASSHELPER_REQUIRE_BOUND"] = "1"
    assert vault.get() == ("bob", "s3cret")


# Re-encryption


def test_reencrypt_brings_into_line(some: Vault, keys: KeyRing) -> None:
    some.put(keys.encrypt(b"s", "alice", "stranger"), OTHER)
    (some.path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    some.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['bob']}"
    result = rekey(some).reencrypt()
    assert [record.entry.server for record in result.changed] == [SERVER]
    assert [str(error) for error in result.failed.values()] == [
        "it is not bound to its server, so it may have been copied here to be read by others"
    ]
    assert ids(some.entry(), keys) == {"alice", "bob"}
    assert ids(some.entry(OTHER), keys) == {"alice", "stranger"}
    result = rekey(some).reencrypt([OTHER], [str(some.entry(OTHER))])
    assert len(result.changed) == 1
    assert readers(some, keys) == [{"alice", "bob"}] * 2
    assert rekey(some).reencrypt() == Result()


def test_reencrypt_goes_on_where_one_fails(git_vault: Vault, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred at a time, each its own commit: what is done stays done."""
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    for number in range(5):
        git_vault.put(keys.encrypt(b"s", "alice", "bob"), f"{number}.example")
    git_vault.put(b"damaged", "5.example")
    git_vault.put(keys.encrypt(b"s", "stranger", "bob"), "6.example")
    seen: list[tuple[int, int]] = []
    store = PassStore(git_vault.environ, git_vault.warnings.append)
    result = Rekey(store, progress=lambda done, total: seen.append((done, total))).reencrypt()
    assert len(result.changed) == 5
    assert {result.records[path].entry.server for path in result.failed} == {"5.example", "6.example"}
    assert sum(subject.startswith("Re-encrypt ") for subject in git_vault.subjects) == 3
    assert seen[-1] == (6, 7)  # of the damaged one nothing had to be done
    assert str(failure(result.failed, result.records)).startswith("2 entries cannot be encrypted anew: ")


def test_reencrypt_names_unusable_recipients_of_some(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    vault.put(keys.encrypt(b"s", "alice", "bob"), OTHER)
    vault.put(keys.encrypt(b"s", "alice", "bob"))
    (vault.directory() / ".gpg-id").write_text(f"{keys['alice']}\n{keys['expired']}\n")
    result = rekey(vault).reencrypt()
    assert [record.entry.server for record in result.changed] == [OTHER]
    assert "expired on 2020-01-03" in str(next(iter(result.failed.values())))


# Meanwhile


class Meddler(Reencryption):
    """Lets something happen while entries are encrypted."""

    happens: ClassVar[list[object]] = []

    def run(self, tasks):  # type: ignore[no-untyped-def]
        outcome = super().run(tasks)
        if self.happens:
            self.happens.pop()()  # type: ignore[operator]
        return outcome


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setattr(module, "Reencryption", Meddler)
    monkeypatch.setattr(Meddler, "happens", [])
    return Meddler.happens


def test_what_is_stored_meanwhile_is_encrypted_too(some: Vault, keys: KeyRing, meanwhile: list[object]) -> None:
    meanwhile += [lambda: some.store("https://new.example"), lambda: some.store(secret="changed")]
    add(some, keys["bob"])
    assert readers(some, keys) == [{"alice", "bob"}] * 3
    assert some.get() == ("bob", "changed")
    tidy(some.path, some.environ)


def test_what_is_erased_meanwhile_stays_erased(some: Vault, keys: KeyRing, meanwhile: list[object]) -> None:
    meanwhile.append(some.erase)
    add(some, keys["bob"])
    assert readers(some, keys) == [{"alice", "bob"}]
    tidy(some.path, some.environ)


def test_recipients_that_change_meanwhile(some: Vault, keys: KeyRing, meanwhile: list[object]) -> None:
    text = f"{keys['alice']}\n{keys['stranger']}\n"
    meanwhile.append(lambda: (some.path / ".gpg-id").write_text(text))
    with pytest.raises(TrustError, match=r"\.gpg-id was changed by another program meanwhile; try again"):
        add(some, keys["bob"])
    assert (some.path / ".gpg-id").read_text() == text
    assert readers(some, keys) == [{"alice"}] * 2


def test_recipients_of_a_server_that_change_meanwhile(
    git_vault: Vault, keys: KeyRing, bob: Reader, meanwhile: list[object]
) -> None:
    """As a sync does that another process has begun: nobody reads what was meant for others."""

    def change(*names: str) -> None:
        git_vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = " ".join(keys[name] for name in names)
        (git_vault.path / ".gpg-id").write_text("".join(f"{keys[name]}\n" for name in names))

    git_vault.store()
    change("alice", "bob")
    meanwhile.append(lambda: change("alice", "stranger"))
    result = rekey(git_vault).reencrypt()
    assert result.failed == {}
    assert readers(git_vault, keys) == [{"alice", "stranger"}]
    assert bob.reads(git_vault.entry()) is None


def test_a_store_that_keeps_changing(vault: Vault, keys: KeyRing, meanwhile: list[object]) -> None:
    vault.store()
    for number in range(3):
        meanwhile.append(lambda number=number: vault.store(secret=f"s{number}"))
    with pytest.raises(StoreError, match="the store keeps changing while its entries are encrypted anew; try again"):
        add(vault, keys["bob"])
    assert readers(vault, keys) == [{"alice"}]
