"""Standard streams as callers make them: pipes that are not ready, and that may not be waited for."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, Helper, Program

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://registry.example"
SECRET = "x" * 300_000  # a pipe takes 64 KiB


def run(command: list[str], environ: dict[str, str], stdin: bytes, *, err: bool = False) -> tuple[int, bytes]:
    """Run a program as Node.js or Go may: with pipes that are set to O_NONBLOCK; gives what it has written.

    Args:
        command: the program.
        environ: its environment.
        stdin: what it gets, some time after it began to read.
        err: whether its stderr is such a pipe and what is given back, not its stdout.
    """
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    for number in (theirs_in, theirs_out):
        os.set_blocking(number, False)
    stdout, stderr = (subprocess.DEVNULL, theirs_out) if err else (theirs_out, None)
    process = subprocess.Popen(command, env=environ, stdin=theirs_in, stdout=stdout, stderr=stderr)
    os.close(theirs_in)
    os.close(theirs_out)
    said = bytearray()

    def read() -> None:
        with open(ours_out, "rb", buffering=0) as file:
            time.sleep(1)  # until it is full
            while chunk := file.read(1 << 16):
                said.extend(chunk)
                time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.3)
    with open(ours_in, "wb") as file:
        file.write(stdin[: len(stdin) // 2])
        file.flush()
        time.sleep(0.1)
        file.write(stdin[len(stdin) // 2 :])
    reader.join()
    return process.wait(60), bytes(said)


def test_verbs(helper: Helper, store: Path) -> None:
    request = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": SECRET}).encode()
    assert run([helper.program, "store"], helper.environ, request) == (0, b"")
    code, out = run([helper.program, "get"], helper.environ, SERVER.encode())
    assert (code, json.loads(out)["Secret"]) == (0, SECRET)


def test_list(helper: Helper, store: Path) -> None:
    for number in range(1500):
        folder = store / FOLDER / base64.urlsafe_b64encode(f"{number}.{'x' * 60}.example".encode()).decode()
        folder.mkdir(parents=True)
        (folder / f"{'u' * 60}.gpg").touch()
    code, out = run([helper.program, "list"], helper.environ, b"")
    assert (code, len(json.loads(out))) == (0, 1500)


def test_commands(helper: Helper, installed: Program, store: Path) -> None:
    assert helper.store(SERVER, "alice", SECRET).code == 0
    code, out = run([installed.passhelper, "get", SERVER, "--password"], helper.environ, b"")
    assert (code, out) == (0, f"{SECRET}\n".encode())
    code, out = run([installed.passhelper, "get", SERVER], helper.environ, b"")
    assert (code, json.loads(out)["Secret"]) == (0, SECRET)


def test_a_password_for_a_command(helper: Helper, installed: Program, store: Path) -> None:
    command = [installed.passhelper, "login", SERVER, "-u", "alice", "--password-stdin"]
    code, _ = run(command, helper.environ, b"s3cret\n")
    assert code == 0
    assert helper.get(SERVER).json["Secret"] == "s3cret"


def test_warnings(helper: Helper, store: Path) -> None:
    """A reader of stderr that is slow, or has gone, fails no verb that has done its work."""
    environ = {**helper.environ, "PASSHELPER_IGNORE_WRITES": "1"}
    request = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": "s"}).encode()
    code, err = run([helper.program, "store"], environ, request, err=True)
    assert (code, err) == (
        0, b"docker-credential-pass: warning: nothing was stored: PASSHELPER_IGNORE_WRITES is set\n",
    )  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [helper.program, "store"], env=environ, input=request, stdout=subprocess.PIPE, stderr=writer, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("command", [["recipients", "--help"], ["list"]])
def test_no_stdout_at_all(installed: Program, environ: dict[str, str], store: Path, command: list[str]) -> None:
    """As a daemon may start it: what nobody can read is not a failure."""
    code = 'exec "$@" >&-'
    done = subprocess.run(
        ["/bin/sh", "-c", code, "sh", installed.passhelper, *command], env=environ, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
