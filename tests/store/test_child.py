"""Child processes: fed, collected, and ended in time."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import children, descriptors, is_alive
from support.programs import script
from support.waiting import LIMIT

from passhelper.errors import PasshelperError
from passhelper.store import ending
from passhelper.store.child import MAX_NOTES, Child, finish
from passhelper.store.programs import MAX_OUTPUT, PASSPHRASE, STATUS, clean_environ, find_program

ENVIRON = {"PATH": "/usr/bin:/bin"}


def sh(code: str, *arguments: str | int, stdin: bytes | int = b"", passphrase: bytes | None = None,
       limit: int = MAX_OUTPUT, seconds: float = LIMIT) -> Child:  # fmt: skip
    child = Child(["/bin/sh", "-c", code, "sh", *arguments], ENVIRON, stdin=stdin, passphrase=passphrase, limit=limit)
    finish([child], seconds)
    return child


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    """No test leaves a process or a descriptor behind."""
    before = (children(), descriptors())
    yield
    assert (children(), descriptors()) == before


def test_both_streams_and_the_status_are_collected() -> None:
    child = sh("echo out; echo err >&2; exit 7")
    assert (bytes(child.stdout), bytes(child.stderr), child.returncode) == (b"out\n", b"err\n", 7)
    assert not child.timed_out
    assert not child.overflow


def test_the_number_of_a_signal_is_negative() -> None:
    assert sh("kill -KILL $$").returncode == -9


def test_status_and_passphrase_have_descriptors_of_their_own() -> None:
    child = sh(
        'echo "GOT $(cat /dev/fd/$2)" > /dev/fd/$1; cat', STATUS, PASSPHRASE, stdin=b"plain", passphrase=b"pass\nword"
    )
    assert (bytes(child.status), bytes(child.stdout), child.returncode) == (b"GOT pass\nword\n", b"plain", 0)


def test_nothing_else_is_inherited() -> None:
    first = Child(["/bin/sh", "-c", "sleep 0.3", "sh", STATUS, PASSPHRASE], ENVIRON, passphrase=b"x")
    ours = {int(name) for name in os.listdir("/proc/self/fd")} & {*range(3, 1000)}
    inheritable = {number for number in ours if _is_inheritable(number)}  # what the test run itself was given
    found = {int(word) for word in sh("ls /proc/self/fd").stdout.split()}
    assert len(found - inheritable - {0, 1, 2}) <= 1  # the directory that ls reads
    finish([first], 5)


def _is_inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


def test_much_goes_in_and_out_at_once() -> None:
    data = os.urandom(1 << 20)
    child = sh("cat; cat >&2 < /dev/null", stdin=data)
    assert bytes(child.stdout) == data


def test_it_gets_its_input_before_anybody_waits_for_it() -> None:
    child = Child(["/bin/sh", "-c", "cat"], ENVIRON, stdin=b"plain")
    (stdout,) = [number for number, buffer in child.readers.items() if buffer is child.stdout]
    answered = bool(select.select([stdout], [], [], 30)[0])
    finish([child], 10)
    assert (answered, bytes(child.stdout)) == (True, b"plain")


def test_an_open_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    number = os.open(tmp_path / "x", os.O_RDONLY)
    os.lseek(number, 4, os.SEEK_SET)
    try:
        assert sh("cat", stdin=number).stdout == b"456789"
    finally:
        os.close(number)


def test_a_child_that_reads_nothing_is_no_trouble() -> None:
    assert sh("exit 3", stdin=b"x" * (1 << 20)).returncode == 3


def test_a_child_that_writes_to_nobody_dies() -> None:
    """Python ignores SIGPIPE, which children would inherit."""
    (ignored,) = sh("grep SigIgn /proc/self/status").stdout.split()[1:]
    assert not int(ignored, 16) & 1 << signal.SIGPIPE - 1


@pytest.fixture
def sigchld_is_ignored() -> Iterator[None]:
    """As in a program whose parent ignores it, or that does so itself."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_where_nobody_can_tell_how_a_child_has_ended(sigchld_is_ignored: None) -> None:
    with pytest.raises(PasshelperError) as caught:
        sh("exit 0")
    assert str(caught.value) == (
        "how a program has ended cannot be told: this process ignores SIGCHLD, or collects children that it has not "
        "started; set SIGCHLD to its default before using passhelper"
    )


