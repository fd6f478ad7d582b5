"""Neither the environment nor the working directory can put code into the installed helper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support import OLD_PIP, Helper, Program, run

SERVER = "https://registry.example"
REQUEST = json.dumps({"ServerURL": SERVER, "Username": "alice", "Secret": "s"})
FOUND = {"ServerURL": SERVER, "Username": "alice", "Secret": "s"}

# Modules that Python or the helper looks for, at start or later.
_NAMES = ("sitecustomize", "usercustomize", "json", "os", "sys", "site", "gc", "select", "errno", "binascii", "base64",
          "re", "subprocess",
          "click", "git", "gnupg", "rich/__init__", "keyring", "typing", "contextlib", "fcntl", "encodings/__init__",
          "passhelper/__init__", "passhelper/protocol",
          "passhelper/store/__init__", "passhelper/store/helper", "passhelper/store/_hidden")  # fmt: skip
_PROGRAMS = ("readlink", "python", "python3", "sh", "env", "sed", "head", "dirname", "cat", "gpg", "git")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory full of modules and programs that leave a sign when they run."""
    folder = tmp_path / "hostile"
    canary = tmp_path / "canary"
    canary.mkdir()
    for name in _NAMES:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(canary / name.replace('/', '.'))!r}, 'w').close()\n")
    for name in _PROGRAMS:
        path = folder / name
        path.write_text(f"#!/bin/sh\n: > {canary}/{name}\nexit 1\n")
        path.chmod(0o755)
    for name in ("pyvenv.cfg", ".pythonrc", "hostile.pth"):
        (folder / name).write_text(f"import os; open({str(canary / name)!r}, 'w')\n")
    (folder / ".env").write_text(f": > {canary}/env\n")
    return folder


def signs(hostile: Path) -> list[str]:
    return sorted(path.name for path in (hostile.parent / "canary").iterdir())


def hostile_settings(hostile: Path) -> dict[str, dict[str, str]]:
    place = str(hostile)
    every = {
        "PYTHONPATH": f".:{place}", "PYTHONHOME": place, "PYTHONSTARTUP": f"{place}/.pythonrc", "PYTHONINSPECT": "1",
        "PYTHONUSERBASE": place, "PYTHONPLATLIBDIR": place, "PYTHONEXECUTABLE": f"{place}/python",
        "PYTHONBREAKPOINT": "os.system", "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-7", "PYTHONVERBOSE": "1",
        "PYTHONCASEOK": "1", "PYTHONOPTIMIZE": "2", "PYTHONPYCACHEPREFIX": place, "PYTHONSAFEPATH": "",
        "PYTHONDEVMODE": "1", "PYTHONPROFILEIMPORTTIME": "1", "PYTHONDUMPREFS": "1", "PYTHONUTF8": "0",
        "ENV": f"{place}/.env", "BASH_ENV": f"{place}/.env", "CDPATH": place, "VIRTUAL_ENV": place,
    }  # fmt: skip
    return {"nothing": {}, **{name: {name: value} for name, value in every.items()}, "all of them": every}


def check(program: str, environ: dict[str, str], hostile: Path, settings: dict[str, str]) -> None:
    """Run every verb in the hostile directory: it works, and nothing there has run."""
    environ = {**environ, **settings}
    for verb, stdin, said in (
        ("store", REQUEST, None), ("get", SERVER, FOUND), ("list", "", {SERVER: "alice"}), ("erase", SERVER, None),
    ):  # fmt: skip
        answer = run([program, verb], environ, stdin.encode(), cwd=hostile)
        assert (answer.code, answer.err) == (0, b""), (verb, answer)
        assert (answer.json if answer.out else None) == said
    answer = run([program, "version"], environ, cwd=hostile)
    assert answer.code == 0
    assert signs(hostile) == []


def test_the_trap_works(hostile: Path, environ: dict[str, str]) -> None:
    """The same modules do run in a Python without ``-I``."""
    for name in ("encodings", "os.py", "sys.py", "site.py", "errno.py"):  # without these Python does not even start
        path = hostile / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    environ["PYTHONPATH"] = "."
    code = "import json, passhelper.protocol"
    subprocess.run([sys.executable, "-c", code], env=environ, cwd=hostile, check=False, capture_output=True)
    assert {"sitecustomize", "json", "passhelper.__init__"} <= set(signs(hostile))


@pytest.mark.parametrize("setting", hostile_settings(Path("/")))
def test_hostile_environment(helper: Helper, store: Path, hostile: Path, setting: str) -> None:
    check(helper.program, helper.environ, hostile, hostile_settings(hostile)[setting])


