"""``passhelper recipients``: what is shown, and what it takes to accept it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from support import FOLDER, Helper, KeyRing, Program, tree
from support.machines.new import Command
from support.people.terminals import Person
from support.waiting import until

ACCEPT_HINT = "hint: name their fingerprints: passhelper recipients accept FINGERPRINT...\n"


def pins(store: Path) -> object:
    return json.loads((store / ".git" / "passhelper" / "trust.json").read_text())["recipients"]


def add(store: Path, *keys: str) -> None:
    with (store / ".gpg-id").open("a") as file:
        file.writelines(f"{key}\n" for key in keys)


def test_list(passhelper: Command, store: Path, keys: KeyRing) -> None:
    add(store, keys["expired"], keys["missing"], "bob@example.test")
    for arguments in ((), ("list",)):
        lines = passhelper("recipients", *arguments).text.splitlines()
        assert lines[0].split() == ["FILE", "FINGERPRINT", "OWNER", "EXPIRES"]
        shown = {line.split()[1]: " ".join(line.split()[2:]) for line in lines[1:]}
        assert shown == {
            keys["alice"]: "alice <alice@example.test> never",
            keys["bob"]: "bob <bob@example.test> never",
            keys["expired"]: "expired <expired@example.test> (unusable) 2020-01-03",
            keys["missing"]: "(not in this keyring) never",
        }


def test_list_names_files_of_single_servers(passhelper: Command, store: Path, helper: Helper, keys: KeyRing) -> None:
    helper.store("a.example", "u", "s")
    (folder,) = (store / FOLDER).iterdir()
    (folder / ".gpg-id").write_text(keys["bob"])
    data = passhelper("recipients", "list", "--json").json["data"]
    assert [(row["file"], row["fingerprint"]) for row in data] == [
        (".gpg-id", keys["alice"]),
        (f"{FOLDER}/{folder.name}/.gpg-id", keys["bob"]),
    ]


def test_list_json_envelope(passhelper: Command, git_store: Path, keys: KeyRing) -> None:
    document = passhelper("recipients", "list", "--json").json
    assert {name: document[name] for name in ("version", "command")} == {"version": 1, "command": "recipients list"}
    assert document["data"] == [
        {
            "file": ".gpg-id", "key": keys["alice"], "fingerprint": keys["alice"], "uid": "alice <alice@example.test>",
            "expires": None, "usable": True, "own": True, "accepted": True,
        }
    ]  # fmt: skip


def test_not_initialised(passhelper: Command, environ: dict[str, str]) -> None:
    for command in (("recipients",), ("recipients", "accept")):
        answer = passhelper(*command)
        store = environ["PASSWORD_STORE_DIR"]
        assert answer.err.decode() == f"error: password store not initialised at {store}\nhint: run: passhelper setup\n"


def test_a_new_reader_must_be_accepted(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    helper.store("a.example", "u", "s")
    add(git_store, keys["bob"])
    assert helper.store("a.example", "u", "t").code == 1
    accepted = {line.split()[1]: line.split()[-1] for line in passhelper("recipients").text.splitlines()[1:]}
    assert accepted == {keys["alice"]: "yes", keys["bob"]: "no"}
    answer = passhelper("recipients", "accept")
    assert answer.code == 4
    assert set(answer.text.splitlines()) == {
        f"  {keys['alice']} alice <alice@example.test> (.gpg-id)",
        f"+ {keys['bob']} bob <bob@example.test> (.gpg-id)",
    }
    assert answer.err.decode() == f"error: no terminal to ask whether you accept these recipients\n{ACCEPT_HINT}"
    assert passhelper("recipients", "accept", keys["alice"], keys["bob"].lower()).text.endswith("accepted\n")
    assert pins(git_store) == {".gpg-id": sorted([keys["alice"], keys["bob"]])}
    assert helper.store("a.example", "u", "t").code == 0
    assert passhelper("recipients", "accept").text == "these recipients are accepted already\n"


def test_an_incomplete_list_accepts_nothing(passhelper: Command, git_store: Path, keys: KeyRing) -> None:
    add(git_store, keys["bob"])
    before = tree(git_store)
    answer = passhelper("recipients", "accept", keys["alice"])
    assert answer.code == 4
    assert answer.err.decode() == (
        f"error: the store also names {keys['bob']}, so nothing was accepted\n"
        "hint: name every fingerprint that you accept\n"
    )
    assert tree(git_store) == before


def test_a_removed_reader_is_shown(passhelper: Command, git_store: Path, keys: KeyRing) -> None:
    add(git_store, keys["bob"])
    passhelper("recipients", "accept", "--yes")
    (git_store / ".gpg-id").write_text(f"{keys['alice']}\n")
    answer = passhelper("recipients", "accept", "--yes")
    assert f"- {keys['bob']} (.gpg-id)\n" in answer.text
    assert pins(git_store) == {".gpg-id": [keys["alice"]]}


def test_asked_on_the_terminal(installed: Program, git_store: Path, keys: KeyRing, environ: dict[str, str]) -> None:
    command = [installed.passhelper, "recipients", "accept"]
    environ = {**environ, "PASSHELPER_NONINTERACTIVE": "0", "NO_COLOR": "1"}
    person = Person((b"Accept these recipients? [y/N] ", b"\n"))
    assert person.run(command, environ, b"yes\n").code == 4
    assert b"error: not accepted, so nothing will be encrypted to them" in person.screen
    assert not (git_store / ".git" / "passhelper" / "trust.json").exists()
    assert Person((b"[y/N] ", b"y\n")).run(command, environ, b"").code == 0
    assert pins(git_store) == {".gpg-id": [keys["alice"]]}


def test_a_change_while_the_user_thinks(
    installed: Program, git_store: Path, keys: KeyRing, environ: dict[str, str]
) -> None:
    person = Person((b"[y/N] ", b"y\n"))

    def attack() -> None:
        until(lambda: b"[y/N] " in person.screen, pause=0.001)
        add(git_store, keys["bob"])  # before the answer, which takes a tenth of a second to type

    attacker = threading.Thread(target=attack)
    attacker.start()
    environ = {**environ, "PASSHELPER_NONINTERACTIVE": "0", "NO_COLOR": "1"}
    assert person.run([installed.passhelper, "recipients", "accept"], environ, b"").code == 4
    attacker.join()
    assert b"error: the recipients changed while you were asked" in person.screen
    assert not (git_store / ".git" / "passhelper" / "trust.json").exists()


def test_damaged_pins_are_repaired(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> None:
    helper.store("a.example", "u", "s")
    file = git_store / ".git" / "passhelper" / "trust.json"
    file.write_text("{")
    assert helper.store("a.example", "u", "t").code == 1
    answer = passhelper("recipients", "accept", "--yes")
    assert answer.err.decode().startswith(f"warning: {file} is damaged: ")
    assert helper.store("a.example", "u", "t").code == 0


def test_a_store_without_git_has_nothing_to_accept(passhelper: Command, store: Path) -> None:
    answer = passhelper("recipients", "accept")
    assert (answer.code, answer.text) == (
        0, f"{store} is not a git repository: only its owner can change the recipients, nothing to accept\n",
    )  # fmt: skip
