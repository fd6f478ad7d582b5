"""Somebody who has cloned what ann has pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.people.clones import Clone, Team


@pytest.fixture
def bob(team: Team, ann: Clone) -> Clone:
    bob = team.clone("bob")
    bob.sync()
    return bob
