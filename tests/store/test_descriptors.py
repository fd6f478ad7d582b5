"""What a child gets of our descriptors: its three streams, and the pipes that are meant for it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from support.programs import script

from passhelper.client import ProgramHelper
from passhelper.store.child import Child, finish
from passhelper.store.programs import PASSPHRASE, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENVIRON = {"PATH": "/usr/bin:/bin"}
LIST = 'for number in /proc/$$/fd/*; do readlink "$number"; done'
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux tells")


def listed(child: Child) -> list[str]:
    """What `LIST` has printed but the script's own file, which the shell holds open."""
    return [line for line in child.stdout.decode().splitlines() if line.startswith(("pipe:", "/tmp/", "/dev/"))]


@pytest.fixture
def inherited(tmp_path: Path) -> Iterator[str]:
    """A file that this process has from its caller, as a shell's ``9< FILE`` gives it."""
    path = tmp_path / "inherited"
    path.write_bytes(b"secret")
    number = os.open(path, os.O_RDONLY)
    os.set_inheritable(number, True)
    yield str(path)
    os.close(number)


def test_what_we_have_inherited_is_not_passed_on(inherited: str) -> None:
    child = Child(["/bin/sh", "-c", LIST], ENVIRON)
    finish([child], 10)
    assert inherited not in listed(child)
    assert len(listed(child)) == 3


def test_another_helper_does_not_get_it(inherited: str, tmp_path: Path) -> None:
    program = script(tmp_path / "docker-credential-odd", LIST)
    assert inherited not in ProgramHelper(program, ENVIRON).run("get").out.decode().splitlines()


def test_children_of_threads_get_no_pipes_of_each_other() -> None:
    """The pipes for status lines and passphrases, which a child must inherit, are its own alone."""
    found: list[Child] = []

    def run() -> None:
        for _ in range(15):
            child = Child(["/bin/sh", "-c", LIST, "sh", STATUS, PASSPHRASE], ENVIRON, passphrase=b"x" * 9)
            finish([child], 30)
            found.append(child)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 120
    assert {len(listed(child)) for child in found} == {5}
    assert {len(set(listed(child))) for child in found} == {5}


def test_its_own_pipes_have_the_numbers_that_it_is_told() -> None:
    """Also where other descriptors of this process have the lowest numbers, or none has."""
    for size in (0, 1, 5, 40):
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(size)]
        child = Child(
            ["/bin/sh", "-c", 'echo "GOT $(cat /dev/fd/$2)" > /dev/fd/$1; cat', "sh", STATUS, PASSPHRASE],
            ENVIRON, stdin=b"plain", passphrase=b"word",
        )  # fmt: skip
        finish([child], 10)
        for number in taken:
            os.close(number)
        assert (bytes(child.status), bytes(child.stdout), child.returncode) == (b"GOT word\n", b"plain", 0)


def test_standard_streams_that_are_closed_here() -> None:
    """A daemon's pipes may have the numbers 0, 1 and 2."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            for number in (0, 1, 2):
                os.close(number)
            child = Child(
                ["/bin/sh", "-c", "cat; echo err >&2; echo s > /dev/fd/$1", "sh", STATUS], ENVIRON, stdin=b"in"
            )
            finish([child], 10)
            os.write(writer, b"%s|%s|%s" % (child.stdout, child.stderr, child.status))
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(process, 0)
    with open(reader, "rb") as file:
        assert file.read() == b"in|err\n|s\n"
