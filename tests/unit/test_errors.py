"""The error tree: what clients match, what people read."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from passhelper import errors
from passhelper.errors import PasshelperError

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, PasshelperError)]
PACKAGE = Path(errors.__file__).parent


def test_the_texts_that_clients_compare() -> None:
    assert errors.NOT_FOUND == "credentials not found in native keychain"
    assert errors.NO_SERVER_URL == "no credentials server URL"
    assert errors.NO_USERNAME == "no credentials username"
    assert str(errors.CredentialsNotFoundError()) == errors.NOT_FOUND
    assert str(errors.NoServerURLError()) == errors.NO_SERVER_URL
    assert str(errors.NoUsernameError()) == errors.NO_USERNAME


@pytest.mark.parametrize(
    ("cause", "remedy", "text"),
    [
        ("it broke", "", "it broke"),
        ("it broke", "run: mend it", "it broke; run: mend it"),
        ("it\nbroke \t twice", "run:\r\nmend", "it broke twice; run: mend"),
    ],
)
def test_an_error_is_one_line_of_cause_and_remedy(cause: str, remedy: str, text: str) -> None:
    error = PasshelperError(cause, remedy)
    assert str(error) == text
    assert (error.cause, error.remedy) == (cause, remedy)


def test_the_docstring_draws_the_tree_that_there_is() -> None:
    drawn: dict[str, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("+--", "   ").replace("|", " ")
        name = words.split()[0] if words.split() else ""
        if name.endswith("Error"):
            drawn[name] = len(words) - len(words.lstrip())
    assert set(drawn) == {item.__name__ for item in CLASSES}
    for item in CLASSES:
        if item is not PasshelperError:
            assert drawn[item.__name__] - drawn[item.__mro__[1].__name__] == 5


@pytest.mark.parametrize("item", CLASSES, ids=lambda item: item.__name__)
def test_exit_codes(item: type[PasshelperError]) -> None:
    assert item.exit_code == {"TrustError": 4, "RemoteError": 6}.get(item.__name__, 1)
    assert item.__doc__


def _messages() -> list[tuple[str, str]]:
    """The constant parts of every cause and remedy in the package, with where they stand."""
    names = {item.__name__ for item in CLASSES}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                for number, argument in enumerate(node.args):
                    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
                    found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}:{number}", text))
    return found


def test_messages_keep_the_grammar() -> None:
    messages = _messages()
    assert len(messages) > 60
    wrong = [
        (place, text)
        for place, text in messages
        if text.removesuffix("...").endswith((".", "!", "\n"))
        or "  " in text
        or text.lower().startswith(("error", "failed"))
    ]
    assert wrong == []
