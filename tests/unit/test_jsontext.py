"""JSON without the json module, compared with the json module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper.jsontext import parse, quote, render

REPOSITORY = Path(__file__).parents[2]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_parse_reads_what_the_json_module_writes(value: object, ascii_only: bool, indent: int | None) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@given(st.text())
def test_quote_writes_what_the_json_module_writes(text: str) -> None:
    assert quote(text) == json.dumps(text)


@given(st.text(st.sampled_from('{}[]:,"\\u01aeE+-. \n\ttruefalsenull\x00é\ud800'), max_size=30))
def test_any_text_is_read_as_the_json_module_reads_it_or_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        with pytest.raises(ValueError):
            parse(text)
    else:
        assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value: character 0"),
        ("{", "Expecting property name enclosed in double quotes: character 1"),
        ('{"a" 1}', "Expecting ':' delimiter: character 5"),
        ("[1 2]", "Expecting ',' delimiter: character 3"),
        ('"a', "Unterminated string starting at: character 0"),
        ("{} {}", "text after the JSON document: character 2"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_a_broken_text_is_explained_by_place(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_broken_text_is_refused_where_the_json_module_was_never_loaded() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from passhelper.jsontext import parse, quote
assert parse(' {{"a":[1,2.5,"\\u00e9",null,true]}} ') == {{"a": [1, 2.5, "\\u00e9", None, True]}}
assert quote("\\u2028\\n") == '"\\\\u2028\\\\n"'
assert "json" not in sys.modules and "re" not in sys.modules
for text in ("", "x", "{{", '{{"a":', '"', "[1,]", "[" * 100000):
    try:
        parse(text)
    except ValueError:
        continue
    raise SystemExit(text[:9])
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=20)


TREES = st.recursive(
    st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(TREES)
def test_render_writes_compact_json_in_the_given_order(value: object) -> None:
    assert render(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(("value", "kind"), [(True, "bool"), (1.5, "float"), (None, "NoneType"), (b"x", "bytes")])
def test_render_refuses_what_no_file_of_ours_holds(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^cannot render {kind} as JSON$"):
        render([value])


def test_a_number_that_is_too_long_for_python_damages_nothing() -> None:
    """It stands in a member that nobody asked for; Go reads it too."""
    digits = "7" * 5000
    assert parse(f'{{"n":{digits},"m":-{digits},"ok":"yes","i":17}}') == {
        "n": float("inf"), "m": float("-inf"), "ok": "yes", "i": 17,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^Expecting value: character") as caught:
        parse(f'{{"n":{digits},"x":}}')
    assert "777" not in str(caught.value)
