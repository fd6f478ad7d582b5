"""JSON without the ``json`` module, for the verb path.

``import json`` costs half as much as starting the interpreter, because its decoder imports ``re``.
The C accelerator behind it, ``_json``, needs neither: this module drives it directly, and falls
back to ``json`` where an interpreter has no accelerator and to explain what is wrong with a text.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    quote: Callable[[str], str]
    _scan: Callable[[str, int], tuple[Any, int]]


_DIGITS = 4000  # of a whole number; Python refuses to convert more than 4,300


def whole(digits: str) -> "int | float":
    """Convert a whole number of any length; one that is too long for Python is not an error, since nobody needs it."""
    return int(digits) if len(digits) <= _DIGITS else float(digits)


class _Context:
    """The attributes that the C scanner reads from the decoder it belongs to."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = staticmethod(whole)
    parse_constant = float


try:
    from _json import encode_basestring_ascii as quote
    from _json import make_scanner

    _scan = make_scanner(_Context())  # type: ignore[arg-type] # any object with these attributes will do
except ImportError:  # pragma: no cover - CPython always has the accelerator
    import json

    quote = json.dumps
    _scan = json.JSONDecoder(parse_int=whole).raw_decode

_SPACE = " \t\r\n"


def parse(text: str) -> object:
    """Parse one JSON document.

    Raises:
        ValueError: the text is not exactly one JSON document. The message gives the place, never
            the text.
    """
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
    except (StopIteration, ValueError, RecursionError, SystemError):
        # SystemError: without the json module the C scanner cannot build its own exception.
        raise ValueError(_explain(text)) from None
    if text[end:].strip(_SPACE):
        raise ValueError(f"text after the JSON document: character {end}")
    return value


def _explain(text: str) -> str:
    import json  # only when the text is broken

    try:
        json.loads(text, parse_int=whole)
    except json.JSONDecodeError as error:
        return f"{error.msg}: character {error.pos}"
    except RecursionError:
        return "nested too deeply"
    return "not JSON"  # pragma: no cover - the two scanners agree


def render(value: object) -> str:
    """Render dicts, lists, strings and whole numbers as compact JSON, keys in the order given."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote(key)}:{render(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(render, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"cannot render {type(value).__name__} as JSON")


def inert(document: str) -> str:
    """Write ``##`` in a JSON document so that no runner takes it for a command, and every parser reads the same."""
    return document.replace("##", "\\u0023\\u0023")  # it can only be in a string
