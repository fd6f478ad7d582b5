"""All that a backend's author has to write to know that it keeps the laws."""

from pathlib import Path

import pytest
from passhelper_drawer import DrawerHelper

from passhelper.testing import HelperContract


class TestDrawer(HelperContract):
    @pytest.fixture(autouse=True)
    def own_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DRAWER", str(tmp_path / "drawer"))

    def make_helper(self) -> DrawerHelper:
        return DrawerHelper()
