"""What a test cannot do without."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from support.programs import GO_HELPER


def require(*programs: str) -> None:
    """Skip the test, with the reason, where a program is missing."""
    for program in programs:
        if shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")


def require_account() -> None:
    """Skip where this user has no line in the password database, which a session bus wants."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        pytest.skip(f"uid {os.geteuid()} has no account, and dbus-daemon wants one")


def dockers() -> list[str]:
    """The docker programs that tests drive: Debian's, and the newer one that ``.ci/clients`` has fetched.

    What else a machine has on PATH nobody could run again.
    """
    newer = Path(os.environ.get("PASSHELPER_TEST_CLIENTS", "/nonexistent"), "debian/usr/bin/docker")
    return ["/usr/bin/docker", *([str(newer)] if newer.exists() else [])]


def require_go_helper() -> str:
    """Skip where Docker's own helper or ``pass`` is missing."""
    if not Path(GO_HELPER).exists():
        pytest.skip("golang-docker-credential-helpers is not installed")
    require("pass")
    return GO_HELPER
