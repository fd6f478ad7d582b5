"""The self-test that a Mac user runs, on the stand-ins: it passes, it fails, and it leaves nothing."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import pytest
from support.machines import standins
from support.machines.standins import dump

from passhelper.contract.laws import LAWS
from passhelper_backends.osxkeychain import OsxKeychainHelper, selftest  # noqa: TID251 - what is tested
from passhelper_backends.osxkeychain._native import Keychain  # noqa: TID251

if TYPE_CHECKING:
    from pathlib import Path

    from support import Once


@pytest.fixture
def library(made_once: Once) -> ctypes.CDLL:
    return standins.load(made_once, "keychain.so", "foundation.c", "security.c")


@pytest.fixture
def helper(library: ctypes.CDLL) -> OsxKeychainHelper:
    return OsxKeychainHelper(Keychain(library, library), {})


@pytest.fixture
def security(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `security` that prints what a Mac's prints."""
    program = tmp_path / "security"
    lines = ['    0x00000007 <blob>="Docker Credentials"', '    "acct"<blob>=0x62C3B662  "b\\303\\266b"']
    lines += ['    "atyp"<blob>="dflt"', '    "path"<blob>="/v1/"', '    "port"<uint32>=0x00001388 ']
    lines += ['    "ptcl"<uint32>="htps"', f'    "srvr"<blob>="{selftest.HOST}"']
    program.write_text("#!/bin/sh\ncat << 'EOF'\n" + "\n".join(lines) + "\nEOF\n")
    program.chmod(0o755)
    monkeypatch.setattr(selftest, "_SECURITY", str(program))


@pytest.mark.usefixtures("security")
def test_the_self_test_passes_and_leaves_nothing(helper: OsxKeychainHelper, library: ctypes.CDLL) -> None:
    said: list[str] = []
    assert selftest.run(said.append, helper), said
    assert len(said) == len(LAWS)  # "survives" is about two processes, and the attributes are one more
    assert all(line.startswith("ok      ") for line in said)
    assert dump(library) == []


@pytest.mark.usefixtures("security")
@pytest.mark.parametrize(("call", "passes"), [("C", 20), ("A", 0), ("U", 0), ("D", 46)])
def test_the_self_test_tells_what_fails(
    helper: OsxKeychainHelper, library: ctypes.CDLL, call: str, passes: int
) -> None:
    library.fake_fail(call.encode(), passes, -25308)
    said: list[str] = []
    assert not selftest.run(said.append, helper)
    assert any(line.startswith("failed  ") and "-25308" in line for line in said)
    assert dump(library) == []


def test_the_self_test_fails_where_apples_program_sees_another_item(helper: OsxKeychainHelper) -> None:
    said: list[str] = []
    assert not selftest.run(said.append, helper)
    assert [line.partition(":")[0] for line in said if not line.startswith("ok")] == [
        "failed  the attributes are those of Docker's helper"
    ]


@pytest.mark.skipif(sys.platform == "darwin", reason="this is macOS")
def test_the_self_test_fails_elsewhere() -> None:
    said: list[str] = []
    assert not selftest.run(said.append)
    assert said == ["failed  the macOS keychain is only on macOS"]
