"""Any backend of the keyring library as a Docker helper: with a real keyring, and with backends that fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import keyring
import keyring.backends.chainer
import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.SecretService import Keyring as SecretService
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError
from support import Helper
from support.machines.desktops import Desktop

from passhelper import Credentials, CredentialsNotFoundError
from passhelper.errors import KeychainError, KeychainUnavailableError, LockedKeychainError, PasshelperError
from passhelper.keyring_backend import PassKeyring
from passhelper.registry import normalize
from passhelper.testing import HelperContract
from passhelper_backends.keyring import KeyringHelper  # noqa: TID251 - what is tested

SERVER = "https://registry.example"
CHOOSE = "choose a backend with PYTHON_KEYRING_BACKEND (see: keyring --list-backends), or run: passhelper setup"


class Drawer(KeyringBackend):
    """A backend in memory, which fails when it is told to."""

    priority = -5  # never chosen, though the library sees every class there is

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.calls = 0
        self.fails_at = 0
        self.failure: BaseException = PasswordSetError("no more room")

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.failure

    def get_password(self, service: str, username: str) -> str | None:
        self._count()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._count()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._count()
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not found")
        del self.kept[service, username]


class _Equivalent(HelperContract):
    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class TestMemory(_Equivalent):
    persistent = False
    histories = 30

    def make_helper(self) -> KeyringHelper:
        return KeyringHelper(backend=Drawer())


class TestGnomeKeyring(_Equivalent):
    """The library's own Secret Service backend, on a real gnome-keyring."""

    histories = 3

    @pytest.fixture(autouse=True)
    def bus(self, gnome: Desktop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """One of its own for each test, so that a keyring that ends spoils no other test."""
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", gnome.environ["DBUS_SESSION_BUS_ADDRESS"])
        yield
        gnome.check()

    def make_helper(self) -> KeyringHelper:
        return KeyringHelper(backend=SecretService())  # type: ignore[no-untyped-call]


# The index


def test_entries_that_people_find(tmp_path: Path) -> None:
    drawer = Drawer()
    KeyringHelper(backend=drawer).store(Credentials(SERVER, "bob", "s3cret"))
    assert drawer.kept == {
        (f"docker-credential-helpers/{SERVER}", "bob"): "s3cret",
        ("docker-credential-helpers", "index"): json.dumps({SERVER: "bob"}, separators=(",", ":")),
    }
    KeyringHelper(backend=drawer).erase(SERVER)
    assert drawer.kept == {}


@pytest.mark.parametrize("before", [None, "bob", "zoe"])
def test_a_store_that_fails_has_changed_nothing(before: str | None) -> None:
    """Whichever call to the backend it is that fails."""
    failed = 0
    for number in range(1, 12):
        drawer = Drawer()
        helper = KeyringHelper(backend=drawer)
        helper.store(Credentials("https://other.example", "u", "s"))
        if before is not None:
            helper.store(Credentials(SERVER, before, "old"))
        kept = dict(drawer.kept)
        drawer.calls, drawer.fails_at = 0, number
        said = _said(partial(helper.store, Credentials(SERVER, "bob", "new")))
        drawer.fails_at = 0
        if said:
            assert said == "the keyring library failed: PasswordSetError: no more room"
            assert drawer.kept == kept
            failed += 1
        else:
            assert helper.get(SERVER) == Credentials(SERVER, "bob", "new")
            assert len(drawer.kept) == 3
    assert failed == {None: 3, "bob": 2, "zoe": 4}[before]


def test_an_erase_that_fails_can_be_repeated() -> None:
    """The secret goes first: nothing stays behind that the index does not name."""
    for number in range(1, 6):
        drawer = Drawer()
        helper = KeyringHelper(backend=drawer)
        helper.store(Credentials(SERVER, "bob", "s"))
        drawer.calls, drawer.fails_at = 0, number
        if _said(partial(helper.erase, SERVER)):
            assert ("docker-credential-helpers", "index") in drawer.kept
        drawer.fails_at = 0
        helper.erase(SERVER)
        assert drawer.kept == {}


def _said(call: Callable[[], object]) -> str:
    """Give the message if it fails."""
    try:
        call()
    except PasshelperError as error:
        return str(error)
    return ""


def test_an_entry_that_was_removed_by_other_means() -> None:
    drawer = Drawer()
    helper = KeyringHelper(backend=drawer)
    helper.store(Credentials(SERVER, "bob", "s"))
    helper.store(Credentials("https://other.example", "u", "s"))
    del drawer.kept[f"docker-credential-helpers/{SERVER}", "bob"]
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)
    assert helper.list() == {"https://other.example": "u"}  # the index has learnt it
    del drawer.kept["docker-credential-helpers/https://other.example", "u"]
    helper.erase("https://other.example")
    assert drawer.kept == {}


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_damaged_index(text: str) -> None:
    drawer = Drawer()
    drawer.kept["docker-credential-helpers", "index"] = text
    helper = KeyringHelper(backend=drawer)
    calls = (lambda: helper.get(SERVER), helper.list, lambda: helper.store(Credentials(SERVER, "bob", "s")))
    for call in calls:
        with pytest.raises(KeychainError) as caught:
            call()
        assert str(caught.value) == (
            "the entry 'index' of 'docker-credential-helpers' in the keyring is damaged; "
            "run: keyring del docker-credential-helpers index"
        )
    assert drawer.kept == {("docker-credential-helpers", "index"): text}


