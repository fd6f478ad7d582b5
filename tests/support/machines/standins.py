"""Libraries that stand in for those of other systems, compiled once per run."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support import require

if TYPE_CHECKING:
    from support import Once

_SOURCES = Path(__file__).parents[2] / "native"


def load(made_once: Once, name: str, *sources: str) -> ctypes.CDLL:
    """Compile C sources of ``tests/native`` into a library, and open it."""
    require("gcc")

    def compile_(folder: Path) -> None:
        folder.mkdir()
        command = ["gcc", "-std=gnu11", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(folder / name)]
        subprocess.run([*command, *(str(_SOURCES / source) for source in sources)], check=True)

    library = ctypes.CDLL(str(made_once(f"standin-{name}", compile_) / name))
    library.fake_fail.argtypes = (ctypes.c_char, ctypes.c_int, ctypes.c_int32)
    library.fake_clear()
    return library


def dump(library: ctypes.CDLL) -> list[dict[str, tuple[str, bytes]]]:
    """All items of the stand-in for the macOS keychain, as attribute to type and bytes."""
    text = ctypes.create_string_buffer(1 << 20)
    library.fake_dump(text, ctypes.c_size_t(len(text)))
    items = []
    for block in text.value.decode("ascii").split("\n\n")[:-1]:
        lines = (line.split(" ") for line in block.splitlines())
        items.append({name: (kind, bytes.fromhex(value)) for name, kind, value in lines})
    return items
