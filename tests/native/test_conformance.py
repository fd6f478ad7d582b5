"""The black-box laws on Secret Service helpers: Docker's own with its known faults, ours without; and copies."""

from __future__ import annotations

import re

import pytest
from support import Helper, Program, require, run
from support.machines.desktops import GO_HELPER, Desktop

from passhelper.client import ProgramHelper
from passhelper.conformance import Outcome, choose, examine

# What docker-credential-helpers 0.6.4 gets wrong, and some of what it gets right.
FAULTS = ("control-characters", "lossless", "reads-stdin", "secrets", "trailing-line-ends", "replace-user")
VIRTUES = ("not-found-message", "list-stdin", "slash-username", "traversal", "erase", "erase-absent", "list")


def _failed(program: str, desktop: Desktop) -> dict[str, str]:
    examination = examine(ProgramHelper(program, desktop.environ, 20), choose(FAULTS + VIRTUES))
    assert examination.left == []
    assert {result.outcome for result in examination.results} <= {Outcome.PASSED, Outcome.FAILED}
    return {result.law.id: result.reason for result in examination.failed}


def test_dockers_own_shows_its_known_faults(gnome: Desktop) -> None:
    require("docker-credential-secretservice")
    failed = _failed(GO_HELPER, gnome)
    assert set(failed) == set(FAULTS)
    # Whose login is found is a matter of chance there.
    assert re.search(r"has user '\w+', not '\w+'$", failed["replace-user"])
    assert failed["lossless"] == "a secret with a NUL is kept, but changed"
    assert gnome.items() == []


def test_ours_has_none_of_them(gnome: Desktop, linked: dict[str, str]) -> None:
    assert _failed(linked["secretservice"], gnome) == {}
    assert gnome.items() == []


@pytest.fixture
def environ_with_desktop(environ: dict[str, str], gnome: Desktop) -> dict[str, str]:
    return {**environ, "DBUS_SESSION_BUS_ADDRESS": gnome.environ["DBUS_SESSION_BUS_ADDRESS"]}


@pytest.mark.usefixtures("store")
def test_copies_from_and_to_the_keyring(
    installed: Program, helper: Helper, gnome: Desktop, environ_with_desktop: dict[str, str]
) -> None:
    # With no program of Docker's on PATH, both are backends of this installation.
    environ = {**environ_with_desktop, "PATH": "/nonexistent", "PASSHELPER_GPG": "/usr/bin/gpg"}
    helper.store("a.io", "u", "s1")
    command = [installed.passhelper, "import", "--from", "pass", "--to", "secretservice"]
    answer = run([*command, "--dry-run"], environ)
    assert (answer.code, answer.text) == (0, "would store the credential of u for a.io\n")
    assert gnome.items() == []
    answer = run(command, environ)
    assert (answer.code, answer.text) == (0, "stored the credential of u for a.io\n")
    (item,) = gnome.items()
    assert (item["Attributes"]["server"], item["Secret"]) == ("a.io", b"s1")
    helper.erase("a.io")
    back = [installed.passhelper, "import", "--from", "secretservice"]
    assert run(back, environ).text == "stored the credential of u for a.io\n"
    assert helper.get("a.io").json["Secret"] == "s1"
