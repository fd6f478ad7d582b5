"""The doctor's numbers in Prometheus' text format, for the node exporter's textfile collector."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from passhelper.doctor.context import NotCheckedError
from passhelper.doctor.entry_checks import drifted
from passhelper.doctor.key_checks import recipient_keys
from passhelper.doctor.model import Severity
from passhelper.errors import PasshelperError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.doctor.context import Context
    from passhelper.doctor.report import Result

_DAY = 86400


def write(context: Context, results: Sequence[Result]) -> str:
    """Write the numbers that are worth a time series, in Prometheus' text format.

    What cannot be known here has no line; a key without an expiry has infinitely many days.
    """
    text = _metric("passhelper_findings", "Findings of passhelper doctor by severity.", [
        (f'severity="{severity.word}"', sum(found.severity is severity for one in results for found in one.trouble))
        for severity in Severity if severity is not Severity.NOTE
    ])  # fmt: skip
    passed = {result.check.id for result in results if not result.blocked and not result.has_failed}
    if "store.path" in passed:
        count = sum(map(len, context.entries.values()))
        text += _metric("passhelper_entries", "Credentials in the store.", [("", count)])
        oldest = _oldest(context) if context.max_age and "store.age" in passed else None
        if oldest is not None:
            name = "passhelper_oldest_credential_age_seconds"
            text += _metric(name, "Seconds since the oldest credential was changed.", [("", time.time() - oldest)])
        synced = _last_sync(context)
        if synced is not None:
            name = "passhelper_last_sync_age_seconds"
            text += _metric(name, "Seconds since passhelper sync last succeeded.", [("", time.time() - synced)])
    if "store.drift" in passed:
        name = "passhelper_drifted_entries"
        text += _metric(name, "Entries not encrypted to exactly their recipients.", [("", len(drifted(context)))])
        left = [(_labels(key.fingerprint, key.uid), (key.ends - time.time()) / _DAY if key.ends else math.inf)
                for key in recipient_keys(context)]  # fmt: skip
        # The unit is a label, because promtool reports a name that ends in "days" as a mistake.
        text += _metric("passhelper_recipient_time_left", "Days until a recipient's key expires.", left)
    return text


def _metric(name: str, about: str, samples: Sequence[tuple[str, float]]) -> str:
    rows = [f"{name}{f'{{{labels}}}' if labels else ''} {_number(value)}\n" for labels, value in samples]
    return "".join((f"# HELP {name} {about}\n", f"# TYPE {name} gauge\n", *rows))


def _number(value: float) -> str:
    return "+Inf" if math.isinf(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def _labels(fingerprint: str, uid: str) -> str:
    escaped = printable(uid).replace("\\", "\\\\").replace('"', '\\"')
    return f'fingerprint="{fingerprint}",uid="{escaped}",unit="days"'


def _oldest(context: Context) -> int | None:
    changes = context.changes or {}
    paths = [entry.path for several in context.entries.values() for entry in several]
    return min((changes[path] for path in paths if path in changes), default=None)


def _last_sync(context: Context) -> float | None:
    """Find when a sync last succeeded; None if none ever did."""
    try:
        with open(context.repository.synced, encoding="ascii") as file:
            return float(file.read())
    except (NotCheckedError, PasshelperError, OSError, ValueError):
        return None