def test_every_pip(any_installed: Program, environ: dict[str, str], store: Path, hostile: Path) -> None:
    check(any_installed.helper, environ, hostile, hostile_settings(hostile)["all of them"])
    first = Path(any_installed.helper).read_bytes().splitlines()[0]
    assert first.startswith(b"#!")


def test_through_links(any_installed: Program, environ: dict[str, str], store: Path, hostile: Path) -> None:
    """As pipx links programs into ``~/.local/bin``; a chain of links, one of them relative, in the hostile place."""
    links = hostile.parent / "home" / "bin"
    links.mkdir()
    (links / "docker-credential-pass").symlink_to(any_installed.helper)
    (hostile / "docker-credential-pass").symlink_to("../home/bin/docker-credential-pass")
    # A relative directory on PATH, where the hostile readlink lies: programs come from absolute ones.
    environ["PATH"] = f".:{environ['PATH']}"
    for program in (links, hostile):
        check(str(program / "docker-credential-pass"), environ, hostile, hostile_settings(hostile)["all of them"])


def test_relative_call(any_installed: Program, environ: dict[str, str], store: Path, hostile: Path) -> None:
    """Through a relative PATH entry and a relative path."""
    place = os.path.relpath(Path(any_installed.helper).parent, hostile)
    environ["PATH"] = f"{place}:{environ['PATH']}"
    settings = hostile_settings(hostile)["all of them"]
    check("docker-credential-pass", environ, hostile, settings)
    check(f"{place}/docker-credential-pass", environ, hostile, settings)


def test_directory_with_spaces(
    wheel: Path, environ: dict[str, str], store: Path, hostile: Path, tmp_path: Path
) -> None:
    """pip writes another kind of first line where the interpreter's path has spaces."""
    program = Program.install(wheel, tmp_path / "a venv; $(x) 'here'", libraries=Path(sysconfig.get_path("purelib")),
                              pip=OLD_PIP)  # fmt: skip
    check(program.helper, environ, hostile, hostile_settings(hostile)["all of them"])
    check_command(program.passhelper, environ, hostile)


