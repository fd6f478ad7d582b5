"""testcontainers for Node, its look-up of credentials: 10 lists first with stdin open, 12 writes and may crash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Helper, Program
    from support.clients.callers import Client

MAJORS = ["10", "12"]
ROUNDS = 30

# Prints, as one JSON line, what each registry's look-up gives, or the error's message.
_SCRIPT = """\
const [module, ...registries] = process.argv.slice(1);
const { getAuthConfig } = require(module + "/build/container-runtime/auth/get-auth-config.js");
(async () => {
    const found = [];
    for (const registry of registries)
        found.push(await getAuthConfig(registry).then((config) => config ?? null, (error) => error.message));
    console.log(JSON.stringify(found));
})();
"""


class TestcontainersNode:
    """Looks registries up in one process of Node."""

    __test__ = False

    def __init__(self, module: Path, environ: dict[str, str]) -> None:
        self._module = str(module)
        self.version: str = json.loads((module / "package.json").read_text())["version"]
        config = Path(environ["HOME"], ".docker", "config.json")
        config.parent.mkdir()
        config.write_text(json.dumps({"credsStore": "pass"}))

    def command(self, *registries: str) -> list[str]:
        return ["node", "-e", _SCRIPT, self._module, *registries]


@pytest.fixture(params=MAJORS)
def node(
    request: pytest.FixtureRequest, client: Client, store: Path, more_clients: Callable[[str], Path],
    works_with: Callable[..., None],
) -> TestcontainersNode:  # fmt: skip
    """The module of one major version."""
    require("node")
    found = TestcontainersNode(more_clients(f"node/node_modules/testcontainers-{request.param}"), client.environ)
    verbs = ("get", "list") if request.param == "10" else ("get",)
    works_with("testcontainers for Node, its auth module", found.version, verbs=verbs)
    return found


def looked_up(client: Client, node: TestcontainersNode, *registries: str) -> list[object]:
    said = client(*node.command(*registries))
    found: list[object] = json.loads(said.splitlines()[0])
    return found


def lists_first(node: TestcontainersNode) -> bool:
    return node.version.partition(".")[0] == "10"


def test_it_finds_what_is_stored(node: TestcontainersNode, client: Client, helper: Helper) -> None:
    """Docker Hub under the name that ``docker login`` uses, and a URL that ends in a newline."""
    names = {"127.0.0.1:5000": "alice", "https://index.docker.io/v1/": "bob"}
    for name, user in names.items():
        helper.store(name, user, f"of {user}")
    assert looked_up(client, node, *names) == [
        {"username": user, "password": f"of {user}", "registryAddress": name} for name, user in names.items()
    ]
    asked = [call.stdin for call in client.calls if call.verb == "get"]
    assert asked == [f"{name}\n" for name in names]
    listed = [call.verb for call in client.calls if call.verb == "list"]
    assert len(listed) == (2 if lists_first(node) else 0)


def test_it_takes_a_token(node: TestcontainersNode, client: Client, helper: Helper) -> None:
    helper.store("r.example", "<token>", "refresh")
    [found] = looked_up(client, node, "r.example")
    token = {"registryAddress": "r.example", "identityToken": "refresh"}
    assert found == (
        {"username": "<token>", "password": "refresh", "registryAddress": "r.example"} if lists_first(node) else token
    )


def test_a_miss_is_no_credential(node: TestcontainersNode, client: Client) -> None:
    assert looked_up(client, node, "r.example") == [None]
    assert [call.verb for call in client.calls] == (["list"] if lists_first(node) else ["get"])


def test_list_may_leave_stdin_open(
    more_clients: Callable[[str], Path], client: Client, helper: Helper, node: TestcontainersNode, installed: Program
) -> None:
    """No wrapper stands between: Node's own pipe to ``list`` is never closed while Node waits for it."""
    helper.store("r.example", "alice", "x")
    environ = {**client.environ, "PATH": f"{installed.folder}/bin:{helper.environ['PATH']}"}
    answer = run(node.command("r.example"), environ, timeout=20)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.json == [{"username": "alice", "password": "x", "registryAddress": "r.example"}]


# What makes every look-up fail, and what 10 says; 12 goes on without a login.
FAILING = {
    "a miss": ({}, None),
    "no gpg": ({"PASSHELPER_GPG": "/nowhere/gpg"}, "An error occurred getting a credential"),
    "no store": ({"PASSWORD_STORE_DIR": "here"}, "An error occurred listing credentials"),
}


@pytest.mark.parametrize("failing", FAILING)
def test_a_failure_does_not_crash_it(
    node: TestcontainersNode, client: Client, helper: Helper, installed: Program, failing: str
) -> None:
    settings, said = FAILING[failing]
    for name in ("one.example", "two.example") if failing == "no gpg" else ():
        helper.store(name, "alice", "x")
    path = f"{installed.folder}/bin:{helper.environ['PATH']}"
    answer = run(node.command("one.example", "two.example"), {**client.environ, "PATH": path, **settings})
    assert (answer.code, answer.json) == (0, [said if lists_first(node) else None] * 2), answer.err


def test_a_helper_that_fails_at_once_does_not_crash_it(
    node: TestcontainersNode, client: Client, installed: Program, tmp_path: Path
) -> None:
    """12 writes the URL and looks for no error: a helper that ends unread kills it with ``write EPIPE``.

    Nothing of ours ends sooner than the launcher that finds no interpreter.
    """
    (tmp_path / "alone").mkdir()
    shutil.copy(installed.helper, tmp_path / "alone")
    environ = {**client.environ, "PATH": f"{tmp_path}/alone:/usr/local/bin:/usr/bin:/bin"}
    answer = run(node.command(*(f"r{number}.example" for number in range(ROUNDS))), environ)
    assert b"EPIPE" not in answer.err
    said = "An error occurred listing credentials" if lists_first(node) else None
    assert (answer.code, answer.json) == (0, [said] * ROUNDS), answer.err
