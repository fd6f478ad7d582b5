"""The scene of an attack through the remote, made once and copied for each."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import OWN_GIT, KeyRing, Program, require
from support.people.attackers import MALLORYS, PASSWORD, PROD, Scene, place
from support.people.remotes import Member, Remote
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stage(keys: KeyRing, installed: Program, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A team of two that has synced; made once and copied for each attack."""
    require("git")
    folder = tmp_path_factory.mktemp("stage")
    for name in ("alices", "home"):
        (folder / name).mkdir()
    environ = {
        "HOME": str(folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
        "GNUPGHOME": str(keys.home), "PASSHELPER_NONINTERACTIVE": "1", **OWN_GIT,
    }  # fmt: skip
    remote = Remote(folder / "remote.git", environ)
    found = Scene(remote, Member(folder / "alices" / "store", environ), keys, installed, folder / "sign")
    remote.push({".gpg-id": found.lines("alice"), place(MALLORYS, ".gpg-id"): found.lines("alice", "bob")}, parent="")
    found.alice.clone(remote.path)
    assert found.passhelper("sync").code == 0
    assert found.helper.store(PROD, "deploy", PASSWORD).code == 0
    assert found.helper.store(MALLORYS, "mallory", "his own").code == 0
    assert found.passhelper("sync").code == 0
    return found


@pytest.fixture
def scene(stage: Scene, environ: dict[str, str], tmp_path: Path) -> Scene:
    for name in ("alices", "remote.git"):
        shutil.copytree(stage.sign.parent / name, tmp_path / name)
    alice = Member(tmp_path / "alices" / "store", environ)
    alice.git("remote", "set-url", "origin", str(tmp_path / "remote.git"))
    remote = Remote(tmp_path / "remote.git", environ, make=False)
    return Scene(remote, alice, stage.keys, stage.installed, tmp_path / "sign")


@pytest.fixture
def ring(own_keys: KeyRing, short_tmp: Path, vault: Vault) -> Iterator[KeyRing]:
    """The victim's keyring: alice is its own, all others come into it as a test wants."""
    home = Path(tempfile.mkdtemp(prefix="n", dir=short_tmp))
    found = KeyRing(home, dict(own_keys.fingerprints))
    found.gpg("--import", stdin=own_keys.gpg("--export-secret-keys", own_keys["alice"]).stdout)
    found.gpg("--import-ownertrust", stdin=f"{found['alice']}:6:\n".encode())  # ultimately, as one's own is
    vault.environ["GNUPGHOME"] = str(home)
    yield found
    found.stop_agent()
    shutil.rmtree(home, ignore_errors=True)
