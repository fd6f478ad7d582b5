"""GitLab Runner and Nomad's agent: daemons, which call us with their own environment, and ask for whole stores.

They cannot run here; the calls are those of their source at the commits below, and ``tests/replays.py`` decodes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import Helper, KeyRing, Program, require, run
from support.clients.replays import ClientError, Login, docker_cli, go_strings, nomad
from support.worlds.vault import Vault

from passhelper.machine import launcher

if TYPE_CHECKING:
    from collections.abc import Callable

HOST, HUB = "registry.example", "https://index.docker.io/v1/"
SECRET = 'p\u00e4ss <&>"'
HERS = "hers.example"
NOBODY = 65534
NOMAD = ("Nomad's docker driver", "aa026cc99c")
RUNNER = ("GitLab Runner", "d79f3e7b8")


def all_logins(helper: Helper) -> dict[str, Login]:
    """docker/cli's ``GetAll``: ``list``, then ``get`` of each. The runner drops all of it after one failure."""
    listed = helper("list", "unused")
    if listed.code:
        raise ClientError(listed.text)
    found = {}
    for server in go_strings(listed.out, exact=True):
        login = docker_cli(helper("get", server))
        if login is not None:
            found[server] = login
    return found


def longest_prefix(image: str, logins: dict[str, Login]) -> Login:
    """The runner takes the longest key that an image's name begins with."""
    return logins[max((key for key in logins if f"{image}/".startswith(f"{key}/")), key=len)]


@pytest.fixture
def runner(helper: Helper, store: Path, works_with: Callable[..., None]) -> Helper:
    works_with(*RUNNER, how="replayed", verbs=("list", "get"))
    return helper


@pytest.fixture
def not_ours(environ: dict[str, str], keys: KeyRing) -> None:
    """An entry that this machine cannot decrypt."""
    Vault(environ).put(keys.encrypt(b"s", "stranger"), HERS)


def test_gitlab_runner_takes_all_logins(runner: Helper) -> None:
    """Keys may have a path, which must stay a key of its own."""
    project = f"{HOST}/group/project"
    logins = {HOST: Login("alice", "x"), project: Login("bob", SECRET), HUB: Login(token="refresh")}
    for server, login in logins.items():
        runner.store(server, login.username or "<token>", login.password or login.token)
    assert all_logins(runner) == logins
    assert longest_prefix(f"{project}/app", logins) == Login("bob", SECRET)
    assert longest_prefix(f"{HOST}/group/other", logins) == Login("alice", "x")
    assert docker_cli(runner("get", f"{HOST}/group")) is None


def test_gitlab_runner_with_an_empty_store(runner: Helper) -> None:
    assert all_logins(runner) == {}


def test_gitlab_runner_beside_an_entry_of_somebody_else(runner: Helper, not_ours: None, installed: Program) -> None:
    """One failing ``get`` costs all logins, until ``doctor``, ``setup``, ``unlock`` or ``sync`` has seen the keys."""
    runner.store(HOST, "alice", SECRET)
    with pytest.raises(ClientError, match="no secret key for docker-credential-helpers/"):
        all_logins(runner)
    run([installed.passhelper, "doctor"], runner.environ)
    assert all_logins(runner) == {HOST: Login("alice", SECRET)}


def test_nomad_beside_an_entry_of_somebody_else(
    helper: Helper, store: Path, not_ours: None, works_with: Callable[..., None]
) -> None:
    """Nomad never lists: only a task that needs that registry fails, and stderr says why."""
    works_with(*NOMAD, how="replayed", verbs=("get",))
    helper.store(HOST, "alice", SECRET)
    assert nomad(helper("get", HOST)) == Login("alice", SECRET)
    with pytest.raises(ClientError, match=r"stderr: docker-credential-pass: no secret key for .* run: passhelper"):
        nomad(helper("get", HERS))


@pytest.fixture
def daemon(helper: Helper, store: Path, short_tmp: Path, installed: Program) -> Helper:
    """The helper as systemd starts it for a user without a home: ``PATH`` and nothing else, and a copy of the store."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    require("setpriv", "python3")
    helper.store(HOST, "alice", SECRET)
    folder = Path(tempfile.mkdtemp(prefix="d", dir=short_tmp))
    copy = shutil.copytree(store, folder / "store")
    for path in (folder, copy, *copy.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    # What `setup` puts on PATH; this interpreter may be in a home that only its owner may enter.
    packages = next((installed.folder / "lib").glob("python*/site-packages"))
    (folder / "program").write_text(launcher.content("/usr/bin/python3", str(packages)))
    user = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    (folder / "helper").write_text(f'#!/bin/sh\nexec {user} -- {folder}/program "$@"\n')
    for name in ("program", "helper"):
        (folder / name).chmod(0o755)
    return Helper(str(folder / "helper"), {"PATH": "/usr/bin:/bin"})


def test_a_daemon_without_any_setting_finds_nothing(daemon: Helper, works_with: Callable[..., None]) -> None:
    works_with(*RUNNER, how="replayed", verbs=("list", "get"))
    works_with(*NOMAD, how="replayed", verbs=("get",))
    assert all_logins(daemon) == {}
    assert docker_cli(daemon("get", HOST)) is None
    with pytest.raises(ClientError, match=r"failed with stderr: $"):
        nomad(daemon("get", HOST))


def test_a_daemon_that_knows_the_store_alone_says_what_is_missing(
    daemon: Helper, works_with: Callable[..., None]
) -> None:
    works_with(*RUNNER, how="replayed", verbs=("list", "get"))
    works_with(*NOMAD, how="replayed", verbs=("get",))
    daemon.environ["PASSWORD_STORE_DIR"] = str(Path(daemon.program).parent / "store")
    message = "gpg has no keyring in /nonexistent/.gnupg; check GNUPGHOME"
    with pytest.raises(ClientError, match=message):
        all_logins(daemon)
    with pytest.raises(ClientError, match=f"stderr: docker-credential-pass: {message}"):
        nomad(daemon("get", HOST))


def test_a_daemon_with_store_and_keyring_needs_no_home(
    helper: Helper, store: Path, works_with: Callable[..., None]
) -> None:
    works_with(*RUNNER, how="replayed", verbs=("list", "get"))
    works_with(*NOMAD, how="replayed", verbs=("get",))
    helper.store(HOST, "alice", SECRET)
    wanted = ("GNUPGHOME", "PASSWORD_STORE_DIR")
    bare = Helper(helper.program, {"PATH": "/usr/bin:/bin", **{name: helper.environ[name] for name in wanted}})
    assert all_logins(bare) == {HOST: Login("alice", SECRET)}
    assert nomad(bare("get", HOST)) == Login("alice", SECRET)