def test_children_can_tell_how_theirs_have_ended(sigchld_is_ignored: None) -> None:
    child = Child(["/bin/sh", "-c", "grep SigIgn /proc/self/status; sleep 0.2"], ENVIRON)
    while not child.stdout:
        child.read(next(iter(child.readers)))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    finish([child], 10)
    assert not int(child.stdout.split()[1], 16) & 1 << signal.SIGCHLD - 1


def test_what_says_too_much_is_ended() -> None:
    child = sh("exec cat /dev/zero", limit=100_000)
    assert child.overflow
    assert child.returncode == -15
    assert len(child.stdout) <= 100_000


@pytest.mark.parametrize(("limit", "seconds"), [(10, 5.0), (1000, 0.0)], ids=["too much", "too late"])
def test_half_an_answer_does_not_count_though_its_child_has_ended_well(limit: int, seconds: float) -> None:
    """What a caller takes for a whole listing would lack its end, and with it the file that must not come in."""
    child = Child(["/bin/sh", "-c", "echo 0123456789abcdef"], ENVIRON, limit=limit)
    if sys.platform != "darwin":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it waits to be collected
    finish([child], seconds)
    assert child.returncode != 0
    assert child.overflow or child.timed_out


def test_exactly_the_limit_is_not_too_much() -> None:
    child = sh("head -c 70000 /dev/zero", limit=70_000)
    assert (child.overflow, len(child.stdout)) == (False, 70_000)
    assert sh("head -c 70001 /dev/zero", limit=70_000).overflow


def test_notes_are_kept_up_to_a_limit_and_never_block() -> None:
    child = sh("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero > /dev/fd/$1; echo done", STATUS)
    assert (len(child.stderr), len(child.status), bytes(child.stdout)) == (MAX_NOTES, MAX_NOTES, b"done\n")


def test_what_takes_too_long_is_ended() -> None:
    child = sh("echo started; exec sleep 60", seconds=0.3)
    assert child.timed_out
    assert child.returncode == -15
    assert bytes(child.stdout) == b"started\n"


def test_what_tidies_up_after_term_may_end_by_itself() -> None:
    child = sh("trap 'sleep 0.3; exit 3' TERM; while :; do sleep 0.05; done", seconds=0.2)
    assert (child.timed_out, child.returncode) == (True, 3)


def test_what_ignores_term_is_killed() -> None:
    child = sh("trap '' TERM; while :; do sleep 0.05; done", seconds=0.2)
    assert child.timed_out
    assert child.returncode == -9


def test_a_grandchild_that_holds_a_pipe_is_not_waited_for() -> None:
    child = sh("sleep 600 & echo $!; echo err >&2; exit 4", seconds=LIMIT)
    os.kill(int(child.stdout), signal.SIGKILL)
    assert (child.timed_out, child.returncode, bytes(child.stderr)) == (False, 4, b"err\n")


def test_a_child_that_closes_its_streams_first_is_waited_for() -> None:
    assert sh("exec >&- 2>&-; sleep 0.3; exit 5").returncode == 5


def test_many_notes_are_taken_as_they_come() -> None:
    """A gpg that complains at length is not read at 1 MB/s."""
    child = sh("head -c 200000000 /dev/zero >&2; echo done", seconds=60)
    assert (child.timed_out, len(child.stderr), bytes(child.stdout)) == (False, MAX_NOTES, b"done\n")


def test_what_it_has_started_ends_with_it() -> None:
    """Also what the program that is ended has not started itself, and what does not care for TERM."""
    child = sh("(sleep 61 & echo $!; wait) & echo $!; (trap '' TERM; while :; do sleep 0.1; done) & echo $!; wait",
               seconds=0.5)  # fmt: skip
    started = [int(line) for line in child.stdout.split()]
    assert child.timed_out
    assert len(started) == 3
    assert [number for number in started if is_alive(number)] == []


