"""A verb or a command that is told to end: in words, by the signal, and with everything that it has started."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, require, run, tree
from support.processes import is_alive
from support.programs import script
from support.waiting import LIMIT, until

SERVER = "https://registry.example"
NUMBERS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


class Hung:
    """A program that starts another one and never ends; it writes down both.

    Args:
        path: where it lies.
        when: a command of sh(1) that tells whether to hang; else the real program runs.
    """

    def __init__(self, path: Path, when: str = "true") -> None:
        self._pids = path.parent / f"{path.name}.pids"
        script(
            path,
            f"""if {when}; then
                (trap '' TERM; while :; do sleep 0.1; done) & echo $! $$ > {self._pids}.new
                mv {self._pids}.new {self._pids}; wait
            fi
            exec /usr/bin/{path.name} "$@" """,
        )

    def wait(self) -> list[int]:
        until(self._pids.exists, "it was never started")
        return [int(word) for word in self._pids.read_text().split()]


_IGNORING = """
import os, signal, sys
signal.signal(int(sys.argv[1]), signal.SIG_IGN)
os.execv(sys.argv[2], sys.argv[2:])
"""


def begin(command: list[str], environ: dict[str, str], ignored: int = 0) -> subprocess.Popen[bytes]:
    """Start a program.

    Args:
        command: which.
        environ: its environment.
        ignored: a signal that its parent ignores; sh(1) could not ignore SIGCHLD.
    """
    if ignored:
        command = [sys.executable, "-IS", "-c", _IGNORING, str(int(ignored)), *command]
    return subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def stop(process: subprocess.Popen[bytes], hung: Hung, number: int, stdin: bytes = b"") -> tuple[bytes, bytes]:
    """Tell a program to end as soon as what it has started hangs; nothing of that is left."""
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    started = hung.wait()
    for _ in range(3):  # an impatient person must not interrupt the tidying up
        process.send_signal(number)
    said = process.communicate(timeout=LIMIT)
    assert [one for one in started if is_alive(one)] == []
    return said


@NUMBERS
def test_get(helper: Helper, store: Path, bin_folder: Path, number: int) -> None:
    assert helper.store(SERVER, "alice", "old").code == 0
    hung = Hung(bin_folder / "gpg")
    process = begin([helper.program, "get"], helper.environ)
    out, err = stop(process, hung, number, SERVER.encode())
    assert (process.returncode, out, err) == (
        -number, b"interrupted\n", b"docker-credential-pass: interrupted\n",
    )  # fmt: skip


@NUMBERS
def test_store(helper: Helper, git_store: Path, bin_folder: Path, number: int) -> None:
    """Before anything has changed: nothing has."""
    hung = Hung(bin_folder / "gpg")
    before = tree(git_store)
    process = begin([helper.program, "store"], helper.environ)
    stop(process, hung, number, b'{"ServerURL":"https://a.example","Username":"u","Secret":"s"}')
    assert process.returncode == -number
    assert tree(git_store) == before


@NUMBERS
def test_store_while_git_commits(helper: Helper, git_store: Path, bin_folder: Path, number: int) -> None:
    """The credential is there, git and its children are not; the next writer commits."""
    require("git")
    hung = Hung(bin_folder / "git", 'case " $* " in *" commit "*) true;; *) false;; esac')
    process = begin([helper.program, "store"], helper.environ)
    stop(process, hung, number, b'{"ServerURL":"https://a.example","Username":"u","Secret":"s"}')
    assert process.returncode == -number
    (bin_folder / "git").unlink()
    assert helper.get("https://a.example").json["Secret"] == "s"
    answer = helper.store(SERVER, "alice", "s")
    assert (answer.code, answer.err) == (0, b"")
    status = run(["git", "-C", str(git_store), "status", "--porcelain"], helper.environ)
    assert status.out == b""
    assert len(run(["git", "-C", str(git_store), "ls-files", FOLDER], helper.environ).text.splitlines()) == 2


def test_a_signal_that_the_caller_ignores(helper: Helper, store: Path, bin_folder: Path) -> None:
    """As below nohup(1): the verb goes on."""
    assert helper.store(SERVER, "alice", "s").code == 0
    mark = bin_folder / "begun"
    script(bin_folder / "gpg", f'touch {mark}; sleep 1; exec /usr/bin/gpg "$@"')
    process = begin([helper.program, "get"], helper.environ, signal.SIGHUP)
    assert process.stdin
    process.stdin.write(SERVER.encode())
    process.stdin.close()
    process.stdin = None
    until(mark.exists)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert b'"Secret":"s"' in out


def test_the_agent_goes_on(helper: Helper, store: Path, bin_folder: Path, own_keys: KeyRing) -> None:
    """The daemon that the ended gpg has started holds the user's passphrases."""
    helper.environ["GNUPGHOME"] = str(own_keys.home)
    assert helper.store(SERVER, "alice", "s").code == 0
    hung = Hung(bin_folder / "gpg", "gpg-connect-agent /bye")
    process = begin([helper.program, "get"], helper.environ)
    stop(process, hung, signal.SIGTERM, SERVER.encode())
    assert process.returncode == -signal.SIGTERM
    asked = own_keys.environ
    answer = run(["gpg-connect-agent", "--no-autostart", "getinfo pid", "/bye"], asked)
    assert answer.out.startswith(b"D ")


