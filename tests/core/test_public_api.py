"""What ``import passhelper`` gives, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import passhelper

REPOSITORY = Path(__file__).parents[2]
NAMES = {
    "Credentials", "CredentialsNotFoundError", "Helper", "InvalidRequestError", "PassHelper", "PasshelperError",
    "__version__", "get_helper", "serve",
}  # fmt: skip


def test_all_names_are_there_and_no_others_are_promised() -> None:
    assert set(passhelper.__all__) == NAMES
    assert dir(passhelper) == sorted(NAMES)
    for name in NAMES:
        assert getattr(passhelper, name) is not None


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_a_name_is_the_thing_itself_and_documented(name: str) -> None:
    thing = getattr(passhelper, name)
    assert thing.__name__ == name
    assert inspect.getdoc(thing)
    assert getattr(sys.modules[thing.__module__], name) is thing


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'passhelper' has no attribute 'nonsense'$"):
        _ = passhelper.nonsense
    with pytest.raises(ImportError):
        exec("from passhelper import nonsense")


def _modules_after(statement: str) -> set[str]:
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
before = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, timeout=20)
    return set(done.stdout.decode().split())


def test_importing_the_package_loads_nothing_else() -> None:
    assert _modules_after("import passhelper; passhelper.__all__; dir(passhelper)") == {"passhelper"}
    assert _modules_after("import passhelper; passhelper.__version__") == {"passhelper", "passhelper.version"}


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_using_a_name_loads_no_library(name: str) -> None:
    loaded = _modules_after(f"import passhelper; passhelper.{name}")
    assert "passhelper" in loaded
    for module in loaded:
        assert module.partition(".")[0] in {*sys.stdlib_module_names, "passhelper"}
    assert not loaded & {"subprocess", "pathlib", "typing", "dataclasses", "logging", "re", "json"}


def test_the_package_is_typed() -> None:
    assert (REPOSITORY / "passhelper" / "py.typed").is_file()
