"""Switches, time limits and automatic sync: what counts as a value, and that nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import FOLDER, Helper, KeyRing, Program, run
from support.worlds.vault import SERVER, Vault

from passhelper import settings
from passhelper.errors import ConfigurationError
from passhelper.store.terminal import can_prompt

ON = ("1", "true", "yes", "on", "TRUE", " Yes\n")
OFF = ("0", "false", "no", "off", "Off")
WRONG = ("2", "ture", "enabled", "y", "1 1", "-")


@pytest.mark.parametrize("name", settings.SWITCHES)
def test_words(name: str) -> None:
    assert [settings.switch({name: value}, name) for value in ON] == [True] * len(ON)
    assert [settings.switch({name: value}, name) for value in OFF] == [False] * len(OFF)
    assert [settings.switch(environ, name) for environ in ({}, {name: ""}, {name: " "})] == [None] * 3
    for value in WRONG:
        with pytest.raises(ConfigurationError) as caught:
            settings.check({name: value})
        assert str(caught.value) == (
            f"{name} is neither on nor off: {value!r}; "
            "set it to one of 1, true, yes, on, or to one of 0, false, no, off"
        )


def test_how_many_times_as_much_may_come_in() -> None:
    found = [settings.times({settings.INCOMING: value}) for value in ("", " ", "1", " 20 ", "1000")]
    assert (settings.times({}), found) == (1, [1, 1, 1, 20, 1000])
    for value in ("0", "1001", "-1", "1.5", "2x", "\u0662", "9" * 99):
        with pytest.raises(ConfigurationError) as caught:
            settings.check({settings.INCOMING: value})
        assert str(caught.value) == (
            f"PASSHELPER_INCOMING is not a number of times: {value!r}; set it to a whole number from 1 to 1000"
        )


@pytest.mark.parametrize("value", ON)
def test_entries_that_are_not_bound_are_refused_with_every_word(vault: Vault, keys: KeyRing, value: str) -> None:
    vault.put(keys.encrypt(b"x", "alice"))
    vault.environ["PASSHELPER_REQUIRE_BOUND"] = value
    with pytest.raises(Exception, match="as PASSHELPER_REQUIRE_BOUND demands"):
        vault.get()


@pytest.mark.parametrize("name", [*settings.SWITCHES, *settings.DEFAULT_SECONDS, settings.INCOMING, settings.SYNC])
def test_no_verb_works_with_a_value_that_is_none(vault: Vault, keys: KeyRing, name: str) -> None:
    """Also for a server that is not there: one sees the mistake before one relies on it."""
    vault.put(keys.encrypt(b"x", "alice"))
    before = vault.tree
    vault.environ[name] = "maybe"
    verbs: list[Callable[[], object]] = [
        vault.get, vault.list, vault.erase, vault.store, lambda: vault.get("https://nobody.example"),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(ConfigurationError) as caught:
            verb()
        assert str(caught.value).startswith(f"{name} ")
        assert "'maybe'; " in str(caught.value)
    assert vault.tree == before


def test_the_program_says_it_on_both_streams(helper: Helper, vault: Vault) -> None:
    answer = helper.get(SERVER, PASSHELPER_REQUIRE_BOUND="ture")
    text = (
        "PASSHELPER_REQUIRE_BOUND is neither on nor off: 'ture'; "
        "set it to one of 1, true, yes, on, or to one of 0, false, no, off\n"
    )
    assert (answer.code, answer.text, answer.err.decode()) == (1, text, f"docker-credential-pass: {text}")
    assert helper("version", PASSHELPER_REQUIRE_BOUND="ture").code == 0


def test_commands_refuse_it_too(installed: Program, vault: Vault) -> None:
    environ = {**vault.environ, "PASSHELPER_SKIP_UNUSABLE": "please"}
    answer = run([installed.passhelper, "list"], environ)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode().splitlines()[0] == "error: PASSHELPER_SKIP_UNUSABLE is neither on nor off: 'please'"


@pytest.mark.parametrize("value", ["yes", "TRUE"])
def test_ignored_writes(vault: Vault, value: str) -> None:
    vault.environ["PASSHELPER_IGNORE_WRITES"] = value
    vault.store()
    assert not (vault.path / FOLDER).exists()


def test_nobody_answers() -> None:
    """``CI`` belongs to others, who write what they like into it; ours is for one of eight words."""
    assert [can_prompt({"CI": value, "DISPLAY": ":0"}) for value in ("woodpecker", "1", "True")] == [False] * 3
    assert [can_prompt({"CI": value, "DISPLAY": ":0"}) for value in ("", *OFF)] == [True] * 6
    name = "PASSHELPER_NONINTERACTIVE"
    assert [can_prompt({name: value, "DISPLAY": ":0"}) for value in ON] == [False] * len(ON)
    assert [can_prompt({name: value, "CI": "1"}) for value in OFF] == [True] * len(OFF)
    with pytest.raises(ConfigurationError):
        can_prompt({name: "maybe"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("push", ["push"]),
        ("pull,push", ["push", "pull"]),
        ("Push, Pull", ["push", "pull"]),
        ("push,", ["push"]),
        ("off", []),
        ("OFF", []),
    ],
)
def test_automatic_sync(text: str, words: list[str]) -> None:
    assert settings.sync_words(text, "x") == words


@pytest.mark.parametrize("text", ["1", "true", "off,push", "none", "pulls", ",", " "])
def test_automatic_sync_that_is_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^x cannot be "):
        settings.sync_words(text, "x")


def test_a_traceback_is_asked_for_with_every_word(helper: Helper) -> None:
    wrong = {"PASSWORD_STORE_DIR": "relative"}
    assert b"Traceback" in helper.list(**wrong, PASSHELPER_DEBUG="yes").err
    assert b"Traceback" not in helper.list(**wrong, PASSHELPER_DEBUG="off").err
    answer = helper("nonsense", PASSHELPER_DEBUG="maybe")
    assert b"Traceback" not in answer.err


def test_what_the_doctor_says(installed: Program, vault: Vault) -> None:
    environ = {**vault.environ, "PASSHELPER_STRICT": "ja", "PASSHELPER_TIMEOUT": "2 minutes", "PASSHELPER_SYNC": "x"}
    answer = run([installed.passhelper, "doctor"], environ)
    text = answer.out.decode() + answer.err.decode()
    assert answer.code == 1
    for name in ("PASSHELPER_STRICT", "PASSHELPER_TIMEOUT", "PASSHELPER_SYNC"):
        assert f"{name} " in text