# Commands


@NUMBERS
def test_a_command(installed: Program, environ: dict[str, str], store: Path, bin_folder: Path, number: int) -> None:
    """Here gpg is started by python-gnupg, which knows nothing of signals."""
    hung = Hung(bin_folder / "gpg", 'case " $* " in *" --list-keys "*) true;; *) false;; esac')
    process = begin([installed.passhelper, "recipients"], environ)
    _, err = stop(process, hung, number)
    assert process.returncode == -number
    assert err.endswith(b"error: interrupted\n")


@NUMBERS
def test_a_command_that_runs_another_helper(
    installed: Program, environ: dict[str, str], store: Path, bin_folder: Path, number: int
) -> None:
    hung = Hung(bin_folder / "docker-credential-odd")
    process = begin([installed.passhelper, "import", "--from", "odd"], environ)
    stop(process, hung, number)
    assert process.returncode == -number


@NUMBERS
def test_the_terminal_is_as_it_was(installed: Program, environ: dict[str, str], store: Path, number: int) -> None:
    """A password that was being typed has switched its echo off."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environ["PASSHELPER_NONINTERACTIVE"] = "0"
    code = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [installed.python, "-IS", "-c", code, installed.passhelper, "login", "a.example", "-u", "u"], env=environ,
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        shown = b""
        while b"Password: " not in shown:
            shown += os.read(ours, 1000)
        until(lambda: not termios.tcgetattr(theirs)[3] & termios.ECHO)
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
        assert (process.returncode, err.splitlines()[-1]) == (-number, b"error: interrupted")
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


# A caller that ignores SIGCHLD


def test_verbs_below_a_parent_that_ignores_its_children(
    helper: Helper, installed: Program, git_store: Path
) -> None:  # fmt: skip
    """What a parent ignores, its children ignore; then nobody could tell how gpg has ended.

    The launcher that `setup` makes has Python in its first line; the sh(1) of the other one takes notice again.
    """

    def answer(verb: str, stdin: bytes) -> tuple[int, bytes, bytes]:
        process = begin([installed.python, "-IS", helper.program, verb], helper.environ, signal.SIGCHLD)
        out, err = process.communicate(stdin, timeout=LIMIT)
        return process.returncode, out, err

    assert answer("store", b'{"ServerURL":"https://a.example","Username":"u","Secret":"s"}') == (0, b"", b"")
    code, out, err = answer("get", b"https://a.example")
    assert (code, err) == (0, b"")
    assert b'"Secret":"s"' in out
    assert answer("erase", b"https://a.example") == (0, b"", b"")
    status = run(["git", "-C", str(git_store), "status", "--porcelain"], helper.environ)
    assert status.out == b""


@pytest.mark.parametrize("command", [["get", SERVER], ["recipients", "check"]], ids=" ".join)
def test_a_command_below_a_parent_that_ignores_its_children(
    helper: Helper, installed: Program, git_store: Path, command: list[str]
) -> None:
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    process = begin([installed.passhelper, *command], helper.environ, signal.SIGCHLD)
    _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, b"")
