"""No verb leaves a process."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def leave_no_process(no_process_is_left: None) -> None:
    pass
