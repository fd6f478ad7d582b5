"""The contract that the package ships, on the backends that need nothing but this process and gpg."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from passhelper import Helper, PassHelper, get_helper
from passhelper.registry import normalize
from passhelper.testing import HelperContract

if TYPE_CHECKING:
    from support import KeyRing


class TestMemory(HelperContract):
    persistent = False
    histories = 60

    def make_helper(self) -> Helper:
        return get_helper("memory")


class TestPass(HelperContract):
    @pytest.fixture(autouse=True)
    def initialised(self, environ: dict[str, str], store: Path, keys: KeyRing) -> None:
        self.environ = environ

    def make_helper(self) -> Helper:
        return PassHelper(self.environ)

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))
