"""Each row of SECURITY.md's tables names the tests that show what it says, and they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / ".github" / "SECURITY.md"
COLUMNS = ["asset", "attacker", "what holds", "what does not", "test"]
# A test as the page names it: a file under tests/, a class where there is one, a function.
NAME = re.compile(r"`([\w/]+\.py(?:::\w+)+)`")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[str]:
    """The tests of a file that are run: without being told to skip or to fail."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (f"{node.name}::{name}" for name in map(name_of_test, node.body) if name)
        elif name := name_of_test(node):
            yield name


def name_of_test(node: ast.stmt) -> str:
    """The name of a test; empty for anything else."""
    if not isinstance(node, Function) or not node.name.startswith("test_"):
        return ""
    marks = map(ast.unparse, node.decorator_list)
    return "" if any(re.match(r"pytest\.mark\.(skip|xfail)\b", mark) for mark in marks) else node.name


def suite() -> set[str]:
    """Every test, as ``attacks/test_remote.py::test_sync``; no file is imported for this."""
    return {
        f"{path.relative_to(TESTS).as_posix()}::{name}" for path in TESTS.rglob("test_*.py") for name in functions(path)
    }


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each row below a heading of :data:`COLUMNS`."""
    is_inside = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not cells or set("".join(cells)) <= set("-:"):
            is_inside = is_inside and bool(cells)
        elif cells == COLUMNS:
            is_inside = True
        elif is_inside:
            yield cells


def faults(page: str, known: set[str]) -> list[str]:
    """What is wrong with a page."""
    found = [f"no such test: {name}" for name in NAME.findall(page) if name not in known]
    all_rows = list(rows(page))
    for cells in all_rows:
        where = cells[0] or "a row"
        if len(cells) != len(COLUMNS) or not all(cells):
            found.append(f"{where}: a cell is missing")
        elif not NAME.search(cells[-1]):
            found.append(f"{where}: no test shows it")
        elif NAME.sub("", cells[-1]).replace(",", "").strip():
            found.append(f"{where}: says something else than the names of tests")
    named = {name.partition("::")[0] for cells in all_rows for name in NAME.findall(cells[-1])}
    attacks = {name.partition("::")[0] for name in known if name.startswith("attacks/")}
    return found + [f"no row names a test of {path}" for path in sorted(attacks - named)]


def test_every_row_has_tests_that_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(list(rows(page))) > 10
    assert faults(page, suite()) == []


# The check itself

KNOWN = {"attacks/test_a.py::test_one", "team/test_b.py::TestB::test_two"}
HEAD = f"# Page\n\n| {' | '.join(COLUMNS)} |\n|---|---|---|---|---|\n"
TWO = "`attacks/test_a.py::test_one`, `team/test_b.py::TestB::test_two`"
GOOD = f"| a store | a member | this | not that | {TWO} |\n\nEnd\n"


def test_a_good_page() -> None:
    assert faults(HEAD + GOOD, KNOWN) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda row: row.replace("test_one", "test_on"), "no such test: attacks/test_a.py::test_on"),
        (lambda row: row.replace("TestB::", ""), "no such test: team/test_b.py::test_two"),
        (lambda row: row.replace("End", "See `x/test_c.py::test_one`"), "no such test: x/test_c.py::test_one"),
        (lambda row: re.sub(r"`.*`", "none yet", row), "a store: no test shows it"),
        (lambda row: row.replace("`,", "`, and by reading,"), "a store: says something else than the names of tests"),
        (lambda row: row.replace("not that", ""), "a store: a cell is missing"),
        (lambda row: row.replace("| a member", ""), "a store: a cell is missing"),
        (lambda row: row.replace("attacks/test_a.py", "team/test_a.py"), "no row names a test of attacks/test_a.py"),
    ],
)
def test_a_fault_is_found(change: Callable[[str], str], fault: str) -> None:
    assert fault in faults(HEAD + change(GOOD), KNOWN)


def test_what_never_runs_is_no_test(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(
        "def test_a(): ...\n"
        "@pytest.mark.skipif(True, reason='')\ndef test_b(): ...\n"
        "@pytest.mark.skip(reason='')\ndef test_c(): ...\n"
        "@pytest.mark.xfail\ndef test_d(): ...\n"
        "def helper(): ...\n"
        "class TestE:\n    def test_f(self): ...\n    def g(self): ...\n"
    )
    assert list(functions(file)) == ["test_a", "test_b", "TestE::test_f"]
