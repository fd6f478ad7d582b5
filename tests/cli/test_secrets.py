"""No passphrase and no password in the arguments, environment or files of anything that the commands start."""

from __future__ import annotations

from pathlib import Path

from support.faults.tracing import trace
from support.machines.new import Machine

PASSPHRASE = "canary-passphrase-7311"
PASSWORD = "canary-password-9624"
# Every argument and variable in full, and every file that is opened for writing.
OPTIONS = ("-f", "-v", "-s", "100000")


def test_in_no_argument_and_no_environment(machine: Machine) -> None:
    machine.protect_quickly()
    machine.launch_agent()  # strace would wait for one that a traced command starts
    environ = {**machine.environ, "PASSHELPER_PASSPHRASE": PASSPHRASE}
    login = ("login", "a.example", "-u", "u", "--password-stdin")
    commands = [
        ("setup", "--generate-key", "--git"),
        login,
        ("unlock",),
        ("list", "--json"),
        ("get", "a.example"),
        ("lock",),
    ]
    for command in commands:
        traced = trace([machine.passhelper, *command], environ, PASSWORD.encode(), calls="execve", options=OPTIONS)
        assert traced.answer.code == 0, traced.answer
        # The program itself was given it: its script for sh, and then the Python that this becomes.
        assert all(PASSPHRASE in line for line in traced.lines[:2])
        assert [line for line in traced.lines[2:] if PASSPHRASE in line or PASSWORD in line] == []
        assert len(traced.children) > 0
        machine("lock")  # so that the next one needs the passphrase too


def test_in_no_file(machine: Machine, tmp_path: Path) -> None:
    machine.protect_quickly()
    environ = {"PASSHELPER_PASSPHRASE": PASSPHRASE, "TMPDIR": str(tmp_path)}
    machine("setup", "--generate-key", "--git", **environ)
    machine("login", "a.example", "-u", "u", "--password-stdin", stdin=PASSWORD, **environ)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert found
    assert [path for path in found if b"canary" in path.read_bytes()] == []
    assert [path.name for path in tmp_path.iterdir()] == ["home"]  # the throw-away store has gone
