"""Disks of other kinds than the one that the tests run on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from support import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SIZE = 32 << 20  # bytes; nothing of it is taken before it is written
_OPTIONS = "uid=0,gid=0,umask=077"


@contextlib.contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    """Mount an exFAT disk of its own, and unmount it whatever happens.

    It takes capital and small letters for the same, keeps names as they were written, and has no modes, no owners,
    no links. The disk is an image behind a loop device, since its FUSE driver mounts no plain file.

    Args:
        folder: an empty directory, for the image and the mount point.

    Yields:
        the disk's root.
    """
    require("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")
    if os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    image, disk = folder / "image", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    device = _run("losetup", "--find", "--show", str(image))
    try:
        _run("mount.exfat-fuse", "-o", _OPTIONS, device, str(disk))
        try:
            yield disk
        finally:
            _unmount(disk)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, capture_output=True)


@contextlib.contextmanager
def too_deep(directory: Path) -> Iterator[None]:
    """Put directories into one whose whole path is longer than the system takes; they are gone afterwards."""
    folder = os.open(directory, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(directory / ("d" * 250))], check=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
    return done.stdout.strip()


def _unmount(disk: Path) -> None:
    """Unmount a disk, be it that a process which ends just now still holds it."""
    for _ in range(50):
        if subprocess.run(["umount", str(disk)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
