"""Clients that cannot run here and call more than once: in their order, with the same bytes, and as strict as they are.

The rows name project and commit; ``tests/replays.py`` decodes.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.clients.replays import ClientError, Login, docker_cli, go_json, oras_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Helper

HOST, HUB = "registry.example", "https://index.docker.io/v1/"
SECRET = 'p\u00e4ss <&>"'


# testcontainers for Java: RegistryAuthLocator


class TestcontainersJava:
    """Its process library puts stderr into stdout; a miss is what a registry that cannot exist is answered with."""

    __test__ = False
    UNREAL = "https://not.a.real.registry/url"

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._learned = ""

    def _run(self, server: str, **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            [self._helper.program, "get"], input=server.encode(), env={**self._helper.environ, **environ},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode().strip()

    def look_up(self, server: str, **environ: str) -> tuple[Login, str] | None:
        """A login and the registry's address in the answer, which 1.20.0 needs."""
        code, said = self._run(server, **environ)
        if code:
            self._learned = self._learned or self._run(self.UNREAL, **environ)[1]
            if code == 1 and said == self._learned:
                return None
            raise ClientError(said)
        found = json.loads(said)
        username, secret, address = found["Username"], found["Secret"], found["ServerURL"]
        return (Login(token=secret) if username == "<token>" else Login(username, secret)), address


@pytest.fixture
def java(helper: Helper, store: Path, works_with: Callable[..., None]) -> TestcontainersJava:
    works_with("testcontainers for Java", "deb78e1e6", how="replayed", verbs=("get",))
    return TestcontainersJava(helper)


def test_java_finds_logins_and_tokens(java: TestcontainersJava, helper: Helper) -> None:
    helper.store(HUB, "alice", SECRET)
    helper.store(HOST, "<token>", "refresh")
    assert java.look_up(HUB) == (Login("alice", SECRET), HUB)
    assert java.look_up(HOST) == (Login(token="refresh"), HOST)


def test_java_learns_what_a_miss_is_and_tells_a_failure_from_it(java: TestcontainersJava, helper: Helper) -> None:
    helper.store(HUB, "alice", SECRET)
    assert java.look_up(HOST) is None
    with pytest.raises(ClientError, match="PASSHELPER_GPG names /nowhere/gpg"):
        java.look_up(HUB, PASSHELPER_GPG="/nowhere/gpg")
    assert java.look_up("other.example") is None


# nerdctl: six names for one registry, in its order

NERDCTL = "8da50408"
NAMES = [f"{scheme}{host}" for host in (f"{HOST}:443", HOST) for scheme in ("", "https://", "http://")]


@pytest.fixture
def nerdctl(helper: Helper, store: Path, works_with: Callable[..., None]) -> Callable[[], tuple[int, Login | None]]:
    """Looks a registry up as nerdctl does; how many calls it took, and what it found."""
    works_with("nerdctl", NERDCTL, how="replayed", verbs=("get", "store", "erase"))

    def look_up() -> tuple[int, Login | None]:
        for count, name in enumerate(NAMES, start=1):
            found = docker_cli(helper("get", name))
            if found is not None:
                return count, found
        return len(NAMES), None

    return look_up


def test_nerdctl_stores_finds_and_erases(nerdctl: Callable[[], tuple[int, Login | None]], helper: Helper) -> None:
    assert nerdctl() == (6, None)
    answer = helper("store", go_json(f"{HOST}:443", "alice", SECRET) + "\n")
    assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    assert nerdctl() == (1, Login("alice", SECRET))
    assert [helper.erase(name).code for name in NAMES] == [0] * 6
    assert nerdctl() == (6, None)


@pytest.mark.parametrize(("name", "count"), [(f"https://{HOST}", 1), (HOST, 1), (f"http://{HOST}", 6)])
def test_nerdctl_finds_what_others_stored(
    nerdctl: Callable[[], tuple[int, Login | None]], helper: Helper, name: str, count: int
) -> None:
    """Docker keeps a registry as ``host``: the first of the six names finds it, but for plain HTTP."""
    helper.store(name, "alice", SECRET)
    assert nerdctl() == (count, Login("alice", SECRET))


def test_nerdctl_reads_what_docker_changed_since(
    nerdctl: Callable[[], tuple[int, Login | None]], helper: Helper
) -> None:
    """Two names of one registry: the exact one is served, so each program has what it stored itself."""
    helper.store(f"{HOST}:443", "alice", "of nerdctl")
    helper.store(HOST, "bob", "of docker")
    assert nerdctl() == (1, Login("alice", "of nerdctl"))
    assert docker_cli(helper("get", HOST)) == Login("bob", "of docker")


# helm, with oras-go


@pytest.mark.parametrize(
    ("server", "login"),
    [("registry.example:5000", Login("alice", SECRET)), (HUB, Login(token="refresh"))],
    ids=["password", "token"],
)
def test_helm_logs_in_pulls_and_logs_out(
    helper: Helper, store: Path, works_with: Callable[..., None], server: str, login: Login
) -> None:
    """No newline ends its JSON; its logout fails where ``erase`` does, so a second one must not."""
    works_with("helm", "e9b85e4de", how="replayed", verbs=("get", "store", "erase"))
    assert oras_go(helper("get", server)) is None
    stored = helper("store", go_json(server, login.username or "<token>", login.password or login.token))
    assert (stored.code, stored.out, stored.err) == (0, b"", b"")
    assert oras_go(helper("get", server)) == login
    with pytest.raises(ClientError, match=r"^PASSHELPER_GPG names /nowhere/gpg, which cannot be run$"):
        oras_go(helper("get", server, PASSHELPER_GPG="/nowhere/gpg"))
    for _ in range(2):
        assert oras_go_erase(helper, server) == ""
    assert oras_go(helper("get", server)) is None


def oras_go_erase(helper: Helper, server: str) -> str:
    """Erase; what is shown of a failure."""
    answer = helper("erase", server)
    return "" if answer.code == 0 else answer.text.strip() or "exit status"
