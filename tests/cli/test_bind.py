"""``passhelper bind`` and ``rename``."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program
from support.machines.jobs import git
from support.machines.new import Command
from support.people.terminals import Person

A, B = "https://a.example", "https://b.example"


def unbind(store: Path, keys: KeyRing, *readers: str) -> None:
    """Write every entry as pass does."""
    for path in (store / FOLDER).glob("*/*.gpg"):
        path.write_bytes(keys.encrypt(b"s3cret\n", *(readers or ("alice",))))


@pytest.fixture
def foreign(passhelper: Command, git_store: Path, helper: Helper, keys: KeyRing) -> Path:
    """A store with two entries that pass wrote, for alice and bob."""
    for server in (A, B):
        assert helper.store(server, "u", "s3cret").code == 0
    unbind(git_store, keys)
    git(git_store, "commit", "-qam", "By pass")
    return git_store


def test_all(passhelper: Command, foreign: Path, helper: Helper) -> None:
    strict = {"PASSHELPER_REQUIRE_BOUND": "1"}
    assert helper.get(A, **strict).code == 1
    answer = passhelper("bind", "--all", "--yes")
    assert (answer.code, answer.text, answer.err.decode()) == (0, "bound 2 credentials\n", f"{A} (u)\n{B} (u)\n")
    for server in (A, B):
        assert helper.get(server, **strict).json["Secret"] == "s3cret"
    answer = passhelper("bind", "--all")
    assert (answer.code, answer.text, answer.err) == (0, "every credential here is bound\n", b"")


def test_one(passhelper: Command, foreign: Path, helper: Helper) -> None:
    answer = passhelper("bind", "--yes", "--json", "a.example")
    assert (answer.code, answer.json["data"]) == (0, {"bound": [{"server": A, "username": "u"}]})
    assert helper.get(B, PASSHELPER_REQUIRE_BOUND="1").code == 1


def test_a_person_is_asked(installed: Program, passhelper: Command, foreign: Path, environ: dict[str, str]) -> None:
    answer = passhelper("bind", "--all")
    assert answer.code == 1
    assert answer.err.decode().endswith(
        "error: no terminal to ask whether these belong to their servers\n"
        "hint: look, then run: passhelper bind --yes --all\n"
    )
    environ = {name: value for name, value in environ.items() if name != "PASSHELPER_NONINTERACTIVE"}
    question = b"Is each of these the credential of its server? [y/N] "
    no, yes = Person((question, b"n\n")), Person((question, b"y\n"))
    assert no.run([installed.passhelper, "bind", "--all"], environ, b"").code == 1
    assert b"nothing was bound" in no.screen
    assert yes.run([installed.passhelper, "bind", A], environ, b"").text == "bound 1 credential\n"


def test_what_cannot_be_looked_at_is_told(passhelper: Command, foreign: Path, helper: Helper, keys: KeyRing) -> None:
    """A copy of a bound entry, and what is not an entry; the others are bound."""
    assert helper.store("https://c.example", "u", "s").code == 0
    files = {path.parent.name: path for path in (foreign / FOLDER).glob("*/*.gpg")}
    first, second, third = (files[name] for name in sorted(files))
    first.write_bytes(third.read_bytes())
    second.write_bytes(b"")
    answer = passhelper("bind", "--all", "--yes")
    assert answer.code == 1
    assert b"warning: entry was moved here from another server: " in answer.err
    assert b" is not an entry: it is empty" in answer.err


def test_how_it_is_called(passhelper: Command, foreign: Path) -> None:
    for arguments in ([], ["--all", A]):
        answer = passhelper("bind", *arguments)
        assert (answer.code, answer.err.decode().splitlines()[0]) == (2, "error: name the servers, or give --all")
    assert passhelper("bind", "no.example").err.decode().startswith("error: nothing is stored for no.example\n")


def test_rename(passhelper: Command, git_store: Path, helper: Helper) -> None:
    assert helper.store(A, "u", "s").code == 0
    assert helper.store(B, "v", "t").code == 0
    answer = passhelper("rename", "a.example", "new.example")
    assert (answer.code, answer.text, answer.err) == (0, f"renamed {A} to new.example (u)\n", b"")
    assert helper.list().json == {B: "v", "new.example": "u"}
    assert helper.get("new.example", PASSHELPER_REQUIRE_BOUND="1").json["Secret"] == "s"
    answer = passhelper("rename", "new.example", B)
    assert (answer.code, answer.err.decode()) == (
        1, f"error: {B} has a credential, of v\nhint: run: passhelper rename --replace new.example {B}\n"
    )  # fmt: skip
    assert passhelper("rename", "--replace", "new.example", B).code == 0
    assert helper.list().json == {B: "u"}
    assert passhelper("rename", B, B).err.decode() == f"error: {B} is what it is called already\n"


def test_rename_to_another_name_of_the_same_registry(passhelper: Command, git_store: Path, helper: Helper) -> None:
    assert helper.store(A, "u", "s").code == 0
    assert passhelper("rename", A, "a.example").text == f"renamed {A} to a.example (u)\n"
    assert helper.list().json == {"a.example": "u"}
    assert helper.store("a.example:443", "u", "t").code == 0
    answer = passhelper("rename", "https://a.example/v2/", "c.example")
    assert (answer.code, answer.err.decode()) == (
        1, "error: https://a.example/v2/ is stored as a.example, a.example:443\nhint: name one of them\n"
    )  # fmt: skip
