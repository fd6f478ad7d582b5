"""Change one member of a JSON object and no other byte of the text.

Parsing and writing again would keep the order of keys but not the indentation, the spelling of
numbers, or what a newer program's file looks like. So the text is scanned for the place of a member
and only that is replaced. Names match in any case and the last one counts, as in Go's decoder.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.jsontext import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_int=whole)


@dataclass(frozen=True)
class Member:
    """A member of an object: its name, its value, and where their texts are.

    Attributes:
        start, end: the limits of the value's text.
        name: where the text of the name begins.
    """

    key: str
    value: object
    start: int
    end: int
    name: int


def members(text: str, start: int = 0) -> list[Member]:
    """List the members of the document, or of the object that begins at a place in it.

    Raises:
        ValueError: it is not a JSON object.
    """
    found, _ = _scan(text, start)
    return found


def check(text: str) -> None:
    """Make sure that a text is exactly one JSON object.

    Raises:
        ValueError: it is not; the message never quotes the text, which may hold secrets.
    """
    try:
        value = json.loads(text, parse_int=whole)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}: line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of the text, not of an argument


def find(text: str, key: str) -> Member | None:
    """Find a member of the document; its name matches in any case."""
    found = [member for member in members(text) if member.key.lower() == key.lower()]
    return found[-1] if found else None


def put(text: str, key: str, value: str) -> str:
    """Set a member of a checked document to a value, given as JSON; its name matches in any case."""
    found, closing = _scan(text, 0)
    same = [member for member in found if member.key.lower() == key.lower()]
    return _put(text, key, value, (found, closing, same, 1))


def put_inside(text: str, outer: Member, key: str, value: str) -> str:
    """Set a member of an object that is itself a member of a checked document; its name matches exactly."""
    found, closing = _scan(text, outer.start)
    same = [member for member in found if member.key == key]
    return _put(text, key, value, (found, closing, same, 2))


def without(text: str, start: int, is_dropped: Callable[[str], bool]) -> str:
    """Return an object of a checked document without some of its members, chosen by name; ``{}`` if none is left.

    The other members keep their spelling and the space around them.
    """
    start = _skip(text, start)
    found, closing = _scan(text, start)
    kept = [index for index, member in enumerate(found) if not is_dropped(member.key)]
    if not kept:
        return "{}"
    new = text[start : found[0].name]
    for index in kept:
        if index != kept[0]:
            new += text[found[index - 1].end : found[index].name]
        new += text[found[index].name : found[index].end]
    return new + text[found[-1].end : closing + 1]


def drop(text: str, key: str) -> str:
    """Remove a member, and all others of that name, from the document; its name matches in any case."""
    begin, (_, closing) = _skip(text, 0), _scan(text, 0)
    new = without(text, begin, lambda name: name.lower() == key.lower())
    return text[:begin] + new + text[closing + 1 :]


def splice(text: str, changes: Iterable[tuple[int, int, str]]) -> str:
    """Replace pieces of a text, each given by its begin, its end and its new text; none may overlap."""
    for begin, end, new in sorted(changes, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def _put(text: str, key: str, value: str, place: tuple[list[Member], int, list[Member], int]) -> str:
    found, closing, same, depth = place
    if same:
        return text[: same[-1].start] + value + text[same[-1].end :]
    unit = indentation(text)
    name = json.dumps(key, ensure_ascii=False)
    if found:
        end = found[-1].end
        before = f"\n{unit * depth}" if "\n" in text[end:closing] else " "
        return f"{text[:end]},{before}{name}: {value}{text[end:]}"
    opening = text[:closing].rstrip()
    if not unit:
        return f"{opening}{name}: {value}{text[closing:]}"
    return f"{opening}\n{unit * depth}{name}: {value}\n{unit * (depth - 1)}{text[closing:]}"


def indentation(text: str) -> str:
    """Return what one level of indentation is; empty for a document on one line, a tab for an empty one."""
    match = re.search(r"\n([ \t]+)[\"}]", text)
    if match:
        return match.group(1)
    return "" if members(text) else "\t"


def _scan(text: str, start: int) -> tuple[list[Member], int]:
    """Walk one object; return its members and the place of its closing brace."""
    place = _skip(text, start)
    _expect(text, place, "{")
    place = _skip(text, place + 1)
    found: list[Member] = []
    while text[place : place + 1] != "}":
        if found:
            _expect(text, place, ",")
            place = _skip(text, place + 1)
        _expect(text, place, '"')
        name = place
        key, place = _DECODER.raw_decode(text, place)
        place = _skip(text, place)
        _expect(text, place, ":")
        begin = _skip(text, place + 1)
        value, end = _DECODER.raw_decode(text, begin)
        found.append(Member(key, value, begin, end, name))
        place = _skip(text, end)
    return found, place


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _expect(text: str, place: int, char: str) -> None:
    if text[place : place + 1] != char:
        raise ValueError(f"{char} expected: character {place}")
