"""Run the checks, repair what is safe to repair, and write down what was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper import oserrors
from passhelper.doctor.context import Context, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.doctor.registry import CHECKS
from passhelper.errors import PasshelperError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NOT_CHECKED = "not checked"
UNREPAIRED = "could not repair"
BY_US = "passhelper doctor --fix"  # in a remedy


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        check: the check.
        findings: what it found, each with its severity; a check that passed may have notes.
        blocked: why it was not made, empty if it was.
    """

    check: Check
    findings: tuple[Finding, ...]
    blocked: str = ""

    @property
    def trouble(self) -> tuple[Finding, ...]:
        """The findings that are not mere notes."""
        return tuple(found for found in self.findings if found.severity is not Severity.NOTE)

    @property
    def has_failed(self) -> bool:
        """Whether checks that need this one would only find its consequences."""
        return any(found.severity is Severity.FAILED for found in self.findings)


def examine(context: Context, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Make all checks, in order."""
    results: dict[str, Result] = {}
    for check in checks:
        causes = dict.fromkeys(cause for need in check.needs for cause in _causes(results[need]))
        results[check.id] = Result(check, (), ", ".join(causes)) if causes else _made(check, context)
    return list(results.values())


def with_needs(names: Iterable[str], checks: Sequence[Check] = CHECKS) -> list[Check]:
    """List some checks by their ids, with those that they need, in order."""
    wanted = set(names)
    for check in reversed(checks):  # causes stand before what needs them
        wanted.update(check.needs if check.id in wanted else ())
    return [check for check in checks if check.id in wanted]


def _causes(needed: Result) -> list[str]:
    """Name the first causes behind a check that did not pass."""
    if needed.blocked:
        return needed.blocked.split(", ")
    return [f"{needed.check.id} failed"] if needed.has_failed else []


def _made(check: Check, context: Context) -> Result:
    found: list[Finding] = []
    try:
        found.extend(check.run(context))
    except NotCheckedError as reason:
        if not found:
            return Result(check, (), str(reason))
    except PasshelperError as error:
        found.append(Finding(error.cause, error.remedy))
    except OSError as error:
        found.append(Finding(oserrors.cause(error), oserrors.remedy(error)))
    return Result(check, tuple(Finding(one.cause, one.remedy, one.severity or check.severity) for one in found))


def repair(environ: Mapping[str, str], lead: int, checks: Sequence[Check] = CHECKS) -> list[tuple[str, str]]:
    """Repair what is safe to repair.

    Returns:
        what was done: the check's id, and a phrase.
    """
    done = []
    for result in examine(Context(environ, lead), checks):
        if result.trouble and result.check.fix is not None:
            # Each repair starts from what is there now, not from what was read before the last one.
            done += _repaired(result.check.id, result.check.fix, Context(environ, lead))
    return done


def _repaired(name: str, fix: Callable[[Context], Iterable[str]], context: Context) -> list[tuple[str, str]]:
    done: list[tuple[str, str]] = []
    try:
        done.extend((name, phrase) for phrase in fix(context))  # what was done before a failure is said too
    except PasshelperError as error:
        done.append((name, f"{UNREPAIRED}: {error}"))
    except OSError as error:
        done.append((name, f"{UNREPAIRED}: {printable(oserrors.cause(error))}; {oserrors.remedy(error)}"))
    return done


def closing(results: Sequence[Result], repaired: Sequence[tuple[str, str]] | None) -> str:
    """Summarise for people what was found, and who has to act on it.

    Args:
        results: of all checks.
        repaired: what was done; None if no repair was asked for.
    """
    counts = Counter(map(_status, results))
    words = [*dict.fromkeys([Severity.NOTE.word, *(one.word for one in Severity), NOT_CHECKED])]
    said = f"{len(results)} checks: {', '.join(f'{counts[word]} {word}' for word in words if counts[word])}"
    troubled = [result for result in results if result.trouble]
    if repaired is None:
        mended = sum(any(BY_US in found.remedy for found in result.trouble) for result in troubled)
        return f"{said}; to repair {mended} of them, run: {BY_US}" if mended else said
    done = sum(not phrase.startswith(UNREPAIRED) for _, phrase in repaired)
    said += f"; repaired {done}"
    return f"{said}; the rest needs a person: each line says what to type" if troubled else said


def exit_code(results: Sequence[Result]) -> int:
    """Choose the exit code of the worst finding: any failure, else the lowest code that is not 0."""
    return min((code for one in results for found in one.trouble if found.severity
                and (code := found.severity.exit_code)), default=0)  # fmt: skip


def document(results: Sequence[Result], repaired: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Write the results as JSON."""
    return {
        "checks": [
            {
                "id": result.check.id,
                "status": _status(result),
                "findings": [
                    {"severity": found.severity.word, "cause": found.cause, "remedy": found.remedy}
                    for found in result.trouble
                    if found.severity
                ],
                "notes": [found.cause for found in result.findings if found.severity is Severity.NOTE],
                "reason": result.blocked,
            }
            for result in results
        ],
        "repaired": [{"id": name, "what": phrase} for name, phrase in repaired],
    }


def _status(result: Result) -> str:
    if result.blocked:
        return NOT_CHECKED
    codes = sorted((found.severity for found in result.trouble if found.severity), key=list(Severity).index)
    return codes[0].word if codes else Severity.NOTE.word


def lines(results: Sequence[Result]) -> Iterator[tuple[str, str, str]]:
    """Write the results for people: status, check, and one line about it."""
    for result in results:
        if result.blocked:
            yield NOT_CHECKED, result.check.id, result.blocked
        for found in result.findings:
            if found.severity is not None:
                text = f"{found.cause}; {found.remedy}" if found.remedy else found.cause
                yield found.severity.word, result.check.id, " ".join(text.split())
        if not result.blocked and not result.findings:
            yield Severity.NOTE.word, result.check.id, result.check.looks_at.replace("`", "")
