"""Backends by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from passhelper import Credentials, CredentialsNotFoundError, Helper, MemoryHelper, PassHelper, get_helper
from passhelper.backends import GROUP, SHIPPED, backend_class
from passhelper.errors import ConfigurationError, KeychainUnavailableError, StoreNotInitializedError
from passhelper.survey import survey

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


BACKENDS = """
import sys
from passhelper import MemoryHelper, StoreError

class Mine(MemoryHelper): pass
class Wrong: pass
class Away(MemoryHelper):
    @classmethod
    def priority(cls):
        raise StoreError("the drawer is shut", "open it")
class Failing(MemoryHelper):
    @classmethod
    def priority(cls):
        raise RuntimeError("s3cret")
class Best(MemoryHelper):
    def __init__(self):
        raise RuntimeError("no object is made")
    @classmethod
    def priority(cls):
        return 99
"""
ENTRIES = {
    "mine": "thirdparty_ph:Mine", "wrong": "thirdparty_ph:Wrong", "odd": "thirdparty_ph:BACKENDS",
    "gone": "thirdparty_ph:Gone", "lost": "thirdparty_lost:X", "leaves": "thirdparty_leaves:X",
    "away": "thirdparty_ph:Away", "failing": "thirdparty_ph:Failing", "best": "thirdparty_ph:Best",
    "pass": "thirdparty_ph:Mine",
}  # fmt: skip


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's distribution, with good backends and broken ones."""
    (tmp_path / "thirdparty_ph.py").write_text(f"{BACKENDS}BACKENDS = 17\n")
    (tmp_path / "thirdparty_leaves.py").write_text("raise SystemExit(3)\n")
    info = tmp_path / "thirdparty_ph-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-ph\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in ENTRIES.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("distribution")
def test_a_third_party_registers_by_entry_point() -> None:
    helper = get_helper("mine")
    helper.store(Credentials("https://a.example", "bob", "s3cret"))
    assert helper.list() == {"https://a.example": "bob"}
    assert isinstance(get_helper("pass"), PassHelper)


BROKEN = {
    "wrong": ("is the class Wrong, not a class of passhelper.Helper", "report it to the authors of thirdparty-ph 1.0"),
    "odd": ("is int, not a class of passhelper.Helper", "report it to the authors of thirdparty-ph 1.0"),
    "gone": (
        "cannot be loaded: module 'thirdparty_ph' has no attribute 'Gone'",
        "install thirdparty-ph 1.0 again, or remove it",
    ),
    "lost": ("cannot be loaded: No module named 'thirdparty_lost'", "install thirdparty-ph 1.0 again, or remove it"),
    "leaves": ("cannot be loaded: 3", "install thirdparty-ph 1.0 again, or remove it"),
}


@pytest.mark.usefixtures("distribution")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_backend_is_named(name: str) -> None:
    reason, remedy = BROKEN[name]
    with pytest.raises(ConfigurationError) as caught:
        get_helper(name)
    assert (caught.value.cause, caught.value.remedy) == (f"backend {name} ({ENTRIES[name]}) {reason}", remedy)


@pytest.mark.usefixtures("distribution")
def test_a_survey_names_the_broken_ones_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "nosuch"))
    found = {(one.name, one.origin): one for one in survey()}
    theirs = {name: one for (name, origin), one in found.items() if origin == "thirdparty-ph 1.0"}
    assert set(theirs) == set(ENTRIES)
    for name, (reason, remedy) in BROKEN.items():
        assert theirs[name].is_broken
        assert (theirs[name].reason, theirs[name].remedy) == (f"backend {name} ({ENTRIES[name]}) {reason}", remedy)
    assert theirs["failing"].is_broken
    assert theirs["failing"].reason == "its priority fails with RuntimeError"  # and not what it says
    assert (theirs["away"].reason, theirs["away"].remedy, theirs["away"].is_broken) == (
        "the drawer is shut", "open it", False,
    )  # fmt: skip
    assert theirs["pass"].reason == "the name is taken by passhelper"
    assert (theirs["best"].priority, theirs["mine"].priority) == (99, -1)
    ours = {name: one for (name, origin), one in found.items() if origin == "passhelper"}
    assert set(ours) == set(SHIPPED)
    assert not any(one.is_broken for one in ours.values())
    assert ours["pass"].reason == f"password store not initialised at {tmp_path}/nosuch"
    order = [one.priority for one in survey()]
    usable = [priority for priority in order if priority is not None]
    assert order == sorted(usable, reverse=True) + [None] * (len(order) - len(usable))
    assert order[0] == 99


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a removal that was cut short, or somebody's editor, has left of other distributions."""
    for name, text in (("half", f"[{GROUP}]\nhalf = half:Half\n"), ("odd", "[console_scripts]\njust words\n")):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("distribution", "leftovers")
def test_damaged_distributions_are_not_in_the_way() -> None:
    found = {(one.name, one.origin): one for one in survey()}
    half = found["half", "a distribution without a name"]
    assert (half.is_broken, half.remedy) == (True, "install a distribution without a name again, or remove it")
    assert found["mine", "thirdparty-ph 1.0"].priority == -1
    assert isinstance(get_helper("mine"), MemoryHelper)
    with pytest.raises(ConfigurationError, match=r"^no backend is called 'valt'; choose one of: .*, mine, "):
        get_helper("valt")


def test_a_class_answers_without_an_object(
    store: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(store))
    for name in SHIPPED:
        backend = backend_class(name)
        monkeypatch.setattr(backend, "__init__", None)
    assert PassHelper.priority() == 4
    (store / ".gpg-id").unlink()
    with pytest.raises(StoreNotInitializedError):
        PassHelper.priority()
    for name, where in (("osxkeychain", "macOS"), ("wincred", "Windows")):
        with pytest.raises(KeychainUnavailableError, match=f" is only on {where}$"):
            backend_class(name).priority()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={store}/nosuch")
    with pytest.raises(KeychainUnavailableError, match="nosuch"):
        backend_class("secretservice").priority()
    assert backend_class("memory").priority() < 0


def test_an_object_says_what_its_class_says() -> None:
    class Away(MemoryHelper):
        @classmethod
        def priority(cls) -> float:
            raise KeychainUnavailableError("it is shut", "open it")

    class Failing(MemoryHelper):
        @classmethod
        def priority(cls) -> float:
            raise RuntimeError("s3cret")

    assert MemoryHelper().unavailable() == ""
    assert Away().unavailable() == "it is shut"
    assert Failing().unavailable() == "its priority fails with RuntimeError"


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
