"""The wincred backend on a real Windows, or on Wine: ``pytest tests/platforms/credential_manager.py``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from passhelper import Credentials, CredentialsNotFoundError, get_helper
from passhelper.errors import InvalidRequestError
from passhelper.registry import normalize
from passhelper.testing import HelperContract

if TYPE_CHECKING:
    from passhelper import Helper

SERVER = "https://passhelper-contract.invalid/v1/"
NOT_HERE = "" if sys.platform == "win32" else "the Windows Credential Manager is only on Windows"


class TestContract(HelperContract):
    """All laws."""

    skip_reason = NOT_HERE

    def make_helper(self) -> Helper:
        return get_helper("wincred")

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


@pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)
def test_what_is_too_long_is_refused_before_windows_does() -> None:
    helper = get_helper("wincred")
    with pytest.raises(InvalidRequestError, match="the username has 514 characters"):
        helper.store(Credentials(SERVER, "u" * 514, "s"))
    helper.store(Credentials(SERVER, "u" * 513, "s"))
    helper.erase(SERVER)
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)
