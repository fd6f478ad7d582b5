"""``passhelper link`` and ``unlink``: another backend on PATH, foreign programs left alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, run
from support.machines.new import Command

from passhelper.backends import SHIPPED

OF_ITS_OWN = "a helper for a store of its own is: passhelper link pass --store DIR --as NAME"


@pytest.fixture
def bin_dir(environ: dict[str, str]) -> Path:
    """``~/.local/bin``, on PATH, not there yet."""
    path = Path(environ["HOME"], ".local", "bin")
    environ["PATH"] = f"{path}:{environ['PATH']}"
    return path


def test_link_and_unlink(passhelper: Command, environ: dict[str, str], bin_dir: Path) -> None:
    program = bin_dir / "docker-credential-memory"
    answer = passhelper("link", "memory")
    assert (answer.code, answer.text, answer.err) == (0, f"wrote {program}\n", b"")
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    memory = Helper(str(program), environ)
    assert memory.list().out == b"{}\n"
    assert memory.store("a.io", "u", "s").code == 0
    assert memory.get("a.io").out == b"credentials not found in native keychain\n"  # gone with its process
    assert memory("version").out.startswith(b"docker-credential-memory (passhelper) ")
    assert memory("get", "").out == b"no credentials server URL\n"
    assert passhelper("link", "memory").text == f"found {program}\n"
    assert passhelper("unlink", "memory").text == f"removed {program}\n"
    assert not program.exists()
    answer = passhelper("unlink", "memory")
    assert (answer.code, answer.text) == (0, f"there is no {program}\n")


def test_link_pass_is_the_launcher_of_setup(
    passhelper: Command, environ: dict[str, str], bin_dir: Path, store: Path
) -> None:
    assert passhelper("link", "docker-credential-pass").code == 0
    program = bin_dir / "docker-credential-pass"
    helper = Helper(str(program), environ)
    assert helper.store("a.io", "u", "s").code == 0
    assert helper.get("a.io").json["Secret"] == "s"
    assert "-ISXutf8" in program.read_text()
    assert passhelper("unlink", "pass").code == 0
    assert not program.exists()


def test_a_second_account_for_one_registry(
    passhelper: Command, environ: dict[str, str], bin_dir: Path, store: Path, keys: KeyRing, tmp_path: Path
) -> None:
    """Each store has a helper of its own, whatever PASSWORD_STORE_DIR says."""
    other = tmp_path / "it's work"
    other.mkdir()
    (other / ".gpg-id").write_text(f"{keys['alice']}\n")
    program = bin_dir / "docker-credential-work"
    assert passhelper("link", "pass", "--store", str(other), "--as", "work").text == f"wrote {program}\n"
    assert passhelper("link", "pass").code == 0
    work, own = Helper(str(program), environ), Helper(str(bin_dir / "docker-credential-pass"), environ)
    for helper, username in ((work, "firm"), (own, "me")):
        assert helper.store("r.example", username, f"{username}'s").code == 0
    assert work.get("r.example").json == {"ServerURL": "r.example", "Username": "firm", "Secret": "firm's"}
    assert own.get("r.example").json == {"ServerURL": "r.example", "Username": "me", "Secret": "me's"}
    assert work("version").out.startswith(b"docker-credential-work (passhelper) ")
    assert len(list((other / FOLDER).iterdir())) == len(list((store / FOLDER).iterdir())) == 1
    assert passhelper("link", "pass", "--store", str(other), "--as", "work").text == f"found {program}\n"
    assert passhelper("unlink", "work").text == f"removed {program}\n"


def test_nothing_of_the_callers_runs(passhelper: Command, environ: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    passhelper("link", "memory", "--dir", str(folder))
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("sitecustomize", "json", "passhelper", "passhelper_backends"):
        (evil / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    command = [str(folder / "docker-credential-memory"), "list"]
    answer = run(command, {**environ, "PYTHONPATH": str(evil)}, cwd=evil)
    assert (answer.code, answer.out) == (0, b"{}\n")
    assert not (tmp_path / "ran").exists()


def test_says_where_docker_does_not_look(passhelper: Command, environ: dict[str, str], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    answer = passhelper("link", "memory", "--dir", str(one))
    assert answer.err.decode() == f"warning: {one} is not on PATH, so docker does not find it\n"
    path = f"{one}:{two}:{environ['PATH']}"
    answer = passhelper("link", "memory", "--dir", str(two), PATH=path)
    assert answer.err.decode() == f"warning: PATH leads docker to another program: {one}/docker-credential-memory\n"
    assert passhelper("link", "memory", "--dir", str(one), PATH=path).err == b""


def _identity(path: Path) -> tuple[int, int, int]:
    facts = os.lstat(path)
    return facts.st_ino, facts.st_mode, facts.st_mtime_ns


@pytest.mark.parametrize("command", ["link", "unlink"])
@pytest.mark.parametrize("kind", ["program", "link", "dangling link", "directory", "launcher of another"])
def test_foreign_programs_stay(passhelper: Command, bin_dir: Path, tmp_path: Path, command: str, kind: str) -> None:
    bin_dir.mkdir(parents=True)
    program = bin_dir / "docker-credential-memory"
    foreign = tmp_path / "foreign"
    if kind == "program":
        program.write_bytes(b"\x7fELF\xff\0")
    elif kind == "link":
        foreign.write_text("#!/bin/sh\n")
        program.symlink_to(foreign)
    elif kind == "dangling link":
        program.symlink_to(foreign)
    elif kind == "directory":
        program.mkdir()
    else:
        program.write_text("#!/bin/sh\n# docker-credential-memory2, started by passhelper\n")
    before = _identity(program)
    answer = passhelper(command, "memory")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        f"error: {program} is another program, so it is left as it is\n"
        "hint: remove it, or name another directory with --dir\n"
    )
    assert _identity(program) == before


def test_an_older_launcher_is_replaced(passhelper: Command, bin_dir: Path, environ: dict[str, str]) -> None:
    passhelper("link", "memory")
    program = bin_dir / "docker-credential-memory"
    text = program.read_text()
    program.write_text(text.replace("#!/", "#!/gone/"))
    program.chmod(0o644)
    assert passhelper("link", "memory").text == f"wrote {program}\n"
    assert program.read_text() == text
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize("name", ["nosuch", "../memory", "", "a b"])
def test_no_such_backend(passhelper: Command, bin_dir: Path, name: str) -> None:
    answer = passhelper("link", name)
    assert (answer.code, answer.out) == (1, b"")
    if name == "nosuch":
        known = ", ".join(sorted(SHIPPED))
        assert answer.err.decode() == f"error: no backend is called 'nosuch'\nhint: choose one of: {known}\n"
    else:
        assert b"is not the name of a credential helper" in answer.err
    assert not bin_dir.exists()


def test_a_backend_of_another_distribution(
    installed: Program, environ: dict[str, str], tmp_path: Path, bin_dir: Path
) -> None:
    """Its entry point is found by the launcher too, which is what -S would prevent."""
    site = next((installed.folder / "lib").glob("python*/site-packages"))
    information = site / "thirdparty-1.0.dist-info"
    information.mkdir()
    module = site / "thirdparty.py"
    try:
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[passhelper.backends]\nthird = thirdparty:Third\n")
        module.write_text("from passhelper_backends.memory import MemoryHelper\nclass Third(MemoryHelper): pass\n")
        assert run([installed.passhelper, "link", "third"], environ).code == 0
        assert run([str(bin_dir / "docker-credential-third"), "list"], environ).out == b"{}\n"
    finally:
        for path in (*information.iterdir(), module):
            path.unlink()
        information.rmdir()
    # What is not a backend any more can still be taken away.
    assert run([installed.passhelper, "unlink", "third"], environ).code == 0
    assert list(bin_dir.iterdir()) == []


@pytest.mark.parametrize("command", ["link", "unlink"])
def test_without_stdin_and_terminal(installed: Program, environ: dict[str, str], bin_dir: Path, command: str) -> None:
    closed = ["/bin/sh", "-c", 'exec "$0" "$@" <&-', installed.passhelper, command, "memory"]
    assert run(closed, environ, timeout=20).code == 0


@pytest.mark.parametrize("command", ["link", "unlink"])
def test_a_directory_that_cannot_be_used(passhelper: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    answer = passhelper(command, "memory", "--dir", str(tmp_path / "file"))
    if command == "link":
        assert answer.code == 1
        assert answer.err.startswith(f"error: cannot write {tmp_path}/file/docker-credential-memory: ".encode())
    else:
        assert (answer.code, answer.out) == (0, f"there is no {tmp_path}/file/docker-credential-memory\n".encode())


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("auto",), "error: name the backends that auto tries\n", 2),
        (("docker-credential-auto",), "error: name the backends that auto tries\n", 2),
        (("memory", "pass"), "error: name one backend\n", 2),
        (("auto", "pass", "nosuch"), "error: no backend is called 'nosuch'\n", 1),
        (("auto", "auto"), "error: no backend is called 'auto'\n", 1),
        (("memory", "--self-test"), "error: the backend memory has no self-test\n", 1),
        (("pass", "--as", "work"), f"error: {OF_ITS_OWN}\n", 2),
        (("pass", "--store", "/s"), f"error: {OF_ITS_OWN}\n", 2),
        (("memory", "--store", "/s", "--as", "work"), f"error: {OF_ITS_OWN}\n", 2),
        (("pass", "--store", "/s", "--as", "keyring"), "error: keyring is the name of a backend\n", 1),
        (("pass", "--store", "/s", "--as", "a/b"), "error: 'a/b' is not the name of a credential helper\n", 1),
        (("nosuch", "--self-test"), "error: no backend is called 'nosuch'\n", 1),
        (("osxkeychain", "--self-test"), "error: the self-test of osxkeychain failed\n", 1),
    ],
)
def test_what_link_refuses(
    passhelper: Command, bin_dir: Path, arguments: tuple[str, ...], message: str, code: int
) -> None:
    answer = passhelper("link", *arguments)
    assert answer.err.decode().startswith(message)
    assert answer.code == code
    assert not bin_dir.exists()


def test_auto_among_backends_that_need_libraries_and_those_that_do_not(passhelper: Command, bin_dir: Path) -> None:
    program = bin_dir / "docker-credential-auto"
    assert passhelper("link", "auto", "secretservice", "pass").text == f"wrote {program}\n"
    assert "-ISXutf8" in program.read_text()
    assert passhelper("link", "auto", "keyring", "docker-credential-pass").text == f"wrote {program}\n"
    assert "-IXutf8" in program.read_text()
    assert "AutoHelper(('keyring', 'pass'))" in program.read_text()
    assert passhelper("unlink", "auto").text == f"removed {program}\n"
