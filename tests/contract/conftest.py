"""A helper that can be broken in many ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faults.faulty import Faulty


@pytest.fixture
def faulty(tmp_path: Path, environ: dict[str, str]) -> Faulty:
    return Faulty(tmp_path, environ)
