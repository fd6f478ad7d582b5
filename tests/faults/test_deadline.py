"""One deadline for a verb, whatever its steps may take each; what is over it ends in words."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import PASSPHRASE, Helper, KeyRing, Program, require, run, tree
from support.processes import running
from support.programs import script

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "https://registry.example"
REQUEST = f'{{"ServerURL":"{SERVER}","Username":"u","Secret":"s"}}'.encode()


@pytest.fixture
def kept(helper: Helper, store: Path) -> None:
    assert helper.store(SERVER, "alice", "s").code == 0


def test_attempts_share_the_time(helper: Helper, kept: None, bin_folder: Path) -> None:
    """A gpg that fails is asked again why; both together have what the verb has."""
    script(bin_folder / "gpg", "sleep 2; exit 2")
    answer = helper.get(SERVER, PASSHELPER_TIMEOUT="3")
    assert answer.text.startswith("gpg did not answer within 3 s for ")


def test_the_commit_has_what_is_left(helper: Helper, git_store: Path, bin_folder: Path) -> None:
    script(bin_folder / "git", 'case " $* " in *" commit "*) exec sleep 1000.625;; esac; exec /usr/bin/git "$@"')
    answer = helper.store(SERVER, "alice", "s", PASSHELPER_TIMEOUT="4")
    assert answer.code == 0
    assert b"git did not finish within 4 s in" in answer.err
    assert running("1000.625") == []
    (bin_folder / "git").unlink()
    assert helper.get(SERVER).json["Secret"] == "s"


def test_the_push_has_what_is_left(helper: Helper, git_store: Path, bin_folder: Path) -> None:
    helper.environ["PASSHELPER_SYNC"] = "push"
    git = ["git", "-C", str(git_store)]
    assert helper.store("https://first.example", "alice", "s").code == 0  # which pins the recipients
    assert run([*git, "remote", "add", "origin", "ssh://host.invalid/x"], helper.environ).code == 0
    script(bin_folder / "ssh", "exec sleep 1000.875")
    answer = helper.store(SERVER, "alice", "s", PASSHELPER_TIMEOUT="5", PASSHELPER_SYNC_TIMEOUT="50")
    assert answer.code == 0
    assert b"no answer from origin within 5 s" in answer.err
    assert running("1000.875") == []


def test_the_lock_is_waited_for_no_longer(helper: Helper, store: Path) -> None:
    held = os.open(store, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:  # a writer waits for ten seconds where it has them
        answer = run([helper.program, "store"], {**helper.environ, "PASSHELPER_TIMEOUT": "1"}, REQUEST, timeout=9)
    finally:
        os.close(held)
    assert (answer.code, answer.text[:15]) == (1, "store is busy: ")


def test_a_stopped_gpg(helper: Helper, kept: None, store: Path, bin_folder: Path) -> None:
    before = tree(store)
    script(bin_folder / "gpg", "kill -STOP $$; exec sleep 1000.9375")
    answer = helper.get(SERVER, PASSHELPER_TIMEOUT="1")
    assert answer.text.startswith("gpg did not answer within 1 s for ")
    answer = helper.store(SERVER, "bob", "new", PASSHELPER_TIMEOUT="1")
    assert answer.text == "gpg did not encrypt within 1 s; set PASSHELPER_TIMEOUT\n"
    assert tree(store) == before
    assert running("1000.9375") == []


@pytest.mark.parametrize(
    ("program", "hung", "arguments", "error"),
    [
        ("gpg", "--list-keys", ["recipients", "check"], "gpg did not answer within 1 s"),
        ("gpg", "--gen-key", ["setup", "--generate-key", "--no-docker", "--no-passphrase", "--name", "n", "--email",
                              "n@example.test"], "gpg did not answer within 1 s"),
    ],
)  # fmt: skip
def test_a_command_waits_for_no_program_for_ever(
    installed: Program, environ: dict[str, str], store: Path, own_keys: KeyRing, bin_folder: Path, program: str,
    hung: str, arguments: list[str], error: str,
) -> None:  # fmt: skip
    """Each gpg has the time of one verb."""
    script(
        bin_folder / program, f'case " $* " in *" {hung} "*) sleep 1000.98 & wait;; esac; exec /usr/bin/{program} "$@"'
    )
    environ = {**environ, "GNUPGHOME": str(own_keys.home), "PASSHELPER_TIMEOUT": "1"}
    if "setup" in arguments:
        shutil.rmtree(store)
        environ["GNUPGHOME"] = f"{own_keys.home}/new"
    answer = run([installed.passhelper, *arguments], environ)
    assert answer.code == 1
    assert answer.err.decode().splitlines()[0] == f"error: {error}"
    assert running("1000.98") == []


# A passphrase that comes through a pipe


@pytest.fixture
def locked(helper: Helper, store: Path, own_keys: KeyRing) -> Helper:
    """A helper whose entry needs a passphrase."""
    helper.environ["GNUPGHOME"] = str(own_keys.home)
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    assert helper.store(SERVER, "alice", "behind the lock").code == 0
    return helper


def test_a_pipe_without_a_writer(locked: Helper, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    answer = locked.get(SERVER, PASSHELPER_PASSPHRASE_FILE=str(path), PASSHELPER_TIMEOUT="5")
    assert answer.code == 1
    assert answer.text.startswith(f"cannot read PASSHELPER_PASSPHRASE_FILE ({path}): its writer did not finish within ")


def test_process_substitution(locked: Helper) -> None:
    """The file that bash makes is a pipe whose writer may need a moment."""
    require("bash")
    code = f"PASSHELPER_PASSPHRASE_FILE=<(sleep 0.5; echo '{PASSPHRASE}') {locked.program} get"
    answer = run(["bash", "-c", code], locked.environ, SERVER.encode())
    assert (answer.code, answer.json["Secret"]) == (0, "behind the lock")


# A file system that does not answer


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A mounted file system with gpg on it, and the process that serves it, to be stopped."""
    require("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("only root mounts a file system, where there is FUSE")
    image, folder = tmp_path / "image", tmp_path / "frozen"
    folder.mkdir()
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    device = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True).stdout.strip()
    server = subprocess.Popen(["mount.exfat-fuse", "-d", device, str(folder)], stdout=-3, stderr=-3)
    try:
        while not os.path.ismount(folder):
            assert server.poll() is None
        shutil.copyfile("/usr/bin/gpg", folder / "gpg")
        yield folder, server.pid
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        server.kill()
        server.wait()
        subprocess.run(["losetup", "-d", device], check=False)


