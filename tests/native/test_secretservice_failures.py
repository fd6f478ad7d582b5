"""What the Secret Service backend says when there is no keyring, or a locked, silent or odd one: never "not found"."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection
from support import Helper, require
from support.machines.desktops import PASSWORD, Desktop, desktop

from passhelper import Credentials, CredentialsNotFoundError
from passhelper.errors import KeychainError, KeychainUnavailableError, LockedKeychainError, PasshelperError
from passhelper_backends.secretservice import SecretServiceHelper  # noqa: TID251 - what is tested

SERVER = "https://registry.example"
INSTEAD = "run: passhelper setup, to keep credentials in the pass store instead"
LOCKED = "the keyring is locked: nobody can be asked for its password; unlock it on the desktop"
SOON = 0.3  # seconds, instead of five


def verbs(helper: SecretServiceHelper) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: helper.get(SERVER),
        "store": lambda: helper.store(Credentials(SERVER, "bob", "new")),
        "erase": lambda: helper.erase(SERVER),
        "list": helper.list,
    }


def told(call: Callable[[], object], kind: type[PasshelperError] = KeychainUnavailableError) -> str:
    """Let it fail; give the message."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


def messages(environ: dict[str, str], kind: type[PasshelperError] = KeychainUnavailableError) -> set[str]:
    """What the four verbs say, shortly."""
    return {told(call, kind) for call in verbs(SecretServiceHelper(environ, seconds=SOON)).values()}


# No bus


@pytest.mark.parametrize("runtime", ["", "{}", "relative"])
def test_no_bus(tmp_path: Path, runtime: str) -> None:
    environ = {"XDG_RUNTIME_DIR": runtime.format(tmp_path), "HOME": str(tmp_path)}
    assert messages(environ) == {f"no keyring can be reached: there is no D-Bus session bus; {INSTEAD}"}


def test_no_bus_from_the_program(linked: dict[str, str], tmp_path: Path) -> None:
    helper = Helper(linked["secretservice"], {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "DISPLAY": ":0"})
    message = f"no keyring can be reached: there is no D-Bus session bus; {INSTEAD}\n".encode()
    for answer in (helper.get(SERVER), helper.store(SERVER, "bob", "s"), helper.erase(SERVER), helper.list()):
        assert (answer.code, answer.out) == (1, message)
        assert answer.err == b"docker-credential-secretservice: " + message


@pytest.mark.parametrize("address", ["autolaunch:", "tcp:host=127.0.0.1,port=1", "unix:tmpdir=/tmp", "nonsense", ";"])
def test_a_bus_that_is_no_unix_socket(address: str) -> None:
    assert messages({"DBUS_SESSION_BUS_ADDRESS": address}) == {
        f"DBUS_SESSION_BUS_ADDRESS names no unix socket; {INSTEAD}"
    }


def test_a_stale_address(tmp_path: Path) -> None:
    gone, dead = tmp_path / "gone", tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(dead))
    for path, why in ((gone, "No such file or directory"), (dead, "Connection refused")):
        expected = {f"cannot connect to the session bus at {path}: {why}; {INSTEAD}"}
        assert messages({"DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"}) == expected
    # A runtime directory without a session, but with what it left.
    (tmp_path / "bus").touch()
    assert messages({"XDG_RUNTIME_DIR": str(tmp_path)}) == {
        f"cannot connect to the session bus at {tmp_path}/bus: Connection refused; {INSTEAD}"
    }
    long = f"/{'x' * 200}"
    assert messages({"DBUS_SESSION_BUS_ADDRESS": f"unix:path={long}"}) == {
        f"cannot connect to the session bus at {long}: AF_UNIX path too long; {INSTEAD}"
    }


