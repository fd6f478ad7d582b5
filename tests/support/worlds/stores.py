"""What every store has, and what a machine's own settings would add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


FOLDER = "docker-credential-helpers"


# What a machine says in its own git settings (git-lfs puts filters there) is not part of a test.
OWN_GIT = {"GIT_CONFIG_NOSYSTEM": "1"}


def tree(path: Path) -> dict[str, bytes]:
    """Every file and directory below a path with its content, for "nothing has changed"."""
    return {
        str(item.relative_to(path)): item.read_bytes() if item.is_file() and not item.is_symlink() else b""
        for item in sorted(path.rglob("*"))
    }
