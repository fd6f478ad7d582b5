"""The osxkeychain backend on a real Mac: ``pytest tests/platforms/keychain.py``.

The default keychain must be unlocked. Items of other programs are not touched.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from passhelper import get_helper
from passhelper.testing import HelperContract
from passhelper_backends.osxkeychain import selftest  # noqa: TID251 - what is tested

if TYPE_CHECKING:
    from passhelper import Helper

NOT_HERE = "" if sys.platform == "darwin" else "the macOS keychain is only on macOS"


class TestContract(selftest.KeychainLimits, HelperContract):
    """All laws."""

    skip_reason = NOT_HERE

    def make_helper(self) -> Helper:
        return get_helper("osxkeychain")


@pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)
def test_the_self_test_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.run(print), capsys.readouterr().out
