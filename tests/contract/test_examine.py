"""Every law of the black-box examination has been seen to hold and to fail."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from support.faults.faulty import NO_FAULT, Faulty
from support.programs import script

from passhelper import get_helper
from passhelper.client import ProgramHelper
from passhelper.conformance import DOMAIN, LAWS, RULES, Outcome, choose, examine
from passhelper.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]
IDS = [law.id for law in LAWS]
# A program that forgets breaks every law that stores something; there is nothing finer to get wrong.
FORGETS = "survives"


@pytest.mark.parametrize("part", range(3))
def test_a_good_program_keeps_them_all(faulty: Faulty, part: int) -> None:
    foreign = {"https://somebody.example": ["zoe", "theirs"]}
    faulty.place.write_text(json.dumps(foreign))
    examination = examine(faulty(NO_FAULT), LAWS[part::3])
    skipped = {result.law.id for result in examination.results if result.outcome is Outcome.SKIPPED}
    assert [(result.law.id, result.reason) for result in examination.failed] == []
    assert skipped == {"pass-stray-directory", "pass-foreign-files"} & set(IDS[part::3])
    assert examination.left == []
    assert json.loads(faulty.place.read_text()) == foreign


REASONS = {
    "version": "version does not say one line but 'one two'",
    "usage": "the verb 'no-such-verb' is not refused",
    "success-streams": "store succeeds and says 'stored' on stderr, which goes to the terminal",
    "list-stdin": "list gave no answer within 1 seconds; run it by hand to see why",
    "not-found-message": "get of an unknown server: exit status 1 and 'no such thing', not 1 and 'credentials",
    "no-server-url": "get without a server URL: exit status 1 and 'which server[?]', not 1 and 'no credentials",
    "no-username": "store without a username: exit status 1 and 'who[?]', not 1 and 'no credentials username'",
    "request-line-end": r"get of 'https://line-end.*\\n' ends with exit status 1: 'credentials not found",
    "liberal-json": "ends with exit status 1: 'no credentials server URL'",
    "byte-order-mark": "store after a UTF-8 byte order mark ends with exit status 1: 'invalid character'",
    "control-characters": "get of 'con[?]trol.* with a control character is not refused",
    "invalid-json": "store of '' is not refused",
    "lossless": "a secret with a NUL is kept, but changed",
    "secret-hidden": "a message about a failed store holds the secret",
    "reads-stdin": "get ends before it has read its request, so that the client's write fails",
    "huge-secret": "store failed: token too long",
    "parallel": "get does not find parallel.*, stored for 'bob'",
    "servers": "get does not find UPPER.*, stored for 'bob'",
    "usernames": "u11.* fails: .*no credentials username",
    "slash-username": "s0.* has user 'tenancy', not 'tenancy/idcs/bob'",
    "traversal": "https://victim.* has user '../.*/aaa', not 'zoe'",
    "secrets": "the secret of 'bob' at secret.* comes back changed",
    "trailing-line-ends": "the secret of 'bob' at trailing.* comes back changed",
    "large-secret": "the secret of 'bob' at large.* comes back changed",
    "replace-user": "https://replace.*/v1/ has user 'adam', not 'zoe'",
    "erase": "get does not find erase.*:5000, stored for 'bob'",
    "erase-absent": "erase of never-stored.* fails: .* erase failed: it is not there",
    "not-found": "get of https://nowhere.*, which is not there, fails: .* get failed: no such thing",
    "list": "list says nothing for list0.*, not 'user0'",
    "neighbours": "get of http://near.* answers with user 'bob'",
    "pass-stray-directory": "list fails: .* list failed: illegal base64 data",
    "pass-foreign-files": "beside a file .gpg-id: list says '.gpg-id' for foreign.*, not 'bob'",
}


def test_every_law_has_a_program_that_breaks_it() -> None:
    assert {*REASONS, FORGETS} == set(IDS)


@pytest.mark.parametrize("law", REASONS)
def test_a_broken_program_is_found_out(faulty: Faulty, law: str, request: pytest.FixtureRequest) -> None:
    if law.startswith("pass-"):
        request.getfixturevalue("store")
    broken = faulty(law, 1 if law == "list-stdin" else 30)
    (result,) = examine(broken, choose([law])).results
    assert result.outcome is Outcome.FAILED
    assert re.search(REASONS[law], result.reason), result.reason
    assert result.rule == f"{RULES}#{law}"
    assert faulty.kept == []


def test_a_program_that_forgets(tmp_path: Path) -> None:
    code = "import sys; from passhelper import get_helper, serve; sys.exit(serve(get_helper('memory')))"
    program = script(tmp_path / "docker-credential-memory", f'exec "{sys.executable}" -c "{code}" "$@"')
    (result,) = examine(ProgramHelper(program), choose([FORGETS])).results
    assert result.outcome is Outcome.FAILED
    assert re.fullmatch("get does not find survives.*, stored for 'bob'", result.reason)


def test_a_backend_in_this_process() -> None:
    examination = examine(get_helper("memory"))
    assert examination.failed == []
    skipped = {result.law.id: result.reason for result in examination.results if result.outcome is Outcome.SKIPPED}
    assert skipped["version"] == "there is no program"
    assert skipped[FORGETS] == "this place ends with its helper"
    assert {"replace-user", "erase", "list", "traversal"}.isdisjoint(skipped)


# Programs that misbehave, and what is left of our names


@pytest.mark.parametrize("fault", ["crash", "flood"])
def test_a_program_that_fails_badly_is_cleaned_up_after(faulty: Faulty, fault: str) -> None:
    examination = examine(faulty(fault, 20), choose(["replace-user", "list"]))
    assert [result.outcome for result in examination.results] == [Outcome.FAILED] * 2
    assert faulty.kept == []
    assert examination.left == []


def test_a_program_that_hangs_in_get_is_cleaned_up_after(faulty: Faulty) -> None:
    examination = examine(faulty("hang in get", 0.7), choose(["replace-user"]))
    assert [result.outcome for result in examination.results] == [Outcome.FAILED]
    assert "gave no answer within 0.7 seconds" in examination.results[0].reason
    assert faulty.kept == []


def test_what_cannot_be_erased_is_named(faulty: Faulty) -> None:
    examination = examine(faulty("hang in erase", 0.7), choose(["secrets"]))
    assert examination.left == [f"secret.{DOMAIN}"] == faulty.kept
    assert examine(faulty(NO_FAULT), choose(["version"])).left == []  # the next run finds it by its name
    assert faulty.kept == []


def test_a_program_that_always_hangs_is_given_up(faulty: Faulty) -> None:
    examination = examine(
        faulty("hang", 0.2), choose(["version", "usage", "list-stdin", "not-found-message", "servers"])
    )
    assert {result.outcome for result in examination.results} == {Outcome.FAILED}
    assert [result.reason.partition(",")[0] for result in examination.results[3:]] == ["not tried"] * 2
    assert len(examination.results) == 5


def test_an_unknown_law() -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose(["list", "nonsense"])
    assert caught.value.cause == "no law is called 'nonsense'"
    assert caught.value.remedy.startswith("choose from: version, usage, ")


def test_every_law_is_explained() -> None:
    text = (REPOSITORY / RULES).read_text(encoding="utf-8")
    assert re.findall(r"^### (\S+)$", text, re.MULTILINE) == IDS
