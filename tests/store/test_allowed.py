"""Whom ``PASSHELPER_ACCEPT_RECIPIENTS`` and ``--accept-recipients`` allow to read."""

from __future__ import annotations

import pytest

from passhelper.store import layout, recipients
from passhelper.store.allowed import Allowed, by_environment

A, B, C = ("A" * 40, "B" * 40, "C" * 40)
ROOT = recipients.FILE
WHOLE = f"{layout.FOLDER}/{recipients.FILE}"
OWN = recipients.own(layout.encode_server("https://r.example"))
OTHER = recipients.own(layout.encode_server("other.example"))


@pytest.mark.parametrize(
    ("words", "path", "keys", "before", "is_allowed"),
    [
        (f"{A},{B}", ROOT, {A, B}, {A}, True),
        (f"{A},{B}", WHOLE, {A, B}, {A}, True),
        (f"{A},{B}", ROOT, {A, C}, {A}, False),
        (f"{A},{B}", ROOT, set(), {A}, False),
        ("", ROOT, {A}, {A}, False),
        (f"{A},{B}", OWN, {A, B}, {A}, False),  # the store's set lets nobody into a server
        (f"{A},{B}", OWN, {A}, {A, B}, True),
        (f"{A},{B}", OWN, {A, B}, None, True),  # nothing was ever accepted: a first clone
        (f"{A},{B} https://r.example={A},{B}", OWN, {A, B}, {A}, True),
        (f"r.example={A},{B}", OWN, {A, B}, {A}, True),
        (f"r.example={A} r.example={B}", OWN, {A, B}, {A}, True),
        (f"r.example={A}", OWN, {A, B}, {A, B}, False),
        (f"{A},{B} r.example={A}", OWN, {A, B}, None, False),  # a server's set counts for it alone, and alone
        (f"r.example={A},{B}", OTHER, {A, B}, {A}, False),
        (f"r.example={A},{B}", ROOT, {A, B}, {A}, False),
        (f" {A.lower()},\n{B}, ", ROOT, {A, B}, {A}, True),
    ],
)
def test_covers(words: str, path: str, keys: set[str], before: set[str] | None, *, is_allowed: bool) -> None:
    assert Allowed(words.split()).covers(path, keys, before) is is_allowed
    assert by_environment({"PASSHELPER_ACCEPT_RECIPIENTS": words}).covers(path, keys, before) is is_allowed


def test_whether_anybody_is_named() -> None:
    assert [bool(Allowed(words.split())) for words in ("", A, f"r.example={A}")] == [False, True, True]
