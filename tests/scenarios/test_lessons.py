"""What real clients rely on, one by one, of the installed program through real pipes.

``passhelper/protocol.py`` lists the same with its sources; ``tests/clients`` runs the clients themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import NOT_FOUND, Answer, Helper, Program

SERVER = "https://registry.example"
FOUND = {"ServerURL": SERVER, "Username": "alice", "Secret": "s3cret"}
MEGABYTE = 1 << 20
_DOCUMENT = b'{"ServerURL":"https://registry.example","Username":"alice","Secret":"s3cret"}'


def send(program: str, environ: dict[str, str], arguments: tuple[str, ...], start: bytes) -> Answer:
    """Write a request that is filled up with line ends to a megabyte, as Node does: a pipe that breaks is an error."""
    with subprocess.Popen(
        [program, *arguments], env=environ, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin
        rest = memoryview(start.ljust(MEGABYTE, b"\n"))
        while rest:
            rest = rest[child.stdin.write(rest) :]  # BrokenPipeError if nobody reads
        out, err = child.communicate(timeout=30)
    return Answer(child.returncode, out, err)


# What the arguments are, what the request begins with, the settings, and what goes wrong then.
FAILURES = {
    "get, gpg is missing": (("get",), SERVER.encode(), {"PASSHELPER_GPG": "/nowhere/gpg"}, b"/nowhere/gpg"),
    "get, a miss": (("get",), b"https://elsewhere.example", {}, NOT_FOUND.strip()),
    "get, no store": (("get",), SERVER.encode(), {"PASSWORD_STORE_DIR": "/nowhere"}, NOT_FOUND.strip()),
    "get, a relative store": (("get",), SERVER.encode(), {"PASSWORD_STORE_DIR": "here"}, b"PASSWORD_STORE_DIR"),
    "get, no URL": (("get",), b"", {}, b"no credentials server URL"),
    "get, two URLs": (("get",), b"a.example\nb.example", {}, b"invalid character in server URL"),
    "store, no store": (("store",), _DOCUMENT, {"PASSWORD_STORE_DIR": "/nowhere"}, b"not initialised"),
    "store, no JSON": (("store",), b"{", {}, b"request is not valid JSON"),
    "erase, not UTF-8": (("erase",), b"\xff", {}, b"request is not UTF-8"),
    "unknown verb": (("fetch",), SERVER.encode(), {}, b"unknown action: fetch"),
    "no verb": ((), SERVER.encode(), {}, b"Usage: "),
    "two verbs": (("get", "list"), SERVER.encode(), {}, b"Usage: "),
}


@pytest.mark.parametrize("case", FAILURES)
def test_no_failure_breaks_the_pipe_of_a_client_that_still_writes(helper: Helper, store: Path, case: str) -> None:
    """testcontainers-node 12 died of EPIPE, 30 times of 30, when a helper had not read its request."""
    arguments, start, settings, message = FAILURES[case]
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    answer = send(helper.program, {**helper.environ, **settings}, arguments, start)
    assert answer.code == 1
    assert message in answer.out


@pytest.mark.parametrize("verb", ["get", "store", "erase"])
def test_no_interpreter_does_not_break_the_pipe_either(installed: Program, tmp_path: Path, verb: str) -> None:
    """The part of the program that sh runs fails like the rest; ``PATH`` need not name ``cat``."""
    program = tmp_path / "docker-credential-pass"
    shutil.copy(installed.helper, program)
    answer = send(str(program), {"PATH": "/nowhere"}, (verb,), _DOCUMENT)
    assert (answer.code, answer.out) == (1, b"no Python interpreter found; install passhelper again\n")


@pytest.mark.parametrize("arguments", [("list",), ("version",), ("fetch",), ()], ids=" ".join)
def test_what_has_no_request_ends_while_stdin_stays_open(
    helper: Helper, store: Path, arguments: tuple[str, ...]
) -> None:
    """testcontainers-node 10 never closes the stdin of ``list``."""
    ours, theirs = os.pipe()
    try:
        done = subprocess.run(
            [helper.program, *arguments], env=helper.environ, stdin=ours, capture_output=True, timeout=20, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == (0 if arguments in (("list",), ("version",)) else 1)
    assert done.stdout
    assert done.stderr == b""


def test_no_interpreter_and_list_do_not_wait_for_stdin(installed: Program, tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-pass"
    shutil.copy(installed.helper, program)
    ours, theirs = os.pipe()
    try:
        done = subprocess.run([program, "list"], env={}, stdin=ours, capture_output=True, timeout=20, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout) == (1, b"no Python interpreter found; install passhelper again\n")


@pytest.mark.parametrize("stdin", [b"", b"unused", b"x" * 70_000], ids=["docker-py", "Go", "more than a pipe holds"])
def test_list_leaves_stdin_as_it_is(helper: Helper, store: Path, stdin: bytes, tmp_path: Path) -> None:
    """Each client sends something else; the bytes are still there afterwards."""
    (tmp_path / "stdin").write_bytes(stdin)
    with (tmp_path / "stdin").open("rb") as file:
        done = subprocess.run([helper.program, "list"], env=helper.environ, stdin=file, capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"{}\n", b"")
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0


def test_a_newline_after_the_url_does_not_count(helper: Helper, store: Path) -> None:
    """testcontainers-node sends one, with ``get``; every other client sends none."""
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    assert helper("get", f"{SERVER}\n").out == helper("get", SERVER).out
    assert helper("erase", f"{SERVER}\n").code == 0
    assert helper.list().json == {}


@pytest.mark.parametrize("username", ["alice", "<token>", "42", "true"])
def test_answers_are_strings_under_the_exact_keys(helper: Helper, store: Path, username: str) -> None:
    """Nomad decodes ``map[string]string`` by exact keys; docker-py indexes by them."""
    assert helper.store(SERVER, username, "17").code == 0
    answer = helper.get(SERVER)
    assert answer.json == {"ServerURL": SERVER, "Username": username, "Secret": "17"}
    assert list(answer.json) == ["ServerURL", "Username", "Secret"]
    assert answer.out.count(b"\n") == 1
    assert helper.list().json == {SERVER: username}


def test_a_miss_is_quiet_and_a_failure_is_said_twice(helper: Helper, store: Path) -> None:
    """docker pull, oras-py and Nomad show what comes on stderr; Go clients compare and quote stdout."""
    assert helper.store(SERVER, "alice", "s3cret").code == 0
    missed = helper.get("https://elsewhere.example")
    assert (missed.code, missed.out, missed.err) == (1, NOT_FOUND, b"")
    for verb, stdin, settings in (
        ("get", SERVER, {"PASSHELPER_GPG": "/nowhere/gpg"}),
        ("store", _DOCUMENT, {"PASSHELPER_GPG": "/nowhere/gpg"}),
        ("erase", SERVER, {"PASSWORD_STORE_DIR": "here"}),
        ("list", "", {"PASSWORD_STORE_DIR": "here"}),
    ):
        failed = helper(verb, stdin, **settings)
        assert failed.code == 1
        assert failed.out.count(b"\n") == 1
        assert failed.out != NOT_FOUND
        assert failed.err == b"docker-credential-pass: " + failed.out
    assert helper.get(SERVER).json == FOUND
