"""Pins: which recipients this machine has accepted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support import FOLDER, KeyRing, Program, tree
from support.programs import script
from support.worlds.vault import SERVER, Vault

from passhelper.errors import StoreError, TrustError
from passhelper.store import trust
from passhelper.store.files import Files
from passhelper.store.packets import key_ids

ACCEPT = "run: passhelper recipients accept"


def pins(vault: Vault) -> dict[str, list[str]]:
    document = json.loads((vault.path / ".git" / "passhelper" / "trust.json").read_text())
    assert document["version"] == 1
    found: dict[str, list[str]] = document["recipients"]
    return found


def refusal(vault: Vault, server: str = SERVER) -> str:
    """What a refused store says; nothing may have changed, pins and pending paths included."""
    before = (vault.tree, vault.git("rev-parse", "HEAD"), tree(vault.path / ".git" / "passhelper"))
    with pytest.raises(TrustError) as caught:
        vault.store(server, secret="new")
    assert (vault.tree, vault.git("rev-parse", "HEAD"), tree(vault.path / ".git" / "passhelper")) == before
    assert caught.value.exit_code == 4
    return str(caught.value)


@pytest.fixture
def pinned(git_vault: Vault) -> Vault:
    """A git store after its first write."""
    git_vault.store()
    return git_vault


def recipients(vault: Vault, *lines: str, path: str = ".gpg-id") -> None:
    file = vault.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def test_the_first_write_pins_every_recipient_file(git_vault: Vault, keys: KeyRing) -> None:
    per_server = f"{FOLDER}/Yi5leGFtcGxl/.gpg-id"
    recipients(git_vault, keys["alice"], "# note", keys["bob"].lower(), path=per_server)
    git_vault.store()
    assert pins(git_vault) == {".gpg-id": [keys["alice"]], per_server: sorted([keys["alice"], keys["bob"]])}
    assert "trust.json" not in git_vault.status
    assert git_vault.warnings == []


def test_reading_and_erasing_pin_and_ask_nothing(pinned: Vault, keys: KeyRing) -> None:
    recipients(pinned, keys["bob"])
    assert pinned.get() == ("bob", "s3cret")
    assert pinned.list() == {SERVER: "bob"}
    pinned.erase()
    assert pins(pinned) == {".gpg-id": [keys["alice"]]}


def test_an_added_recipient_is_refused_by_name(pinned: Vault, keys: KeyRing) -> None:
    recipients(pinned, keys["alice"], keys["bob"])
    assert refusal(pinned) == f"recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id); {ACCEPT}"


def test_a_removed_recipient_is_refused_by_name(git_vault: Vault, keys: KeyRing) -> None:
    recipients(git_vault, keys["alice"], keys["bob"])
    git_vault.store()
    recipients(git_vault, keys["alice"])
    assert refusal(git_vault) == f"recipients changed: -{keys['bob']} bob <bob@example.test> (.gpg-id); {ACCEPT}"


def test_a_replaced_recipient_names_both(pinned: Vault, keys: KeyRing) -> None:
    recipients(pinned, keys["missing"])
    assert refusal(pinned) == (
        f"recipients changed: +{keys['missing']} (not in this keyring) -{keys['alice']} alice <alice@example.test> "
        f"(.gpg-id); {ACCEPT}"
    )


def test_a_nearer_file_is_a_change(pinned: Vault, keys: KeyRing) -> None:
    recipients(pinned, keys["alice"], path=f"{FOLDER}/.gpg-id")
    assert refusal(pinned) == (
        f"recipients changed: +{keys['alice']} alice <alice@example.test> ({FOLDER}/.gpg-id); {ACCEPT}"
    )


def test_a_file_for_one_server_concerns_no_other(pinned: Vault, keys: KeyRing) -> None:
    path = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/.gpg-id"
    recipients(pinned, keys["bob"], path=path)
    assert refusal(pinned) == f"recipients changed: +{keys['bob']} bob <bob@example.test> ({path}); {ACCEPT}"
    pinned.store("https://other.example")


def test_a_removed_nearer_file_is_a_change(git_vault: Vault, keys: KeyRing) -> None:
    path = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/.gpg-id"
    recipients(git_vault, keys["bob"], path=path)
    git_vault.store()
    (git_vault.path / path).unlink()
    assert refusal(git_vault) == f"recipients changed: -{keys['bob']} bob <bob@example.test> ({path}); {ACCEPT}"


def test_a_list_that_names_nobody_is_not_none(git_vault: Vault, keys: KeyRing) -> None:
    """Accepted, it lets nobody read; without it the one above counts."""
    path = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/.gpg-id"
    recipients(git_vault, "# nobody", path=path)
    git_vault.store("https://b.example")
    assert pins(git_vault) == {".gpg-id": [keys["alice"]], path: []}
    (git_vault.path / path).unlink()
    assert refusal(git_vault) == f"recipients changed: a list that names nobody ({path}); {ACCEPT}"


def test_a_file_that_became_a_link_is_refused(pinned: Vault, keys: KeyRing) -> None:
    (pinned.path / "other").write_text(keys["alice"])
    (pinned.path / ".gpg-id").unlink()
    (pinned.path / ".gpg-id").symlink_to("other")
    with pytest.raises(StoreError, match="is not a regular file"):
        pinned.store(secret="new")


@pytest.mark.parametrize("text", ["{0}\r\n", "# team\n{0} # alice\n\n", "0x{0}", "{0}\n{0}\n"])
def test_other_ways_to_write_the_same_keys_are_no_change(pinned: Vault, keys: KeyRing, text: str) -> None:
    (pinned.path / ".gpg-id").write_bytes(text.format(keys["alice"]).encode())
    pinned.store(secret="new")
    assert pinned.get() == ("bob", "new")


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\n"])
def test_the_environment_accepts_a_complete_set(pinned: Vault, keys: KeyRing, separator: str) -> None:
    recipients(pinned, keys["alice"], keys["bob"])
    names = [keys["bob"], "0x" + keys["alice"].lower()]
    pinned.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = separator.join(names)
    pinned.store(secret="new")
    assert len(key_ids(pinned.entry().read_bytes())) == 2
    assert pins(pinned) == {".gpg-id": sorted([keys["alice"], keys["bob"]])}
    del pinned.environ["PASSHELPER_ACCEPT_RECIPIENTS"]
    pinned.store(secret="newer")


@pytest.mark.parametrize("names", ["", "alice", "bob", "alice,{missing}", "bob@example.test"])
def test_a_set_that_is_not_complete_accepts_nothing(pinned: Vault, keys: KeyRing, names: str) -> None:
    recipients(pinned, keys["alice"], keys["bob"])
    words = [keys.fingerprints.get(word, word).format(**keys.fingerprints) for word in names.split(",")]
    pinned.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = ",".join(words)
    assert refusal(pinned).startswith(f"recipients changed: +{keys['bob']}")


def test_the_environment_accepts_a_removed_file(git_vault: Vault, keys: KeyRing) -> None:
    path = f"{FOLDER}/aHR0cHM6Ly9hLmV4YW1wbGU=/.gpg-id"
    recipients(git_vault, keys["bob"], path=path)
    git_vault.store()
    (git_vault.path / path).unlink()
    git_vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = keys["alice"]  # of the store, not of this server
    assert refusal(git_vault) == f"recipients changed: -{keys['bob']} bob <bob@example.test> ({path}); {ACCEPT}"
    git_vault.environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"https://a.example={keys['alice']}"
    git_vault.store(secret="new")
    assert pins(git_vault) == {".gpg-id": [keys["alice"]]}


def test_password_store_key_is_the_users_own_word(pinned: Vault, keys: KeyRing) -> None:
    recipients(pinned, keys["bob"])
    pinned.environ["PASSWORD_STORE_KEY"] = keys["alice"]
    pinned.store(secret="new")
    assert pins(pinned) == {".gpg-id": [keys["alice"]]}


def test_a_store_without_git_has_no_pins(vault: Vault, keys: KeyRing) -> None:
    vault.store()
    recipients(vault, keys["bob"])
    vault.store(secret="new")
    assert vault.get() == ("bob", "new")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value: character 0"),
        ("[]", "unknown format"),
        ("{}", "unknown format"),
        ('{"version":0,"recipients":{}}', "unknown format"),
        ('{"version":true,"recipients":{}}', "unknown format"),
        ('{"version":"2","recipients":{}}', "unknown format"),
        ('{"version":1,"recipients":[]}', "unknown format"),
        ('{"version":1,"recipients":{"a":"b"}}', "unknown format"),
        ('{"version":1,"recipients":{"a":[1]}}', "unknown format"),
        ('{"version":1,"recipients":{},"commit":1}', "unknown format"),
        ('{"version":1,"recipients":{},"commit":"--output=x"}', "unknown format"),
        ('{"version":1,"recipients":{},"commits":[]}', "unknown format"),
        ('{"version":1,"recipients":{},"commits":{"refs/remotes/origin/main":"--output=x"}}', "unknown format"),
        ('{"version":1,"recipients":{},"offer":"HEAD"}', "unknown format"),
        ('{"version":1,"recipients":{},"serials":[]}', "unknown format"),
        ('{"version":1,"recipients":{},"serials":{".gpg-id":"3"}}', "unknown format"),
        ('{"version":1,"recipients":{},"serials":{".gpg-id":true}}', "unknown format"),
        ('{"version":1,"recipients":{},"store":"0123"}', "unknown format"),
        ('{"version":1,"recipients":{},"store":7}', "unknown format"),
    ],
)
def test_damaged_pins_accept_nothing(pinned: Vault, text: str, why: str) -> None:
    path = pinned.path / ".git" / "passhelper" / "trust.json"
    path.write_text(text)
    before = pinned.tree
    with pytest.raises(StoreError) as caught:
        pinned.store(secret="new")
    assert str(caught.value) == f"{path} is damaged: {why}; {ACCEPT}"
    assert pinned.tree == before
    assert pinned.get() == ("bob", "s3cret")


def test_pins_that_are_not_utf_8_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_bytes(b"\xff")
    with pytest.raises(StoreError, match="is damaged"):
        trust.load(str(tmp_path))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert trust.load(str(state)) is None
    wanted = {".gpg-id": ["A", "B"], "x/é/.gpg-id": []}
    trust.save(str(state), wanted, Files({}))
    assert trust.load(str(state)) == wanted
    assert (state / "trust.json").stat().st_mode & 0o777 == 0o600


def test_what_a_newer_passhelper_wrote_is_left_alone(pinned: Vault) -> None:
    path = pinned.path / ".git" / "passhelper" / "trust.json"
    text = '{"version":2,"recipients":{}}'
    path.write_text(text)
    before = pinned.tree
    with pytest.raises(StoreError) as caught:
        pinned.store(secret="new")
    assert str(caught.value) == f"{path} was written by a newer passhelper (format 2); upgrade passhelper"
    with pytest.raises(StoreError, match="newer passhelper"):
        trust.save(str(path.parent), {}, Files({}))
    assert path.read_text() == text
    assert pinned.tree == before


def test_pins_are_saved_beside_the_rest(tmp_path: Path) -> None:
    state, files = str(tmp_path), Files({})
    trust.save_all(
        state, trust.Trust({"a": ["A"]}, {"": "ab" * 20, "r": "12" * 20}, {"a": 3}, "cd" * 20, "ef" * 16), files
    )
    trust.save(state, {"b": ["B"]}, files)
    known = trust.load_all(state)
    assert known is not None
    assert known.store == "ef" * 16
    assert (known.pins, known.serials, known.offer) == ({"b": ["B"]}, {"a": 3}, "cd" * 20)
    assert (known.commit("r"), known.commit("other")) == ("12" * 20, "ab" * 20)
    known.commits = trust.newer(known.commits, "s", "34" * 20)
    assert (known.commit("r"), known.commit("s"), known.commit("other")) == ("12" * 20, "34" * 20, "")


def test_only_what_was_checked_is_written_down(tmp_path: Path) -> None:
    """Another process has accepted something since: that stays."""
    state, files = str(tmp_path), Files({})
    trust.save_all(state, trust.Trust({"a": ["A"], "b": ["B"], "c": ["C"]}, {}, {"a": 5}), files)
    trust.write_down(state, trust.Accepted({"a": ["X"], "b": None}, {"a": 4, "b": 2}), files)
    known = trust.load_all(state)
    assert known is not None
    assert (known.pins, known.serials) == ({"a": ["X"], "c": ["C"]}, {"a": 5, "b": 2})
    trust.write_down(state, trust.Accepted({"a": ["Z"]}, {}, is_first=True), files)
    assert trust.load(state) == {"a": ["X"], "c": ["C"]}
    trust.write_down(str(tmp_path / "new"), trust.Accepted({"a": ["Z"]}, {"a": 1}, is_first=True), files)
    assert trust.load(str(tmp_path / "new")) == {"a": ["Z"]}


# Signed changes


def sign(vault: Vault, keys: KeyRing, *lines: str, path: str = ".gpg-id", says: str | None = None) -> None:
    """Write a ``.gpg-id`` as alice, the admin, and sign it; ``says`` is what stands in its first line."""
    recipients(vault, *([] if says is None else [f"# passhelper {says}"]), *lines, path=path)
    file = vault.path / path
    signature = keys.gpg("--local-user", keys["alice"], "--detach-sign", stdin=file.read_bytes()).stdout
    Path(f"{file}.sig").write_bytes(signature)


@pytest.fixture
def signed(git_vault: Vault, keys: KeyRing) -> Vault:
    """A store whose recipients alice signs, pinned at serial 3."""
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    sign(git_vault, keys, keys["alice"], says=".gpg-id 3")
    git_vault.store()
    return git_vault


def serials(vault: Vault) -> object:
    return json.loads((vault.path / ".git" / "passhelper" / "trust.json").read_text()).get("serials")


def test_a_newer_signed_list_is_accepted_unasked(signed: Vault, keys: KeyRing) -> None:
    assert serials(signed) == {".gpg-id": 3}
    sign(signed, keys, keys["alice"], keys["bob"], says=".gpg-id 4")
    signed.store(secret="new")
    assert serials(signed) == {".gpg-id": 4}
    assert pins(signed) == {".gpg-id": sorted([keys["alice"], keys["bob"]])}


@pytest.mark.parametrize(
    "says",
    [None, ".gpg-id 3", ".gpg-id 2", ".gpg-id -4", ".gpg-id 4 ", ".gpg-id", "docker-credential-helpers/.gpg-id 4",
     "./.gpg-id 4", ".gpg-id ٤", ".gpg-id " + "9" * 19],
)  # fmt: skip
def test_a_signed_list_that_is_old_or_of_another_place(signed: Vault, keys: KeyRing, says: str | None) -> None:
    sign(signed, keys, keys["alice"], keys["bob"], says=says)
    assert refusal(signed) == f"recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id); {ACCEPT}"


def test_a_signature_says_nothing_about_a_file_that_is_gone(git_vault: Vault, keys: KeyRing) -> None:
    """The nearer list is taken away while the one above gets a new signature: its readers were not accepted here."""
    nearer = f"{FOLDER}/{git_vault.directory().name}/.gpg-id"
    git_vault.environ["PASSWORD_STORE_SIGNING_KEY"] = keys["alice"]
    sign(git_vault, keys, keys["alice"], keys["bob"], says=".gpg-id 3")
    sign(git_vault, keys, keys["alice"], path=nearer, says=f"{nearer} 1")
    git_vault.store()
    (git_vault.path / nearer).unlink()
    sign(git_vault, keys, keys["bob"], says=".gpg-id 4")
    assert refusal(git_vault) == (
        f"recipients changed: -{keys['alice']} alice <alice@example.test> ({nearer}), "
        f"-{keys['alice']} alice <alice@example.test> (.gpg-id); {ACCEPT}"
    )


def test_without_a_signing_key_the_first_line_is_a_comment(pinned: Vault, keys: KeyRing) -> None:
    sign(pinned, keys, keys["alice"], keys["bob"], says=".gpg-id 4")
    assert refusal(pinned) == f"recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id); {ACCEPT}"


# Several at once


def test_writers_at_the_same_time_lose_no_pin(git_store: Path, installed: Program, environ: dict[str, str]) -> None:
    """Each accepts a list of its own while the others do; all read and write under the store's lock."""
    code = (
        "import os, sys\n"
        "from passhelper.store import trust\n"
        "from passhelper.store.files import Files\n"
        "from passhelper.store.store import PassStore\n"
        "from passhelper.store.transaction import Transaction\n"
        "store = PassStore(os.environ, print)\n"
        "place = store.repository('')\n"
        "for number in range(20):\n"
        "    with Transaction(store, place):\n"
        "        accepted = trust.Accepted({f'{sys.argv[1]}/{number}': ['A']}, {sys.argv[1]: number})\n"
        "        trust.write_down(place.state, accepted, Files(store.environ))\n"
    )
    writers = [subprocess.Popen([installed.python, "-I", "-c", code, name], env=environ) for name in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    known = trust.load_all(str(git_store / ".git" / "passhelper"))
    assert known is not None
    assert set(known.pins) == {f"{name}/{number}" for name in "abcd" for number in range(20)}
    assert known.serials == dict.fromkeys("abcd", 19)


def test_a_first_write_keeps_what_another_has_accepted_meanwhile(git_vault: Vault, keys: KeyRing) -> None:
    """The pins were not there when the list was read; when the lock is held, they are."""
    state = git_vault.path / ".git" / "passhelper"
    other = {f"{FOLDER}/eA==/.gpg-id": [keys["bob"]], ".gpg-id": [keys["alice"]]}
    git_vault.environ["PASSHELPER_GPG"] = script(
        git_vault.path.parent / "gpg",
        f"mkdir -p {state}\nprintf '%s' '{json.dumps({'version': 1, 'recipients': other})}' > {state}/trust.json\n"
        'exec gpg "$@"',
    )
    git_vault.store()
    assert pins(git_vault) == other
