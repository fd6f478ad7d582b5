"""Running other helpers: Docker's own, ours, and programs that misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import Helper, Program, require_go_helper, run
from support.faults.tracing import trace
from support.waiting import until

from passhelper import Credentials, CredentialsNotFoundError, running
from passhelper.client import Answer, ProgramHelper, short_name
from passhelper.errors import (
    ConfigurationError,
    DockerError,
    HelperTimeoutError,
    PasshelperError,
)

SERVERS = ("https://index.docker.io/v1/", "registry.example:5000", "quay.io/team")
ALICE = Credentials("registry.example:5000", "alice", 'pa"ss \\ wörd\n☃ <&>')


@pytest.fixture(params=["passhelper", "Go"])
def program(request: pytest.FixtureRequest, installed: Program, store: Path, environ: dict[str, str]) -> ProgramHelper:
    path = installed.helper if request.param == "passhelper" else require_go_helper()
    return ProgramHelper(path, environ)


def script(folder: Path, text: str) -> ProgramHelper:
    """A helper that is a shell script."""
    path = folder / "docker-credential-odd"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return ProgramHelper(str(path), {"PATH": "/usr/bin:/bin"}, 5)


def test_round_trip(program: ProgramHelper) -> None:
    with pytest.raises(CredentialsNotFoundError):
        program.get(ALICE.server)  # Docker's 0.6.4 answers 0 and two empty fields
    program.store(ALICE)
    for server in SERVERS:
        program.store(Credentials(server, ALICE.username, ALICE.secret))
    assert program.get(ALICE.server) == ALICE
    assert program.list() == dict.fromkeys(SERVERS, "alice")
    program.erase(ALICE.server)
    assert sorted(program.list()) == sorted(set(SERVERS) - {ALICE.server})


@pytest.mark.parametrize("said", ["no credentials server URL", "no credentials username"])
def test_what_clients_match_is_a_failure_where_the_request_was_none(tmp_path: Path, said: str) -> None:
    odd = script(tmp_path, f"echo {said}; exit 1")
    for verb in (lambda: odd.get("a.example"), lambda: odd.store(ALICE), lambda: odd.erase("a.example"), odd.list):
        with pytest.raises(DockerError, match=f"failed: {said}$"):
            verb()


def test_a_large_secret(program: ProgramHelper) -> None:
    large = Credentials("a.example", "alice", "x" * 50_000)  # Docker's own takes 64 KiB
    program.store(large)
    assert program.get("a.example") == large


ANSWERS = {
    "not JSON": ("echo nonsense", "its answer is not a JSON object"),
    "a list": ("echo '[]'", "its answer is not a JSON object"),
    "no secret": ("""echo '{"Username":"u"}'""", "its answer is not a credential"),
    "a number": ("""echo '{"Username":"u","Secret":1}'""", "its answer is not a credential"),
    "half a character": (r"""printf '{"Username":"u","Secret":"\\ud800"}'""", "holds an unpaired surrogate"),
    "a NUL": (r"""printf '{"Username":"u","Secret":"\\u0000"}'""", "the secret holds a NUL character"),
    "no user": ("""echo '{"Username":"","Secret":"s"}'""", "no credentials username"),
    "control character": (r"""printf '{"Username":"a\\nb","Secret":"s"}'""", "control characters are refused"),
    "nothing": ("exit 0", "its answer is not a JSON object"),
    "too much": ("head -c 5000000 /dev/zero", "it says too much"),
    "a reason": ("echo locked; exit 1", "locked"),
    "two lines": ("printf 'one\\n\\033two\\n'; exit 1", "one ?two"),
    "a reason on stderr": ("echo locked >&2; exit 1", "locked"),
    "silence": ("exit 7", "exit status 7"),
    "killed": ("kill -9 $$", "exit status -9"),
    "a secret on the way out": ("""echo '{"Secret":"canary"}'; exit 1""", "exit status 1"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_program_may_say(tmp_path: Path, name: str) -> None:
    text, reason = ANSWERS[name]
    odd = script(tmp_path, text)
    with pytest.raises(DockerError) as caught:
        odd.get("a.example")
    assert caught.value.cause.startswith(f"{odd.program} get failed: ")
    assert caught.value.cause.endswith(reason)


@pytest.mark.parametrize("answer", ["", "null", "{}"])
def test_an_empty_list(tmp_path: Path, answer: str) -> None:
    assert script(tmp_path, f"echo '{answer}'").list() == {}


def test_a_list_with_other_things_than_names(tmp_path: Path) -> None:
    odd = script(tmp_path, """echo '{"a":"u","b":1,"c":null,"":"u"}'""")
    assert odd.listed() == {"a": "u", "b": "", "c": "", "": "u"}
    assert odd.list() == {"a": "u"}


def test_a_secret_in_a_message_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(DockerError) as caught:
        script(tmp_path, 'echo "cannot keep $(cat)"; exit 1').store(Credentials("a", "u", "canary"))
    assert "canary" not in str(caught.value)
    assert caught.value.cause.endswith("store failed: exit status 1")


def test_a_program_that_hangs(tmp_path: Path) -> None:
    odd = script(tmp_path, "exec sleep 600")
    hanging = ProgramHelper(odd.program, {"PATH": "/usr/bin:/bin"}, 0.3)
    with pytest.raises(HelperTimeoutError) as caught:
        hanging.get("a.example")
    assert caught.value.cause == f"{odd.program} get gave no answer within 0.3 seconds"
    assert caught.value.remedy == "run it by hand to see why"


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# What it starts has lost its parent and holds its pipes.
ORPHAN = '(sleep 300 & echo $! > "$0.pid"); '


def test_all_that_a_hanging_program_has_started_ends_with_it(tmp_path: Path) -> None:
    odd = script(tmp_path, f"{ORPHAN}exec sleep 300")
    with pytest.raises(HelperTimeoutError):
        ProgramHelper(odd.program, {"PATH": "/usr/bin:/bin"}, 1).get("a.example")
    orphan = int(Path(f"{odd.program}.pid").read_text())
    until(lambda: not alive(orphan))  # it was killed; when it has ended, the system says


def test_an_answer_counts_though_a_pipe_stays_open(tmp_path: Path) -> None:
    """A helper may start an agent that keeps its streams."""
    odd = script(tmp_path, f"""{ORPHAN}echo '{{"a":"u"}}'""")
    assert odd.list() == {"a": "u"}
    orphan = int(Path(f"{odd.program}.pid").read_text())
    assert alive(orphan)
    os.kill(orphan, signal.SIGKILL)


def test_a_program_has_its_own_group_in_our_session(tmp_path: Path) -> None:
    odd = script(tmp_path, "cat /proc/$$/stat")
    ours, theirs = os.getpgrp(), odd.run("list").out.decode().rpartition(")")[2].split()
    assert (int(theirs[2]) != ours, int(theirs[3])) == (True, os.getsid(0))


def in_a_process(odd: ProgramHelper, begin: str) -> str:
    """What a program prints that asks a helper for its list."""
    code = (
        f"import os, signal, sys, threading\n{begin}\nfrom passhelper.client import ProgramHelper\n"
        f"try: print(ProgramHelper({odd.program!r}).list())\n"
        "except BaseException as error: print(type(error).__name__, error)\n"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=20).stdout.decode()


def test_how_it_ended_is_known_or_an_error(tmp_path: Path) -> None:
    said = in_a_process(script(tmp_path, "echo '{}'; exit 1"), "signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    assert said.startswith("PasshelperError how a program has ended cannot be told: this process ignores SIGCHLD, or ")


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    odd = script(tmp_path, f'echo $$ > "$0.own"; {ORPHAN}while :; do sleep 300; done')
    begin = "threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()"
    assert in_a_process(odd, begin) == "KeyboardInterrupt \n"
    for name in ("own", "pid"):
        assert not alive(int(Path(f"{odd.program}.{name}").read_text()))


def test_the_answer_as_it_is(tmp_path: Path) -> None:
    odd = script(tmp_path, 'cat; echo "$1:$#" >&2; exit 3')
    assert odd.run("get", b"\xff\n") == Answer(3, b"\xff\n", b"get:1\n")
    assert odd.run("") == Answer(3, b"", b":0\n")


def test_a_program_that_does_not_read(tmp_path: Path) -> None:
    odd = script(tmp_path, "exit 0")
    odd.store(Credentials("a", "u", "x" * 1_000_000))


def test_it_gets_the_request_and_no_passphrase(tmp_path: Path) -> None:
    text = 'printf "%s:%s:%s:%s" "$1" "$(cat)" "$PASSHELPER_PASSPHRASE" "$KEPT" >"$0.seen"'
    odd = script(tmp_path, text)
    environ = {"PATH": "/usr/bin:/bin", "PASSHELPER_PASSPHRASE": "canary", "KEPT": "yes"}
    ProgramHelper(odd.program, environ).erase("a.example")
    assert Path(f"{odd.program}.seen").read_text() == "erase:a.example::yes"


def test_find(installed: Program, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(installed.helper).parent)
    for name in ("pass", "docker-credential-pass"):
        assert ProgramHelper.find(name, {**environ, "PATH": folder}).program == installed.helper
    with pytest.raises(ConfigurationError) as caught:
        ProgramHelper.find("nosuch", environ)
    assert caught.value.cause == "docker-credential-nosuch is not on PATH"
    script(tmp_path, "exit 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        ProgramHelper.find("odd", {"PATH": ".:"})


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "a\nb", "docker-credential-", "a\\b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a credential helper"):
        short_name(name)


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    gone = ProgramHelper(str(tmp_path / "docker-credential-gone"), {})
    with pytest.raises(PasshelperError, match=r"cannot start .*: No such file or directory"):
        gone.list()


def test_secrets_only_through_pipes(installed: Program, helper: Helper, store: Path, environ: dict[str, str]) -> None:
    code = (
        "import sys\nfrom passhelper import Credentials\nfrom passhelper.client import ProgramHelper\n"
        f"program = ProgramHelper({installed.helper!r})\n"
        "secret = sys.stdin.read()\nprogram.store(Credentials('a.example', 'u', secret))\n"
        "assert program.get('a.example').secret == secret\n"
    )
    options = ("-f", "-v", "-s", "100000")
    # strace would wait for an agent that a traced command starts.
    assert run(["gpgconf", "--launch", "gpg-agent"], environ).code == 0
    traced = trace([installed.python, "-c", code], environ, b"canary-3141", calls="execve", options=options)
    assert traced.answer.code == 0, traced.answer
    assert len(traced.children) > 1
    assert [line for line in traced.lines if "canary-3141" in line] == []


def test_what_a_program_says_just_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its pipes and the look at its end it may do both, on a busy machine."""
    look = running._has_ended

    def late(process: subprocess.Popen[bytes]) -> bool:
        time.sleep(0.6)
        return look(process)

    monkeypatch.setattr(running, "_has_ended", late)
    helper = script(tmp_path, "sleep 0.3; echo said; echo noted >&2")
    ended = running.run([helper.program], {"PATH": "/usr/bin:/bin"}, b"", 10)
    assert (ended.code, ended.out, ended.err) == (0, b"said\n", b"noted\n")
