"""The pass store as a backend of the keyring library, by the library's own contract and as its users call it."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from keyring.errors import KeyringError, KeyringLocked, PasswordDeleteError, PasswordSetError
from keyring.testing.backend import BackendBasicTests
from support import FOLDER, KeyRing, Program, run

from passhelper import Credentials, CredentialsNotFoundError, PassHelper
from passhelper.docker.config import server_name
from passhelper.keyring_backend import PassKeyring

NAME = "passhelper.keyring_backend.PassKeyring"
SIMPLE = "https://packages.example/simple/"


@pytest.fixture
def settings(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The library reads the process's environment, so it gets this test's."""
    for name, value in environ.items():
        if name != "PATH":
            monkeypatch.setenv(name, value)
    return environ


class TestContract(BackendBasicTests):
    """What every backend of the library must do."""

    @pytest.fixture(autouse=True)
    def place(self, settings: dict[str, str], store: Path) -> None:
        pass

    def init_keyring(self) -> PassKeyring:
        return PassKeyring()  # type: ignore[no-untyped-call]


@pytest.fixture
def backend(settings: dict[str, str], store: Path) -> PassKeyring:
    return PassKeyring()  # type: ignore[no-untyped-call]


def test_what_docker_and_people_store_is_found(backend: PassKeyring) -> None:
    """One store for both: an admin stores with passhelper, pip reads with keyring, and the other way round."""
    helper = PassHelper(os.environ)
    helper.store(Credentials(SIMPLE, "ci", "s3cret"))
    assert backend.get_password(SIMPLE, "ci") == "s3cret"
    found = backend.get_credential(SIMPLE, None)
    assert found is not None
    assert (found.username, found.password) == ("ci", "s3cret")
    assert backend.get_password(SIMPLE, "zoe") is None
    assert backend.get_credential("https://packages.example/", None) is None  # no guessing for pip
    backend.set_password(SIMPLE, "ci", "changed")
    assert helper.get(SIMPLE).secret == "changed"
    backend.delete_password(SIMPLE, "ci")
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SIMPLE)


def test_what_login_stores_is_found_by_the_full_address(backend: PassKeyring, store: Path) -> None:
    """Docker's own name of a server is its host; twine asks for the whole address and nothing else."""
    helper = PassHelper(os.environ)
    helper.store(Credentials(server_name(SIMPLE), "ci", "s3cret"))
    helper.store(Credentials("packages.example:8443", "ci", "of another port"))
    for service in (SIMPLE, "https://packages.example", "https://packages.example/legacy/"):
        assert backend.get_password(service, "ci") == "s3cret"
        assert backend.get_password(service, "zoe") is None
        found = backend.get_credential(service, None)
        assert found is not None
        assert (found.username, found.password) == ("ci", "s3cret")
        assert backend.get_credential(service, "zoe") is None
    assert backend.get_password("https://packages.example:8443/simple/", "ci") == "of another port"
    # What is stored for the address itself goes first, and only that is changed or removed.
    backend.set_password(SIMPLE, "ci", "its own")
    assert backend.get_password(SIMPLE, "ci") == "its own"
    backend.set_password(SIMPLE, "zoe", "hers")
    found = backend.get_credential(SIMPLE, None)
    assert found is not None
    assert found.password == "its own"
    for username in ("ci", "zoe"):
        backend.delete_password(SIMPLE, username)
    with pytest.raises(PasswordDeleteError):
        backend.delete_password(SIMPLE, "ci")
    assert helper.get("packages.example").secret == backend.get_password(SIMPLE, "ci") == "s3cret"


@pytest.mark.parametrize("service", [
    "http://packages.example/simple/", "packages.example/simple/", "ftp://packages.example/", "HTTPS",
    "https://packages.example:8443/simple/", "https://packages.example:80/", "https://sub.packages.example/simple/",
    "https://packages.example.org/", "https://ci@packages.example/simple/", "https://packages.example?/simple/",
    "https://packages.example#/", "https://packages.example\\.org/", "https://Packages.example/simple/",
    "https:///packages.example", "https://", "keyring:https://packages.example/", " https://packages.example/",
    # Docker Hub's name is another host's, and its access tokens are another kind of secret.
    "https://docker.io/", "https://index.docker.io/simple/", "https://index.docker.io/v1/access-token",
])  # fmt: skip
def test_no_other_server_gets_what_login_stored(backend: PassKeyring, store: Path, service: str) -> None:
    helper = PassHelper(os.environ)
    for server in ("packages.example", "https://index.docker.io/v1/", "index.docker.io", "docker.io"):
        helper.store(Credentials(server, "ci", "s3cret"))
    assert backend.get_password(service, "ci") is None
    assert backend.get_credential(service, None) is None