@pytest.mark.parametrize("form", ["runtime", "list", "escaped", "abstract"])
def test_addresses_that_work(form: str) -> None:
    """$XDG_RUNTIME_DIR/bus stands in for a missing address, as for libsecret."""
    listen = f"abstract=/tmp/ph-{os.urandom(6).hex()}" if form == "abstract" else ""
    with desktop(listen=listen) as made:
        made.keyring()
        environ = dict(made.environ)
        path = f"{made.runtime}/bus"
        if form == "runtime":
            del environ["DBUS_SESSION_BUS_ADDRESS"]
        elif form == "list":
            environ["DBUS_SESSION_BUS_ADDRESS"] = f"autolaunch:;unix:path=/nonexistent,guid=0;unix:path={path},guid=1"
        elif form == "escaped":
            environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={path.replace('/', '%2f')}"
        assert SecretServiceHelper(environ).list() == {}


def test_the_bus_of_another_user(linked: dict[str, str], gnome: Desktop) -> None:
    """sudo keeps the address, and the bus asks the kernel who calls."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    require("setpriv")
    for path in (
        gnome.home,
        gnome.runtime,
        Path(linked["secretservice"]).parent,
        *Path(linked["secretservice"]).parents,
    ):
        if path.stat().st_uid == os.geteuid() and path not in (Path("/"), Path("/tmp")):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o055)
    command = ["setpriv", "--reuid=65534", "--clear-groups", linked["secretservice"], "list"]
    done = subprocess.run(command, env=gnome.environ, capture_output=True, check=False, timeout=20)
    assert done.stdout.decode() == f"the session bus at {gnome.runtime}/bus refuses uid 65534; {INSTEAD}\n"
    assert done.returncode == 1


# A bus that is none


@contextmanager
def listener(path: Path, *answers: bytes, close: bool = False) -> Iterator[dict[str, str]]:
    """Something that accepts, says what it is told to, and then nothing more, or closes."""
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(8)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    for answer in answers:
                        connection.sendall(answer)
                    if not close:
                        done.wait(20)

        threads = [threading.Thread(target=serve, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            yield {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"}
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(20)


OK = b"OK 0123456789abcdef0123456789abcdef\r\n"
HUGE = b"l\x02\x01\x01" + b"\xff\xff\xff\x7f" + b"\x01\0\0\0" + b"\xff\xff\xff\x7f"
CUT = b"l\x02\x01\x01\x08\0\0\0\x01\0\0\0\x08\0\0\0" + b"\xff" * 16


@pytest.mark.parametrize(
    ("answers", "close", "cause"),
    [
        ((), False, "the session bus at {} does not answer within 0.3 s"),
        ((b"OK 0123",), False, "the session bus at {} does not answer within 0.3 s"),
        ((OK,), False, "the session bus at {} does not answer within 0.3 s"),
        ((), True, "the session bus at {} has closed the connection"),
        ((OK,), True, "the session bus at {} refuses uid {uid}"),
        ((b"HTTP/1.1 400 Bad Request\r\n",), False, "what listens at {} is not a D-Bus server"),
        ((b"x" * 5000,), False, "what listens at {} is not a D-Bus server"),
        ((b"REJECTED EXTERNAL\r\n",), False, "the session bus at {} refuses uid {uid}"),
        ((OK, HUGE), False, "what listens at {} is not a D-Bus server"),
        ((OK, CUT), False, "what listens at {} is not a D-Bus server"),
    ],
    ids=["silent", "half a line", "silent later", "closes", "closes later", "http", "noise", "rejects", "huge", "cut"],
)
def test_what_listens_is_no_bus(tmp_path: Path, answers: tuple[bytes, ...], close: bool, cause: str) -> None:
    path = tmp_path / "bus"
    with listener(path, *answers, close=close) as environ:
        (message,) = messages(environ)
    assert message == f"{cause.format(path, uid=os.geteuid())}; {INSTEAD}"


def test_the_real_limit_is_five_seconds(linked: dict[str, str], tmp_path: Path) -> None:
    """Docker's helper waits for ever."""
    with listener(tmp_path / "bus") as environ:
        answer = Helper(linked["secretservice"], {**environ, "PATH": "/usr/bin:/bin"}).get(SERVER)
    assert answer.out.decode() == f"the session bus at {tmp_path}/bus does not answer within 5 s; {INSTEAD}\n"


