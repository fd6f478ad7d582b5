"""``passhelper teardown``."""

from __future__ import annotations

import os

import click

from passhelper.ci import runner
from passhelper.cli import output


@click.command()
@click.option("--store", is_flag=True, help="Remove the store too, if setup --ci made it in PASSWORD_STORE_DIR.")
def teardown(*, store: bool) -> None:
    """Remove what setup --ci made: its keys, its gpg-agent, its files.

    Finds the directory by PASSHELPER_CI_DIR, which setup --ci has exported. A second run does nothing.

    \b
    Example:
      trap 'passhelper teardown' EXIT
    """
    done = runner.tear_down(dict(os.environ), store=store)
    for line in done:
        output.say(line)
    if not done:
        output.say("nothing to tear down")
