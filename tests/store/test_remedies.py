"""Commands that messages advise work when they are typed, in a store whose path has spaces and quotes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from passhelper.store import gpghome, owners, unfinished
from passhelper.store.gpg import Gpg
from passhelper.store.repository import Repository


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "it's a store"
    path.mkdir()
    return path


def test_the_command_for_a_group(odd: Path) -> None:
    file = odd / "file"
    file.touch(0o600)
    for uid in (None, os.geteuid()):
        odd.chmod(0o700)
        subprocess.run(["sh", "-c", owners.group_command(str(odd), os.getegid(), uid)], check=True)
        assert odd.stat().st_mode & 0o7777 == 0o2770
        assert file.stat().st_mode & 0o7777 == 0o660


def test_the_command_for_what_is_unfinished(odd: Path, environ: dict[str, str]) -> None:
    subprocess.run(["git", "init", "-q", str(odd)], env=environ, check=True)
    place = Repository(str(odd), str(odd / ".git"))
    (odd / ".git" / "MERGE_HEAD").write_text("x")
    command = unfinished.remedy(place).removeprefix("run: ").partition(", and")[0]
    subprocess.run(["sh", "-c", command], env=environ, check=True)


def test_the_command_for_a_lock(odd: Path, environ: dict[str, str]) -> None:
    lock = odd / "pubring.db.lock"
    lock.write_text("         7\nelsewhere\n")
    environ["GNUPGHOME"] = str(odd)
    found = gpghome.lock_error(Gpg(environ), b"gpg: waiting for lock (held by 7) ...\n")
    assert found is not None
    subprocess.run(["sh", "-c", found.remedy.partition("run: ")[2]], check=True)
    assert not lock.exists()