# No provider


def test_nothing_offers_the_service(bare_desktop: Desktop) -> None:
    (message,) = messages(bare_desktop.environ)
    assert message == (
        "no keyring offers the Secret Service: org.freedesktop.DBus.Error.ServiceUnknown: The name "
        f"org.freedesktop.secrets was not provided by any .service files; start one, or {INSTEAD}"
    )


def test_a_provider_that_cannot_start() -> None:
    with desktop(activatable="/bin/false") as made:
        (message,) = messages(made.environ)
    assert message.startswith("no keyring offers the Secret Service: org.freedesktop.DBus.Error.Spawn.ChildExited: ")
    assert message.endswith(f"; start one, or {INSTEAD}")


def test_a_provider_that_starts_and_says_nothing() -> None:
    """The bus itself would wait for it two minutes long [K5]."""
    with desktop(activatable="/bin/sleep 60") as made:
        assert messages(made.environ) == {f"the Secret Service does not answer within 0.3 s; {INSTEAD}"}


def test_a_provider_that_has_stopped(bare_desktop: Desktop) -> None:
    child = bare_desktop.keyring()
    child.send_signal(19)  # SIGSTOP
    assert messages(bare_desktop.environ) == {f"the Secret Service does not answer within 0.3 s; {INSTEAD}"}


def test_no_collection(bare_desktop: Desktop) -> None:
    """gnome-keyring before the first login; what only reads finds nothing, which is true."""
    bare_desktop.keyring(password=None)
    helper = SecretServiceHelper(bare_desktop.environ)
    assert told(lambda: helper.store(Credentials(SERVER, "bob", "s"))) == (
        "no keyring is the default one: there is none at all; make one in the settings of GNOME, KDE or KeePassXC"
    )
    assert helper.list() == {}
    helper.erase(SERVER)
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)


# Locked


def test_locked_gnome_keyring(gnome: Desktop) -> None:
    helper = SecretServiceHelper(gnome.environ)
    helper.store(Credentials(SERVER, "bob", "old"))
    gnome.lock()
    assert helper.list() == {SERVER: "bob"}  # names are not secrets
    for verb, call in verbs(helper).items():
        if verb != "list":
            assert told(call, LockedKeychainError) == LOCKED
    with pytest.raises(CredentialsNotFoundError):  # a public image needs no password
        helper.get("https://public.example")
    helper.erase("https://public.example")
    gnome.unlock()
    assert helper.get(SERVER).secret == "old"


def test_locked_since_login(bare_desktop: Desktop) -> None:
    """A login by ssh: the keyring's file was never opened, so what is in it is known by hashes alone."""
    child = bare_desktop.keyring()
    helper = SecretServiceHelper(bare_desktop.environ)
    helper.store(Credentials(SERVER, "bob", "old"))
    child.terminate()
    child.wait(10)
    bare_desktop.keyring(password=None)
    for verb, call in verbs(helper).items():
        expected = LOCKED
        if verb == "list":
            expected = "the keyring has been locked since login, and hides what is in it; unlock it on the desktop"
        assert told(call, LockedKeychainError) == expected
    with pytest.raises(CredentialsNotFoundError):
        helper.get("https://public.example")
    bare_desktop.unlock()
    assert helper.list() == {SERVER: "bob"}
    assert helper.get(SERVER).secret == "old"


def test_a_dismissed_prompt(gnome: Desktop) -> None:
    """gnome-keyring has no display here, so it dismisses its own prompts."""
    helper = SecretServiceHelper({**gnome.environ, "PASSHELPER_NONINTERACTIVE": "0"})
    helper.store(Credentials(SERVER, "bob", "old"))
    gnome.lock()
    for verb, call in verbs(helper).items():
        if verb != "list":
            expected = "the keyring is locked: its prompt was dismissed; unlock it on the desktop"
            assert told(call, LockedKeychainError) == expected
    gnome.unlock()
    assert helper.get(SERVER) == Credentials(SERVER, "bob", "old")


