"""Hostile bytes for parsers: good examples that are changed at random, and inputs that grow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PASSHELPER_TEST_FUZZ", "150"))  # for each parser
SECONDS = 120 + EXAMPLES // 20  # for one of them; a parser that hangs is what is looked for
FUZZ = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
_FACTOR = 8
_BOUND = 28.0  # a linear parser takes 8 times as long, a quadratic one 64 times
_LEAST = 0.01  # seconds of CPU below which a clock says nothing


def changed(seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> st.SearchStrategy[bytes]:
    """Bytes near to good ones: cut, doubled, with bytes replaced and words put in; or any bytes.

    Args:
        seeds: inputs that the parser takes.
        words: what means something to it.
    """
    # Where, as a part of the whole; how much is taken out there; what comes in.
    piece = st.binary(max_size=4)
    edit = st.tuples(st.floats(0, 1), st.integers(0, 8), piece if not words else piece | st.sampled_from(list(words)))
    doubled = st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))

    def change(seed: bytes, edits: list[tuple[float, int, bytes]], twice: tuple[float, float, int]) -> bytes:
        data = bytearray(seed)
        for where, length, new in edits:
            at = int(where * len(data))
            data[at : at + length] = new
        begin, end = sorted(int(place * len(data)) for place in twice[:2])
        return bytes(data[:end] + data[begin:end] * twice[2] + data[end:])

    return st.binary(max_size=60) | st.builds(change, st.sampled_from(list(seeds)), st.lists(edit, max_size=6), doubled)


def cost(parse: Callable[[bytes], object], data: bytes) -> float:
    """Measure the least CPU time, in seconds, of three parses."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        parse(data)
        times.append(time.process_time() - begin)
    return min(times)


def is_linear(parse: Callable[[bytes], object], grow: Callable[[int], bytes], size: int) -> bool:
    """Return whether a parser takes about eight times as long for an input of eight times the size.

    Of what takes no time at all even then, nothing more is asked.

    Args:
        parse: takes the input; what it raises is its own affair.
        grow: makes an input of about so many bytes.
        size: the smaller of the two sizes.
    """
    for _ in range(3):  # the machine may have been busy
        large = cost(parse, grow(size * _FACTOR))
        if large < _LEAST or large < _BOUND * cost(parse, grow(size)):
            return True
    return False
