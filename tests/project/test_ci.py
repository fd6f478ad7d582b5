"""What CI runs on systems that are not here: each step fails when it should, seen with stand-ins."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import run

import passhelper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Helper

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
LOCKED = "the login keychain is locked; run: security -v unlock-keychain ~/Library/Keychains/login.keychain-db"


def workflow() -> Any:
    return yaml.safe_load(WORKFLOW.read_text())


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in workflow()["jobs"].items():
        for step in job["steps"]:
            if "run" in step:
                yield name, step


def program(place: Path, text: str) -> str:
    """An executable shell script."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return str(place)


class TestWorkflow:
    def test_every_step_is_one_command(self) -> None:
        """Pipes and ``!`` hide failures from the shell of a step; scripts know better, and shellcheck sees them."""
        assert len(list(steps())) > 10
        odd = [
            f"{job}: {step['run']}" for job, step in steps() if any(sign in step["run"].strip() for sign in "\n|;!&")
        ]
        assert not odd

    def test_every_shell_is_bash_that_sees_pipes(self) -> None:
        """Named, it is started with pipefail; a container's own would be sh."""
        assert workflow()["defaults"]["run"]["shell"] == "bash"
        assert not [step for _, step in steps() if "shell" in step]

    def test_every_script_that_a_step_names_is_here(self) -> None:
        named = {
            word for _, step in steps() for word in step["run"].split() if word.startswith(".ci/") and word != ".ci/*"
        }
        assert named
        assert not [script for script in named if not os.access(ROOT / script, os.X_OK)]

    def test_every_script_stops_at_a_failure(self) -> None:
        for script in CI.iterdir():
            lines = script.read_text().splitlines()
            assert lines[0] == "#!/usr/bin/env bash", script
            assert "set -euo pipefail" in lines, script
            assert script.stat().st_mode & stat.S_IXUSR, script


class TestVerbs:
    def test_ours_passes(self, helper: Helper, store: Path) -> None:
        answer = run([str(CI / "verbs"), helper.program], helper.environ)
        assert answer.code == 0, answer

    @pytest.mark.parametrize(("shows", "passes"), [("https://ci.invalid/v1/", True), ("nothing", False)])
    def test_what_the_system_shows(self, shows: str, passes: bool, helper: Helper, store: Path, tmp_path: Path) -> None:
        command = program(tmp_path / "cmdkey", f'[ "$1" = /list ] && echo {shows}')
        answer = run([str(CI / "verbs"), helper.program, command, "/list"], helper.environ)
        assert (answer.code == 0) is passes, answer

    @pytest.mark.parametrize(
        ("verb", "instead"),
        [
            ("store", "exit 1"),
            ("get", "exit 1"),
            ("get", 'echo \'{"ServerURL":"https://ci.invalid/v1/","Username":"bob","Secret":"other"}\''),
            ("get", 'echo \'{"ServerURL":"https://ci.invalid/v1/","Username":"eve","Secret":"s3cret"}\''),
            ("list", "exit 1"),
            ("list", "echo '{}'"),
            ("list", 'echo \'{"https://ci.invalid/v1/":"bob"}\''),
            ("erase", "exit 1"),
            ("erase", "cat"),
        ],
    )
    def test_a_fault_fails(self, verb: str, instead: str, helper: Helper, store: Path, tmp_path: Path) -> None:
        """One verb answers wrongly, the others are ours."""
        faulty = program(tmp_path / "faulty", f'case $1 in {verb}) {instead} ;; *) exec {helper.program} "$1" ;; esac')
        assert run([str(CI / "verbs"), faulty], helper.environ).code != 0


