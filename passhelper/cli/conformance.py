"""``passhelper conformance``: does a credential helper keep the laws that Docker's clients rely on?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from passhelper import conformance as examining
from passhelper.backends import get_helper
from passhelper.cli import output
from passhelper.cli.common import json_option
from passhelper.client import ProgramHelper
from passhelper.conformance import DOMAIN, Examination, Outcome, Result
from passhelper.errors import ConfigurationError, DockerError, printable
from passhelper.machine import userfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS = {Outcome.PASSED: "ok", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "-"}


@click.command()
@click.argument("program", default="")
@click.option("--backend", metavar="NAME", default="", help="A backend of this installation instead of a program.")
@click.option("--check", "ids", multiple=True, metavar="ID", help="Only this law. Repeatable.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=examining.SECONDS, show_default=True,
              metavar="SECONDS", help="Time for one verb.")  # fmt: skip
@click.option("--junit", "report", metavar="FILE", default="", help="Write a report in JUnit's XML, too.")
@json_option
def conformance(  # noqa: PLR0913 - one argument per option
    *, program: str, backend: str, ids: tuple[str, ...], timeout: float, report: str, as_json: bool
) -> None:
    """Find out whether a credential helper does what Docker's clients rely on.

    PROGRAM is a path, or a name that docker would find on PATH, such as secretservice. It is run as
    docker runs it, on servers below passhelper-conformance.invalid only, which are erased in the
    end. In a store that git shares each step is a commit: set PASSWORD_STORE_DIR to another store.

    \b
    Examples:
      passhelper conformance secretservice
      passhelper conformance ./docker-credential-vault --json
      passhelper conformance --backend memory --check replace-user
    """
    if bool(program) == bool(backend):
        raise click.UsageError("name either a program or a --backend")
    chosen = examining.choose(ids)
    helper = get_helper(backend) if backend else _program(program, timeout)
    label = helper.program if isinstance(helper, ProgramHelper) else f"the backend {backend}"
    output.note(f"examining {label}, with servers below {DOMAIN} only")
    examination = examining.examine(helper, chosen)
    if report:
        name = os.path.basename(helper.program) if isinstance(helper, ProgramHelper) else backend
        userfile.replace(os.path.abspath(report), examining.junit(examination, name).encode(), 0o644)
    if as_json:
        output.envelope("conformance", _document(label, examination))
    else:
        output.table(["LAW", "RESULT", "WHAT IT SAYS, OR HOW IT IS BROKEN"], list(_rows(examination.results)))
    if examination.left:
        output.warn(f"not erased, or it cannot be found out: {', '.join(map(printable, examination.left))}")
    if examination.failed:
        count = f"{len(examination.failed)} of {len(examination.results)}"
        raise DockerError(f"{label} breaks {count} laws", f"see {examining.RULES}, where each has a heading")


def _program(name: str, seconds: float) -> ProgramHelper:
    if os.sep not in name:
        return ProgramHelper.find(name, seconds=seconds)
    path = os.path.abspath(name)
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise ConfigurationError(f"{path} is not a program", "check its path and mode")
    return ProgramHelper(path, seconds=seconds)


def _rows(results: Iterable[Result]) -> Iterator[list[str]]:
    """Write the table; one cause that breaks many laws, such as a locked key, is printed once."""
    told: dict[str, str] = {}
    for result in results:
        text = result.reason or result.law.says
        if result.reason:
            begin, mark, cause = result.reason.rpartition(" failed: ")
            first = next((law for law, reason in told.items() if cause in reason), None)
            told[result.law.id] = result.reason
            if first is not None:
                text = f"{begin} failed, as at {first}" if mark else f"as at {first}"
        yield [result.law.id, _WORDS[result.outcome], text]


def _document(label: str, examination: Examination) -> dict[str, object]:
    laws = [
        {"id": result.law.id, "outcome": result.outcome.value, "says": result.law.says, "reason": result.reason or None,
         "rule": result.rule, "seconds": round(result.seconds, 3)}
        for result in examination.results
    ]  # fmt: skip
    return {"program": label, "laws": laws, "left": list(examination.left)}
