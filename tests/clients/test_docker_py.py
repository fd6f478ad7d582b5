"""docker-py without an engine: its credential store and its look-ups, as docker-compose 1 and many tools use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import KeyRing, Program, run
from support.worlds.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.clients.callers import Client

HUB = "https://index.docker.io/v1/"
SECRET = 'p\u00e4ss <&>"'

# Prints, as one JSON line, what each expression on the command line is, or which error it was.
_SCRIPT = """\
import json, sys, warnings
warnings.simplefilter("error")
import docker
from docker.auth import load_config
from docker.credentials import Store
store = Store("pass")
def value(expression):
    try:
        found = eval(expression)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return found.decode() if isinstance(found, bytes) else found
print(json.dumps([value(expression) for expression in sys.argv[1:]]))
"""


class DockerPy:
    """Evaluates expressions where docker-py is installed; ``config`` is what Docker's ``config.json`` says."""

    def __init__(self, client: Client, python: Path) -> None:
        self._client, self._python = client, str(python)
        self.config({"credsStore": "pass"})

    def config(self, content: dict[str, object]) -> None:
        folder = Path(self._client.environ["HOME"], ".docker")
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(content))

    def __call__(self, *expressions: str) -> list[Any]:
        """Evaluate, in one process."""
        said = self._client(self._python, "-c", _SCRIPT, *expressions)
        found: list[Any] = json.loads(said.splitlines()[0])  # what the helper says on stderr comes after it
        return found


@pytest.fixture
def sdk(client: Client, store: Path, more_clients: Callable[[str], Path], works_with: Callable[..., None]) -> DockerPy:
    """docker-py and an empty store."""
    sdk = DockerPy(client, more_clients("python/bin/python"))
    works_with("docker-py", *sdk("docker.__version__"))
    return sdk


def test_its_store_class_has_all_four_verbs(sdk: DockerPy, client: Client) -> None:
    found = sdk(
        "store.list()",
        f"store.store({HUB!r}, 'alice', {SECRET!r})",
        f"store.get({HUB!r})",
        "store.list()",
        f"store.erase({HUB!r})",
        f"store.erase({HUB!r})",
        f"store.get({HUB!r})",
    )
    missing = ["CredentialsNotFound", "No matching credentials in docker-credential-pass"]
    entry = {"ServerURL": HUB, "Username": "alice", "Secret": SECRET}
    assert found == [{}, "", entry, {HUB: "alice"}, None, None, missing]
    sent = '{"ServerURL": "https://index.docker.io/v1/", "Username": "alice", "Secret": "p\\u00e4ss <&>\\""}'
    assert [(call.verb, call.stdin) for call in client.calls] == [
        ("list", ""), ("store", sent), ("get", HUB), ("list", ""), ("erase", HUB), ("erase", HUB), ("get", HUB),
    ]  # fmt: skip


def test_it_sends_the_password_of_who_logged_in_last(sdk: DockerPy) -> None:
    lookup = "load_config().resolve_authconfig('r.example')"
    users = ("alice", "bob", "aaron")
    found = sdk(*(word for user in users for word in (f"store.store('r.example', {user!r}, 'of {user}')", lookup)))
    assert found[1::2] == [
        {"ServerAddress": "r.example", "Username": user, "Password": f"of {user}"} for user in users
    ]  # fmt: skip
    assert sdk("store.list()") == [{"r.example": "aaron"}]


def test_it_finds_docker_hub_and_tokens(sdk: DockerPy, client: Client) -> None:
    lookups = [f"load_config().resolve_authconfig({name})" for name in ("None", "'docker.io'")]
    found = sdk(f"store.store({HUB!r}, '<token>', 'refresh')", *lookups)
    assert found[1:] == [{"ServerAddress": HUB, "IdentityToken": "refresh"}] * 2
    assert client.short[1:] == [f"get {HUB}"] * 2


def test_a_miss_is_no_credential(sdk: DockerPy, client: Client) -> None:
    assert sdk("load_config().resolve_authconfig('127.0.0.1:5000')") == [None]
    assert client.short == ["get 127.0.0.1:5000 !"]


def test_cred_helpers_name_us_for_one_registry(sdk: DockerPy, client: Client) -> None:
    sdk.config({"credHelpers": {"one.example": "pass"}})
    found = sdk(
        "store.store('one.example', 'alice', 'x')",
        "load_config().resolve_authconfig('other.example')",
        "load_config().get_all_credentials()",
    )
    assert found[1:] == [None, {"one.example": {"ServerAddress": "one.example", "Username": "alice", "Password": "x"}}]
    assert client.short == ["store one.example", "get one.example"]


def test_a_failure_says_why(sdk: DockerPy, store: Path) -> None:
    (store / ".gpg-id").unlink()
    [[error, message]] = sdk("store.store('r.example', 'alice', 'x')")
    assert error == "StoreError"
    assert f"password store not initialised at {store}; run: passhelper setup" in message


def test_one_entry_of_somebody_else_does_not_cost_the_others(
    sdk: DockerPy, client: Client, keys: KeyRing, installed: Program, environ: dict[str, str]
) -> None:
    """docker-py gets all that ``list`` names and gives up at the first failure.

    ``list`` leaves out what this machine cannot read, as ``setup``, ``unlock``, ``sync`` or ``doctor`` found.
    """
    sdk("store.store('mine.example', 'alice', 'x')")
    Vault(environ).put(keys.encrypt(b"s", "stranger"), "hers.example")
    [[error, message]] = sdk("load_config().get_all_credentials()")
    assert error == "DockerException"
    assert "no secret key for docker-credential-helpers/" in message
    run([installed.passhelper, "doctor"], environ)  # past the helper that notes calls
    found = sdk("load_config().get_all_credentials()")
    assert found == [{"mine.example": {"ServerAddress": "mine.example", "Username": "alice", "Password": "x"}}]
    assert client.short == ["list", "get mine.example"]
