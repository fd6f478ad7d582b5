"""``passhelper conformance``, as it is installed: what it prints, its exit codes, Docker's own helpers."""

from __future__ import annotations

import signal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support import Answer, KeyRing, Program, require_go_helper, run, tree
from support.faults.faulty import Faulty

from passhelper.conformance import DOMAIN, LAWS, RULES

IDS = [law.id for law in LAWS]


class Command:
    """Runs ``passhelper conformance`` on a program."""

    def __init__(self, installed: Program, environ: dict[str, str]) -> None:
        self._installed = installed
        self.environ = environ

    def __call__(self, *arguments: str, **changes: str) -> Answer:
        command = [self._installed.passhelper, "conformance", *arguments]
        return run(command, {**self.environ, **changes}, timeout=100)


@pytest.fixture
def conformance(installed: Program, environ: dict[str, str]) -> Command:
    return Command(installed, environ)


def _rows(answer: Answer) -> dict[str, str]:
    lines = [line.split() for line in answer.text.splitlines()]
    assert lines[0] == ["LAW", "RESULT", "WHAT", "IT", "SAYS,", "OR", "HOW", "IT", "IS", "BROKEN"]
    return {words[0]: words[1] for words in lines[1:]}


def test_our_pass_keeps_them_all(conformance: Command, installed: Program, store: Path) -> None:
    before = tree(store)
    answer = conformance(installed.helper)
    assert answer.code == 0, answer.text
    assert _rows(answer) == dict.fromkeys(IDS, "ok")
    assert answer.err.decode() == f"examining {installed.helper}, with servers below {DOMAIN} only\n"
    assert tree(store) == before | {"docker-credential-helpers": b""}


def test_one_cause_is_told_once(conformance: Command, installed: Program, store: Path, keys: KeyRing) -> None:
    """A locked key breaks many laws, in the same words."""
    (store / ".gpg-id").write_text(f"{keys['locked']}\n")
    answer = conformance(installed.helper, PASSHELPER_NONINTERACTIVE="1")
    assert answer.code == 1
    lines = [line for line in answer.text.splitlines() if " is locked; " in line]
    assert len(lines) == 1, answer.text
    first = lines[0].split()[0]
    others = [line for line in answer.text.splitlines() if line.endswith(f" failed, as at {first}")]
    assert len(others) > 10


KNOWN_FAULTS = {  # of docker-credential-helpers 0.6.4
    "not-found-message", "byte-order-mark", "control-characters", "lossless", "reads-stdin", "huge-secret",
    "slash-username", "traversal", "replace-user", "erase-absent", "pass-stray-directory", "pass-foreign-files",
}  # fmt: skip


def test_dockers_own_pass_shows_its_known_faults(conformance: Command, store: Path) -> None:
    before = tree(store)
    answer = conformance(require_go_helper(), "--json")
    found = {law["id"]: law for law in answer.json["data"]["laws"]}
    assert {id_ for id_, law in found.items() if law["outcome"] == "failed"} == KNOWN_FAULTS
    victim = f"https://victim.{DOMAIN} has user 'aaa', not 'zoe'"
    assert found["traversal"]["reason"] == victim
    assert "illegal base64 data" in found["pass-stray-directory"]["reason"]
    assert found["replace-user"]["reason"].endswith("has user 'adam', not 'zoe'")
    assert found["slash-username"]["reason"].endswith("has user 'tenancy', not 'tenancy/idcs/bob'")
    assert answer.code == 1
    assert answer.json["data"]["left"] == []
    assert tree(store) == before | {"docker-credential-helpers": b""}


def test_json(conformance: Command, faulty: Faulty) -> None:
    broken = faulty("replace-user")
    answer = conformance(broken.program, "--json", "--check", "replace-user", "--check", "version",
                         **faulty.environ("replace-user"))  # fmt: skip
    document = answer.json
    assert (document["version"], document["command"]) == (1, "conformance")
    assert document["data"].keys() == {"program", "laws", "left"}
    first, second = document["data"]["laws"]
    assert first.keys() == {"id", "outcome", "says", "reason", "rule", "seconds"}
    assert (first["id"], first["outcome"], first["rule"]) == ("replace-user", "failed", f"{RULES}#replace-user")
    assert (second["id"], second["outcome"], second["reason"]) == ("version", "passed", None)
    assert (answer.code, document["data"]["left"]) == (1, [])


