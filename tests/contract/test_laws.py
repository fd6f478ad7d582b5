"""The six laws of every backend, against many histories: in memory, and in a real store with a real gpg."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test
from support import FOLDER, KeyRing, tree
from support.programs import script

from passhelper import Credentials, Helper, PassHelper, PasshelperError, get_helper
from passhelper.contract.histories import Machine
from passhelper.contract.place import Limits
from passhelper.credentials import has_control
from passhelper.registry import normalize
from passhelper.store.layout import decode_server

REAL = settings(
    max_examples=12, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
MEMORY = settings(REAL, max_examples=150, stateful_step_count=25)

SERVERS = st.sampled_from(
    [
        "https://index.docker.io/v1/", "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/access-token",
        "r.example", "https://r.example", "http://r.example", "R.example/v2/", "r.example:5000", "[::1]:5000",
        "a", "..", "../../x", "https://bücher.example", ">>>", "???",
    ]
) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=30).map(str.strip).filter(
    bool
)  # fmt: skip
USERNAMES = st.sampled_from(
    [
        "bob", "zoe", "<token>", "_json_key", "bob@example.test", "..", ".", "../../x", "/abs", ".gpg-id", "-rf",
        "a/b", "%2F", "a%2Fb", "%252F", " ", "ünï", "x.sync-conflict-1", "x (conflicted copy)", "._x",
    ]
) | st.text(st.sampled_from("./%2Fa-_ \\:(é\U0001f600"), min_size=1, max_size=20)  # fmt: skip
FOLDING_USERNAMES = st.sampled_from(["bob", "Bob", "BOB", "\xe9", "\xc9", "e\u0301"])
SECRETS = st.sampled_from(["", "x", "\n", "a\r\n", "\n a\n\n", "\u2028", "s3cret"]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=200
)


class Equivalent(Limits):
    """Names that mean the same registry answer for each other."""

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class Anything(Machine):
    """The contract's histories over names that only a sandbox may use."""

    servers = SERVERS
    usernames = USERNAMES
    secrets = SECRETS


class PassMachine(Anything):
    """The same in a store, whose tree is looked at too (laws 1 and 5)."""

    root: Path

    @invariant()
    def one_file_for_each_server_and_none_elsewhere(self) -> None:
        servers = []
        for path in self.root.rglob("*"):
            if path.is_dir() or ".git" in path.parts:
                continue
            if path == self.root / ".gpg-id":
                continue
            assert path.parent.parent == self.root / FOLDER
            assert path.suffix == ".gpg"
            servers.append(decode_server(path.parent.name))
        assert sorted(map(str, servers)) == sorted(self.model)
        assert sorted(path.name for path in self.root.parent.iterdir()) == [self.root.name]


def test_the_memory_backend_keeps_the_laws() -> None:
    machine = type("MemoryMachine", (Anything,), {"make": lambda: get_helper("memory")})
    run_state_machine_as_test(machine, settings=MEMORY)


class Stores:
    """A fresh store for each history."""

    def __init__(self, parent: Path, environ: dict[str, str], recipient: str) -> None:
        self.parent = parent
        self.environ = environ
        self.recipient = recipient

    def fresh(self, *, git: bool) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.parent))
        root = folder / "store"
        root.mkdir(mode=0o700)
        (root / ".gpg-id").write_text(self.recipient + "\n")
        if git:
            subprocess.run(["git", "init", "-q", str(root)], check=True, env=self.environ)
        self.environ["PASSWORD_STORE_DIR"] = str(root)
        return root


@pytest.fixture
def stores(environ: dict[str, str], keys: KeyRing, tmp_path: Path) -> Iterator[Stores]:
    parent = tmp_path / "stores"
    parent.mkdir()
    yield Stores(parent, environ, keys["alice"])
    shutil.rmtree(parent)


def refuse_warnings(message: str) -> None:
    raise AssertionError(message)


@pytest.mark.parametrize("git", [False, True], ids=["plain", "git"])
@pytest.mark.parametrize("strict", [False, True], ids=["equivalent", "strict"])
def test_the_pass_store_keeps_the_laws(stores: Stores, git: bool, strict: bool) -> None:
    stores.environ["PASSHELPER_STRICT"] = "1" if strict else "0"

    class Store(PassMachine):
        limits = Limits() if strict else Equivalent()

        @staticmethod
        def make() -> Helper:
            Store.root = stores.fresh(git=git)
            return PassHelper(stores.environ, refuse_warnings)

    run_state_machine_as_test(Store, settings=settings(REAL, max_examples=6) if git else REAL)


@pytest.mark.parametrize("git", [False, True], ids=["plain", "git"])
def test_a_store_on_a_disk_that_folds_case_keeps_the_laws(
    environ: dict[str, str], keys: KeyRing, folding_disk: Path, git: bool
) -> None:
    """With users that such a disk takes for one, and with names that it cannot hold as they are."""
    stores = Stores(folding_disk, environ, keys["alice"])

    class Store(PassMachine):
        limits = Equivalent()
        usernames = FOLDING_USERNAMES | USERNAMES

        @staticmethod
        def make() -> Helper:
            Store.root = stores.fresh(git=git)
            return PassHelper(stores.environ, refuse_warnings)

    run_state_machine_as_test(Store, settings=settings(REAL, max_examples=6))


# Law 4: a store that fails has changed nothing


FAILING = [
    "exit 2",
    "cat > /dev/null; exit 0",
    "cat > /dev/null; echo x; kill -9 $$",
    'gpg "$@"; exit 1',
    "exec sleep 9",
]


def test_a_failed_store_leaves_the_tree_as_it_was(stores: Stores, tmp_path: Path) -> None:
    root = stores.fresh(git=False)
    helper = PassHelper(stores.environ, refuse_warnings)
    working = dict(stores.environ)
    broken = [script(tmp_path / f"gpg{number}", code) for number, code in enumerate(FAILING)]

    @settings(REAL, max_examples=40)
    @given(SERVERS, USERNAMES, SECRETS, st.sampled_from(broken), st.booleans())
    def check(server: str, username: str, secret: str, gpg: str, present: bool) -> None:
        if present:
            helper.store(Credentials(server, "older", "old"))
        before, listed = tree(root), helper.list()
        stores.environ.update(PASSHELPER_GPG=gpg, PASSHELPER_TIMEOUT="0.05" if gpg == broken[-1] else "20")
        with pytest.raises(PasshelperError):
            helper.store(Credentials(server, username, secret))
        assert tree(root) == before
        stores.environ.clear()
        stores.environ.update(working)
        assert helper.list() == listed

    check()


# Law 6: the same bytes in the same places as Docker's own helper


def _is_ordinary(username: str) -> bool:
    return not (
        username.startswith(".") or set(username) & {"/", "%"} or "conflict" in username or has_control(username)
    )


def test_others_find_what_is_written_and_the_other_way_round(stores: Stores, keys: KeyRing) -> None:
    root = stores.fresh(git=False)
    helper = PassHelper(stores.environ, refuse_warnings)

    @settings(REAL, max_examples=25)
    @given(SERVERS, USERNAMES.filter(_is_ordinary), SECRETS)
    def check(server: str, username: str, secret: str) -> None:
        path = root / FOLDER / urlsafe_b64encode(server.encode()).decode() / f"{username}.gpg"
        helper.store(Credentials(server, username, secret))
        assert keys.gpg("--decrypt", str(path)).stdout == secret.encode()
        path.write_bytes(keys.encrypt(b"by another\n", "alice"))
        assert helper.get(server) == Credentials(server, username, "by another")
        helper.erase(server)
        assert not path.parent.exists()

    check()
