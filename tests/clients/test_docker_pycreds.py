"""docker-pycreds: docker-py's credential store as a package of its own, which older tools pin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.clients.callers import Client

SERVER = "https://registry.example/v2/"
SECRET = "s3cret\nof two lines"

# Prints, as one JSON line, what each expression on the command line is, or which error it was.
_SCRIPT = """\
import json, sys
import dockerpycreds.version
store = dockerpycreds.Store("pass")
def value(expression):
    try:
        found = eval(expression)
    except dockerpycreds.StoreError as error:
        return [type(error).__name__, str(error)]
    return found.decode() if isinstance(found, bytes) else found
print(json.dumps([value(expression) for expression in sys.argv[1:]]))
"""


@pytest.fixture
def sdk(
    client: Client, store: Path, more_clients: Callable[[str], Path], works_with: Callable[..., None]
) -> Callable[..., list[object]]:
    """Evaluates expressions where docker-pycreds is installed, in one process."""
    python = str(more_clients("python/bin/python"))

    def evaluate(*expressions: str) -> list[object]:
        found: list[object] = json.loads(client(python, "-c", _SCRIPT, *expressions).splitlines()[0])
        return found

    works_with("docker-pycreds", *evaluate("dockerpycreds.version.version"))
    return evaluate


def test_all_four_verbs(sdk: Callable[..., list[object]], client: Client) -> None:
    found = sdk(
        "store.list()",
        f"store.store({SERVER!r}, 'alice', {SECRET!r})",
        f"store.store({SERVER!r}, 'bob', {SECRET!r})",
        f"store.get({SERVER!r})",
        "store.list()",
        f"store.erase({SERVER!r})",
        f"store.erase({SERVER!r})",
        f"store.get({SERVER!r})",
    )
    missing = ["CredentialsNotFound", "No matching credentials in docker-credential-pass"]
    entry = {"ServerURL": SERVER, "Username": "bob", "Secret": SECRET}
    assert found == [{}, "", "", entry, {SERVER: "bob"}, None, None, missing]
    assert client.short == [
        "list", f"store {SERVER}", f"store {SERVER}", f"get {SERVER}", "list", f"erase {SERVER}", f"erase {SERVER}",
        f"get {SERVER} !",
    ]  # fmt: skip


def test_a_failure_says_why(sdk: Callable[..., list[object]], store: Path) -> None:
    (store / ".gpg-id").unlink()
    reason = f"password store not initialised at {store}; run: passhelper setup"
    found = sdk(f"store.store({SERVER!r}, 'alice', 'x')", "store.get('')")
    assert found == [
        ["StoreError", f'Credentials store docker-credential-pass exited with "{reason}".'],
        ["StoreError", 'Credentials store docker-credential-pass exited with "no credentials server URL".'],
    ]