def test_junit(conformance: Command, faulty: Faulty, tmp_path: Path) -> None:
    broken = faulty("list")
    report = tmp_path / "report.xml"
    answer = conformance(broken.program, "--junit", str(report), "--check", "list", "--check", "version",
                         "--check", "pass-stray-directory", **faulty.environ("list"))  # fmt: skip
    assert answer.code == 1
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")}
    assert counts == {"name": "docker-credential-faulty", "tests": "3", "failures": "2", "errors": "0", "skipped": "0"}
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == ["list", "version", "pass-stray-directory"]
    failure = cases["list"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("list says nothing for list0.")
    assert (failure.text or "").endswith(f"see {RULES}#list")
    assert [one.get("value") for one in cases["version"].iter("property")] == [f"{RULES}#version"]
    assert cases["version"].find("failure") is None


def test_junit_counts_what_does_not_apply(conformance: Command, tmp_path: Path) -> None:
    answer = conformance("--backend", "memory", "--junit", str(tmp_path / "r.xml"))
    assert answer.code == 0
    assert {id_ for id_, result in _rows(answer).items() if result == "ok"} >= {"servers", "replace-user", "list"}
    suite = ET.parse(tmp_path / "r.xml").getroot()[0]
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "20"
    assert answer.err == f"examining the backend memory, with servers below {DOMAIN} only\n".encode()


def test_what_is_left_is_said(conformance: Command, faulty: Faulty) -> None:
    broken = faulty("hang in erase")
    answer = conformance(broken.program, "--check", "secrets", "--timeout", "0.7",
                         **faulty.environ("hang in erase"))  # fmt: skip
    assert f"warning: not erased, or it cannot be found out: secret.{DOMAIN}\n" in answer.err.decode()


def test_ctrl_c_cleans_up(conformance: Command, faulty: Faulty) -> None:
    broken = faulty("interrupt")
    answer = conformance(broken.program, **faulty.environ("interrupt"))
    assert answer.code in (1, -signal.SIGINT)
    assert b"error: interrupted" in answer.err
    assert faulty.kept == []


def test_a_program_by_its_name(conformance: Command, installed: Program, store: Path) -> None:
    path = f"{Path(installed.helper).parent}:{conformance.environ['PATH']}"
    for name in ("pass", "docker-credential-pass"):
        answer = conformance(name, "--check", "version", PATH=path)
        assert (answer.code, _rows(answer)) == (0, {"version": "ok"})


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ((), "error: name either a program or a --backend", 2),
        (("x", "--backend", "memory"), "error: name either a program or a --backend", 2),
        (("nosuch",), "error: docker-credential-nosuch is not on PATH", 1),
        (("/nonexistent/x",), "error: /nonexistent/x is not a program\nhint: check its path and mode", 1),
        (("--backend", "nosuch"), "error: no backend is called 'nosuch'", 1),
        (("--backend", "memory", "--check", "nosuch"), "error: no law is called 'nosuch'", 1),
        (("x", "--timeout", "0"), "error: invalid value for '--timeout'", 2),
    ],
)
def test_what_cannot_be_examined(conformance: Command, arguments: tuple[str, ...], message: str, code: int) -> None:
    answer = conformance(*arguments)
    assert answer.err.decode().startswith(message)
    assert (answer.code, answer.out) == (code, b"")


def test_it_needs_no_test_framework(installed: Program, environ: dict[str, str]) -> None:
    code = "import sys, passhelper.cli.conformance; print(*sorted(sys.modules))"
    loaded = set(run([installed.python, "-c", code], environ).text.split())
    assert "passhelper.conformance" in loaded
    assert loaded.isdisjoint({"pytest", "hypothesis", "keyring", "git", "passhelper_backends"})
