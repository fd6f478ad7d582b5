"""Odd ways to be started: a stdin that cannot be read, an interrupt while Python imports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import Program, require

from passhelper.machine import launcher
from passhelper.setup import link

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "passhelper" / "launch" / "docker-credential-pass"
ADVICE = b"give the request on stdin, as a file or through a pipe"


@pytest.mark.parametrize("kind", ["write-only", "a directory"])
def test_a_stdin_that_cannot_be_read(installed: Program, environ: dict[str, str], tmp_path: Path, kind: str) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY) if kind == "a directory" else os.open(os.devnull, os.O_WRONLY)
    try:
        for verb in ("get", "store", "erase", "list", "version"):
            command = [installed.helper, verb]
            done = subprocess.run(command, env=environ, stdin=descriptor, capture_output=True, check=False)
            if verb in ("list", "version"):
                assert (done.returncode, done.stderr) == (0, b"")
                continue
            message = b"stdin cannot be read: Bad file descriptor; " + ADVICE + b"\n"
            assert (done.returncode, done.stdout) == (1, message)
            assert done.stderr == b"docker-credential-pass: " + message
    finally:
        os.close(descriptor)


def packages(folder: Path) -> Path:
    """A package ``passhelper`` that takes its time."""
    (folder / "passhelper" / "store").mkdir(parents=True)
    slow = "import os, time\nos.write(1, b'importing\\n')\ntime.sleep(60)\n"
    (folder / "passhelper" / "__init__.py").write_text(slow)
    (folder / "passhelper" / "store" / "helper.py").write_text("")
    (folder / "passhelper_backends").mkdir()
    (folder / "passhelper_backends" / "__init__.py").write_text("")
    return folder


def from_wheel(folder: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages(folder / "lib" / version / "site-packages")
    program = folder / "bin" / "docker-credential-pass"
    program.parent.mkdir()
    (folder / "pyvenv.cfg").write_text("")
    (program.parent / "python").symlink_to(sys.executable)
    shutil.copy(SCRIPT, program)
    return program


def from_setup(folder: Path) -> Path:
    program = folder / "docker-credential-pass"
    program.write_text(launcher.content(sys.executable, str(packages(folder))))
    return program


def from_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "docker-credential-memory"
    monkeypatch.setattr(link, "_folders", lambda: [str(packages(folder))])
    program.write_bytes(link._content(program.name, ["memory"], ""))
    return program


@pytest.mark.parametrize("made", ["by the wheel", "by setup", "by link"])
def test_an_interrupt_while_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    require("sh")
    if made == "by link":
        program = from_link(tmp_path, monkeypatch)
    else:
        program = (from_wheel if made == "by the wheel" else from_setup)(tmp_path)
    program.chmod(0o755)
    for ignored in (False, True):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
        try:
            child = subprocess.Popen([program, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        finally:
            signal.signal(signal.SIGINT, before)
        assert child.stdout is not None
        assert child.stdout.readline() == b"importing\n"
        child.send_signal(signal.SIGINT)
        if ignored:  # the caller's wish
            child.kill()
        _, err = child.communicate(timeout=30)
        assert (child.returncode, err) == (-signal.SIGKILL if ignored else -signal.SIGINT, b"")


def test_an_interrupt_while_the_command_imports(tmp_path: Path) -> None:
    """``click`` is the first of its libraries, and here a slow one."""
    (tmp_path / "click.py").write_text("import os, time\nos.write(1, b'importing\\n')\ntime.sleep(60)\n")
    folders = [str(tmp_path), str(REPOSITORY)]
    code = f"import sys; sys.path[:0] = {folders!r}; from passhelper.__main__ import main; main()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"importing\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (-signal.SIGINT, b"")
