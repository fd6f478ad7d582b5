"""What all commands share: help, lazy imports, exit codes, colours, how errors leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import Program, run
from support.machines.new import Command
from support.people.terminals import Person

import passhelper as package
from passhelper.cli import _COMMANDS, _passhelper
from passhelper.cli.lazy import LazyGroup

HEAVY = ("git", "httpx", "gnupg", "keyring", "rich", "ssl")


def test_help_lists_every_command(passhelper: Command) -> None:
    answer = passhelper("--help")
    assert (answer.code, answer.err) == (0, b"")
    for name, entry in _COMMANDS.items():
        assert f"  {name} " in answer.text
        assert entry.help.split()[0] in answer.text


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    assert isinstance(_passhelper, LazyGroup)
    context = _passhelper.make_context("passhelper", ["--version"], resilient_parsing=True)
    command = _passhelper.get_command(context, name)
    assert command is not None
    assert (command.help or "").splitlines()[0] == _COMMANDS[name].help
    assert command.name == name


@pytest.mark.parametrize("path", [(name,) for name in _COMMANDS] + [("recipients", "list"), ("recipients", "accept")])
def test_every_help_has_an_example(passhelper: Command, path: tuple[str, ...]) -> None:
    text = passhelper(*path, "--help").text
    assert "Example" in text
    assert f"passhelper {path[0]}" in text.partition("Example")[2]


def _loaded(installed: Program, environ: dict[str, str], *arguments: str) -> list[str]:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['passhelper', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('passhelper', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    answer = run([installed.python, "-P" if sys.version_info >= (3, 11) else "-I", "-c", code, *arguments], environ)
    return answer.text.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (("--help",), []),
        (("--version",), []),
        (("list", "--help"), []),
        (("login", "a.example", "-u", "u", "--password-stdin"), []),
        (("get", "a.example"), []),
        (("logout", "a.example"), []),
        (("list",), ["gnupg", "rich"]),
    ],
)
def test_libraries_are_loaded_only_where_they_are_used(
    installed: Program, environ: dict[str, str], store: Path, arguments: tuple[str, ...], heavy: list[str]
) -> None:
    run([installed.passhelper, "login", "a.example", "-u", "u", "--password-stdin"], environ, b"x")
    assert _loaded(installed, environ, *arguments) == heavy


def test_version(passhelper: Command, installed: Program, environ: dict[str, str]) -> None:
    version = f"passhelper {package.__version__}\n"
    assert passhelper("--version").text == version
    assert run([installed.python, "-m", "passhelper", "--version"], environ).text == version


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (("nonsense",), "no such command 'nonsense'", "passhelper"),
        (("--nonsense",), "no such option '--nonsense'", "passhelper"),
        (("get",), "missing argument 'SERVER'", "passhelper get"),
        (("get", "a", "b"), "got unexpected extra argument (b)", "passhelper get"),
        (("recipients", "nonsense"), "no such command 'nonsense'", "passhelper recipients"),
    ],
)
def test_usage_errors(passhelper: Command, arguments: tuple[str, ...], message: str, command: str) -> None:
    answer = passhelper(*arguments)
    assert (answer.code, answer.out) == (2, b"")
    said = answer.err.decode().replace("option: --nonsense", "option '--nonsense'")  # click 8.1 and later differ
    assert said == f"error: {message}\nhint: run: {command} --help\n"


def test_colours_only_on_a_terminal(installed: Program, environ: dict[str, str]) -> None:
    for changes, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        person = Person()
        assert person.run([installed.passhelper, "get", "a"], {**environ, "TERM": "xterm", **changes}, b"").code == 1
        assert (b"\x1b[31merror" in person.screen) is coloured
        assert (b"\x1b" in person.screen) is coloured
    assert b"\x1b" not in run([installed.passhelper, "get", "a"], environ).err


@pytest.mark.parametrize("arguments", [(), ("docker",), ("rotation",)])
def test_a_group_without_a_command_shows_its_help_line_by_line(passhelper: Command, arguments: tuple[str, ...]) -> None:
    answer = passhelper(*arguments)
    help_ = passhelper(*arguments, "--help").text
    assert (answer.out or answer.err).decode() == help_  # click 8.1 says it on stdout and ends with 0


def test_the_examples_for_completion_work(passhelper: Command, installed: Program, environ: dict[str, str]) -> None:
    example = next(line.strip() for line in passhelper("completion", "--help").text.splitlines() if ".bashrc" in line)
    path = {**environ, "PATH": f"{installed.folder}/bin:{environ['PATH']}"}
    ask = "COMP_WORDS=(passhelper logi) COMP_CWORD=1; _passhelper_completion passhelper; echo ${COMPREPLY[@]}"
    answer = run(["bash", "-c", f"{example} && . ~/.bashrc && {ask}"], path)
    assert (answer.code, answer.text, answer.err) == (0, "login\n", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(passhelper: Command, shell: str) -> None:
    answer = passhelper("completion", shell)
    assert answer.code == 0
    assert "_PASSHELPER_COMPLETE" in answer.text


def test_completion_completes(passhelper: Command) -> None:
    environ = {"_PASSHELPER_COMPLETE": "bash_complete", "COMP_WORDS": "passhelper logi", "COMP_CWORD": "1"}
    assert passhelper(**environ).text.splitlines() == ["plain,login"]


def test_a_reader_that_goes_away(installed: Program, environ: dict[str, str], store: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [installed.passhelper, "list", "--json"], env=environ, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_names_that_the_locale_cannot_show(
    passhelper: Command, installed: Program, environ: dict[str, str], store: Path
) -> None:
    passhelper("login", "a.example", "-u", "ü☃", "--password-stdin", stdin="x")
    # The program itself does not look at Python's variables.
    answer = run([installed.python, "-m", "passhelper", "list"], {**environ, "PYTHONIOENCODING": "latin-1"})
    assert (answer.code, answer.err) == (0, b"")
    assert b" \xfc? " in answer.out


def test_interrupted(installed: Program, environ: dict[str, str], store: Path) -> None:
    person = Person((b"Password: ", b"\x03"))
    command = [installed.passhelper, "login", "a.example", "-u", "u"]
    answer = person.run(command, {**environ, "PASSHELPER_NONINTERACTIVE": "0", "NO_COLOR": "1"}, b"")
    assert answer.code == -signal.SIGINT
    assert b"error: interrupted" in person.screen


def test_internal_errors_hide_their_text(installed: Program, environ: dict[str, str]) -> None:
    code = (
        "import passhelper.cli as cli\n"
        "def broken(*a, **k): raise RuntimeError('canary')\n"
        "cli._passhelper.main = broken\n"
        "cli.main()\n"
    )
    answer = run([installed.python, "-c", code], environ)
    assert (answer.code, answer.err) == (
        1, b"error: internal error: RuntimeError\nhint: set PASSHELPER_DEBUG=1 to see where\n",
    )  # fmt: skip
    assert b"Traceback" in run([installed.python, "-c", code], {**environ, "PASSHELPER_DEBUG": "1"}).err


def test_an_unreadable_store_is_one_line(passhelper: Command, store: Path) -> None:
    (store / ".gpg-id").unlink()
    (store / ".gpg-id").mkdir()
    answer = passhelper("recipients")
    assert answer.code == 1
    assert answer.err.startswith(b"error: ")
    assert b"Traceback" not in answer.err
