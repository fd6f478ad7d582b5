"""What is installed with the program: nothing with the faults that are named here. Faults found later are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
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
