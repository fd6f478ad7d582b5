"""``passhelper status``."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from passhelper import wording
from passhelper.cli import output
from passhelper.cli.common import json_option, open_store
from passhelper.doctor import report
from passhelper.doctor.context import Context
from passhelper.doctor.model import Severity
from passhelper.errors import printable
from passhelper.team.sync import standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.doctor.report import Result
    from passhelper.team.sync.standing import Standing

# The doctor's checks that are about a shared store and its readers; none of them asks the remote.
_CHECKS = ("store.recipients", "git.unfinished", "git.pending", "git.changes", "git.pins", "key.expiry")
_DAY = 86400  # seconds
_SHOWN = 5  # names in a line


@click.command()
@click.option("--fetch", is_flag=True, help="Ask the remote first; without it, what was fetched last counts.")
@click.option("--lead", default=30, metavar="DAYS", type=click.IntRange(0, 36500), help="Warn of an expiry so early.")
@json_option
def status(*, fetch: bool, lead: int, as_json: bool) -> int:
    """Say how the store stands: its remote, what waits, keys that expire.

    Exit codes are those of doctor. Nothing is decrypted, and nothing changes but what --fetch brings.

    \b
    Examples:
      passhelper status
      passhelper status --fetch --json
    """
    store = open_store()
    store.check_folder()
    found = standing.look(store, fetch=fetch)
    results = report.examine(Context(dict(os.environ), lead), report.with_needs(_CHECKS))
    if as_json:
        output.envelope("status", {**_document(found), "checks": report.document(results, [])["checks"]})
        return _exit_code(found, results)
    for name, text in _lines(found):
        output.say(f"{name:<12}{text}")
    for result in results:
        for finding in result.trouble:
            if finding.severity is not None:
                output.warn(f"{finding.cause}{f'; {finding.remedy}' if finding.remedy else ''}")
    if found.refused:
        output.warn(f"commit {found.refused[:12]} of the remote waits for you; run: passhelper recipients accept")
    return _exit_code(found, results)


def _exit_code(found: Standing, results: Sequence[Result]) -> int:
    codes = [report.exit_code(results), Severity.UNACCEPTED.exit_code if found.refused else 0]
    return min(filter(None, codes), default=0)


def _lines(found: Standing) -> list[tuple[str, str]]:
    lines = [("store", printable(found.root))]
    if not found.is_repository:
        lines.append(("remote", "none: the store is not a git repository"))
    elif not found.remote:
        lines.append(("remote", "none"))
    else:
        lines.append(("remote", printable(f"{found.remote}/{found.branch}: {_apart(found)}")))
        lines.append(("last sync", "never" if found.synced is None else _ago(found.synced)))
    lines.append(("credentials", str(found.credentials)))
    if found.logged_out:
        lines.append(("logged out", wording.few(found.logged_out, _SHOWN)))
    if found.oldest is not None:
        server, when = found.oldest
        lines.append(("oldest", f"{printable(server)}, changed {_ago(when)}"))
    return lines


def _document(found: Standing) -> dict[str, object]:
    document = asdict(found)
    document["synced"] = None if found.synced is None else output.stamp(found.synced)
    if found.oldest is not None:
        document["oldest"] = {"server": found.oldest[0], "changed": output.stamp(found.oldest[1])}
    return document


def _apart(found: Standing) -> str:
    if found.ahead is None or found.behind is None:
        return "nothing was ever fetched; run: passhelper sync"
    parts = [f"{wording.count(found.ahead, 'commit')} to push"] if found.ahead else []
    parts += [f"{wording.count(found.behind, 'commit')} to merge"] if found.behind else []
    return ", ".join(parts) or "up to date"


def _ago(when: int) -> str:
    days = max(int(time.time()) - when, 0) // _DAY
    return f"{wording.count(days, 'day')} ago" if days else "today"
