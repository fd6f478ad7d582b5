"""What the README shows is run as it stands, and what it lists is what the code knows."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from support import NOT_FOUND, Helper, Program, require, run
from support.project.workswith import BEGIN, END

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """The text between two markers, without its code fence."""
    found = re.search(rf"<!-- begin: {name} -->\n```\w*\n(.*?)```\n<!-- end: {name} -->", README, re.DOTALL)
    assert found, name
    return found[1]


def test_the_start(tmp_path: Path, short_tmp: Path) -> None:
    """From a clone to ``passhelper`` and a helper on PATH, as every later command and every hint types them."""
    require("gpg")
    clone = tmp_path / "a clone"
    for name in ("passhelper", "backends"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    home = Path(tempfile.mkdtemp(prefix="h", dir=short_tmp))
    bins = home / ".local" / "bin"
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    python = str(Path(sys._base_executable).parent)  # type: ignore[attr-defined]
    environ = {**pip, "HOME": str(home), "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    says = "command -v passhelper docker-credential-pass && cd / && passhelper list && docker-credential-pass list"
    try:
        answer = run(
            ["bash", "-euc", f"{block('start').rstrip()} --no-passphrase\n{says}"], environ, cwd=clone, timeout=100
        )
        assert answer.code == 0, answer
        assert answer.text.endswith(f"{bins}/passhelper\n{bins}/docker-credential-pass\n{{}}\n"), answer
    finally:
        run(["gpgconf", "--kill", "all"], environ)


@pytest.fixture
def shelf(installed: Program, tmp_path: Path, environ: dict[str, str]) -> Helper:
    """The README's helper, saved as the README says."""
    program = tmp_path / "bin" / "docker-credential-shelf"
    program.parent.mkdir()
    program.write_text(block("helper"))
    program.chmod(0o755)
    path = f"{installed.folder}/bin:{environ['PATH']}"
    return Helper(str(program), {**environ, "PATH": path})


def test_the_helper_of_the_readme_is_one(shelf: Helper) -> None:
    assert shelf.get("https://a.example").out == NOT_FOUND
    assert shelf.list().out == b"{}\n"
    assert shelf.store("https://a.example", "bob", "s3cret\n").code == 0
    assert shelf.store("https://a.example", "eve", "s3cret\n").code == 0
    assert shelf.store("b.example", "<token>", "t").code == 0
    assert shelf.get("https://a.example").json["Secret"] == "s3cret"
    assert shelf.list().json == {"https://a.example": "eve", "b.example": "<token>"}
    assert shelf.erase("https://a.example").code == 0
    assert shelf.erase("https://a.example").out == b""
    assert shelf.list().json == {"b.example": "<token>"}
    answer = shelf("get", "")
    assert (answer.code, answer.out) == (1, b"no credentials server URL\n")
    assert shelf("version").out.startswith(b"docker-credential-shelf (passhelper) ")


def test_the_helper_of_the_readme_is_short() -> None:
    code = [line for line in block("helper").splitlines() if line.strip()]
    assert len(code) <= 24


def test_the_helper_works_with_docker_itself(shelf: Helper, tmp_path: Path) -> None:
    """Docker finds it by its name alone: ``docker logout`` runs ``erase`` through it."""
    require("docker")
    config = tmp_path / "docker"
    config.mkdir()
    (config / "config.json").write_text('{"credsStore": "shelf"}')
    shelf.store("registry.example", "bob", "s")
    folder = str(Path(shelf.program).parent)
    environ = {**shelf.environ, "PATH": f"{folder}:{shelf.environ['PATH']}", "DOCKER_CONFIG": str(config)}
    assert run(["docker", "logout", "registry.example"], environ).code == 0
    assert shelf.list().json == {}


def variables_in_code() -> set[str]:
    """Every setting that the packages name."""
    sources = [*(ROOT / "passhelper").rglob("*.py"), *(ROOT / "backends").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    return set(re.findall(r'"((?:PASSHELPER|PASSWORD_STORE)_[A-Z_]+)"', text))


def test_the_settings_table_is_complete() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`((?:PASSHELPER|PASSWORD_STORE)_[A-Z_]+)`", table))
    listed |= {"PASSHELPER_PASSPHRASE_FD"}  # written as `_FD` in the row of its family
    assert listed == variables_in_code()


def test_the_recipes_are_listed() -> None:
    table = README.partition("<!-- begin: recipes -->")[2].partition("<!-- end: recipes -->")[0]
    folders = {path.name for path in (ROOT / "contrib").iterdir() if path.is_dir()} - {"bench", "guides"}
    assert set(re.findall(r"^\| \[([\w-]+)\]\(contrib/\1\) \|", table, re.MULTILINE)) == folders


def test_the_clients_that_the_tests_drive_are_listed() -> None:
    """``--works-with`` writes the rows; every file that says which client it drives must have passed then."""
    table = README.partition(f"{BEGIN}\n")[2].partition(END)[0]
    rows = table.splitlines()[2:]
    assert rows
    row = re.compile(r"\| [^|]+ \| [^|]+ \| `[a-z`, ]+` \| (?:ran|replayed): \d+ tests? passed \| \[[^|]+\) \|")
    assert [line for line in rows if not row.fullmatch(line)] == []
    files = [path for folder in ("clients", "engine") for path in (ROOT / "tests" / folder).glob("test_*.py")]
    says = ("works_with", "docker_version")  # the fixtures
    driving = {str(path.relative_to(ROOT)) for path in files if any(name in path.read_text() for name in says)}
    assert set(re.findall(r"\[[^]]+\]\((tests/[^)]+)\)", table)) == driving


def test_the_bench_table_is_there() -> None:
    """Figures are checked by eye; that the table is the bench's own shows in its rows."""
    table = README.partition("<!-- begin: bench -->")[2].partition("<!-- end: bench -->")[0]
    bench = (ROOT / "contrib" / "bench" / "bench.py").read_text()
    rows = re.findall(r'Row\("([^"]+)"', bench)
    assert rows
    assert re.findall(r"^\| (`[^|]+?) \|", table, re.MULTILINE) == rows