def test_a_gpg_on_a_file_system_that_is_away(helper: Helper, kept: None, frozen: tuple[Path, int]) -> None:
    """The system cannot tell what gpg is: nothing of ours runs then, but the verb ends.

    Where the system knows that much and waits for the program's content, only KILL ends it: posix_spawn(3) of glibc
    blocks all signals until the program runs.
    """
    folder, server = frozen
    helper.environ["PATH"] = f"{folder}:{helper.environ['PATH']}"
    assert helper.get(SERVER).json["Secret"] == "s"
    os.kill(server, signal.SIGSTOP)
    time.sleep(2)  # the kernel remembers for a second what FUSE has said of a file
    answer = helper.get(SERVER, PASSHELPER_TIMEOUT="1")
    assert answer.code == -signal.SIGALRM


def test_an_alarm_of_the_caller_counts(helper: Helper, kept: None, bin_folder: Path) -> None:
    script(bin_folder / "gpg", "exec sleep 1000.96875")
    code = "import os, signal, sys; signal.alarm(1); os.execv(sys.argv[1], sys.argv[1:])"
    answer = run(["/usr/bin/python3", "-c", code, helper.program, "get"], helper.environ, SERVER.encode())
    assert answer.code == -signal.SIGALRM
    for left in running("1000.96875"):  # nothing of ours runs after that
        os.kill(int(left), signal.SIGKILL)