@pytest.mark.parametrize("spaces", [False, True], ids=["", "spaces"])
def test_without_a_virtual_environment(
    wheel: Path, environ: dict[str, str], store: Path, hostile: Path, tmp_path: Path, spaces: bool
) -> None:
    """``pip install --user`` and ``--prefix``: the interpreter is not beside the script."""
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    python = tmp_path / ("a python" if spaces else "python-bin") / base.name
    python.parent.mkdir()
    python.symlink_to(base)
    prefix = tmp_path / ("a prefix" if spaces else "prefix")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index",
               "--prefix", str(prefix), "--ignore-installed", str(wheel)]  # fmt: skip
    done = run(command, {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1"}, timeout=110)
    assert done.code == 0, done
    program = next(prefix.rglob("bin/docker-credential-pass"))
    check(str(program), environ, hostile, hostile_settings(hostile)["all of them"])
    packages = next(prefix.rglob("passhelper/__init__.py")).parent.parent
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    check_command(str(program.with_name("passhelper")), environ, hostile)


@pytest.mark.parametrize("line", ["#! {}", "#!{} -sP", "#! {} -s"])
def test_a_first_line_as_distributions_write_it(
    installed: Program, environ: dict[str, str], tmp_path: Path, line: str
) -> None:
    """Debian's dh_python3 puts a space before the interpreter, Fedora options behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "passhelper-plain").write_text(f"{line.format(installed.python)}\n")
    for name, words in (("passhelper", "--version"), ("docker-credential-pass", "version")):
        program = str(shutil.copy(Path(installed.passhelper).with_name(name), folder))
        answer = run([program, words], environ)
        assert (answer.code, answer.err) == (0, b""), answer


def test_its_own_libraries_come_before_those_of_the_system(
    wheel: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """As Python has it for ``pip install --user``: a distribution may have an older passhelper, or older libraries."""
    system, prefix = tmp_path / "system", tmp_path / "prefix"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(system)], check=True)
    older = next((system / "lib").glob("python*/site-packages")) / "passhelper"
    older.mkdir()
    (older / "__init__.py").write_text("raise SystemExit('the older one')\n")
    command = [sys.executable, "-m", "pip", "--python", str(system / "bin" / "python"), "install", "-q", "--no-deps",
               "--no-index", "--prefix", str(prefix), "--ignore-installed", str(wheel)]  # fmt: skip
    done = run(command, {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1"}, timeout=110)
    assert done.code == 0, done
    program = next(prefix.rglob("bin/passhelper"))
    packages = next(prefix.rglob("passhelper/__init__.py")).parent.parent
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    answer = run([str(program), "--version"], environ)
    assert (answer.code, answer.err) == (0, b""), answer


def check_command(program: str, environ: dict[str, str], hostile: Path) -> None:
    """Run the command in the hostile directory: it works, and nothing there has run, or read the key of a runner."""
    environ = {**environ, **hostile_settings(hostile)["all of them"], "PASSHELPER_GPG_KEY": "secret"}
    for words in (["list", "--json"], ["recipients", "list"], ["--version"]):
        answer = run([program, *words], environ, cwd=hostile)
        assert (answer.code, answer.err) == (0, b"" if words[0] != "list" else answer.err), (words, answer)
        assert signs(hostile) == []


def test_the_command(any_installed: Program, environ: dict[str, str], store: Path, hostile: Path) -> None:
    check_command(any_installed.passhelper, environ, hostile)


def test_the_command_through_links(installed: Program, environ: dict[str, str], store: Path, hostile: Path) -> None:
    """As the README and pipx link it."""
    links = hostile.parent / "home" / "bin"
    links.mkdir()
    (links / "passhelper").symlink_to(installed.passhelper)
    (hostile / "passhelper-link").symlink_to("../home/bin/passhelper")
    environ["PATH"] = f".:{environ['PATH']}"
    for program in (links / "passhelper", hostile / "passhelper-link"):
        check_command(str(program), environ, hostile)
    place = os.path.relpath(Path(installed.passhelper).parent, hostile)
    environ["PATH"] = f"{place}:{environ['PATH']}"
    check_command("passhelper", environ, hostile)


def test_the_command_of_an_editable_install(
    environ: dict[str, str], store: Path, hostile: Path, tmp_path: Path
) -> None:
    """Its package is where a .pth file says."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    repository = Path(__file__).parent.parent.parent
    (site / "editable.pth").write_text(f"{repository}\n{repository}/backends\n{sysconfig.get_path('purelib')}\n")
    program = folder / "bin" / "passhelper"
    shutil.copy(repository / "passhelper" / "launch" / "passhelper", program)
    check_command(str(program), environ, hostile)


def test_python_m_does_not_look_into_the_working_directory(
    installed: Program, environ: dict[str, str], store: Path, hostile: Path
) -> None:
    """But for our own name, which Python looks up before our first line."""
    shutil.rmtree(hostile / "passhelper")
    for name in ("encodings", "rich"):
        shutil.rmtree(hostile / name)
    kept = {"click.py", "git.py", "gnupg.py", "keyring.py"}
    for path in hostile.iterdir():
        if path.name not in kept:
            path.unlink()
    answer = run([installed.python, "-m", "passhelper", "list"], environ, cwd=hostile)
    assert (answer.code, signs(hostile)) == (0, []), answer


@pytest.mark.parametrize("options", [[], ["-P"], ["-I"]])
def test_what_another_program_has_put_first_stays(
    installed: Program, environ: dict[str, str], tmp_path: Path, options: list[str]
) -> None:
    """A profiler, say, that runs us; with -P or -I Python has put nothing there, and the first may be its library."""
    if options == ["-P"] and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 has no -P")
    program = (
        "import runpy, sys\n"
        "import passhelper.cli\n"
        "passhelper.cli.main = lambda: print(sys.path[0])\n"
        "sys.path.insert(0, '/nonexistent/first')\n"
        "runpy.run_module('passhelper', run_name='__main__')\n"
    )
    answer = run([installed.python, *options, "-c", program], environ, cwd=tmp_path)
    assert (answer.code, answer.text, answer.err) == (0, "/nonexistent/first\n", b"")


def test_both_scripts_find_their_interpreter_alike() -> None:
    """They cannot share a file: each is one that an installer copies."""
    folder = Path(__file__).parent.parent.parent / "passhelper" / "launch"
    parts = []
    for name in ("passhelper", "docker-credential-pass"):
        text = (folder / name).read_text()
        parts.append(text[text.index("self=$0\n") : text.index('if ! [ -x "$python" ]; then\n    echo')])
    assert parts[0] == parts[1]


def test_no_interpreter(installed: Program, environ: dict[str, str], tmp_path: Path) -> None:
    """The script alone says so on both streams, and does not look further."""
    alone = Path(shutil.copy(installed.helper, tmp_path))
    answer = run([str(alone), "list"], environ)
    assert answer.code == 1
    assert answer.text == "no Python interpreter found; install passhelper again\n"
    assert answer.err.startswith(b"docker-credential-pass: no Python interpreter found beside ")
    alone = Path(shutil.copy(installed.passhelper, tmp_path))
    answer = run([str(alone), "list"], environ)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        f"error: no Python interpreter found beside {tmp_path}/passhelper-plain\nhint: install passhelper again\n"
    )
