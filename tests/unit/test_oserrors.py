"""What is advised against what the operating system refuses."""

from __future__ import annotations

import errno
import os

import pytest

from passhelper.oserrors import _BY_REASON, remedy


@pytest.mark.parametrize("name", [*_BY_REASON, "EACCES", "EPERM"])
def test_owner_and_mode_are_to_blame_only_where_they_are(name: str) -> None:
    number = getattr(errno, name)
    advice = remedy(OSError(number, os.strerror(number), "/a"))
    assert ("owner" in advice) == (name in ("EACCES", "EPERM"))
    assert advice.split()[0].islower()
    assert not advice.endswith(".")


def test_an_error_without_a_number() -> None:
    assert remedy(OSError("odd")) == "check its owner and mode"
