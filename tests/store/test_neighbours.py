"""Names of one registry share the strictest list of recipients: ``store`` refuses to widen it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support import FOLDER, KeyRing
from support.faults.meanwhile import meanwhile
from support.worlds.readers import ids
from support.worlds.vault import Vault

from passhelper.errors import PasshelperError, StoreError

HUB = "https://index.docker.io/v1/"


@pytest.fixture(params=["store", "git_store"], ids=["no git", "git"])
def vault(request: pytest.FixtureRequest, environ: dict[str, str], keys: KeyRing) -> Vault:
    """A store that alice and bob read."""
    path: Path = request.getfixturevalue(request.param)
    (path / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    environ["PASSHELPER_ACCEPT_RECIPIENTS"] = f"{keys['alice']} {keys['bob']}"
    return Vault(environ)


def limit(vault: Vault, server: str, *lines: str, directory: str = "") -> Path:
    """Give a server a list of its own."""
    folder = vault.path / FOLDER / (directory or vault.directory(server).name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gpg-id").write_text("".join(f"{line}\n" for line in lines))
    return folder / ".gpg-id"


def refused(vault: Vault, server: str) -> str:
    before = vault.tree
    with pytest.raises(PasshelperError) as caught:
        vault.store(server)
    assert vault.tree == before
    assert isinstance(caught.value, StoreError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("limited", "server"),
    [
        ("https://a.example", "a.example"),
        ("a.example", "https://A.example:443/v2/"),
        ("a.example:443", "https://a.example"),
        (HUB, "docker.io"),
        ("docker.io", "registry-1.docker.io"),
        ("http://a.example", "http://a.example:80/"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_names_of_one_registry(vault: Vault, keys: KeyRing, limited: str, server: str) -> None:
    path = limit(vault, limited, keys["alice"]).relative_to(vault.path)
    assert refused(vault, server) == (
        f"{server} would be read by {keys['bob']}, but {path} limits who reads {limited}, which is the same registry; "
        f"run: passhelper recipients remove --path {shlex.quote(server)} {keys['bob']}"
    )
    vault.store(limited)
    assert ids(vault.entry(limited), keys) == {"alice"}
    limit(vault, server, keys["alice"])
    vault.store(server)
    assert ids(vault.entry(server), keys) == {"alice"}


@pytest.mark.parametrize(
    ("limited", "server"),
    [
        ("https://a.example", "http://a.example"),
        ("https://a.example", "https://a.example:444"),
        ("https://a.example", "https://b.a.example"),
        (HUB, "https://index.docker.io/v1/access-token"),
    ],
)
def test_names_of_others(vault: Vault, keys: KeyRing, limited: str, server: str) -> None:
    limit(vault, limited, keys["alice"])
    vault.store(server)
    assert ids(vault.entry(server), keys) == {"alice", "bob"}


def test_a_list_that_allows_more_is_no_limit(vault: Vault, keys: KeyRing) -> None:
    limit(vault, "https://a.example", f"0x{keys['bob'].lower()}", keys["alice"], keys["stranger"])
    vault.store("a.example")
    assert ids(vault.entry("a.example"), keys) == {"alice", "bob"}


def test_a_limit_in_a_hand_made_spelling(vault: Vault, keys: KeyRing) -> None:
    name = vault.directory("https://a.example").name
    limit(vault, "https://a.example", keys["alice"], directory=name.rstrip("="))
    assert f"{FOLDER}/{name.rstrip('=')}/.gpg-id limits who reads https://a.example" in refused(vault, "a.example")


def test_lists_without_a_common_key(vault: Vault, keys: KeyRing) -> None:
    limit(vault, "https://a.example", keys["stranger"])
    assert refused(vault, "a.example").endswith(
        "; run: passhelper recipients list, and let both lists name the same keys"
    )


def test_a_name_that_is_no_fingerprint_is_not_guessed_at(vault: Vault, keys: KeyRing) -> None:
    limit(vault, "https://a.example", "alice@example.test", "bob@example.test")
    assert f"a.example would be read by {keys['alice']}, {keys['bob']}, but " in refused(vault, "a.example")


@pytest.mark.parametrize("content", ["", "# nobody\n", "-x\n"])
def test_a_list_that_cannot_be_used_lets_nobody_in(vault: Vault, content: str) -> None:
    limit(vault, "https://a.example").write_text(content)
    assert ".gpg-id" in refused(vault, "a.example")


def test_the_users_own_word(vault: Vault, keys: KeyRing) -> None:
    limit(vault, "https://a.example", keys["alice"])
    vault.environ["PASSWORD_STORE_KEY"] = keys["bob"]
    vault.store("a.example")
    assert ids(vault.entry("a.example"), keys) == {"bob"}


def test_a_limit_that_was_accepted_and_is_gone(git_store: Path, environ: dict[str, str], keys: KeyRing) -> None:
    """That has to be accepted, too; until then it limits."""
    vault = Vault(environ)
    (git_store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['bob']}\n")
    path = limit(vault, "https://a.example", keys["alice"])
    vault.store("https://a.example")  # which pins what is there
    path.unlink()
    assert f"would be read by {keys['bob']}, but " in refused(vault, "a.example")


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_a_limit_that_comes_while_gpg_is_busy(vault: Vault, keys: KeyRing, is_new: bool, tmp_path: Path) -> None:
    if not is_new:
        limit(vault, "https://a.example", keys["alice"], keys["bob"])
    vault.store("https://other.example")
    place = vault.directory("https://a.example")
    late = f"mkdir -p {place}; echo {keys['alice']} > {place}/.gpg-id"
    meanwhile(vault.environ, tmp_path / "bin", "gpg", "--encrypt", late)
    with pytest.raises(StoreError, match="limits who reads https://a\\.example"):
        vault.store("a.example")
    assert not vault.directory("a.example").exists()
