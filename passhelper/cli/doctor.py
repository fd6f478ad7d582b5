"""``passhelper doctor``."""

from __future__ import annotations

import os

import click

from passhelper.cli import output
from passhelper.cli.common import json_option
from passhelper.doctor import metrics, report
from passhelper.doctor.context import Context
from passhelper.doctor.model import Severity
from passhelper.errors import PasshelperError, printable
from passhelper.store import readable

_LONGEST = 4000  # characters of a line: a remedy that is cut cannot be typed, and what is foreign in it was cut before
_COLOURS = {Severity.NOTE.word: "green", Severity.FAILED.word: "red", report.NOT_CHECKED: "bright_black"}


@click.command()
@click.option("--fix", is_flag=True, help="Repair what is safe to repair, and say what was done.")
@click.option("--lead", default=30, metavar="DAYS", type=click.IntRange(0, 36500), help="Warn of an expiry so early.")
@click.option(
    "--max-age", default=0, metavar="DAYS", type=click.IntRange(0, 36500), help="Warn of credentials older than this."
)
@json_option
@click.option("--prometheus", is_flag=True, help="Print metrics for a textfile collector; exits with 0.")
def doctor(*, fix: bool, lead: int, max_age: int, as_json: bool, prometheus: bool) -> int:
    """Find out why something does not work, and what to do.

    Looks at gpg, the keys, the store, its git repository and Docker's configuration. It asks nothing and takes a few
    seconds at most. Only --fix changes anything: modes, the form of .gpg-id files, and entries in a directory whose
    name is not the usual form of their server's. (A cache in ~/.cache/passhelper is written each time; with it
    docker-credential-pass lists only what this machine can read.)

    \b
    Examples:
      passhelper doctor
      passhelper doctor --fix
      passhelper doctor --prometheus > /var/lib/prometheus/node-exporter/passhelper.prom
    """
    if as_json and prometheus:
        raise click.UsageError("--json and --prometheus exclude each other")
    environ = dict(os.environ)
    repaired = report.repair(environ, lead) if fix else []
    context = Context(environ, lead, max_age)
    results = report.examine(context)
    _write_rights(context)
    if prometheus:
        output.raw(metrics.write(context, results).rstrip("\n"))
        return 0
    if as_json:
        output.envelope("doctor", report.document(results, repaired))
    else:
        for name, phrase in repaired:
            _line("not fixed" if phrase.startswith(report.UNREPAIRED) else "fixed", name, phrase)
        for status, name, text in report.lines(results):
            _line(status, name, text)
        output.say(report.closing(results, repaired if fix else None))
    return report.exit_code(results)


def _write_rights(context: Context) -> None:
    try:
        readable.write(context.store)
    except PasshelperError:
        return  # there is no store, which a check has said


def _line(status: str, name: str, text: str) -> None:
    word = f"{status:<12}"
    if not os.environ.get("NO_COLOR"):
        word = click.style(word, fg=_COLOURS.get(status, "yellow"))
    output.say(f"  {name:<16}  {printable(text, _LONGEST)}", word)
