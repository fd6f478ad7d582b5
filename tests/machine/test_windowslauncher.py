"""Programs for Windows, looked at from here; ``native/test_wincred_wine.py`` starts one."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from passhelper.errors import ConfigurationError
from passhelper.machine import launcher, windowslauncher

PYTHON = "C:\\Program Files\\Python\\python.exe"


def test_it_is_a_starter_a_line_and_a_zip_file(tmp_path: Path) -> None:
    data = windowslauncher.content(PYTHON, "-ISXutf8", "# a mark\nprint('ü')\n")
    assert data.startswith(b"MZ")
    assert f'#!"{PYTHON}" -ISXutf8\r\nPK'.encode() in data
    assert data == windowslauncher.content(PYTHON, "-ISXutf8", "# a mark\nprint('ü')\n")
    program = tmp_path / "x.exe"
    program.write_bytes(data)
    assert windowslauncher.program_of(str(program)) == launcher.text_of(str(program)) == "# a mark\nprint('ü')\n"


@pytest.mark.parametrize("machine", ["AMD64", "ARM64", "x86", "unknown"])
def test_every_machine_has_a_starter(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert windowslauncher.content(PYTHON, "-I", "").startswith(b"MZ")


@pytest.mark.parametrize("data", [b"", b"MZ", b"MZ" + b"\0" * (1 << 20)])
def test_other_programs_are_none_of_ours(tmp_path: Path, data: bytes) -> None:
    program = tmp_path / "x.exe"
    program.write_bytes(data)
    assert windowslauncher.program_of(str(program)) == ""
    assert windowslauncher.program_of(str(tmp_path / "absent.exe")) == ""


def test_without_pip_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowslauncher, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        windowslauncher.content(PYTHON, "-I", "")
    cause = "programs for Windows are made with a part of pip, which is not there"
    assert str(caught.value) == f"{cause}; run: python -m ensurepip"
