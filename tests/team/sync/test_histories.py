"""A random walk over histories: what comes in unasked is what was accepted, whatever an attacker commits.

``PASSHELPER_TEST_HISTORIES`` says how many; a few by default.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import require
from support.people.histories import Labs, Step, environment, play, without_network

COUNT = int(os.environ.get("PASSHELPER_TEST_HISTORIES", "0"))
_FEW = 40

_NUMBER = st.integers(0, 63)
_STEPS = st.lists(st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER), min_size=1, max_size=10)


@pytest.fixture
def labs(environ: dict[str, str], tmp_path: Path) -> Iterator[Labs]:
    require("git")
    found = Labs(tmp_path / "labs", environment(environ, tmp_path / "bin"))
    yield found
    found.close()


@pytest.mark.timeout(0 if COUNT else 300)
def test_what_comes_in_unasked_was_accepted(
    labs: Labs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count: Counter[str] = Counter()

    @settings(max_examples=COUNT or _FEW, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(begin=_NUMBER, is_runner=st.sampled_from([False, False, False, True]), steps=_STEPS)
    def walk(begin: int, is_runner: bool, steps: list[Step]) -> None:
        lab = labs.lab(is_runner=is_runner)
        with without_network(monkeypatch, lab):
            outcome = play(lab, begin, steps)
        count.update(histories=1, syncs=outcome.syncs, passed=outcome.passed, merged=outcome.merged)
        assert not outcome.bypasses

    walk()
    assert count["merged" if COUNT else "passed"] > 0  # few histories may have no merge
    if COUNT:
        with capsys.disabled():
            sys.stdout.write(f"\n{dict(count)}\n")
