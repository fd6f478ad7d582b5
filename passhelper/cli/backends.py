"""``passhelper backends``: the places for credentials that this installation knows."""

from __future__ import annotations

from dataclasses import asdict

import click

from passhelper import survey
from passhelper.cli import output
from passhelper.cli.common import json_option


@click.command()
@json_option
def backends(*, as_json: bool) -> None:
    """List the backends and whether they can be used here.

    A backend with a higher priority is the better choice on this machine. One that cannot be loaded is
    named in a warning.

    \b
    Examples:
      passhelper backends
      passhelper backends --json
    """
    found = survey.survey()
    if as_json:
        output.envelope("backends", [asdict(one) for one in found])
    else:
        output.table(["BACKEND", "PRIORITY", "FROM", "USABLE HERE"], [_row(one) for one in found])
    for one in found:
        if one.is_broken:
            remedy = f"; {one.remedy}" if one.remedy else ""
            output.warn(f"{one.name} of {one.origin} is broken: {one.reason}{remedy}")


def _row(one: survey.Found) -> list[str]:
    priority = "-" if one.priority is None else f"{one.priority:g}"
    return [one.name, priority, one.origin, one.reason or "yes"]
