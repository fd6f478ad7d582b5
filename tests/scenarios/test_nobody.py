"""Nobody is there: every command with every option, stdin closed, no terminal, and questions in store, keys and remote.

The commands and options are those that click knows, so that a new one is run too.
"""

from __future__ import annotations

import base64
import http.server
import json
import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import FOLDER, KeyRing, Program, run
from support.machines.jobs import git, secret_key
from support.project.commands import COMMANDS, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)  # --log-cli-level=info shows what ran
LIMIT = 20.0  # seconds for one command
_CLOSED = 'exec "$@" <&-'  # a shell that closes stdin; the session is a new one, so /dev/tty cannot be opened


class _Asking(http.server.BaseHTTPRequestHandler):
    """Wants to know a user name and a password, whatever it is asked."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002


@pytest.fixture(scope="module")
def asking() -> Iterator[str]:
    """A server, of registries and of git repositories, that wants a password; its ``host:port``."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Asking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def bare(environ: dict[str, str], short_tmp: Path, installed: Program, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A machine without keys and store, on which nothing says that nobody is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"hang": "exec sleep 600", "ask": "read answer < /dev/tty && echo $answer"}.items():
        (folder / f"docker-credential-{name}").write_text(f"#!/bin/sh\n{text}\n")
        (folder / f"docker-credential-{name}").chmod(0o755)
    keyring = Path(tempfile.mkdtemp(prefix="n", dir=short_tmp))
    environ = {name: value for name, value in environ.items() if name != "PASSHELPER_NONINTERACTIVE"}
    path = f"{folder}:{installed.folder}/bin:{environ['PATH']}"
    yield environ | {"PATH": path, "GNUPGHOME": str(keyring), "XDG_RUNTIME_DIR": str(keyring)}
    KeyRing(keyring, {}).stop_agent()


@pytest.fixture
def questions(bare: dict[str, str], own_keys: KeyRing, asking: str, tmp_path: Path) -> dict[str, str]:
    """A locked key; a store with recipients that nobody has accepted and a remote that wants a password.

    Docker's configuration holds plain text and names a helper that asks on the terminal.
    """
    store = Path(bare["PASSWORD_STORE_DIR"])
    git(tmp_path, "init", "-q", "-b", "main", str(store))
    (store / ".gpg-id").write_text(f"{own_keys['locked']}\n")
    place = store / FOLDER / base64.urlsafe_b64encode(asking.encode()).decode()
    place.mkdir(parents=True)
    (place / "alice.gpg").write_bytes(own_keys.encrypt(b"secret", "locked"))
    git(store, "add", "--all")
    git(store, "commit", "-q", "-m", "Begin")
    git(store, "remote", "add", "origin", f"http://{asking}/store.git")
    git(store, "config", "branch.main.remote", "origin")
    git(store, "config", "branch.main.merge", "refs/heads/main")
    (store / ".git" / "passhelper").mkdir()
    trust = {"version": 1, "recipients": {".gpg-id": [own_keys["bob"]]}}
    (store / ".git" / "passhelper" / "trust.json").write_text(json.dumps(trust))
    docker = tmp_path / "docker"
    docker.mkdir()
    auths = {"a.example": {"auth": base64.b64encode(b"u:p").decode()}}
    (docker / "config.json").write_text(json.dumps({"auths": auths, "credsStore": "ask"}))
    return bare | {
        "GNUPGHOME": str(own_keys.home),
        "DOCKER_CONFIG": str(docker),
        "PASSHELPER_GPG_KEY": base64.b64encode(secret_key(own_keys, "locked")).decode(),
        "PASSHELPER_STORE_URL": f"http://{asking}/store.git",
    }


@pytest.mark.parametrize("world", ["bare", "questions"])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_waits_for_an_answer(name: str, world: str, asking: str, request: pytest.FixtureRequest) -> None:
    """No command hangs; one that fails says why, and not with a traceback."""
    environ = request.getfixturevalue(world)
    for words in calls(COMMANDS[name], environ, asking):
        line = ["sh", "-c", _CLOSED, "sh", "passhelper", *name.split(), *words]
        answer = run(line, environ, timeout=LIMIT)
        said = answer.err + answer.out
        assert b"Traceback" not in said, (words, said)
        assert b"internal error" not in said, (words, said)
        assert answer.code == 0 or said.strip(), words
        _LOG.info("exit %d: %s %s", answer.code, name, " ".join(words))


def test_the_tree_is_walked() -> None:
    assert {"setup", "unlock", "import", "docker show", "recipients accept", "login"} <= set(COMMANDS)


def test_setup_for_a_runner_does_not_wait_either(questions: dict[str, str]) -> None:
    """A key with a passphrase that nobody gives; then a remote that asks for a password."""
    line = ["sh", "-c", _CLOSED, "sh", "passhelper", "setup", "--ci"]
    for more in ({}, {"PASSHELPER_PASSPHRASE": "correct horse battery"}):
        answer = run(line, {**questions, **more}, timeout=LIMIT)
        assert (answer.code, answer.out) == (1, b"false\n")
        assert b"error: " in answer.err
