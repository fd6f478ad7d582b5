"""Backends by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from passhelper import Credentials, CredentialsNotFoundError, Helper, PassHelper, get_helper
from passhelper.backends import GROUP, SHIPPED
from passhelper.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_name_is_a_backend(name: str) -> None:
    assert isinstance(get_helper(name), Helper)


def test_pass_is_the_pass_store() -> None:
    assert isinstance(get_helper("pass"), PassHelper)


def test_the_table_and_the_metadata_say_the_same() -> None:
    declared = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").partition(f'entry-points."{GROUP}"]\n')[2]
    lines = declared.partition("\n\n")[0].splitlines()
    assert dict(line.replace('"', "").split(" = ") for line in lines) == SHIPPED


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        get_helper("valt")
    assert caught.value.cause == "no backend is called 'valt'"
    assert caught.value.remedy.startswith("choose one of: ")
    assert {"memory", "pass"} <= set(caught.value.remedy.removeprefix("choose one of: ").split(", "))


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's distribution with three backends, two of them broken."""
    (tmp_path / "thirdparty_ph.py").write_text(
        "from passhelper_backends.memory import MemoryHelper\nclass Mine(MemoryHelper): pass\nclass Wrong: pass\n"
    )
    info = tmp_path / "thirdparty_ph-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-ph\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nmine = thirdparty_ph:Mine\nwrong = thirdparty_ph:Wrong\n"
        "gone = thirdparty_ph:Gone\nlost = thirdparty_lost:X\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("distribution")
def test_a_third_party_registers_by_entry_point() -> None:
    helper = get_helper("mine")
    helper.store(Credentials("https://a.example", "bob", "s3cret"))
    assert helper.list() == {"https://a.example": "bob"}


@pytest.mark.usefixtures("distribution")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "backend wrong is no passhelper.Helper but Wrong"),
        ("gone", "backend gone (thirdparty_ph:Gone) cannot be loaded: module 'thirdparty_ph' has no attribute 'Gone'"),
        ("lost", "backend lost (thirdparty_lost:X) cannot be loaded: No module named 'thirdparty_lost'"),
    ],
)
def test_a_broken_backend_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        get_helper(name)
    assert str(caught.value) == message


def test_a_shipped_name_costs_no_metadata() -> None:
    code = f"""
import sys
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "backends")!r}]
from passhelper.backends import get_helper
get_helper("pass"), get_helper("memory")
assert "importlib.metadata" not in sys.modules
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=20)


def test_the_memory_backend_forgets_with_the_object() -> None:
    helper = get_helper("memory")
    helper.store(Credentials("https://a.example", "bob", "s3cret"))
    with pytest.raises(CredentialsNotFoundError):
        get_helper("memory").get("https://a.example")
