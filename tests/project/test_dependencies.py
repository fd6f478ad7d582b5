"""What is installed with the program: nothing with the faults that are named here. Faults found later are not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
PINS = PROJECT.parent / "contrib" / "requirements.txt"
# The version that mended the last fault of each that was known in September 2026, as advisory databases name it.
MENDED = {
    "GitPython": ("3.1.61", "PYSEC-2026-3982 and others: files of a work tree could stand for its .git directory"),
    "h11": ("0.16.0", "CVE-2025-43859: chunks that end wrongly were taken"),
    "httpx": ("0.23.0", "CVE-2021-41945: URLs were read wrongly"),
    "idna": ("3.15", "CVE-2026-45409: quadratic time for a long name, for CVE-2024-3651 was half mended"),
    "keyring": ("0.10", "CVE-2012-5578: files that others could read"),
    "Pygments": ("2.20.0", "CVE-2026-4539: a regular expression that takes without end"),
    "python-gnupg": ("0.4.4", "CVE-2019-6690: a passphrase with a line end could add data"),
}


def bounds() -> dict[str, str]:
    """Read the least version of each dependency."""
    text = PROJECT.read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    found = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)[";]', text, re.MULTILINE))
    assert len(found) == sum(line.startswith('    "') for line in text.splitlines()), "one has no least version"
    return found


def parts(version: str) -> list[int]:
    return [int(part) for part in re.sub(r"(\.0)+$", "", version).split(".")]


@pytest.mark.parametrize("name", MENDED)
def test_no_known_fault_is_installed(name: str) -> None:
    version, fault = MENDED[name]
    assert parts(bounds()[name]) >= parts(version), fault


# What the recipes install


def pins() -> list[tuple[str, str, str]]:
    """Read the name, version and hashes of each line of the recipes' file."""
    text = re.sub(r"^#.*\n", "", PINS.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    found = [
        re.fullmatch(r"([\w.-]+)==([\w.]+)( ; [^-]*)?((?: +--hash=sha256:[0-9a-f]{64})+) *", line)
        for line in text.splitlines()
    ]
    assert all(found), text
    return [(line[1].lower(), line[2], line[4]) for line in found if line]


@pytest.mark.parametrize("name", bounds())
def test_the_recipes_take_no_older_one(name: str) -> None:
    versions = [version for pinned, version, _ in pins() if pinned == name.lower()]
    assert versions
    assert all(parts(version) >= parts(bounds()[name]) for version in versions)


def install(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Install as the recipes do, from the index that this machine's pip is set up with."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", *options]
    done = subprocess.run([*command, "--requirement", str(file)], capture_output=True, text=True, check=False)
    if "NewConnectionError" in done.stderr or "NameResolutionError" in done.stderr:
        pytest.skip("no index of packages is reached")
    return done


def test_pip_installs_them_with_their_hashes(tmp_path: Path) -> None:
    """pip refuses a library that one of them needs and that has no line, too."""
    done = install(PINS, "--target", str(tmp_path / "all"))
    assert done.returncode == 0, done.stderr
    installed = {path.name.partition("-")[0].lower() for path in (tmp_path / "all").glob("*.dist-info")}
    assert {re.sub(r"[-.]", "_", name.lower()) for name in bounds()} - {"tomli"} <= installed


def test_pip_installs_nothing_with_another_hash(tmp_path: Path) -> None:
    name, version, hashes = next(pin for pin in pins() if pin[0] == "click")
    file = tmp_path / "requirements.txt"
    file.write_text(f"{name}=={version} {re.sub('sha256:....', 'sha256:0000', hashes)}\n")
    done = install(file, "--target", str(tmp_path / "all"))
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "all").exists()
