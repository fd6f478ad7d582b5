"""testcontainers for Node, its look-up of credentials: 10 lists first with stdin open, 12 writes and may crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import require, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from callers import Client
    from support import Helper, KeyRing, Program

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


@pytest.mark.parametrize("failing", ["a miss", "no gpg", "no store"])
def test_a_helper_that_fails_does_not_crash_it(
    node: TestcontainersNode, client: Client, helper: Helper, keys: KeyRing, installed: Program, failing: str
) -> None:
    """12 writes the URL without looking for an error: a helper that ends unread kills it with ``write EPIPE``."""
    names = [f"r{number}.example" for number in range(ROUNDS if failing == "a miss" else 3)]
    settings = {"a miss": {}, "no gpg": {"PASSHELPER_GPG": "/nowhere/gpg"}, "no store": {"PASSWORD_STORE_DIR": "here"}}
    if failing == "no gpg":
        for name in names:
            helper.store(name, "alice", "x")
    path = f"{installed.folder}/bin:{helper.environ['PATH']}"
    answer = run(node.command(*names), {**client.environ, "PATH": path, **settings[failing]})
    assert answer.code == 0, answer.err
    assert b"EPIPE" not in answer.err
    if not lists_first(node):
        expected: object = None
    elif failing == "a miss":
        expected = None
    elif failing == "no gpg":
        expected = "An error occurred getting a credential"
    else:
        expected = "An error occurred listing credentials"
    assert answer.json == [expected] * len(names)
