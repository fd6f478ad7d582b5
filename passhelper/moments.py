"""Write times for people. Those of commits and keys come from others, and may be outside of any calendar."""

from __future__ import annotations

import time


def utc(seconds: int, form: str) -> str:
    """Write a moment, in seconds since 1970, in UTC; the form is that of :func:`time.strftime`."""
    try:
        return time.strftime(form, time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds after 1970"