def test_writers_take_turns(linked: dict[str, str], gnome: Desktop) -> None:
    """No login is lost from the index when several come at once."""
    environ = {**gnome.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring"}
    children = []
    for number in range(6):
        child = subprocess.Popen(
            [linked["keyring"], "store"], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        request = {"ServerURL": f"https://r{number}.example", "Username": f"u{number}", "Secret": "s"}
        child.stdin.write(json.dumps(request).encode())
        child.stdin.close()
        children.append(child)
    for child in children:
        assert child.stdout is not None
        assert (child.wait(60), child.stdout.read()) == (0, b"")
        child.stdout.close()
    helper = Helper(linked["keyring"], environ)
    assert helper.list().json == {f"https://r{number}.example": f"u{number}" for number in range(6)}
    assert helper.get("r3.example").json == {"ServerURL": "r3.example", "Username": "u3", "Secret": "s"}


# Backends that will not do


class PlaintextKeyring(Drawer):
    """Named as the one of keyrings.alt is."""


class Empty(keyring.backends.chainer.ChainerBackend):
    backends: list[KeyringBackend] = []  # noqa: RUF012
    viable = False
    priority = -5


def refusal(backend: KeyringBackend) -> str:
    helper = KeyringHelper(backend=backend)
    said = set()
    for call in (
        lambda: helper.get(SERVER),
        lambda: helper.store(Credentials(SERVER, "bob", "s")),
        lambda: helper.erase(SERVER),
        helper.list,
    ):
        with pytest.raises(KeychainUnavailableError) as caught:
            call()
        said.add(str(caught.value))
    (message,) = said
    return message


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (keyring.backends.fail.Keyring, f"the keyring library has no backend that works here; {CHOOSE}"),
        (keyring.backends.null.Keyring, f"the keyring library is turned off (its null backend is chosen); {CHOOSE}"),
        (Empty, f"the keyring library has no backend to chain; {CHOOSE}"),
        (PlaintextKeyring, f"test_keyring.PlaintextKeyring keeps secrets unencrypted; {CHOOSE}"),
        (
            PassKeyring,
            "the keyring library is set to use the pass store; set credsStore to pass instead of keyring",
        ),
    ],
)
def test_backends_that_keep_nothing_or_not_safely(
    backend: type[KeyringBackend], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlaintextKeyring, "__module__", "test_keyring")
    assert refusal(backend()) == message
    assert message.startswith(KeyringHelper(backend=backend()).unavailable())
    assert KeyringHelper(backend=backend()).unavailable()
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend())
    with pytest.raises(KeychainUnavailableError) as caught:
        KeyringHelper.priority()
    assert message.startswith(caught.value.cause)