def test_locked_keepassxc(keepass: Desktop) -> None:
    """It shows no item then, and would answer a search only after its password: Docker's helper hangs."""
    SecretServiceHelper(keepass.environ).store(Credentials(SERVER, "bob", "old"))
    keepass.lock()
    helper = SecretServiceHelper(keepass.environ)
    for verb, call in verbs(helper).items():
        expected = LOCKED
        if verb == "list":
            expected = (
                "the keyring is locked: it shows what it holds only when it is unlocked; unlock it on the desktop"
            )
        assert told(call, LockedKeychainError) == expected
    asking = {**keepass.environ, "PASSHELPER_NONINTERACTIVE": "0", "PASSHELPER_TIMEOUT": "0.5"}
    assert told(lambda: SecretServiceHelper(asking).get(SERVER), LockedKeychainError) == (
        "the keyring is locked: nobody answered its prompt within 0.5 s; unlock it on the desktop"
    )


def test_log_in_again_with_keepassxc(keepass: Desktop) -> None:
    """CreateItem never says that it has replaced an item, on which Docker's helper hangs."""
    helper = SecretServiceHelper(keepass.environ)
    for secret in ("first", "second"):
        helper.store(Credentials(SERVER, "bob", secret))
        assert helper.get(SERVER).secret == secret
    assert len(keepass.items()) == 1


# A provider that answers as it likes


class Odd:
    """A Secret Service with one item, which says no to what it is told to."""

    def __init__(self, environ: dict[str, str], *, refuses: dict[str, str], forged: bool = False) -> None:
        self.connection = open_dbus_connection(environ["DBUS_SESSION_BUS_ADDRESS"])
        bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        self.connection.send_and_get_reply(new_method_call(bus, "RequestName", "su", ("org.freedesktop.secrets", 0)))
        self.other = open_dbus_connection(environ["DBUS_SESSION_BUS_ADDRESS"]) if forged else None
        self.refuses = refuses
        self.seen: list[str] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                message = self.connection.receive(timeout=20)
            except (TimeoutError, ConnectionError, OSError, ValueError):
                return
            if message.header.message_type is not MessageType.method_call:
                continue
            self.answer(message)

    def answer(self, message: object) -> None:
        fields = message.header.fields  # type: ignore[attr-defined]
        member, path = fields[HeaderFields.member], fields[HeaderFields.path]
        self.seen.append(member)
        item, prompt = "/org/freedesktop/secrets/collection/c/1", "/org/freedesktop/secrets/prompt/1"
        facts = {"label": "Docker Credentials", "server": SERVER, "username": "old", "docker_cli": "1"}
        facts["xdg:schema"] = "io.docker.Credentials"
        answers: dict[str, tuple[str, tuple[object, ...]]] = {
            "Get": ("v", (("b", False),)),
            "SearchItems": ("aoao", ([item], [])),
            "GetAll": ("a{sv}", ({"Attributes": ("a{ss}", facts)},)),
            "ReadAlias": ("o", ("/org/freedesktop/secrets/collection/c",)),
            "Unlock": ("aoo", ([], "/")),
            "OpenSession": ("vo", (("s", ""), "/s")),
            "GetSecret": ("(oayays)", (("/s", b"", b"s3cret", "text/plain"),)),
            "CreateItem": ("oo", (f"{item}0", "/")),
            "Delete": ("o", (prompt,)),
            "Prompt": ("", ()),
            "Dismiss": ("", ()),
        }
        if member in self.refuses:
            self.connection.send(new_error(message, self.refuses[member], "s", ("so it says",)))
            return
        self.connection.send(new_method_return(message, *answers[member]))
        if member == "Prompt":
            emitter = DBusAddress(path, None, "org.freedesktop.Secret.Prompt")
            signal = new_signal(emitter, "Completed", "bv", (self.other is None, ("s", "")))
            # To the one who asks, as anybody on the bus may: no match rule stops it.
            signal.header.fields[HeaderFields.destination] = fields[HeaderFields.sender]
            (self.other or self.connection).send(signal)

    def close(self) -> None:
        for connection in (self.connection, self.other):
            if connection is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        for connection in (self.connection, self.other):
            if connection is not None:
                connection.close()


