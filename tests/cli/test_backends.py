"""``passhelper backends``: what there is, what can be used here, and what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.backends import GROUP, SHIPPED
from passhelper.cli.backends import backends

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from support.machines.new import Command


def test_those_that_are_shipped(passhelper: Command, store: Path) -> None:
    answer = passhelper("backends")
    assert answer.code == 0
    header, *rows = answer.text.splitlines()
    assert header.split() == ["BACKEND", "PRIORITY", "FROM", "USABLE", "HERE"]
    assert {row.split()[0] for row in rows} == set(SHIPPED)
    assert ["pass", "4", "passhelper", "yes"] in [row.split() for row in rows]
    assert ["wincred", "-", "passhelper", "the", "Windows", "Credential", "Manager", "is", "only", "on", "Windows"] in [
        row.split() for row in rows
    ]
    assert b"broken" not in answer.err


def test_json_envelope(passhelper: Command, store: Path) -> None:
    document = passhelper("backends", "--json").json
    assert (document["version"], document["command"]) == (1, "backends")
    assert {"name": "pass", "origin": "passhelper", "priority": 4, "reason": "", "remedy": "", "is_broken": False} in (
        document["data"]
    )


def test_a_broken_one_is_named_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "vault-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vault\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nvault = vault_ph:VaultHelper\n")
    monkeypatch.syspath_prepend(tmp_path)
    backends.main([], standalone_mode=False)
    said = capsys.readouterr()
    assert {row.split()[0] for row in said.out.splitlines()[1:]} == {*SHIPPED, "vault"}
    assert (
        "vault of vault 1.0 is broken: backend vault (vault_ph:VaultHelper) cannot be loaded: "
        "No module named 'vault_ph'; install vault 1.0 again, or remove it\n"
    ) in said.err
