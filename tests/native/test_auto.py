"""``passhelper link auto``: the Secret Service where one runs, the pass store elsewhere; nothing is ever started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Helper, Program, run, tree
from support.machines.desktops import Desktop, desktop

SERVER = "https://a.example"


@pytest.fixture
def auto(installed: Program, environ: dict[str, str], tmp_path: Path) -> Helper:
    """``docker-credential-auto`` over the Secret Service and the pass store."""
    folder = tmp_path / "bin"
    environ["XDG_STATE_HOME"] = str(tmp_path / "state")  # what it remembers is this test's
    answer = run([installed.passhelper, "link", "auto", "secretservice", "pass", "--dir", str(folder)], environ)
    assert (answer.code, answer.text) == (0, f"wrote {folder}/docker-credential-auto\n")
    return Helper(str(folder / "docker-credential-auto"), environ)


def test_on_a_desktop_its_keyring_is_used(auto: Helper, gnome: Desktop, store: Path) -> None:
    before = tree(store)
    auto.environ.update(gnome.environ, HOME=auto.environ["HOME"])
    assert auto.store(SERVER, "bob", "s3cret").code == 0
    assert auto.get(SERVER).json == {"ServerURL": SERVER, "Username": "bob", "Secret": "s3cret"}
    assert auto.list().json == {SERVER: "bob"}
    assert [item["Secret"] for item in gnome.items()] == [b"s3cret"]
    assert tree(store) == before
    assert auto.erase(SERVER).code == 0
    assert gnome.items() == []


def test_without_a_bus_it_is_the_pass_store(auto: Helper, store: Path) -> None:
    assert auto.get(SERVER).out == b"credentials not found in native keychain\n"  # public images need no error
    assert auto.store(SERVER, "bob", "s3cret").code == 0
    assert auto.get(SERVER).json["Secret"] == "s3cret"
    assert len(list(store.rglob("bob.gpg"))) == 1


def test_a_keyring_that_does_not_run_is_not_started(auto: Helper, store: Path, tmp_path: Path) -> None:
    """Plain ssh to a desktop: there is a bus, which would start a keyring that nobody can unlock."""
    starter = tmp_path / "starter"
    starter.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexec sleep 60\n")
    starter.chmod(0o755)
    with desktop(activatable=str(starter)) as bus:
        auto.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.environ["DBUS_SESSION_BUS_ADDRESS"]
        assert auto.store(SERVER, "bob", "s3cret").code == 0
        assert auto.list().json == {SERVER: "bob"}
    assert not (tmp_path / "started").exists()
    assert len(list(store.rglob("bob.gpg"))) == 1


def test_a_locked_keyring_is_not_taken_for_an_empty_one(auto: Helper, gnome: Desktop, store: Path) -> None:
    auto.environ.update(gnome.environ, HOME=auto.environ["HOME"])
    assert auto.store(SERVER, "bob", "in the keyring").code == 0
    gnome.lock()
    answer = auto.get(SERVER)
    assert (answer.code, b"locked" in answer.out) == (1, True)
    assert auto.get("https://other.example").out == b"credentials not found in native keychain\n"
    gnome.unlock()
    assert auto.get(SERVER).json["Secret"] == "in the keyring"
    gnome.lock()
    answer = auto.erase(SERVER)
    assert answer.code == 1
    assert answer.text.startswith(f"the credential for {SERVER} may still be in secretservice (the keyring is locked")
    assert answer.text.endswith("; unlock it on the desktop, then erase it again\n")
    gnome.unlock()
    assert auto.get(SERVER).out == b"credentials not found in native keychain\n"  # who logged out is logged out
    assert len(gnome.items()) == 1
    assert auto.erase(SERVER).code == 0
    assert gnome.items() == []


def test_a_login_while_the_keyring_is_locked_or_away_stays_the_one(auto: Helper, gnome: Desktop, store: Path) -> None:
    at_home = {**auto.environ, **gnome.environ, "HOME": auto.environ["HOME"]}
    over_ssh = Helper(auto.program, dict(auto.environ))
    auto.environ.update(at_home)
    assert auto.store(SERVER, "bob", "old").code == 0
    gnome.lock()
    assert auto.store(SERVER, "bob", "while locked").code == 0
    gnome.unlock()
    assert auto.get(SERVER).json["Secret"] == "while locked"
    assert [item["Secret"] for item in gnome.items()] == [b"old"]
    assert auto.store(SERVER, "bob", "at home").code == 0
    assert over_ssh.get(SERVER).text.startswith(f"the newest credential for {SERVER} is in secretservice, which cannot")
    assert over_ssh.list().json == {}
    assert over_ssh.store(SERVER, "zoe", "over ssh").code == 0
    for there in (over_ssh, auto):
        assert there.get(SERVER).json["Secret"] == "over ssh"
        assert there.list().json == {SERVER: "zoe"}
    assert auto.erase(SERVER).code == 0
    assert (auto.list().json, over_ssh.list().json, gnome.items()) == ({}, {}, [])


def test_nothing_can_be_used(auto: Helper) -> None:
    answer = auto.get(SERVER)
    assert answer.code == 1
    store = auto.environ["PASSWORD_STORE_DIR"]
    assert answer.text.startswith("no backend can be used here: secretservice: ")
    assert answer.text.endswith(f"; pass: password store not initialised at {store}; run: passhelper setup\n")
