"""``sync`` between clones of a bare remote."""

from __future__ import annotations

from pathlib import Path

import pytest
from clones import Clone, Team, converge

OTHER = "https://b.example"


@pytest.fixture
def team(environ: dict[str, str], tmp_path: Path) -> Team:
    return Team(tmp_path, environ)


@pytest.fixture
def ann(team: Team, git_store: Path) -> Clone:
    """Who made the store and has pushed it."""
    ann = team.adopt(git_store)
    ann.sync()
    return ann


@pytest.fixture
def bob(team: Team, ann: Clone) -> Clone:
    bob = team.clone("bob")
    bob.sync()
    return bob


def test_first_push(team: Team, git_store: Path) -> None:
    ann = team.adopt(git_store)
    ann.store()
    report = ann.sync()
    assert (report.pushed, report.fetched) == (2, 0)
    assert team.head == ann.head
    assert ann.git("rev-parse", "--abbrev-ref", "@{upstream}").strip() == "origin/main"


def test_fast_forward(team: Team, ann: Clone, bob: Clone) -> None:
    ann.store()
    ann.sync()
    report = bob.sync()
    assert (report.pushed, report.fetched, report.conflicts) == (0, 1, [])
    assert bob.get() == ("bob", "s3cret")
    assert bob.head == ann.head == team.head
    assert bob.status == ""


def test_changes_of_different_servers(ann: Clone, bob: Clone) -> None:
    ann.store()
    bob.store(OTHER, "zoe", "other")
    ann.sync()
    report = bob.sync()
    assert report.conflicts == []
    converge(ann, bob)
    assert ann.get() == ("bob", "s3cret")
    assert ann.get(OTHER) == ("zoe", "other")
    assert len(ann.commits) == 4
