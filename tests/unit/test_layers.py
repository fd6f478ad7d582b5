"""Arrows point down: import-linter holds the layers of pyproject.toml, and here it is shown to see what breaks them."""

from __future__ import annotations

import graphlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("passhelper", "passhelper_backends")
LINT = Path(sys.executable).with_name("lint-imports")

# What is added to which file, and the words with which import-linter then names what is broken.
WRONG = {
    "at the top": ("passhelper/store/layout.py", "import passhelper.store.store\n", "passhelper.store.layout"),
    "inside a function": (
        "passhelper/store/gpg.py",
        "def _wrong() -> None:\n    from passhelper.store import cipher\n",
        "passhelper.store.gpg -> passhelper.store.cipher",
    ),
    "for types alone": (
        "passhelper/store/keyinfo.py",
        "if TYPE_CHECKING:\n    from passhelper.store.signature import is_signed\n",
        "passhelper.store.keyinfo -> passhelper.store.signature",
    ),
    "from a room below": (
        "passhelper/store/helper.py",
        "def _wrong() -> None:\n    from passhelper.team import sync\n",
        "passhelper.store.helper -> passhelper.team.sync",
    ),
    "from the root, which only others use": (
        "passhelper/errors.py",
        "def _wrong() -> None:\n    import passhelper\n",
        "passhelper.errors -> passhelper",
    ),
    "of a backend": (
        "passhelper/backends.py",
        "def _wrong() -> None:\n    from passhelper_backends import memory\n",
        "passhelper.backends -> passhelper_backends.memory",
    ),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(folder / "backends"), "COLUMNS": "200"}
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_layers_hold() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_import_is_seen(tmp_path: Path, how: str) -> None:
    file, text, named = WRONG[how]
    for name in ("passhelper", "backends"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as opened:
        opened.write(f"\n\n{text}")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert named in done.stdout


def test_no_circle_anywhere() -> None:
    """Not between rooms, which the layers would show, nor inside one."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 150
    graphlib.TopologicalSorter(imports).prepare()  # raises a CycleError that names the circle
