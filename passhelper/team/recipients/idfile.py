"""Change a ``.gpg-id`` and keep what people wrote into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from passhelper.store import keynames, recipients

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Line(NamedTuple):
    """A key as a ``.gpg-id`` names it.

    Attributes:
        written: a full fingerprint, with a ``!`` if it is one subkey.
        owner: its owner, for the comment above it.
    """

    written: str
    owner: str


def edited(text: bytes, drop: Collection[str], named: Mapping[str, Line], add: Iterable[Line]) -> bytes:
    """Change the lines of a ``.gpg-id``.

    Args:
        text: what it is now.
        drop: the lines to take out, normalized; the comment directly above each, its owner's name, goes too.
        named: for lines that name a key by less than its fingerprint, what is to be there instead.
        add: what to add at the end.
    """
    body = recipients.body(text)
    head, text = text[: len(text) - len(body)].decode(), body
    kept: list[str] = []
    for line in text.decode("utf-8-sig").removesuffix("\n").split("\n") if text else []:
        written, mark, comment = line.partition("#")
        key = keynames.normalize(written.strip())
        if key and key in drop:
            if kept and kept[-1].startswith("#"):
                kept.pop()
        elif key in named:
            kept += [f"# {named[key].owner}".rstrip(), f"{named[key].written} {mark}{comment}".rstrip()]
        else:
            kept.append(line.rstrip())
    for line_to_add in add:
        kept += [f"# {line_to_add.owner}".rstrip(), line_to_add.written]
    return (head + "".join(f"{line}\n" for line in kept)).encode()
