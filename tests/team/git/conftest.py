"""Somebody whose store is at a remote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.people.clones import Clone, Team


@pytest.fixture
def ann(team: Team, git_store: Path) -> Clone:
    ann = team.adopt(git_store)
    ann.sync()
    return ann
