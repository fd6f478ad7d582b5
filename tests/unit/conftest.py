"""Tests without gpg, git or any other program of a store: seconds, on any machine."""

from __future__ import annotations

import pytest

PROGRAMS = ("gpg", "gpg2", "git", "pass")


@pytest.fixture(scope="session")
def keys() -> None:
    """Refuse the fixtures that make keys, and with them every store: such a test belongs elsewhere."""
    pytest.fail("a test that needs gpg does not belong into tests/unit")