def test_the_class_says_that_the_library_has_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", Drawer())
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{Drawer.__module__}.Drawer")
    assert KeyringHelper.priority() == 3
    assert KeyringHelper().unavailable() == ""


def chosen(linked: dict[str, str], home: Path, **environ: str) -> str:
    """What the program says when the library chooses."""
    settings = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environ}
    answer = Helper(linked["keyring"], settings).get(SERVER)
    assert answer.code == 1
    return answer.out.decode()


def test_a_machine_without_any(linked: dict[str, str], tmp_path: Path) -> None:
    assert chosen(linked, tmp_path) == f"the keyring library has no backend that works here; {CHOOSE}\n"


def test_a_backend_that_does_not_exist(linked: dict[str, str], tmp_path: Path) -> None:
    said = chosen(linked, tmp_path, PYTHON_KEYRING_BACKEND="nosuch.Keyring")
    assert said == f"the keyring library cannot load its backend: No module named 'nosuch'; {CHOOSE}\n"


def test_a_backend_that_the_library_does_not_recommend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Chosen for want of a better one it is refused, chosen by name it is used."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", Drawer())
    monkeypatch.setattr(Drawer, "priority", 0.6)
    helper = KeyringHelper()
    with pytest.raises(KeychainUnavailableError) as caught:
        helper.list()
    name = f"{Drawer.__module__}.Drawer"
    assert str(caught.value) == f"the keyring library has only {name}, which it does not recommend; {CHOOSE}"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    assert helper.list() == {}
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    config = Path(os.environ["HOME"], ".config", "python_keyring", "keyringrc.cfg")
    config.parent.mkdir(parents=True)
    config.write_text("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")
    assert helper.list() == {}


# Errors


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (
            KeyringLocked("Failed to unlock"),
            LockedKeychainError,
            "the keyring is locked: Failed to unlock; unlock it on the desktop",
        ),
        (
            keyring.errors.InitError("no D-Bus"),
            KeychainError,
            "the keyring library failed: InitError: no D-Bus",
        ),
        (
            keyring.errors.NoKeyringError("x"),
            KeychainUnavailableError,
            f"the keyring library has no backend that works here; {CHOOSE}",
        ),
        (
            ValueError("hunter2"),
            KeychainError,
            "the keyring library failed: ValueError; set PASSHELPER_DEBUG=1 to see where",
        ),
    ],
)
def test_errors(failure: Exception, kind: type[PasshelperError], message: str) -> None:
    drawer = Drawer()
    drawer.fails_at, drawer.failure = 1, failure
    with pytest.raises(kind) as caught:
        KeyringHelper(backend=drawer).list()
    assert (type(caught.value), str(caught.value)) == (kind, message)


def test_a_backend_that_never_answers() -> None:
    """A cloud that is away, a prompt that nobody sees."""
    done = threading.Event()

    class Hanging(Drawer):
        def get_password(self, service: str, username: str) -> str | None:
            done.wait(20)
            return None

    try:
        with pytest.raises(KeychainUnavailableError) as caught:
            KeyringHelper({"PASSHELPER_TIMEOUT": "0.2", "HOME": os.environ["HOME"]}, Hanging()).get(SERVER)
    finally:
        done.set()
    assert str(caught.value) == (
        "the keyring library gave no answer within 0.2 s; answer its prompt, or set PASSHELPER_TIMEOUT"
    )


def test_a_locked_real_keyring(linked: dict[str, str], gnome: Desktop) -> None:
    helper = Helper(linked["keyring"], gnome.environ)
    assert helper.store(SERVER, "bob", "hunter2").code == 0
    gnome.lock()
    answer = helper.get(SERVER)
    assert answer.out == b"the keyring is locked: Failed to unlock the collection!; unlock it on the desktop\n"
    assert b"hunter2" not in answer.err


def test_only_this_backend_loads_the_library() -> None:
    code = (
        "import sys\nfrom passhelper.backends import SHIPPED, get_helper\n"
        "for name in SHIPPED:\n"
        "    if name != 'keyring': get_helper(name)\n"
        "assert 'keyring' not in sys.modules, 'too early'\n"
        "get_helper('keyring')\nassert 'keyring' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
