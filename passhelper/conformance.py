"""Find out whether a ``docker-credential-*`` program keeps the laws that Docker's clients rely on.

::

    from passhelper.client import ProgramHelper
    from passhelper.conformance import examine

    for result in examine(ProgramHelper("/usr/bin/docker-credential-secretservice")).results:
        print(result.law.id, result.outcome.value, result.reason)

Only servers below :data:`DOMAIN` are touched, and they are erased whatever the program does. The laws
are explained in ``contrib/conformance.md``.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from passhelper.client import ProgramHelper
from passhelper.contract import laws, pass_layout, wire
from passhelper.contract.place import Equivalence, LawBrokenError, NotApplicableError, Place
from passhelper.errors import ConfigurationError, HelperTimeoutError, PasshelperError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.contract.laws import Law
    from passhelper.contract.place import Limits
    from passhelper.credentials import Helper

__all__ = ["DOMAIN", "LAWS", "RULES", "SECONDS", "Examination", "Outcome", "Result", "choose", "examine", "junit"]

DOMAIN = "passhelper-conformance.invalid"  # RFC 2606: no registry will ever have a name below it
RULES = "contrib/conformance.md"  # in the repository
LAWS: tuple[Law, ...] = (*wire.LAWS, *laws.LAWS, *pass_layout.LAWS)
SECONDS = 10.0  # for one verb; a first one may have to start a keyring or an agent
_PATIENCE = 3  # answers that may fail to come before the rest is given up


class Outcome(enum.Enum):
    """The outcome of one law."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """The result of one law.

    Attributes:
        law: which.
        outcome: whether it holds.
        reason: how it was broken, or why it was not looked at; never a secret.
        seconds: how long that took.
    """

    law: Law
    outcome: Outcome
    reason: str
    seconds: float

    @property
    def rule(self) -> str:
        """Where the law is explained."""
        return f"{RULES}#{self.law.id}"


@dataclass(frozen=True)
class Examination:
    """The results of a helper.

    Attributes:
        results: one for each law.
        left: the servers that could not be erased.
    """

    results: Sequence[Result]
    left: Sequence[str]

    @property
    def failed(self) -> list[Result]:
        """The laws that do not hold."""
        return [result for result in self.results if result.outcome is Outcome.FAILED]


def choose(ids: Iterable[str]) -> list[Law]:
    """Find laws by their ids; all of them where none is named.

    Raises:
        ConfigurationError: there is no such law.
    """
    known = {law.id: law for law in LAWS}
    wanted = list(dict.fromkeys(ids))
    for unknown in [id_ for id_ in wanted if id_ not in known]:
        raise ConfigurationError(f"no law is called {unknown!r}", f"choose from: {', '.join(known)}")
    return [known[id_] for id_ in wanted] or list(LAWS)


def examine(helper: Helper, chosen: Sequence[Law] = LAWS, limits: Limits | None = None) -> Examination:
    """Try to break every law.

    Args:
        helper: a :class:`~passhelper.client.ProgramHelper`, or a backend in this process, for which the laws
            about a program's streams are skipped.
        chosen: which laws.
        limits: what is known about the helper; by default only that names of one registry may be one to it.

    Returns:
        the results; nothing that a helper does raises.
    """
    reopen = (lambda: helper) if isinstance(helper, ProgramHelper) else None  # each verb is a process of its own
    place = Place(helper, DOMAIN, limits or Equivalence(), reopen)
    results: list[Result] = []
    left = dict.fromkeys(place.clean())  # what a run that was killed has left
    hung = 0
    try:
        for law in chosen:
            result, is_hung = _examine(law, place) if hung < _PATIENCE else (_given_up(law), False)
            hung += is_hung
            results.append(result)
            if hung < _PATIENCE:
                left.update(dict.fromkeys(place.clean()))
    finally:
        left.update(dict.fromkeys(place.clean()))
    return Examination(results, [server for server in left if place.has(server)] if hung < _PATIENCE else list(left))


def _examine(law: Law, place: Place) -> tuple[Result, bool]:
    """Try to break one law; return also whether a verb gave no answer."""
    begin = time.monotonic()
    outcome, reason, is_hung = Outcome.PASSED, "", False
    try:
        law.check(place)
    except NotApplicableError as error:
        outcome, reason = Outcome.SKIPPED, str(error)
    except (LawBrokenError, PasshelperError) as error:
        outcome, reason = Outcome.FAILED, str(error)
        is_hung = isinstance(error, HelperTimeoutError) or isinstance(error.__cause__, HelperTimeoutError)
    except OSError as error:
        outcome, reason = Outcome.FAILED, f"{error.filename or law.id}: {error.strerror}"
    return Result(law, outcome, reason, time.monotonic() - begin), is_hung


def _given_up(law: Law) -> Result:
    return Result(law, Outcome.FAILED, f"not tried, after {_PATIENCE} verbs that gave no answer", 0)


def junit(examination: Examination, name: str) -> str:
    """Write an examination as JUnit XML, without what XML cannot express or a runner would take for a command.

    Args:
        examination: what was found out.
        name: what was examined.
    """
    outcomes = [result.outcome for result in examination.results]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count(Outcome.FAILED)),
        "errors": "0",
        "skipped": str(outcomes.count(Outcome.SKIPPED)),
        "time": f"{sum(result.seconds for result in examination.results):.3f}",
    }
    suite = ET.Element("testsuite", {"name": one_line(name), **counts})
    for result in examination.results:
        attributes = {"classname": "passhelper.conformance", "name": result.law.id, "time": f"{result.seconds:.3f}"}
        case = ET.SubElement(suite, "testcase", attributes)
        ET.SubElement(ET.SubElement(case, "properties"), "property", {"name": "rule", "value": result.rule})
        if result.outcome is Outcome.FAILED:
            failure = ET.SubElement(case, "failure", {"message": one_line(result.reason), "type": "LawBroken"})
            failure.text = f"{result.law.says}; see {result.rule}"
        elif result.outcome is Outcome.SKIPPED:
            ET.SubElement(case, "skipped", {"message": one_line(result.reason)})
    if examination.left:
        ET.SubElement(suite, "system-err").text = one_line(f"left behind: {', '.join(examination.left)}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