def test_a_token_of_a_registry_is_no_password(backend: PassKeyring, store: Path) -> None:
    PassHelper(os.environ).store(Credentials("packages.example", "<token>", "s3cret"))
    assert backend.get_credential(SIMPLE, None) is None
    assert backend.get_password(SIMPLE, "<token>") is None


def test_a_second_user_does_not_replace_the_first(backend: PassKeyring, store: Path) -> None:
    for username in ("first", "second", "third"):
        backend.set_password(SIMPLE, username, f"of {username}")
    helper = PassHelper(os.environ)
    assert helper.list() == {
        SIMPLE: "first",
        "keyring:https:%2F%2Fpackages.example%2Fsimple%2F/second": "second",
        "keyring:https:%2F%2Fpackages.example%2Fsimple%2F/third": "third",
    }
    for username in ("first", "second", "third"):
        assert backend.get_password(SIMPLE, username) == f"of {username}"
    backend.delete_password(SIMPLE, "first")
    found = backend.get_credential(SIMPLE, None)
    assert found is not None
    assert (found.username, found.password) == ("second", "of second")
    backend.set_password(SIMPLE, "second", "moves to the server's own place")
    assert helper.get(SIMPLE).username == "second"
    assert len(helper.list()) == 2


def test_line_ends(backend: PassKeyring, keys: KeyRing, store: Path) -> None:
    """`pass insert` adds one that belongs to nobody; what the library was given comes back exactly."""
    backend.set_password(SIMPLE, "ci", "x")
    (path,) = (store / FOLDER).rglob("*.gpg")
    path.write_bytes(keys.encrypt(b"by pass\n", "alice"))
    assert backend.get_password(SIMPLE, "ci") == "by pass"
    for password in ("ends\n", "ends\r\n", "plain", "\n"):
        backend.set_password(SIMPLE, "ci", password)
        assert backend.get_password(SIMPLE, "ci") == password
        assert len(PassHelper(os.environ).list()) == 1
    backend.delete_password(SIMPLE, "ci")
    assert PassHelper(os.environ).list() == {}


@pytest.mark.parametrize("service", ["keyring:x/y", " padded ", "a\nb", "", "\ud800"])
@pytest.mark.parametrize("username", ["bob", "a/b", "%2F", "x\ty", "\udcff"])
def test_odd_names(backend: PassKeyring, service: str, username: str) -> None:
    backend.set_password(service, username, "s")
    assert backend.get_password(service, username) == "s"
    assert backend.get_password(service, username + "x") is None
    assert backend.get_password(service + "x", username) is None
    backend.delete_password(service, username)
    assert PassHelper(os.environ).list() == {}


# Errors become the library's


@pytest.mark.parametrize("password", ["a\0b", "\ud800"])
@pytest.mark.parametrize("username", ["ci", "a\nb"])
def test_a_password_that_no_client_could_take(backend: PassKeyring, username: str, password: str) -> None:
    with pytest.raises(PasswordSetError, match=r"^the secret holds an? (NUL character|unpaired surrogate)$"):
        backend.set_password(SIMPLE, username, password)
    assert PassHelper(os.environ).list() == {}


def test_without_a_store(settings: dict[str, str]) -> None:
    backend = PassKeyring()  # type: ignore[no-untyped-call]
    assert backend.get_password(SIMPLE, "ci") is None
    assert backend.get_credential(SIMPLE, None) is None
    with pytest.raises(PasswordSetError, match=r"^password store not initialised at .*; run: passhelper setup$"):
        backend.set_password(SIMPLE, "ci", "s")
    with pytest.raises(PasswordDeleteError, match=r"^there is no such password in the pass store$"):
        backend.delete_password(SIMPLE, "ci")


