"""A locked key and a person at the terminal, while Docker holds the helper's stdin and stdout (pain G1).

``pass`` asks tty(1), which looks at stdin, and then tells gpg that the terminal is called "not a tty":
Docker's own helper cannot prompt. Side by side with it, ours finds the terminal as stderr or as the
controlling terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, PASSPHRASE, Helper, KeyRing, require, require_go_helper, run
from support.people.terminals import Person

if TYPE_CHECKING:
    from pathlib import Path

    from support import Program

SERVER = "https://registry.example"

# Speaks just enough of the Assuan protocol; gives the passphrase only on a terminal that it can open.
_PINENTRY = """\
#!{python} -IS
import os, sys
name = ""
def say(line):
    sys.stdout.write(line + chr(10))
    sys.stdout.flush()
say("OK ready")
for line in sys.stdin:
    word = line.split()
    if line.startswith("OPTION ttyname="):
        name = line.strip().partition("=")[2]
    if word[:1] == ["GETPIN"]:
        with open("{log}", "a") as log:
            log.write(name + chr(10))
        try:
            terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
            if name == "/dev/tty" or not os.isatty(terminal):
                raise OSError(name)
        except (OSError, ValueError):
            say("ERR 83918950 Inappropriate ioctl for device <Pinentry>")
            continue
        os.write(terminal, b"Passphrase, please: ")
        say("D {passphrase}")
        say("OK")
    elif word[:1] == ["BYE"]:
        say("OK")
        break
    else:
        say("OK")
