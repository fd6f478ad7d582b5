"""The dev container, without a container: its image's instructions, commands and mounts on a view of this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import Answer, Helper, KeyRing, Program, require, tree
from support.machines.runners import private
from support.project.recipes import APT, CONTRIB, build, instructions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.machines.runners import Site, View
    from support.project.recipes import Recipe

FILE = CONTRIB / "devcontainer" / "devcontainer.json"
SERVER = "https://registry.example"
HOME, UID = "/home/vscode", "4321"


class Host:
    """The machine that the container runs on: a user's home with keys, store and agent."""

    def __init__(self, place: Path, keys: KeyRing, installed: Program) -> None:
        self.home = place / "h"
        self.home.mkdir(exist_ok=True)
        self.ring = keys.copy(self.home / ".gnupg")
        self.environ = {
            "HOME": str(self.home), "XDG_RUNTIME_DIR": str(place / "r"), "PATH": "/usr/bin:/bin",
            "GNUPGHOME": str(self.ring.home), "PASSHELPER_NONINTERACTIVE": "1",
        }  # fmt: skip
        store = self.home / ".password-store"
        store.mkdir(mode=0o700)
        (store / ".gpg-id").write_text(f"{keys['alice']}\n")
        self.helper = Helper(installed.helper, self.environ)
        assert self.helper.store(SERVER, "ann", "s3cret").code == 0
        # Where gpg has its sockets in a home in /home.
        (place / "r").mkdir(exist_ok=True)
        (place / "r" / "gnupg").symlink_to(self.ring.home)

    def start(self, command: str) -> None:
        """Run what the host runs before the container starts; here root does what that user would do."""
        subprocess.run(["sh", "-euc", command], env=self.environ, check=True)
        for folder, _, files in os.walk(self.home):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(path, int(UID), int(UID))


@pytest.fixture
def host(place: Path, keys: KeyRing, installed: Program) -> Iterator[Host]:
    made = Host(place, keys, installed)
    yield made
    made.ring.stop_agent()


def mount(view: View, host: Host, text: str) -> None:
    """Mount as ``docker run --mount`` does."""
    words = re.sub(r"\$\{localEnv:(\w+)\}", lambda found: host.environ[found[1]], text).split(",")
    fields = dict(word.partition("=")[::2] for word in words)
    assert fields.keys() <= {"type", "source", "target", "readonly"}
    assert fields["type"] == "bind"
    assert os.path.exists(fields["source"])
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    kind = "d" if os.path.isdir(fields["source"]) else "f"
    # Docker makes a mount point that is not there, as root.
    make = f"test -e '{fields['target']}' || {'mkdir' if kind == 'd' else 'touch'} '{fields['target']}'"
    assert view(["sh", "-euc", make], environ).code == 0
    assert view(["mount", "--bind", fields["source"], fields["target"]], environ).code == 0
    if "readonly" in fields:
        assert view(["mount", "-o", "remount,bind,ro", fields["target"]], environ).code == 0


class Container:
    """What the container's user runs: with the image's PATH and what ``containerEnv`` sets."""

    def __init__(self, view: View) -> None:
        self._view = view
        path = next(rest for word, rest in instructions(FILE.parent / "Dockerfile") if word == "ENV")
        self.environ = {
            "HOME": HOME,
            "PATH": path.removeprefix("PATH="),
            **json.loads(FILE.read_text())["containerEnv"],
        }

    def __call__(self, *command: str, stdin: str = "") -> Answer:
        return self._view(list(command), self.environ, stdin.encode(), user="vscode")


@pytest.fixture
def container(recipe: Callable[[str], Recipe], view: View, site: Site, host: Host, place: Path) -> Container:
    """Build the image, start the container, and let it run its own first command."""
    require("dpkg-query", "useradd")
    files = recipe("devcontainer")
    given = site.environ(place)
    outside = {**given, "HOME": "/root", "PATH": f"{place}/bin:{given['PATH']}:/usr/sbin:/sbin"}
    private(place / "bin" / "apt-get", APT, 0o755)
    lines, _ = build(files, site.requirements)
    script = private(place / "build.sh", "\n".join(["set -eu", *lines]))
    # What the base image has; and the interpreter that the tests run with may lie in root's home.
    for command in (["useradd", "--create-home", "--uid", UID, "vscode"], ["chmod", "a+x", "/root"], ["sh", script]):
        answer = view(command, outside)
        assert answer.code == 0, answer
    host.start(files.take(FILE.name, "initializeCommand"))
    for text in json.loads(FILE.read_text())["mounts"]:
        mount(view, host, text)
    made = Container(view)
    started = made("sh", "-euc", files.take(FILE.name, "postCreateCommand"))
    assert started.code == 0, started
    return made


def test_the_container(container: Container, view: View, host: Host) -> None:
    before = tree(host.home / ".password-store")
    assert json.loads(container("cat", f"{HOME}/.docker/config.json").out) == {"credsStore": "pass"}
    assert container("docker-credential-pass", "list").json == {SERVER: "ann"}
    answer = container("docker-credential-pass", "get", stdin=SERVER)
    assert (answer.code, answer.err) == (0, b""), answer
    assert answer.json == {"ServerURL": SERVER, "Username": "ann", "Secret": "s3cret"}
    # It writes nothing on the host.
    request = json.dumps({"ServerURL": SERVER, "Username": "eve", "Secret": "s"})
    refused = container("docker-credential-pass", "store", stdin=request)
    assert refused.code == 1
    assert b"Read-only file system" in refused.err
    assert container("docker-credential-pass", "erase", stdin=SERVER).code == 1
    assert tree(host.home / ".password-store") == before
    # Through the extra socket the secret key stays where it is.
    export = ["gpg", "--batch", "--pinentry-mode=loopback", "--passphrase=", "--export-secret-keys", host.ring["alice"]]
    kept = container(*export)
    assert (kept.code, kept.out) == (2, b"")
    assert b"Forbidden" in kept.err
    # Through the other one it leaves.
    (socket,) = [text for text in json.loads(FILE.read_text())["mounts"] if "S.gpg-agent" in text]
    mount(view, host, socket.replace(".extra,", ","))
    taken = container(*export)
    assert (taken.code, taken.out != b"") == (0, True), taken
    # The container starts no agent of its own when the host's is gone.
    host.ring.stop_agent()
    gone = container("docker-credential-pass", "get", stdin=SERVER)
    assert gone.code == 1
    assert b"no gpg-agent for /home/vscode/.gnupg: " in gone.err
    assert b"gpg-agent" not in container("ps", "-A", "-o", "comm").out
