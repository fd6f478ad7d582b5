"""What is public, what ``import passhelper`` costs, and whether the documents name nothing else."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import passhelper
from passhelper import errors

REPOSITORY = Path(__file__).parents[2]
NAMES = {
    "AutoHelper", "Credentials", "Helper", "MemoryHelper", "PassHelper", "ProgramHelper",
    "__version__", "get_helper", "handle", "serve",
}  # fmt: skip
ERRORS = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
# Nothing of these may come with the library; keyring only with the module that is a plugin of it.
LIBRARIES = {"click", "git", "gnupg", "h11", "httpx", "idna", "keyring", "pygments", "rich"}
OTHERS = {("passhelper", "backends"), ("passhelper", "hooks")}  # the group of entry points, and a setting of git
SLOW = {"subprocess", "pathlib", "typing", "dataclasses", "logging", "re", "json"}
USES_SUBPROCESS = {"ProgramHelper"}


def public_modules() -> list[str]:
    """The modules that the package's own rule names."""
    rule = (passhelper.__doc__ or "").partition("the modules ")[2].partition(" with the names")[0]
    return re.findall(r"``(\w+)``", rule)


def test_all_names_are_there_and_no_others_are_promised() -> None:
    assert set(passhelper.__all__) == NAMES | ERRORS
    assert passhelper.__all__ == sorted(passhelper.__all__)
    assert dir(passhelper) == passhelper.__all__
    for name in passhelper.__all__:
        assert getattr(passhelper, name) is not None


@pytest.mark.parametrize("name", sorted((NAMES | ERRORS) - {"__version__"}))
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


def test_the_rule_and_the_modules_say_the_same() -> None:
    """A module with ``__all__`` is public, and no other; the CONTRIBUTING file repeats the rule."""
    modules = public_modules()
    assert modules == sorted(modules)
    files = [path for path in (REPOSITORY / "passhelper").glob("*.py") if path.stem != "__init__"]
    assert modules == sorted(path.stem for path in files if "\n__all__ = " in path.read_text(encoding="utf-8"))
    text = (REPOSITORY / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rule = text.partition("**Public** are")[2].partition("with the names")[0]
    assert [name for name in re.findall(r"`(?:passhelper\.)?(\w+)`", rule) if name != "passhelper"] == modules


@pytest.mark.parametrize("name", public_modules())
def test_a_public_module_promises_what_it_has_and_documents_it(name: str) -> None:
    module = import_module(f"passhelper.{name}")
    assert inspect.getdoc(module)
    assert len(module.__all__) == len(set(module.__all__))
    for promised in module.__all__:
        thing = getattr(module, promised)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), promised
            for attribute, member in vars(thing).items() if inspect.isclass(thing) else ():
                if inspect.isfunction(member) and not attribute.startswith("_"):
                    assert inspect.getdoc(getattr(thing, attribute)), f"{promised}.{attribute}"


def documents() -> list[Path]:
    patterns = ("*.md", ".github/*.md", "backends/*.md", "contrib/**/*.md", "contrib/**/*.py", "tests/thirdparty/*.py")
    found = [path for pattern in patterns for path in REPOSITORY.glob(pattern)]
    return [path for path in found if "bench" not in path.parts]  # which measures what is private


def promised(module: str, name: str) -> bool:
    """Whether a name of a module is public."""
    if module == "passhelper":
        return name in passhelper.__all__ or name in public_modules()
    home = module.removeprefix("passhelper.")
    return home in public_modules() and name in import_module(module).__all__


def imported(text: str) -> set[tuple[str, str]]:
    """The names that code imports from the package, each with its module."""
    return {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "passhelper"
        for alias in node.names
    }


def named(path: Path) -> set[tuple[str, str]]:
    """What a document or an example names of the package: by an import, or with dots."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return imported(text)
    lines = re.findall(r"^ *(from passhelper\S* import .*)$", text, re.MULTILINE)
    found = set().union(*(imported(line.strip()) for line in lines)) if lines else set()
    for dotted in re.findall(r"`(passhelper(?:\.\w+)+)", text):
        parts = dotted.split(".")
        if (
            parts[-1] == "py"
            or REPOSITORY.joinpath(*parts[:2]).is_dir()
            or any(REPOSITORY.glob(f"contrib/**/{dotted}"))
        ):
            continue  # a file, or a room of the house, for those who work in it
        if parts[1] in public_modules():
            found |= {(f"passhelper.{parts[1]}", parts[2])} if len(parts) > 2 else set()
        else:
            found.add(("passhelper", parts[1]))
    return found


def test_documents_and_examples_name_public_names_only() -> None:
    seen: set[tuple[str, str]] = set()
    for path in documents():
        assert {pair for pair in named(path) if not promised(*pair)} - OTHERS == set(), path
        seen |= named(path)
    assert {("passhelper", "Helper"), ("passhelper", "serve"), ("passhelper.testing", "HelperContract")} <= seen


def _modules_after(statement: str) -> set[str]:
    code = f"""
import sys
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "backends")!r}]
before = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, timeout=20)
    return set(done.stdout.decode().split())


def test_importing_the_package_loads_nothing_else() -> None:
    assert _modules_after("import passhelper; passhelper.__all__; dir(passhelper)") == {"passhelper"}
    assert _modules_after("import passhelper; passhelper.__version__") == {"passhelper", "passhelper.version"}


def test_the_interface_of_a_backend_loads_two_modules() -> None:
    loaded = _modules_after("import passhelper; passhelper.Helper")
    assert {name for name in loaded if name.startswith("passhelper")} == {
        "passhelper", "passhelper.credentials", "passhelper.errors",
    }  # fmt: skip
    # The rest is what `importlib.import_module` needs.
    assert {name.partition(".")[0] for name in loaded} <= {"passhelper", "importlib", "warnings"}


@pytest.mark.parametrize("name", sorted((NAMES | ERRORS) - {"__version__"}))
def test_using_a_name_loads_no_library(name: str) -> None:
    loaded = _modules_after(f"import passhelper; passhelper.{name}")
    assert "passhelper" in loaded
    for module in loaded:
        assert module.partition(".")[0] in {*sys.stdlib_module_names, "passhelper", "passhelper_backends"}
    if name not in USES_SUBPROCESS:
        assert not loaded & SLOW


@pytest.mark.parametrize("name", sorted({*public_modules()} - {"keyring_backend", "testing"}))
def test_a_public_module_loads_no_library(name: str) -> None:
    code = f"sys.path += {[path for path in sys.path if 'site-packages' in path]!r}; import passhelper.{name}"
    loaded = {module.partition(".")[0] for module in _modules_after(code)}
    assert "passhelper" in loaded
    assert loaded & LIBRARIES == set()


def test_the_package_is_typed() -> None:
    assert (REPOSITORY / "passhelper" / "py.typed").is_file()
    helper: passhelper.Helper = passhelper.MemoryHelper()  # mypy knows its type without the other package
    assert helper.list() == {}
