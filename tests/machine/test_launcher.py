"""The launcher's text, run by the kernel and by sh, from interpreters in awkward places."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support import Answer, Helper, Program, run

from passhelper.errors import ConfigurationError
from passhelper.machine import launcher

PACKAGES = str(Path(launcher.__file__).parent.parent.parent)


def start(folder: Path, text: str, environ: dict[str, str], *arguments: str) -> Answer:
    program = folder / "docker-credential-pass"
    program.write_text(text)
    program.chmod(0o755)
    return run([str(program), *arguments], environ, cwd=folder)


def interpreter(folder: Path) -> str:
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(os.path.realpath(sys.executable))
    return str(folder / "python")


PLACES = ["plain", "white space", "quo'te", "'''", "$HOME", "long/" + "x" * 120, "ü"]


@pytest.mark.parametrize("place", PLACES)
def test_starts_from_any_place(tmp_path: Path, environ: dict[str, str], place: str) -> None:
    python = interpreter(tmp_path / place)
    text = launcher.content(python, PACKAGES)
    direct = not any(char.isspace() for char in python) and len(os.fsencode(python)) + 12 <= 127
    assert text.startswith(f"#!{python} -ISXutf8\n" if direct else "#!/bin/sh\n")
    answer = start(tmp_path, text, environ, "version")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.out.startswith(b"docker-credential-pass (passhelper) ")


@pytest.mark.parametrize("place", ["plain", "white space"])
def test_arguments_and_stdin_arrive(
    tmp_path: Path, environ: dict[str, str], store: Path, helper: Helper, place: str
) -> None:
    text = launcher.content(interpreter(tmp_path / place), PACKAGES)
    helper.store("a.example", "u", "s")
    assert start(tmp_path, text, environ, "list").json == {"a.example": "u"}
    answer = start(tmp_path, text, environ, "two words")
    assert answer.out.startswith(b"docker-credential-pass: unknown action: two words\n")


@pytest.mark.parametrize("place", ["plain", "white space"])
def test_nothing_of_the_callers_runs(tmp_path: Path, environ: dict[str, str], place: str) -> None:
    for name in ("sitecustomize", "json", "os", "passhelper"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    text = launcher.content(interpreter(tmp_path / place), PACKAGES)
    answer = start(tmp_path, text, {**environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "json.py"}, "list")
    assert (answer.code, answer.out) == (0, b"{}\n")
    assert not (tmp_path / "ran").exists()


def test_is_ours(installed: Program, environ: dict[str, str], tmp_path: Path) -> None:
    assert launcher.is_ours(installed.helper, environ)
    program = tmp_path / "docker-credential-pass"
    broken = "#!/bin/sh\necho 'docker-credential-pass (passhelper) 1'\nexit 1\n"
    for text in ("#!/bin/sh\nexit 0\n", "#!/gone\n", broken):
        program.write_text(text)
        program.chmod(0o755)
        assert not launcher.is_ours(str(program), environ)


def test_relative_directories_of_path_are_not_searched(tmp_path: Path, installed: Program) -> None:
    relative = os.path.relpath(Path(installed.helper).parent)
    assert launcher.find({"PATH": f"{relative}:."}) is None
    assert launcher.find({"PATH": f"{relative}:{Path(installed.helper).parent}"}) == installed.helper


def test_needs_to_know_its_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ConfigurationError, match="Python does not know where its own program is"):
        launcher.install({"HOME": str(tmp_path), "PATH": ""})
