"""A locked key where nobody can be asked, and where secrets could show while the helper works."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import PASSPHRASE, Helper, KeyRing, run
from support.faults.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "https://registry.example"
SECRET = "canary-secret-5f2d90c1"
FOUND = {"ServerURL": SERVER, "Username": "alice", "Secret": SECRET}
CANARIES = (SECRET.encode(), PASSPHRASE.encode())
_OPENED = re.compile(r'openat\((?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)"')  # the directory and the path in it

_VERBS = {"store": b'{"ServerURL":"%s","Username":"alice","Secret":"%s"}' % (SERVER.encode(), SECRET.encode()),
          "get": SERVER.encode(), "erase": SERVER.encode(), "list": b""}  # fmt: skip


@pytest.fixture(params=["no git", "git"])
def locked(request: pytest.FixtureRequest, environ: dict[str, str], own_keys: KeyRing) -> dict[str, str]:
    """An environment whose store, with git and without, is readable by a locked key that no agent remembers."""
    store: Path = request.getfixturevalue("git_store" if request.param == "git" else "store")
    (own_keys.home / "gpg-agent.conf").write_text("max-cache-ttl 0\ndefault-cache-ttl 0\n")
    environ["GNUPGHOME"] = str(own_keys.home)
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    return environ


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "reason",
    [{"PASSHELPER_NONINTERACTIVE": "1"}, {"CI": "true"}, {}],
    ids=["PASSHELPER_NONINTERACTIVE", "CI", "no terminal"],
)
def test_locked_key_fails_at_once(
    helper: Helper, locked: dict[str, str], own_keys: KeyRing, reason: dict[str, str]
) -> None:
    del locked["PASSHELPER_NONINTERACTIVE"]
    locked.update(reason)
    assert helper.store(SERVER, "alice", SECRET).code == 0
    for _ in range(2):  # the first one also starts the agent
        answer = helper.get(SERVER)
        key = encryption_key(own_keys, "locked")
        message = f"GPG key {key} is locked; run: passhelper unlock, or set PASSHELPER_PASSPHRASE_FILE\n"
        assert (answer.code, answer.out) == (1, message.encode())
        assert answer.err == f"docker-credential-pass: {message}".encode()


def test_passphrase_file(helper: Helper, locked: dict[str, str], passphrase_file: Path) -> None:
    assert helper.store(SERVER, "alice", SECRET).code == 0
    answer = helper.get(SERVER, PASSHELPER_PASSPHRASE_FILE=str(passphrase_file))
    assert (answer.code, answer.json, answer.err) == (0, FOUND, b"")
    # As Kubernetes mounts a secret: a link, readable by others.
    link = passphrase_file.with_name("link")
    link.symlink_to(passphrase_file)
    passphrase_file.chmod(0o644)
    assert helper.get(SERVER, PASSHELPER_PASSPHRASE_FILE=str(link)).json == FOUND
    # Nothing is remembered for the next one.
    assert b"is locked" in helper.get(SERVER).out


def test_passphrase_variable_and_descriptor(helper: Helper, locked: dict[str, str], passphrase_file: Path) -> None:
    assert helper.store(SERVER, "alice", SECRET).code == 0
    assert helper.get(SERVER, PASSHELPER_PASSPHRASE=PASSPHRASE).json == FOUND
    with passphrase_file.open("rb") as file:
        done = subprocess.run(
            [helper.program, "get"], env={**locked, "PASSHELPER_PASSPHRASE_FD": str(file.fileno())},
            input=SERVER.encode(), capture_output=True, pass_fds=(file.fileno(),), check=False,
        )  # fmt: skip
    assert done.returncode == 0
    assert SECRET.encode() in done.stdout


def test_wrong_passphrase(helper: Helper, locked: dict[str, str], passphrase_file: Path) -> None:
    assert helper.store(SERVER, "alice", SECRET).code == 0
    passphrase_file.write_text("wrong")
    answer = helper.get(SERVER, PASSHELPER_PASSPHRASE_FILE=str(passphrase_file))
    assert answer.code == 1
    assert answer.text.startswith("the passphrase in PASSHELPER_PASSPHRASE_FILE does not unlock GPG key ")
    assert b"wrong" not in answer.out + answer.err
    passphrase_file.chmod(0o622)
    answer = helper.get(SERVER, PASSHELPER_PASSPHRASE_FILE=str(passphrase_file))
    assert answer.text.endswith(f"{passphrase_file} can be written by other users; run: chmod 600 {passphrase_file}\n")


# Where secrets could show


@pytest.fixture
def slow_programs(locked: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """gpg and git that linger, so that a look at ``/proc`` sees each of them."""
    folder = tmp_path / "slow"
    folder.mkdir()
    for name in ("gpg", "git"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nsleep 0.1\n/usr/bin/{name} "$@"\ncode=$?\nsleep 0.1\nexit $code\n')
        script.chmod(0o755)
    locked["PATH"] = f"{folder}:{locked['PATH']}"
    locked["TMPDIR"] = str(tmp_path / "tmp")
    Path(locked["TMPDIR"]).mkdir()
    return locked


class Watcher:
    """Looks at every process and every file in some folders, again and again, for the canaries.

    The helper itself may hold a passphrase in the environment that its caller gave it; nothing else may.

    Args:
        helper: the helper's program.
        mark: a word that stands in the environment of the helper and its children, and of no other process.
        folders: where no file may hold a canary.
    """

    def __init__(self, helper: str, mark: str, *folders: Path) -> None:
        self._helper = helper.encode()
        self._mark = mark.encode()
        self._folders = folders
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: set[str] = set()
        self.programs: set[str] = set()
        self.files = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                self._look_at_process(pid)
            for path in list(self._all_files()):
                self.files += 1
                self._look(str(path), read(path))

    def _all_files(self) -> Iterator[Path]:
        for folder in self._folders:
            for place, _, names in os.walk(folder):
                for name in names:
                    if not os.path.islink(os.path.join(place, name)) and name != "passphrase":
                        yield Path(place, name)

    def _look_at_process(self, pid: str) -> None:
        command = read(Path("/proc", pid, "cmdline"))
        environ = read(Path("/proc", pid, "environ"))
        if self._mark not in environ:
            return
        self._look(f"command line of {command!r}", command)
        # One that is about to become another program still has the environment of its parent.
        if command and self._helper not in command and command == read(Path("/proc", pid, "cmdline")):
            self._look(f"environment of {command!r}", environ)
            self.programs.add(os.path.basename(command.split(b"\0")[0]).decode())
            if b"/slow/" in command:
                self.programs.add(os.path.basename(command.split(b"\0")[1]).decode())

    def _look(self, where: str, data: bytes) -> None:
        if any(canary in data for canary in CANARIES):
            self.seen.add(where)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or been removed
        return b""


@pytest.mark.parametrize(("source", "debug"), [("PASSHELPER_PASSPHRASE_FILE", "1"), ("PASSHELPER_PASSPHRASE", "0")])
def test_nothing_shows_while_it_runs(
    helper: Helper, slow_programs: dict[str, str], passphrase_file: Path, tmp_path: Path, source: str, debug: str
) -> None:
    slow_programs["PASSHELPER_DEBUG"] = debug
    secret = {source: str(passphrase_file) if source.endswith("FILE") else PASSPHRASE}
    said = b""
    mark = f"TMPDIR={slow_programs['TMPDIR']}"
    with Watcher(helper.program, mark, tmp_path, Path(slow_programs["GNUPGHOME"])) as watcher:
        answer = helper.store(SERVER, "alice", SECRET, **secret)
        assert answer.code == 0
        said += answer.out + answer.err
        answer = helper.get(SERVER, **secret)
        assert answer.json == FOUND
        said += answer.err
        answer = helper.get(SERVER)  # locked, with a traceback where debugging is on
        said += answer.out + answer.err
        assert (b"Traceback" in answer.err) == (debug == "1")
    assert watcher.seen == set()
    assert {"gpg", "sleep"} <= watcher.programs
    assert ("git" in watcher.programs) == (Path(slow_programs["PASSWORD_STORE_DIR"]) / ".git").exists()
    assert watcher.files
    assert not any(canary in said for canary in CANARIES)
    assert not list(Path(slow_programs["TMPDIR"]).iterdir())


def test_secrets_travel_through_pipes_alone(
    helper: Helper, locked: dict[str, str], passphrase_file: Path, tmp_path: Path
) -> None:
    """Every call that could hand a secret on, of the helper and its children, as the kernel saw it."""
    locked["PASSHELPER_PASSPHRASE_FILE"] = str(passphrase_file)
    # An agent that gpg started would be followed until it ends, which it does not.
    assert run(["gpgconf", "--launch", "gpg-agent"], locked).code == 0
    carried = 0
    written: set[str] = set()
    for verb, stdin in _VERBS.items():
        seen = trace(
            [helper.program, verb], locked, stdin,
            calls="execve,write,writev,pwrite64,sendto,sendmsg,openat",
            options=("-f", "-v", "-y", "-s", "100000"),
        )  # fmt: skip
        assert seen.answer.code == 0, seen.answer
        calls = [line.split(maxsplit=1)[1] for line in seen.lines]
        assert any(_OPENED.match(call) for call in calls)
        for call in calls:
            if any(canary.decode() in call for canary in CANARIES):
                assert call.startswith(("write(", "writev(", "sendto(", "sendmsg(")), call
                place = call.partition("<")[2]
                assert place.startswith(("pipe:", "socket:", "UNIX")), call
                carried += 1
            opened = _OPENED.match(call)
            if opened and ("O_WRONLY" in call or "O_RDWR" in call) and " = -1" not in call:
                written.add(os.path.join(*opened.groups()))
    assert carried >= 5  # both canaries went to gpg and the agent, and the answer to us
    store = locked["PASSWORD_STORE_DIR"]
    # The last is not a file but a setting of the kernel's: which memory would be in a core.
    allowed = (store + "/docker-credential-helpers", store + "/.git/", locked["GNUPGHOME"], "/dev/",
               "/proc/self/coredump_filter")  # fmt: skip
    assert not {path for path in written if not path.startswith(allowed)}


def encryption_key(keys: KeyRing, name: str) -> str:
    listing = keys.gpg("--with-colons", "--list-keys", keys[name]).stdout.decode()
    return next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))
