"""The passphrase for machines where nobody can be asked."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper.errors import ConfigurationError
from passhelper.store.passphrase import MAX_PASSPHRASE, read, source

FILE, FD, TEXT = "PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD", "PASSHELPER_PASSPHRASE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(b"correct horse\n")
    path.chmod(0o600)
    return path


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, ""), ({FILE: "", FD: "", TEXT: ""}, ""), ({FILE: "f", FD: "9", TEXT: "t"}, FILE), ({FD: "9", TEXT: "t"}, FD),
     ({TEXT: "t"}, TEXT)],
)  # fmt: skip
def test_the_first_variable_that_is_set_counts(environ: dict[str, str], expected: str) -> None:
    assert source(environ) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x", b"x"),
        (b"x\n", b"x"),
        (b"x\r\n", b"x"),
        (b" x \n", b" x "),
        ("pässwörd\n".encode(), "pässwörd".encode()),
        (b"\xff\n", b"\xff"),
    ],
)
def test_a_file_gives_its_one_line(file: Path, content: bytes, expected: bytes) -> None:
    file.write_bytes(content)
    assert read({FILE: str(file)}) == expected


def test_the_variable_gives_its_bytes() -> None:
    assert read({TEXT: "pässwörd\n"}) == "pässwörd".encode()
    assert read({TEXT: "a\udcff"}) == b"a\xff"


def test_a_descriptor_is_read_and_stays_open() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"correct horse\n")
    os.close(theirs)
    try:
        assert read({FD: str(ours)}) == b"correct horse"
        os.fstat(ours)
    finally:
        os.close(ours)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o444, 0o640, 0o644])
def test_a_file_that_others_may_only_read_is_taken(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read({FILE: str(file)}) == b"correct horse"


def test_a_link_is_followed_as_kubernetes_makes_them(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    assert read({FILE: str(tmp_path / "link")}) == b"correct horse"


def test_a_pipe_is_taken_as_shells_make_them(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"correct horse\n")
    os.close(theirs)
    try:
        assert read({FILE: f"/proc/self/fd/{ours}"}) == b"correct horse"
    finally:
        os.close(ours)


def test_a_pipe_whose_writer_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    timer = threading.Timer(0.3, path.write_bytes, [b"correct horse\n"])
    timer.start()
    assert read({FILE: str(path)}, 60) == b"correct horse"
    timer.join()


def test_a_pipe_whose_writer_never_comes(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError) as caught:
        read({FILE: str(path)}, 0.3)
    assert caught.value.cause == f"cannot read {FILE} ({path}): its writer did not finish within 0.3 s"
    assert caught.value.remedy == "check that somebody writes to it, and ends"


def test_a_pipe_whose_writer_never_ends() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"correct horse\n")
    try:
        for environ, name in (({FD: str(ours)}, FD), ({FILE: f"/dev/fd/{ours}"}, FILE)):
            with pytest.raises(ConfigurationError) as caught:
                read(environ, 0.3)
            value = environ[name]
            assert caught.value.cause == f"cannot read {name} ({value}): its writer did not finish within 0.3 s"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_pipe_that_is_not_to_be_waited_for() -> None:
    """The caller has made it non-blocking, and writes later."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)

    def write() -> None:
        os.write(theirs, b"correct horse\n")
        os.close(theirs)

    timer = threading.Timer(0.3, write)
    timer.start()
    try:
        assert read({FD: str(ours)}, 60) == b"correct horse"
    finally:
        timer.join()
        os.close(ours)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert refusal({FILE: str(file)}) == f"{FILE}: {file} can be written by other users; run: chmod 600 {file}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, 12345, 12345)
    assert refusal({FILE: str(file)}) == (
        f"{FILE}: {file} belongs to another user (uid 12345); make a copy of your own, mode 0600"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert refusal({FILE: str(missing)}) == f"cannot read {FILE} ({missing}): No such file or directory; check its path"
    advice = "name a file, or move the directory away"
    assert refusal({FILE: str(tmp_path)}) == f"cannot read {FILE} ({tmp_path}): Is a directory; {advice}"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "٣", " 3", "99999999999999999999"])
def test_a_descriptor_that_is_no_number_is_refused(value: str) -> None:
    assert refusal({FD: value}) == f"{FD} is not the number of an open descriptor: {value!r}"


def test_a_descriptor_that_is_not_open_is_named() -> None:
    assert refusal({FD: "987"}) == f"cannot read {FD} (987): Bad file descriptor; check that it is open, and for this"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"the passphrase in {FILE} is empty"),
        (b"\r\n\n", f"the passphrase in {FILE} is empty"),
        (b"one\ntwo\n", f"the passphrase in {FILE} has more than one line"),
        (b"one\0two", f"the passphrase in {FILE} has more than one line"),
        (b"x" * (MAX_PASSPHRASE + 1), f"the passphrase in {FILE} is longer than 4096 bytes"),
    ],
)
def test_what_is_no_passphrase_is_refused_without_showing_it(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert refusal({FILE: str(file)}) == message


def test_the_longest_passphrase(file: Path) -> None:
    file.write_bytes(b"x" * MAX_PASSPHRASE + b"\r\n")
    assert read({FILE: str(file)}) == b"x" * MAX_PASSPHRASE


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_variable_has_an_answer(text: str) -> None:
    line = text.rstrip("\r\n")
    if line and "\n" not in line and len(line.encode()) <= MAX_PASSPHRASE:
        assert read({TEXT: text}) == line.encode()
    else:
        with pytest.raises(ConfigurationError, match=r"^the passphrase in PASSHELPER_PASSPHRASE ") as caught:
            read({TEXT: text})
        assert len(str(caught.value)) < 90
