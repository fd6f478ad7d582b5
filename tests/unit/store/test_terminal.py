"""Who could answer a prompt, and on which terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import run
from support.people.terminals import Person

from passhelper.store import terminal
from passhelper.store.terminal import can_prompt, gpg_tty

REPOSITORY = Path(__file__).parents[3]
ASK = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from passhelper.store.terminal import can_prompt, gpg_tty
print(can_prompt(os.environ), gpg_tty(os.environ))
"""


@pytest.fixture
def device() -> Iterator[str]:
    """A terminal that is nobody's controlling one."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PASSHELPER_NONINTERACTIVE": "1"}, False),
        ({"PASSHELPER_NONINTERACTIVE": "1", "DISPLAY": ":0"}, False),
        ({"PASSHELPER_NONINTERACTIVE": "0", "CI": "true"}, True),
        ({"PASSHELPER_NONINTERACTIVE": "0"}, True),
        ({"CI": "true", "DISPLAY": ":0"}, False),
        ({"CI": "1", "DISPLAY": ":0"}, False),
        ({"CI": "woodpecker", "DISPLAY": ":0"}, False),
        ({"CI": "false", "DISPLAY": ":0"}, True),
        ({"CI": "False", "DISPLAY": ":0"}, True),
        ({"CI": "0", "DISPLAY": ":0"}, True),
        ({"CI": "", "DISPLAY": ":0"}, True),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ""}, False),
        ({}, False),
        ({"PASSHELPER_NONINTERACTIVE": ""}, False),
    ],
)
def test_who_could_answer_without_a_terminal(environ: dict[str, str], expected: bool) -> None:
    answer = run([sys.executable, "-I", "-S", "-c", ASK], environ)
    assert answer.text.split()[0] == str(expected)


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, True), ({"CI": "true"}, False), ({"PASSHELPER_NONINTERACTIVE": "1"}, False)]
)
def test_somebody_at_a_terminal_can_answer(environ: dict[str, str], expected: bool) -> None:
    answer = Person().run([sys.executable, "-I", "-S", "-c", ASK], environ, b"")
    assert answer.text.split()[0] == str(expected)


@pytest.mark.parametrize("redirected", [False, True], ids=["stderr", "controlling"])
def test_the_terminal_is_found_behind_pipes(tmp_path: Path, redirected: bool) -> None:
    person = Person()
    stderr = tmp_path / "stderr" if redirected else None
    answer = person.run([sys.executable, "-I", "-S", "-c", ASK], {}, b"", stderr=stderr)
    assert answer.text.split() == ["True", person.terminal]
    assert person.terminal.startswith("/dev/pts/")


def test_stdin_is_never_the_terminal(device: str) -> None:
    with open(device) as stdin:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", ASK], env={}, stdin=stdin, capture_output=True, check=True,
            start_new_session=True,
        )  # fmt: skip
    assert done.stdout.split()[1] == b"None"


def test_a_terminal_that_the_user_names_is_taken(device: str) -> None:
    assert gpg_tty({"GPG_TTY": device}) == device


@pytest.mark.parametrize("name", ["not a tty", "/dev/tty", "/nonexistent", "/etc/passwd", "/tmp", "a\0b"])
def test_what_is_no_terminal_is_not(name: str) -> None:
    code = f"{ASK}\nprint(gpg_tty({{'GPG_TTY': {name!r}}}))"
    answer = run([sys.executable, "-I", "-S", "-c", code], {})
    assert answer.text.splitlines()[1] == "None"


def test_a_useless_setting_gives_way_to_the_real_terminal() -> None:
    person = Person()
    answer = person.run([sys.executable, "-I", "-S", "-c", ASK], {"GPG_TTY": "not a tty"}, b"")
    assert answer.text.split()[1] == person.terminal


def test_ps_is_asked_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str) -> None:
    ps = tmp_path / "ps"
    ps.write_text(f"#!/bin/sh\n[ \"$*\" = '-o tty= -p {os.getpid()}' ] && echo '{device.removeprefix('/dev/')} '\n")
    ps.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert terminal._ask_ps() == device
    ps.write_text("#!/bin/sh\necho '?'\n")
    assert terminal._ask_ps() is None
    monkeypatch.setenv("PATH", "")
    assert terminal._ask_ps() is None


def test_can_prompt_reads_the_environment_it_is_given() -> None:
    assert can_prompt({"PASSHELPER_NONINTERACTIVE": "0"})
    assert not can_prompt({"PASSHELPER_NONINTERACTIVE": "1"})