def test_a_daemon_that_it_has_started_goes_on() -> None:
    """Such as gpg-agent."""
    child = sh("(setsid sleep 62 & echo $!); sleep 63", seconds=0.5)
    daemon = int(child.stdout)
    assert child.timed_out
    assert is_alive(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_what_is_stopped_is_ended() -> None:
    child = sh("trap 'exit 3' TERM; kill -STOP $$", seconds=0.5)
    assert (child.timed_out, child.returncode) == (True, 3)


def test_processes_are_found_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(["/bin/sh", "-c", "sleep 64 & echo; wait"], ENVIRON)
    while not child.stdout:
        child.read(next(iter(child.readers)))
    monkeypatch.setattr(ending, "_look", lambda number: None)
    below = ending.below(child.pid)
    child.kill()
    assert len(below) == 1
    assert not is_alive(*below)


def test_several_children_run_side_by_side(tmp_path: Path) -> None:
    """Neither ends before what the other has said was read."""
    os.mkfifo(tmp_path / "one")
    os.mkfifo(tmp_path / "two")
    code = "head -c 1000000 /dev/zero; if [ $1 = one ]; then echo > one; cat two; else cat one; echo > two; fi"
    both = [Child(["/bin/sh", "-c", f"cd {tmp_path}; {code}", "sh", name], ENVIRON) for name in ("one", "two")]
    finish(both, LIMIT)
    assert [(child.timed_out, len(child.stdout)) for child in both] == [(False, 1_000_001)] * 2


def test_the_time_is_for_all_of_them() -> None:
    quick, slow = (Child(["/bin/sleep", seconds], ENVIRON) for seconds in ("0", "60"))
    finish([quick, slow], 0.3)
    assert (quick.returncode, quick.timed_out) == (0, False)
    assert (slow.returncode, slow.timed_out) == (-15, True)


def test_no_time_left_ends_a_child_at_once() -> None:
    child = Child(["/bin/sleep", "60"], ENVIRON)
    finish([child], 0)
    assert child.timed_out
    child.kill()  # once more is harmless


def test_an_interruption_ends_the_children() -> None:
    child = Child(["/bin/sleep", "60"], ENVIRON)
    main = threading.main_thread().ident
    assert main
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        finish([child], 30)
    timer.join()
    assert child.returncode == -15


@pytest.mark.parametrize(
    ("program", "reason"), [("/nonexistent/gpg", "No such file or directory"), ("/tmp", "Permission denied")]
)
def test_a_program_that_cannot_be_started_is_named(program: str, reason: str) -> None:
    with pytest.raises(PasshelperError) as caught:
        Child([program, "--version", STATUS], ENVIRON, passphrase=b"x")
    assert str(caught.value) == f"cannot start {program}: {reason}"


# Environment and PATH


def test_children_get_no_secret_and_speak_one_language() -> None:
    environ = {
        "PASSHELPER_PASSPHRASE": "x", "PASSHELPER_PASSPHRASE_FILE": "x", "PASSHELPER_PASSPHRASE_FD": "9",
        "PASSHELPER_GPG_KEY": "x", "PASSHELPER_GPG_KEY_FILE": "x", "PASSHELPER_TIMEOUT": "3",
        "LANG": "de_DE.UTF-8", "LC_ALL": "fr_FR", "LANGUAGE": "de", "HOME": "/h",
        "PATH": ":.:bin:/usr/bin:/nowhere:/etc/passwd::/bin",
    }  # fmt: skip
    before = dict(environ)
    assert clean_environ(environ) == {
        "PASSHELPER_TIMEOUT": "3", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "HOME": "/h", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    assert environ == before
    assert clean_environ({"PATH": "."})["PATH"] == os.devnull  # an empty one would be the current directory


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    script(one / "gpg2", "exit 0")
    script(two / "gpg", "exit 0")
    script(two / "gpg2", "exit 0")
    (one / "gpg").write_text("not executable")
    (one / "git").mkdir()
    return one, two


def test_the_first_name_wins_over_the_first_folder(folders: tuple[Path, Path]) -> None:
    one, two = folders
    assert find_program(("gpg", "gpg2"), {"PATH": f"{one}:{two}"}) == f"{two}/gpg"
    assert find_program(("gpg2",), {"PATH": f"{one}:{two}"}) == f"{one}/gpg2"
    assert find_program(("git",), {"PATH": f"{one}:{two}"}) is None


@pytest.mark.parametrize("entry", [".", "", "two", "./two", "../two"])
def test_relative_entries_of_path_are_ignored(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.chdir(folders[1].parent)
    assert find_program(("gpg",), {"PATH": entry}) is None
    monkeypatch.chdir(folders[1])
    assert find_program(("gpg",), {"PATH": f"{entry}:{entry}"}) is None


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_file_can_be_called_is_not_found(name: str) -> None:
    assert find_program((name, "sh"), {}) in ("/bin/sh", "/usr/bin/sh")


def test_without_path_the_systems_default_is_used() -> None:
    assert find_program(("sh",), {}) in ("/bin/sh", "/usr/bin/sh")
    assert find_program(("sh",), {"PATH": ""}) is None


def test_this_is_the_module_for_this_system() -> None:
    assert sys.platform != "win32"
    assert hasattr(Child, "ended")
