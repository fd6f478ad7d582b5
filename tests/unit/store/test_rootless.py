"""When the store's programs run with the user's own id; ``tests/clients/test_rootless.py`` has podman do it."""

from __future__ import annotations

import os

import pytest

from passhelper.store import programs, rootless


@pytest.mark.parametrize("user", ["", "0", "-1", "alice", "4242", str(os.geteuid())])
def test_not_outside_of_such_a_namespace(user: str) -> None:
    """The variable alone is not believed: ``sudo`` may have passed it on to a real root."""
    environ = {"PATH": "/usr/bin:/bin", programs.ROOTLESS: user, rootless.GID: user}
    assert rootless.prefix(environ) == []
    assert rootless.remedy(environ) == ""
