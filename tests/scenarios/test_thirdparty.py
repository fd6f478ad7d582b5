"""Somebody else's backend, installed beside the wheel: found, linked, examined, and kept to the contract."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support import Answer, Helper, Once, Program, run

SOURCE = Path(__file__).parents[1] / "thirdparty"
CHECKED = ("success-streams", "not-found-message", "replace-user", "erase", "list", "survives")


@pytest.fixture(scope="session")
def fresh(wheel: Path, made_once: Once) -> Program:
    """An environment with the wheel and the other distribution, both installed by pip."""

    def install(folder: Path) -> None:
        dist = folder.with_name("thirdparty-dist")
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        program = Program.install(wheel, folder, libraries=Path(sysconfig.get_path("purelib")))
        command = [program.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *map(str, dist.iterdir())]
        subprocess.run(command, check=True, capture_output=True)

    return Program(made_once("venv-thirdparty", install))


@pytest.fixture
def drawer(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**environ, "DRAWER": str(tmp_path / "drawer")}


def test_it_is_found_through_its_entry_point(fresh: Program, drawer: dict[str, str]) -> None:
    answer = run([fresh.passhelper, "backends"], drawer)
    assert ["drawer", "1", "passhelper-drawer", "1.0", "yes"] in [line.split() for line in answer.text.splitlines()]
    assert not Path(drawer["DRAWER"]).exists()  # its class has answered, and no object was made
    code = "from passhelper import get_helper; print(type(get_helper('drawer')).__module__)"
    assert run([fresh.python, "-I", "-c", code], drawer).text == "passhelper_drawer\n"
    answer = run([fresh.passhelper, "link", "nosuch"], drawer)
    assert b"hint: choose one of: drawer, keyring, memory, " in answer.err


def test_one_that_cannot_be_opened_says_so_to_docker(fresh: Program, drawer: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    assert run([fresh.passhelper, "link", "drawer", "--dir", str(folder)], drawer).code == 0
    helper = Helper(str(folder / "docker-credential-drawer"), {**drawer, "DRAWER": str(tmp_path)})
    message = "backend drawer cannot be opened: OperationalError; set PASSHELPER_DEBUG=1 to see where\n"
    for answer in (helper.get("https://a.example"), helper.list(), helper.store("https://a.example", "u", "s")):
        assert (answer.code, answer.text, answer.err.decode()) == (1, message, f"docker-credential-drawer: {message}")
    assert helper("version").code == 0


def test_it_becomes_a_helper_of_docker(fresh: Program, drawer: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    assert run([fresh.passhelper, "link", "drawer", "--dir", str(folder)], drawer).code == 0
    helper = Helper(str(folder / "docker-credential-drawer"), drawer)
    assert helper.store("https://a.example", "bob", "s3cret").code == 0
    assert helper.get("https://a.example").json == {
        "ServerURL": "https://a.example", "Username": "bob", "Secret": "s3cret",
    }  # fmt: skip
    assert helper("version").text.startswith("docker-credential-drawer (passhelper) ")
    checks = [word for law in CHECKED for word in ("--check", law)]
    answer = run([fresh.passhelper, "conformance", helper.program, *checks], drawer)
    assert answer.code == 0, answer.text
    assert [line.split()[:2] for line in answer.text.splitlines()[1:]] == [[law, "ok"] for law in CHECKED]
    assert helper.list().json == {"https://a.example": "bob"}


def test_it_is_copied_from_and_examined_by_its_name(fresh: Program, drawer: dict[str, str], store: Path) -> None:
    assert run([fresh.passhelper, "conformance", "--backend", "drawer"], drawer).code == 0
    answer = run([fresh.passhelper, "import", "--from", "drawer"], drawer)
    assert (answer.code, answer.text) == (0, "there is nothing to import\n")


def _contract(fresh: Program, environ: dict[str, str], folder: Path, *more: str) -> Answer:
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-o", "addopts=", *more]
    return run([fresh.python, "-m", "pytest", *options, str(folder / "test_drawer.py")], environ, cwd=folder)


def test_it_keeps_the_contract(fresh: Program, drawer: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "test_drawer.py").write_text((SOURCE / "test_drawer.py").read_text())
    answer = _contract(fresh, drawer, folder)
    assert re.search(rb"^15 passed in ", answer.out, re.MULTILINE), answer
    assert answer.code == 0


def test_the_contract_finds_a_fault_in_it(fresh: Program, drawer: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    code = (SOURCE / "passhelper_drawer.py").read_text()
    (folder / "passhelper_drawer.py").write_text(code.replace("OR REPLACE", "OR IGNORE"))  # the first user stays
    (folder / "test_drawer.py").write_text((SOURCE / "test_drawer.py").read_text())
    answer = _contract(fresh, drawer, folder, "-k", "not histories")  # which take long to shrink
    failed = set(re.findall(r"^FAILED test_drawer.py::TestDrawer::(\S+)", answer.text, re.MULTILINE))
    assert {"test_law[replace-user]", "test_law[secrets]"} <= failed
    assert "test_law[erase]" not in failed