@contextmanager
def odd(on: Desktop, *, forged: bool = False, **refuses: str) -> Iterator[Odd]:
    made = Odd(on.environ, refuses=refuses, forged=forged)
    try:
        yield made
    finally:
        made.close()


def test_what_the_provider_refuses(bare_desktop: Desktop) -> None:
    locked, other = "org.freedesktop.Secret.Error.IsLocked", "org.example.Error.No"
    helper = SecretServiceHelper(bare_desktop.environ, seconds=SOON)
    with odd(bare_desktop, GetSecret=locked):
        assert (
            told(lambda: helper.get(SERVER), LockedKeychainError) == "the keyring is locked; unlock it on the desktop"
        )
    with odd(bare_desktop, GetSecret=other):
        assert told(lambda: helper.get(SERVER), KeychainError) == (
            "the keyring refused: org.example.Error.No: so it says"
        )
    gone = "org.freedesktop.Secret.Error.NoSuchObject"
    with odd(bare_desktop, GetSecret=gone) as provider:
        assert told(lambda: helper.get(SERVER), KeychainError) == f"the keyring refused: {gone}"
        assert provider.seen.count("GetSecret") == 2  # a writer may have come between
    with odd(bare_desktop, Delete=gone):
        helper.erase(SERVER)  # which somebody else has done


def test_a_removal_that_is_refused(bare_desktop: Desktop) -> None:
    """The new credential is kept, and the user learns that the old one is, too."""
    warnings: list[str] = []
    helper = SecretServiceHelper(bare_desktop.environ, warnings.append, seconds=SOON)
    with odd(bare_desktop):
        assert told(lambda: helper.erase(SERVER), KeychainError) == (
            "the keyring refused: its prompt was dismissed; answer its prompt on the desktop"
        )
        helper.store(Credentials(SERVER, "bob", "new"))
    assert warnings == [f"the credential of old for {SERVER} is still there: its prompt was dismissed"]


def test_no_property_is_asked_for_first(bare_desktop: Desktop) -> None:
    """gnome-keyring aborts when it gets to that before it has taken note of its client (Debian bug 1147303)."""
    for verb in ("get", "store", "erase", "list"):
        with odd(bare_desktop) as provider:
            helper = SecretServiceHelper(bare_desktop.environ, lambda line: None, seconds=SOON)
            try:
                verbs(helper)[verb]()
            except KeychainError:
                assert verb == "erase"  # this provider dismisses it
            assert provider.seen[0] == "ReadAlias"
            assert "Get" in provider.seen


def test_a_prompt_that_somebody_else_completes(bare_desktop: Desktop) -> None:
    """Only the provider can say that a prompt is done; anybody on the bus can send such a signal."""
    helper = SecretServiceHelper(bare_desktop.environ, seconds=SOON)
    with odd(bare_desktop, forged=True) as provider:
        assert told(lambda: helper.erase(SERVER), KeychainError) == (
            "the keyring refused: nobody answered its prompt within 0.3 s; answer its prompt on the desktop"
        )
        helper.list()  # another round, so that the provider has read all
        assert "Dismiss" in provider.seen


def test_no_secret_is_said(gnome: Desktop, linked: dict[str, str]) -> None:
    """Whatever goes wrong, with the traceback that debugging adds."""
    environ = {**gnome.environ, "PASSHELPER_DEBUG": "1"}
    helper = Helper(linked["secretservice"], environ)
    assert helper.store(SERVER, "bob", "hunter-old").code == 0
    gnome.lock()
    for answer in (helper.store(SERVER, "bob", "hunter-new"), helper.get(SERVER)):
        assert answer.code == 1
        assert b"Traceback" in answer.err
        assert b"hunter" not in answer.out + answer.err
        assert PASSWORD.encode() not in answer.out + answer.err
