"""The README's table "Works with", from the tests that ran.

``pytest --works-with README.md tests/engine tests/clients`` writes it. A test says which client it drives by the
fixture ``works_with``; its row is written only where it passed. Rows travel as user properties of pytest's reports,
which pytest-xdist carries from its workers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROPERTY = "works with"
BEGIN, END = "<!-- begin: works with -->", "<!-- end: works with -->"
_ORDER = ("get", "store", "erase", "list", "version")


@dataclass
class _Row:
    verbs: set[str] = field(default_factory=set)
    tests: list[str] = field(default_factory=list)


class WorksWith:
    """Collects the rows of a run; a plugin for the process that reports."""

    def __init__(self, readme: Path) -> None:
        self._readme = readme
        self._passed: dict[str, bool] = {}
        self._rows: dict[tuple[str, str, str], _Row] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take the row of a test that passed, when its fixtures have ended and said what it did."""
        self._passed[report.nodeid] = report.passed and self._passed.get(report.nodeid, True)
        if report.when != "teardown" or not self._passed.pop(report.nodeid):
            return
        for name, value in report.user_properties:
            if name == PROPERTY:
                row = self._rows.setdefault((value["client"], value["version"], value["how"]), _Row())
                row.verbs |= set(value["verbs"])
                row.tests.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Put the table into the README."""
        text = self._readme.read_text()
        new = re.sub(f"{BEGIN}\n.*?{END}", lambda _: f"{BEGIN}\n{self._table()}{END}", text, flags=re.DOTALL)
        self._readme.write_text(new)

    def _table(self) -> str:
        lines = ["| client | version | verbs | result | test |", "|---|---|---|---|---|"]
        for (client, version, how), row in sorted(self._rows.items(), key=lambda item: (item[0][0].lower(), item[0])):
            verbs = ", ".join(f"`{verb}`" for verb in _ORDER if verb in row.verbs)
            files = sorted({test.partition("::")[0].removeprefix("tests/") for test in row.tests})
            links = ", ".join(f"[{file}](tests/{file})" for file in files)
            count = f"{len(row.tests)} test{'s' if len(row.tests) > 1 else ''}"
            lines.append(f"| {client} | {version} | {verbs} | {how}: {count} passed | {links} |")
        return "\n".join(lines) + "\n"
