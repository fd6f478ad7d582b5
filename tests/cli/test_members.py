"""``passhelper recipients add``, ``remove`` and ``check``, and ``reencrypt``: what is said, and the exit codes."""

from __future__ import annotations

import base64
from pathlib import Path

from support import FOLDER, Helper, KeyRing, Program, run, tree
from support.machines.new import Command
from support.people.terminals import Person
from support.worlds.disks import too_deep
from support.worlds.readers import files, ids, subkeys, tidy

A, B = "https://a.example", "https://b.example"


def entry(store: Path, server: str) -> Path:
    return next(path for path in files(store) if path.parent.name == folder(server))


def folder(server: str) -> str:
    return base64.urlsafe_b64encode(server.encode()).decode()


def fill(helper: Helper) -> None:
    for server in (A, B):
        assert helper.store(server, "u", "s3cret").code == 0


def test_add_and_remove(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    answer = passhelper("recipients", "add", "bob@example.test")
    bob = f"{keys['bob']} bob <bob@example.test>"
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text == f"added {bob}\nchanged .gpg-id, encrypted 2 entries anew\n"
    answer = passhelper("recipients", "add", keys["bob"])
    assert (answer.code, answer.text) == (0, "these keys are recipients already, nothing to do\n")
    answer = passhelper("recipients", "remove", keys["bob"])
    assert answer.text == (f"removed {bob}\nchanged .gpg-id, encrypted 2 entries anew\n{A} (u)\n{B} (u)\n")
    assert answer.err.decode() == (
        "warning: the removed key could read these credentials; change each at its registry and store it again\n"
    )
    assert answer.code == 0
    assert passhelper("recipients", "check").code == 0
    tidy(git_store, helper.environ)


def test_add_a_key_that_has_changed(
    passhelper: Command, git_store: Path, helper: Helper, own_keys: KeyRing, tmp_path: Path
) -> None:
    """It is a recipient already; its file in the store is renewed, and no entry is encrypted anew."""
    fill(helper)
    assert passhelper("recipients", "add", own_keys["bob"]).code == 0
    own_keys.gpg("--quick-set-expire", own_keys["bob"], "2099-01-01")
    file = tmp_path / "bob.asc"
    file.write_bytes(own_keys.gpg("--armor", "--export", own_keys["bob"]).stdout)
    before = entry(git_store, A).read_bytes()
    answer = passhelper("recipients", "add", str(file), GNUPGHOME=str(own_keys.home))
    said = f"renewed the public key {own_keys['bob']} in the store\n"
    assert (answer.code, answer.text, answer.err) == (0, said, b"")
    assert entry(git_store, A).read_bytes() == before
    answer = passhelper("recipients", "add", str(file), "--json", GNUPGHOME=str(own_keys.home))
    assert (answer.code, answer.json["data"]["renewed"], answer.json["data"]["keys"]) == (0, [], [])
    tidy(git_store, helper.environ)


def test_a_directory_that_cannot_be_read(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    """It hides no other entry, and nobody loses or gets the right to read what may be in it unnoticed."""
    fill(helper)
    gpg_id, other = store / ".gpg-id", entry(store, B)
    trouble = f"{entry(store, A).parent} cannot be read: File name too long"
    refusal = f"error: 1 entry cannot be encrypted anew: {A}: {trouble}\nhint: choose a shorter path\n"
    assert passhelper("recipients", "add", keys["bob"]).code == 0
    with too_deep(entry(store, A).parent):
        before = gpg_id.read_text(), other.read_bytes()
        answer = passhelper("recipients", "add", keys["stranger"])
        assert (answer.code, answer.out, answer.err.decode()) == (1, b"", refusal)
        assert (gpg_id.read_text(), other.read_bytes()) == before
        # Who leaves must not be kept by it; he may still read what nobody can look at.
        answer = passhelper("recipients", "remove", keys["bob"])
        assert (answer.code, sorted(ids(other, keys))) == (3, ["alice"])
        assert answer.err.decode().splitlines()[0] == (
            f"warning: {A}: a removed key may still read it; it is left as it is: {trouble}; choose a shorter path"
        )
        other.write_bytes(before[1])
        assert gpg_id.read_text() == keys["alice"] + "\n"
        answer = passhelper("recipients", "check", "--json")
        assert answer.code == 3
        data = answer.json["data"]
        assert [(each["server"], each["trouble"]) for each in data["drift"]] == [(A, trouble), (B, "")]
        assert data["entries"] == 1
        answer = passhelper("recipients", "check")
        assert (answer.code, [line.split()[0] for line in answer.text.splitlines()]) == (3, ["SERVER", A, B])
        answer = passhelper("reencrypt")
        assert (answer.code, answer.text, answer.err.decode()) == (1, "encrypted 1 entry anew\n", refusal)
        assert ids(other, keys) == {"alice"}


def test_a_link_is_not_followed(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    (store / FOLDER / folder("https://c.example")).symlink_to(entry(store, A).parent)
    answer = passhelper("recipients", "add", keys["bob"])
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text.endswith("changed .gpg-id, encrypted 2 entries anew\n")


def test_without_history_what_was_readable_has_to_be_rotated(
    passhelper: Command, store: Path, helper: Helper, keys: KeyRing
) -> None:
    fill(helper)
    assert passhelper("recipients", "add", "--path", A, keys["bob"]).code == 0
    answer = passhelper("recipients", "remove", keys["bob"])
    assert answer.text.splitlines()[-1] == f"{A} (u)"
    assert f"changed {FOLDER}/{folder(A)}/.gpg-id, encrypted 1 entry anew" in answer.text


def test_json(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    entries = [{"server": A, "username": "u"}, {"server": B, "username": "u"}]
    bob = f"{keys['bob']} bob <bob@example.test>"
    assert passhelper("recipients", "add", "--json", keys["bob"]).json == {
        "version": 1, "command": "recipients add",
        "data": {"keys": [bob], "renewed": [], "files": [".gpg-id"], "reencrypted": entries, "left": [], "lists": [],
                 "committed": True},
    }  # fmt: skip
    assert passhelper("recipients", "remove", "--json", keys["bob"]).json == {
        "version": 1, "command": "recipients remove",
        "data": {"keys": [bob], "renewed": [], "files": [".gpg-id"], "reencrypted": entries, "left": [], "lists": [],
                 "committed": True, "rotate": entries},
    }  # fmt: skip
    assert passhelper("reencrypt", "--json").json["data"] == {"reencrypted": [], "failed": [], "committed": True}
    assert passhelper("recipients", "check", "--json").json == {
        "version": 1, "command": "recipients check", "data": {"entries": 2, "uncertain": 0, "drift": []},
    }  # fmt: skip


def test_refusals(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    before = tree(store)
    answer = passhelper("recipients", "add", keys["expired"])
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode().startswith("error: cannot encrypt for 1 of 2 recipients in .gpg-id: key ")
    answer = passhelper("recipients", "remove", keys["alice"])
    assert answer.err.decode() == (
        "error: .gpg-id would name no key any more\nhint: add another one first: passhelper recipients add KEY\n"
    )
    assert passhelper("recipients", "add").code == 2
    assert tree(store) == before


def test_check(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    answer = passhelper("recipients", "check")
    assert (answer.code, answer.text) == (0, "0 entries, encrypted to their recipients and to nobody else\n")
    fill(helper)
    data = keys.encrypt(b"s", "alice", "stranger")
    stranger = subkeys(keys, "stranger")[0]
    entry(store, A).write_bytes(data)
    entry(store, B).write_bytes(keys.encrypt(b"s", "bob"))
    for server, content in (
        ("https://c.example", data.replace(bytes.fromhex(stranger), b"\x01" * 8)),
        ("https://d.example", b""), ("https://e.example", keys.encrypt(b"s", "alice", options=("--throw-keyids",))),
        ("https://f.example", keys.encrypt(b"s", "alice", "bob", options=("--throw-keyids",))),
    ):  # fmt: skip
        assert helper.store(server, "u", "s").code == 0
        entry(store, server).write_bytes(content)
    before = tree(store)
    answer = passhelper("recipients", "check")
    assert answer.code == 3
    lines = [" ".join(line.split()) for line in answer.text.splitlines()]
    alice, bob = f"{keys['alice']} alice <alice@example.test>", subkeys(keys, "bob")[0]
    assert lines == [
        "SERVER USER DRIFT",
        f"{A} u +{stranger} stranger <stranger@example.test>",
        f"{B} u +{bob} bob <bob@example.test>; -{alice}",
        "https://c.example u +0101010101010101",
        f"https://d.example u {FOLDER}/{folder('https://d.example')}/u.gpg is not an entry: it is empty",
        "https://f.example u 1 too many among 2 hidden",
    ]
    assert answer.err.decode() == (
        "some readers of 1 entry could only be counted: they are hidden, or not in this keyring\n"
    )
    rows = {row["server"]: row for row in passhelper("recipients", "check", "--json").json["data"]["drift"]}
    assert rows[A]["extra"] == [
        {"key_id": stranger, "fingerprint": keys["stranger"], "uid": "stranger <stranger@example.test>"}
    ]
    assert rows[B]["missing"] == [
        {"line": keys["alice"], "fingerprint": keys["alice"], "uid": "alice <alice@example.test>"}
    ]
    assert (rows["https://c.example"]["unknown"], rows["https://c.example"]["surplus"]) == (["01" * 8], 1)
    assert (rows["https://f.example"]["hidden"], rows["https://f.example"]["surplus"]) == (2, 1)
    assert passhelper("recipients", "check", "--path", "https://e.example").code == 0
    assert tree(store) == before


def test_check_tells_that_recipients_were_not_accepted(
    passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing
) -> None:
    fill(helper)
    with (git_store / ".gpg-id").open("a") as file:
        file.write(f"{keys['bob']}\n")
    answer = passhelper("recipients", "check")
    assert answer.code == 4
    assert answer.err.decode() == (
        f"error: recipients changed: +{keys['bob']} bob <bob@example.test> (.gpg-id)\n"
        "hint: run: passhelper recipients accept\n"
    )


def test_other_files_are_named(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    copy = entry(store, A).with_name("u.sync-conflict-1.gpg")
    copy.write_bytes(b"x")
    answer = passhelper("recipients", "add", keys["bob"])
    assert answer.err.decode() == f"warning: not credentials, so left as they are: {copy.relative_to(store)}\n"


def test_reencrypt(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    assert passhelper("reencrypt").text == "every entry is in line\n"
    entry(git_store, A).write_bytes(keys.encrypt(b"s", "alice", "bob"))
    answer = passhelper("reencrypt", "--jobs", "1")
    assert (answer.code, answer.text, answer.err) == (0, "encrypted 1 entry anew\n", b"")
    assert ids(entry(git_store, A), keys) == {"alice"}
    tidy(git_store, helper.environ)
    answer = passhelper("reencrypt", "https://none.example")
    assert answer.err.decode() == "error: nothing is stored for https://none.example\nhint: run: passhelper list\n"


def test_reencrypt_names_what_fails_and_does_the_rest(
    passhelper: Command, store: Path, helper: Helper, keys: KeyRing
) -> None:
    fill(helper)
    entry(store, A).write_bytes(keys.encrypt(b"s", "stranger"))
    entry(store, B).write_bytes(keys.encrypt(b"s", "alice", "bob"))
    answer = passhelper("reencrypt")
    assert (answer.code, answer.text) == (1, "encrypted 1 entry anew\n")
    assert answer.err.decode().startswith(f"error: 1 entry cannot be encrypted anew: {A} (u): it is encrypted to ")
    assert answer.err.decode().endswith("hint: ask a member who can read them to do this\n")


def test_reencrypt_asks_before_a_reader_comes_to_what_is_not_bound(
    installed: Program, passhelper: Command, store: Path, helper: Helper, keys: KeyRing
) -> None:
    fill(helper)
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    path = entry(store, A)
    path.write_bytes(keys.encrypt(b"s", "alice"))
    unchanged = path.read_bytes()
    answer = passhelper("reencrypt")
    assert (answer.code, answer.text) == (3, "encrypted 1 entry anew\n")
    assert answer.err.decode() == (
        f"warning: {A} (u) is left as it is: it is not bound to its server, so it may have been copied here to be "
        "read by others\nlook at each, then run: passhelper reencrypt --yes SERVER; or, for all of them: passhelper "
        "reencrypt --unbound\n"
    )
    assert passhelper("reencrypt", A).code == 3  # nobody to ask
    assert path.read_bytes() == unchanged
    environ = {**helper.environ, "PASSHELPER_NONINTERACTIVE": "0"}
    for typed, code in ((b"n\n", 3), (b"y\n", 0)):
        person = Person((b"may they read it? [y/N] ", typed))
        answer = person.run([installed.passhelper, "reencrypt", A], environ, b"")
        assert answer.code == code, (answer, person.screen)
        said = b"".join(person.screen.split(b"\r\n")) + answer.err
        assert b"is not bound to its server. Who reads it then: " + keys["alice"].encode() in said
        assert keys["bob"].encode() in said
        assert (path.read_bytes() == unchanged) is (code == 3)
    assert ids(path, keys) == {"alice", "bob"}
    path.write_bytes(unchanged)
    assert passhelper("reencrypt", "--yes", A).code == 0
    assert ids(path, keys) == {"alice", "bob"}


def test_bad_gpg_settings_are_told(passhelper: Command, store: Path, keys: KeyRing) -> None:
    answer = passhelper("recipients", "add", keys["bob"], PASSWORD_STORE_KEY=keys["alice"])
    assert answer.err.decode() == (
        "error: PASSWORD_STORE_KEY overrides every .gpg-id\nhint: unset PASSWORD_STORE_KEY\n"
    )


def test_progress_on_a_terminal(installed: Program, store: Path, helper: Helper, keys: KeyRing) -> None:
    fill(helper)
    person = Person()
    answer = person.run([installed.passhelper, "recipients", "add", keys["bob"]], helper.environ, b"")
    assert answer.code == 0
    assert b"encrypting" in person.screen
    assert run([installed.passhelper, "recipients", "check"], helper.environ).code == 0