class TestApi:
    """The pages of the library, from its docstrings."""

    def test_every_public_name_has_its_place(self, tmp_path: Path) -> None:
        answer = run([str(CI / "api"), str(tmp_path / "api"), sys.executable], dict(os.environ))
        assert answer.code == 0, answer
        pages = {path.stem: path.read_text() for path in (tmp_path / "api" / "passhelper").glob("*.html")}
        pages["passhelper"] = (tmp_path / "api" / "passhelper.html").read_text()
        public = {path.stem for path in (ROOT / "passhelper").glob("*.py") if "\n__all__ = " in path.read_text()}
        assert set(pages) == public - {"__init__"} | {"passhelper"}
        assert 'id="Credentials.replace"' in pages["passhelper"]
        for name in passhelper.__all__:
            assert f'id="{name}"' in pages["passhelper"]
        for module in set(pages) - {"passhelper"}:
            for name in import_module(f"passhelper.{module}").__all__:
                assert f'id="{name}"' in pages[module], (module, name)

    def test_a_warning_is_a_failure(self, tmp_path: Path) -> None:
        """An annotation that means nothing."""
        shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
        package = tmp_path / "passhelper"
        package.mkdir()
        (package / "__init__.py").write_text('"""D."""\n\n__all__ = ["f"]\n\ndef f() -> "Nothing": ...\n')
        answer = run([str(tmp_path / ".ci" / "api"), str(tmp_path / "api"), sys.executable], dict(os.environ))
        assert answer.code != 0
        assert b"Nothing" in answer.err


class TestKeychain:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """Where ``security`` notes what it was called with."""
        program(tmp_path / "bin" / "security", f'echo "$*" >> {tmp_path}/calls')
        return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}

    @pytest.mark.parametrize(
        ("does", "passes"),
        [
            (f"cat > /dev/null; echo '{LOCKED}'; exit 1", True),
            ("cat > /dev/null", False),  # stores
            (f"cat > /dev/null; echo '{LOCKED}'", False),  # says so, and ends as if it had stored
            ("cat > /dev/null; echo 'it is locked'; exit 1", False),  # does not say what to do
            ("exit 1", False),
        ],
    )
    def test_a_locked_one(self, does: str, passes: bool, environ: dict[str, str], tmp_path: Path) -> None:
        helper = program(tmp_path / "docker-credential-osxkeychain", does)
        answer = run([str(CI / "keychain"), "locked", helper], environ)
        assert (answer.code == 0) is passes, answer
        assert (tmp_path / "calls").read_text() == "lock-keychain passhelper.keychain-db\n"

    def test_what_is_not_locked_proves_nothing(self, environ: dict[str, str], tmp_path: Path) -> None:
        program(tmp_path / "bin" / "security", "exit 1")
        helper = program(tmp_path / "docker-credential-osxkeychain", f"cat > /dev/null; echo '{LOCKED}'; exit 1")
        assert run([str(CI / "keychain"), "locked", helper], environ).code != 0

    def test_a_new_one_is_unlocked_and_the_default(self, environ: dict[str, str], tmp_path: Path) -> None:
        assert run([str(CI / "keychain"), "new"], environ).code == 0
        calls = (tmp_path / "calls").read_text().splitlines()
        assert [call.split()[0] for call in calls] == [
            "create-keychain", "set-keychain-settings", "unlock-keychain", "list-keychains", "default-keychain",
        ]  # fmt: skip


class TestPythons:
    def test_those_that_are_promised_are_tested(self) -> None:
        settings = (ROOT / "pyproject.toml").read_text()
        promised = re.findall(r"Programming Language :: Python :: (3\.\d+)", settings)
        assert workflow()["jobs"]["pythons"]["strategy"]["matrix"]["python"] == promised
        assert f'requires-python = ">={promised[0]}"' in settings
        rows = re.findall(r"^\| Debian [^|]*\|[^|]*\|[^|]*\|([^|]*)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
        assert {version.strip() for row in rows for version in row.split(",")} == set(promised)

    def test_only_those_that_run_and_are_what_they_are_called(self, tmp_path: Path) -> None:
        real = sys._base_executable  # type: ignore[attr-defined]
        version = "{}.{}".format(*sys.version_info)
        program(tmp_path / f"python{version}", f'exec {real} "$@"')
        program(tmp_path / "python3.29", f'exec {real} "$@"')  # another than its name says
        program(tmp_path / "python3.30", "echo 'command not found' >&2; exit 127")  # as pyenv's shims
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
        found = run([str(CI / "pythons")], environ).text.splitlines()
        assert version in [line.split()[0] for line in found]
        assert not [line for line in found if line.startswith(("3.29", "3.30"))]
        assert version not in run([str(CI / "pythons"), version], environ).text