def test_what_cannot_be_read(
    settings: dict[str, str], store: Path, own_keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(own_keys.home))
    backend = PassKeyring()  # type: ignore[no-untyped-call]
    (store / ".gpg-id").write_text(own_keys["locked"] + "\n")
    backend.set_password(SIMPLE, "ci", "s")
    with pytest.raises(KeyringLocked, match=r"^GPG key .* is locked; run: passhelper unlock"):
        backend.get_password(SIMPLE, "ci")
    (path,) = (store / FOLDER).rglob("*.gpg")
    path.write_bytes(own_keys.encrypt(b"\xff", "alice"))
    with pytest.raises(KeyringError, match=r"^the password is not UTF-8 text$"):
        backend.get_password(SIMPLE, "ci")
    path.write_bytes(b"no message")
    with pytest.raises(KeyringError, match="is not an entry"):
        backend.get_password(SIMPLE, "ci")
    shutil.rmtree(store / FOLDER)
    (store / FOLDER).symlink_to(store)
    for call in (
        lambda: backend.get_password(SIMPLE, "ci"),
        lambda: backend.get_credential(SIMPLE, None),
    ):
        with pytest.raises(KeyringError, match="is a symbolic link"):
            call()
    with pytest.raises(PasswordSetError, match="is a symbolic link"):
        backend.set_password(SIMPLE, "ci", "s")
    with pytest.raises(PasswordDeleteError, match="is a symbolic link"):
        backend.delete_password(SIMPLE, "ci")


# As it is installed


def _keyring(installed: Program, *words: str) -> list[str]:
    return [installed.python, "-m", "keyring", *words]


def test_the_library_lists_it_and_does_not_choose_it(installed: Program, environ: dict[str, str]) -> None:
    listed = run(_keyring(installed, "--list-backends"), environ).text.splitlines()
    assert f"{NAME} (priority: -1)" in listed
    code = "import keyring; print(type(keyring.get_keyring()).__module__)"
    assert run([installed.python, "-c", code], environ).text == "keyring.backends.fail\n"
    chosen = {**environ, "PYTHON_KEYRING_BACKEND": NAME}
    assert run([installed.python, "-c", code], chosen).text == "passhelper.keyring_backend\n"


def test_the_librarys_own_program(installed: Program, environ: dict[str, str], store: Path) -> None:
    """uv runs it, and reads its standard output."""
    environ["PYTHON_KEYRING_BACKEND"] = NAME
    assert run(_keyring(installed, "set", SIMPLE, "ci"), environ, b"s3cret").code == 0
    answer = run(_keyring(installed, "get", SIMPLE, "ci"), environ)
    assert (answer.code, answer.out) == (0, b"s3cret\n")
    answer = run(_keyring(installed, "--mode", "creds", "get", SIMPLE), environ)
    assert (answer.code, answer.out) == (0, b"ci\ns3cret\n")
    assert run(_keyring(installed, "get", SIMPLE, "zoe"), environ).code == 1
    assert run(_keyring(installed, "del", SIMPLE, "ci"), environ).code == 0
    assert run(_keyring(installed, "get", SIMPLE, "ci"), environ).code == 1


class _Index(BaseHTTPRequestHandler):
    """A package index that lets nobody in without the password."""

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(b"ci:s3cret").decode()
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.path.endswith(".whl"):
            self.wfile.write(self.server.wheel)  # type: ignore[attr-defined]
        else:
            self.wfile.write(b'<a href="/files/thing-1.0-py3-none-any.whl">thing-1.0-py3-none-any.whl</a>')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class says so
        pass


@pytest.fixture
def index() -> Iterator[str]:
    """The address of a package index with one distribution, ``thing``."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("thing.py", "")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Index) as server:
        server.wheel = data.getvalue()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        thread.join()


def test_pip_finds_its_password(
    any_installed: Program, environ: dict[str, str], store: Path, index: str, tmp_path: Path
) -> None:
    command = [
        any_installed.python,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
    ]
    command += ["--index-url", index, "--dest", str(tmp_path / "got"), "thing"]
    environ = {**environ, "PIP_KEYRING_PROVIDER": "import", "PIP_CONFIG_FILE": os.devnull}
    assert run(command, environ).code != 0  # without a keyring it asks, and nobody is there
    PassHelper(environ).store(Credentials(index, "ci", "s3cret"))
    answer = run(command, {**environ, "PYTHON_KEYRING_BACKEND": NAME})
    assert answer.code == 0, answer
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["thing-1.0-py3-none-any.whl"]


def test_in_git_each_change_is_a_commit(settings: dict[str, str], git_store: Path) -> None:
    backend = PassKeyring()  # type: ignore[no-untyped-call]
    backend.set_password(SIMPLE, "ci", "s3cret")
    backend.set_password(SIMPLE, "ci", "s3cret")  # the same again: no commit
    backend.delete_password(SIMPLE, "ci")
    log = subprocess.run(
        ["git", "-C", str(git_store), "log", "--format=%s"], env=settings, check=True, capture_output=True
    ).stdout.decode()
    assert len(log.splitlines()) == 3
