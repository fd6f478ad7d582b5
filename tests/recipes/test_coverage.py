"""No recipe without a test: whatever lies in ``contrib/`` is run by a test in this directory."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Program, run
from support.machines.jobs import BARE_PATH, Job, agents
from support.project.recipes import CONTRIB, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

README = (CONTRIB / "README.md").read_text()
NO_RECIPES = {
    "bench",
    "conformance.md",
    "fleets.md",
    "guides",
    "requirements.txt",
}  # what has tests of its own, and pages
RECIPES = sorted(path.name for path in CONTRIB.iterdir() if path.name not in NO_RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_test_and_a_line_in_the_readme(name: str) -> None:
    """The fixture ``recipe`` sees to it that such a test runs all of its shell."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert f'recipe("{name}")' in tests
    assert f"| [{name}]({name}) |" in README or name == "README.md"
    Recipe(name)  # an unknown kind of file fails here


def test_a_recipe_that_is_not_run_fails_its_test() -> None:
    files = Recipe("gitlab-ci")
    files.take("example.gitlab-ci.yml", "image.script")
    template = "passhelper.gitlab-ci.yml: .passhelper."
    assert files.left == [f"{template}after_script", f"{template}before_script"]


def test_the_key_for_runners(recipe: Callable[[str], Recipe], installed: Program, place: Path) -> None:
    """The secrets that the README makes are what set-up takes."""
    page = recipe("README.md")
    page.take("README.md", "block 0")  # every job of these tests installs what it makes
    script = page.take("README.md", "block 1")
    for name in ("h", "r"):
        (place / name).mkdir(mode=0o700)
    job = Job(installed, place / "h", place / "r")
    made = job.shell(script, wrapper=["env", f"TMPDIR={place}"])
    assert made.code == 0, made.err
    assert agents(str(place)) == []
    key = (place / "h" / "key").read_text()
    assert base64.b64decode(key).startswith(b"-----BEGIN PGP PRIVATE KEY")
    assert len(key.split()) == 1
    job.environ |= {"PASSHELPER_GPG_KEY": key, "PASSHELPER_PASSPHRASE_FILE": str(place / "h" / "passphrase")}
    job.adopt(job.set_up().text)
    assert run(["gpg", "--batch", "--list-keys", "--with-colons"], {**job.environ, "PATH": BARE_PATH}).code == 0
    assert job.tear_down().code == 0
    assert (place / "h" / "runners.asc").read_text().startswith("-----BEGIN PGP PUBLIC KEY")
