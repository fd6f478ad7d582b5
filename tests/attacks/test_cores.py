"""A signal ends a program that holds a password: nothing of its memory stays on the disk, or goes to a crash reporter.

What the kernel would write is asked of the kernel (``/proc/PID``), for a machine's own pattern may hand cores to a
program.
A limit of one byte is the one that keeps them from such a program, too; see core(5) and fs/coredump.c.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from support import Program, run
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "https://registry.example"
LARGE = "canary" * 100_000  # more than a pipe holds: whoever writes it waits with it in memory
REQUEST = f'{{"ServerURL":"{SERVER}","Username":"alice","Secret":"{LARGE}"}}'.encode()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is asked")


def dumps(pid: int) -> tuple[str, int]:
    """The limit of a process's cores in bytes, and which of its memory would be in one."""
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)
    return line.split()[4], int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16)


@contextlib.contextmanager
def started(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that may leave cores as large as it likes, in a directory for them."""
    folder.mkdir()

    # A shell ignores this signal for what it starts in the background, these tests perhaps.
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    try:
        child = subprocess.Popen(
            ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *command],
            env=environ, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGQUIT, before)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def waiting(stream: IO[bytes]) -> int:
    """Count the bytes in a pipe that nobody has read yet."""
    return int(struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, bytes(4)))[0])


@pytest.fixture
def unlimited() -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("no cores can be written here")


@pytest.fixture
def programs(installed: Program, store: Path, environ: dict[str, str], tmp_path: Path) -> dict[str, list[str]]:
    """Every way to hold a password, by the name of the program."""
    assert run([installed.helper, "store"], environ, REQUEST).code == 0
    launchers = tmp_path / "bin"
    for name in (("pass",), ("auto", "pass")):
        answer = run([installed.passhelper, "link", "--dir", str(launchers), *name], environ)
        assert answer.code == 0, answer.err
    return {
        "the script": [installed.helper],
        "the launcher": [f"{launchers}/docker-credential-pass"],
        "auto": [f"{launchers}/docker-credential-auto"],
        "passhelper": [installed.passhelper],
    }


GETS = {
    "the script": ["get"],
    "the launcher": ["get"],
    "auto": ["get"],
    "passhelper": ["get", SERVER],
    "passhelper, an export": ["export", "--format", "auth.json"],
}
READS = {
    "the script": ["store"],
    "the launcher": ["store"],
    "auto": ["store"],
    "passhelper": ["login", SERVER, "-u", "alice", "--password-stdin"],
    "the script, an erase": ["erase"],  # the remote's password, where it pushes by itself
    "auto, an erase": ["erase"],
}


@pytest.mark.parametrize("name", GETS)
def test_a_quit_while_it_gives_a_password(
    unlimited: None, programs: dict[str, list[str]], environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    command = [*programs[name.partition(",")[0]], *GETS[name]]
    with started(command, environ, tmp_path / "cores") as child:
        assert child.stdin is not None
        child.stdin.write(SERVER.encode())
        child.stdin.close()
        child.stdin = None
        answer = child.stdout
        assert answer is not None
        until(lambda: waiting(answer) > 0 or child.poll() is not None)  # the rest does not fit into the pipe
        assert dumps(child.pid) == ("1", 0)
        child.send_signal(signal.SIGQUIT)
        _, status = os.waitpid(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert (child.returncode, os.WCOREDUMP(status)) == (-signal.SIGQUIT, False)
    assert os.listdir(tmp_path / "cores") == []


@pytest.mark.parametrize("name", READS)
def test_before_it_has_read_a_password(
    unlimited: None, programs: dict[str, list[str]], environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    with started([*programs[name.partition(",")[0]], *READS[name]], environ, tmp_path / "cores") as child:
        until(lambda: dumps(child.pid) == ("1", 0))
        assert child.poll() is None  # it still waits for its request


_ASKED = """
import re, sys
from passhelper import Helper
from passhelper.protocol import run
class Asked(Helper):
    def _get(self, server): ...
    def _store(self, credentials): ...
    def _erase(self, server): ...
    def _list(self):
        limit = re.search("core file size +([0-9a-z]+)", open("/proc/self/limits").read())[1]
        return {limit: open("/proc/self/coredump_filter").read().strip()}
run(Asked(), ["docker-credential-asked", "list"])
"""


@pytest.mark.parametrize("secret", ["", "PASSHELPER_PASSPHRASE", "PASSHELPER_GPG_KEY", "PASSHELPER_STORE_URL"])
def test_a_secret_of_the_environment(unlimited: None, installed: Program, environ: dict[str, str], secret: str) -> None:
    """`list` meets no other; without one, no registers of its say anything."""
    environ.pop("PASSHELPER_PASSPHRASE", None)
    if secret:
        environ[secret] = "x"
    answer = run(["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", installed.python, "-c", _ASKED], environ)
    assert answer.code == 0, answer
    assert answer.json == {"1" if secret else "unlimited": "00000000"}


@pytest.mark.parametrize("verb", ["get", "store"])
def test_gpg_holds_it_too(
    unlimited: None, installed: Program, store: Path, environ: dict[str, str], tmp_path: Path, verb: str
) -> None:
    """gpg sets its own limit to 0, which keeps cores from files alone."""
    assert run([installed.helper, "store"], environ, REQUEST).code == 0
    gpg, seen = tmp_path / "gpg", tmp_path / "seen"
    gpg.write_text(f'#!/bin/sh\ncat /proc/$$/coredump_filter >> {seen}\nexec {shutil.which("gpg")} "$@"\n')
    gpg.chmod(0o755)
    environ["PASSHELPER_GPG"] = str(gpg)
    assert run([installed.helper, verb], environ, REQUEST if verb == "store" else SERVER.encode()).code == 0
    assert {int(line, 16) for line in seen.read_text().split()} == {0}


def test_the_process_of_a_caller_is_left_alone(installed: Program, store: Path, environ: dict[str, str]) -> None:
    """A program that uses our classes decides about its own cores."""
    assert run([installed.helper, "store"], environ, REQUEST).code == 0
    program = (
        "import resource\n"
        "before = (resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/coredump_filter').read())\n"
        "from passhelper.store.helper import PassHelper\n"
        f"PassHelper().get({SERVER!r})\n"
        "assert (resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/coredump_filter').read()) == before\n"
    )
    answer = run([installed.python, "-c", program], environ)
    assert (answer.code, answer.err) == (0, b"")


def test_where_the_limit_cannot_be_set(
    installed: Program, programs: dict[str, list[str]], environ: dict[str, str]
) -> None:
    """A hard limit of 0 is lower than ours already."""
    answer = run(["sh", "-c", 'ulimit -Hc 0; exec "$@"', "sh", installed.helper, "get"], environ, SERVER.encode())
    assert (answer.code, answer.err, answer.json["Secret"]) == (0, b"", LARGE)