"""


@pytest.fixture
def locked(environ: dict[str, str], store: Path, own_keys: KeyRing) -> dict[str, str]:
    """An environment whose store is readable by a locked key, with nothing that says who could answer."""
    environ["GNUPGHOME"] = str(own_keys.home)
    environ["TERM"] = "xterm"
    del environ["PASSHELPER_NONINTERACTIVE"]
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    return environ


@pytest.fixture
def scripted(locked: dict[str, str], own_keys: KeyRing, tmp_path: Path) -> Path:
    """A pinentry that answers by itself; the file that tells which terminals it was given."""
    log = tmp_path / "terminals"
    program = own_keys.home / "pinentry"
    program.write_text(_PINENTRY.format(python=sys.executable, log=log, passphrase=PASSPHRASE))
    program.chmod(0o700)
    configure(own_keys, str(program))
    return log


def configure(keys: KeyRing, pinentry: str) -> None:
    (keys.home / "gpg-agent.conf").write_text(f"pinentry-program {pinentry}\nmax-cache-ttl 0\ndefault-cache-ttl 0\n")


@pytest.fixture
def ours(installed: Program, locked: dict[str, str]) -> list[str]:
    """The command ``get``, for a credential that is there."""
    assert Helper(installed.helper, locked).store(SERVER, "alice", "behind the lock").code == 0
    return [installed.helper, "get"]


FOUND = {"ServerURL": SERVER, "Username": "alice", "Secret": "behind the lock"}


def test_scripted_pinentry(ours: list[str], locked: dict[str, str], scripted: Path) -> None:
    """Ours names the terminal; the Go helper, on the same terminal and store, fails."""
    person = Person()
    answer = person.run(ours, locked, SERVER.encode())
    assert (answer.code, answer.json) == (0, FOUND)
    assert scripted.read_text().split() == [person.terminal]
    assert b"Passphrase, please" in person.screen

    theirs = person.run([require_go_helper(), "get"], locked, SERVER.encode())
    assert theirs.code != 0
    assert b"behind the lock" not in theirs.out
    assert scripted.read_text().split("\n")[1] == "not a tty"


def test_scripted_pinentry_with_stderr_in_a_file(
    ours: list[str], locked: dict[str, str], scripted: Path, tmp_path: Path
) -> None:
    """The terminal is then found as the controlling one, by its real name."""
    person = Person()
    notes = tmp_path / "stderr"
    answer = person.run(ours, locked, SERVER.encode(), stderr=notes)
    assert (answer.code, answer.json) == (0, FOUND)
    assert scripted.read_text().split() == [person.terminal]
    assert person.terminal.startswith("/dev/pts/")
    assert notes.read_bytes() == b""


def test_scripted_pinentry_on_stderr_alone(ours: list[str], locked: dict[str, str], scripted: Path) -> None:
    """A session without a controlling terminal, whose stderr is one: the user says that somebody is there."""
    person = Person()
    answer = person.run(ours, {**locked, "PASSHELPER_NONINTERACTIVE": "0"}, SERVER.encode(), controlling=False)
    assert (answer.code, answer.json) == (0, FOUND)
    assert scripted.read_text().split() == [person.terminal]


@pytest.mark.parametrize("name", ["not a tty", "/dev/tty", "/nonexistent", "/dev/stdin"])
def test_useless_gpg_tty_is_replaced(ours: list[str], locked: dict[str, str], scripted: Path, name: str) -> None:
    """A ``GPG_TTY=$(tty)`` in a profile that ran without a terminal does no harm."""
    person = Person()
    answer = person.run(ours, {**locked, "GPG_TTY": name}, SERVER.encode())
    assert (answer.code, answer.json) == (0, FOUND)
    assert scripted.read_text().split() == [person.terminal]


def test_no_prompt_where_nobody_is_to_be_asked(ours: list[str], locked: dict[str, str], scripted: Path) -> None:
    """``CI`` and ``PASSHELPER_NONINTERACTIVE`` keep the prompt away even where there is a terminal."""
    for setting in ({"CI": "true"}, {"PASSHELPER_NONINTERACTIVE": "1"}):
        answer = Person().run(ours, {**locked, **setting}, SERVER.encode())
        assert answer.code == 1
        assert b"is locked; run: passhelper unlock" in answer.out
    assert not scripted.exists()
    asked = Person().run(ours, {**locked, "CI": "true", "PASSHELPER_NONINTERACTIVE": "0"}, SERVER.encode())
    assert asked.json == FOUND


def test_curses_pinentry(ours: list[str], locked: dict[str, str], own_keys: KeyRing) -> None:
    """A person types the passphrase into the real pinentry-curses."""
    require("pinentry-curses")
    configure(own_keys, "/usr/bin/pinentry-curses")
    person = Person((b"<OK>", PASSPHRASE.encode() + b"\r"))
    answer = person.run(ours, locked, SERVER.encode())
    assert (answer.code, answer.json) == (0, FOUND)
    assert b"Passphrase" in person.screen

    theirs = Person((b"<OK>", PASSPHRASE.encode() + b"\r")).run([require_go_helper(), "get"], locked, SERVER.encode())
    assert theirs.code != 0
    assert b"behind the lock" not in theirs.out


def test_curses_pinentry_cancelled(ours: list[str], locked: dict[str, str], own_keys: KeyRing) -> None:
    """Pressing Cancel is an answer too: the message says "locked", on both streams."""
    require("pinentry-curses")
    configure(own_keys, "/usr/bin/pinentry-curses")
    person = Person((b"<OK>", b"\t\t\r"))
    answer = person.run(ours, locked, SERVER.encode())
    assert answer.code == 1
    assert b"is locked; run: passhelper unlock" in answer.out
    assert b"is locked; run: passhelper unlock" in person.screen


def test_a_person_types_the_server(ours: list[str], environ: dict[str, str], store: Path, keys: KeyRing) -> None:
    """With a terminal for stdin, ``get`` says what it waits for and takes one line."""
    require("script")
    environ["GNUPGHOME"] = str(keys.home)
    (store / ".gpg-id").write_text(keys["alice"] + "\n")
    assert Helper(ours[0], environ).store(SERVER, "alice", "open").code == 0
    assert (store / FOLDER).exists()
    # script(1) runs the command on a terminal of its own and types what it reads.
    said = run(["script", "-qec", " ".join(ours), "/dev/null"], environ, f"{SERVER}\n".encode())
    assert b"type the server URL, then Enter" in said.out
    assert b'"Secret":"open"' in said.out
