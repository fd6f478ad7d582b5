"""The Secret Service backend with real keyrings and, as peers, Docker's own helper and secret-tool."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import Helper, require, run
from support.machines.desktops import GO_HELPER, Desktop, desktop

from passhelper import Credentials, CredentialsNotFoundError
from passhelper.errors import EntryError, KeychainUnavailableError
from passhelper.registry import normalize
from passhelper.testing import HelperContract
from passhelper_backends.secretservice import SecretServiceHelper  # noqa: TID251 - what is tested
from passhelper_backends.secretservice._service import SecretService  # noqa: TID251

SERVER = "https://registry.example"
SCHEMA = "io.docker.Credentials"


def attributes(server: str, username: str = "bob", **others: str) -> dict[str, str]:
    """What Docker's helper writes."""
    label = {"label": "Docker Credentials", "server": server, "username": username, "docker_cli": "1"}
    return {**label, "xdg:schema": SCHEMA, **others}


class _SecretServiceContract(HelperContract):
    """A keyring of its own; each law leaves it empty."""

    provider: str
    desktop: Desktop

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def keyring(cls) -> Iterator[None]:
        with desktop() as made:
            getattr(made, cls.provider)()
            cls.desktop = made
            yield

    def make_helper(self) -> SecretServiceHelper:
        return SecretServiceHelper(self.desktop.environ)

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored or (normalize(asked) is not None and normalize(asked) == normalize(stored))


class TestGnomeKeyring(_SecretServiceContract):
    provider = "keyring"


class TestKeePassXC(_SecretServiceContract):
    provider = "keepassxc"
    histories = 4


class TestStrict(_SecretServiceContract):
    provider = "keyring"
    histories = 4

    def make_helper(self) -> SecretServiceHelper:
        return SecretServiceHelper({**self.desktop.environ, "PASSHELPER_STRICT": "1"})

    def finds(self, asked: str, stored: str) -> bool:
        return asked == stored


# Byte for byte what Docker's helper keeps


def test_the_class_says_whether_a_keyring_runs(bare_desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bare_desktop.environ["DBUS_SESSION_BUS_ADDRESS"])
    with pytest.raises(KeychainUnavailableError) as caught:
        SecretServiceHelper.priority()
    assert caught.value.cause == "no keyring runs on the session bus"
    assert SecretServiceHelper().unavailable() == caught.value.cause
    bare_desktop.keyring()
    assert SecretServiceHelper.priority() == 5
    assert SecretServiceHelper().unavailable() == ""


def test_an_item_is_what_dockers_helper_makes(gnome: Desktop) -> None:
    """Field by field; the label is the URL, as Docker's helper wrote before 0.9.0 and as it still lists."""
    secret = 's3 \n"ü'
    SecretServiceHelper(gnome.environ).store(Credentials(SERVER, "bob", secret))
    (ours,) = gnome.items()
    assert ours == {
        "Label": SERVER,
        "Attributes": attributes(SERVER),
        "Parameters": b"",
        "Secret": secret.encode(),
        "Type": "text/plain",
    }
    SecretServiceHelper(gnome.environ).erase(SERVER)
    require("docker-credential-secretservice")
    assert Helper(GO_HELPER, gnome.environ).store(SERVER, "bob", secret).code == 0
    assert gnome.items() == [ours]


@pytest.mark.parametrize("label", [SERVER, f"Registry credentials for {SERVER}", ""])
def test_items_of_every_version_of_dockers_helper(gnome: Desktop, label: str) -> None:
    """0.9.0 changed the label, which is what its own list reads [K1]."""
    with gnome.connection() as bus:
        bus.create(label, attributes(SERVER), b"s3cret")
    helper = SecretServiceHelper(gnome.environ)
    assert helper.list() == {SERVER: "bob"}
    assert helper.get(SERVER) == Credentials(SERVER, "bob", "s3cret")
    helper.erase(SERVER)
    assert gnome.items() == []


@pytest.mark.parametrize("schema", ["org.freedesktop.Secret.Generic", "io.docker.Other", None])
def test_what_is_not_dockers_is_left_alone(gnome: Desktop, schema: str | None) -> None:
    foreign = attributes(SERVER)
    del foreign["xdg:schema"]
    if schema is not None:
        foreign["xdg:schema"] = schema
    with gnome.connection() as bus:
        bus.create("somebody's", foreign)
    helper = SecretServiceHelper(gnome.environ)
    assert helper.list() == {}
    with pytest.raises(CredentialsNotFoundError):
        helper.get(SERVER)
    helper.store(Credentials(SERVER, "zoe", "x"))
    helper.erase(SERVER)
    (left,) = gnome.items()
    if schema is None:  # gnome-keyring adds one when it reads its own file again
        left["Attributes"].pop("xdg:schema", None)
    assert (left["Label"], left["Attributes"], left["Secret"]) == ("somebody's", foreign, b"s")


# Peers


@dataclass(frozen=True)
class Peer:
    """A program that keeps credentials in the Secret Service."""

    store: Callable[[Desktop, str, str, str], None]
    get: Callable[[Desktop, str], tuple[str, str] | None]  # None: not there
    erase: Callable[[Desktop, str], None]


def helper_peer(program: str) -> Peer:
    def store(on: Desktop, server: str, username: str, secret: str) -> None:
        answer = Helper(program, on.environ).store(server, username, secret)
        assert (answer.code, answer.out, answer.err) == (0, b"", b"")

    def get(on: Desktop, server: str) -> tuple[str, str] | None:
        answer = Helper(program, on.environ).get(server)
        if answer.code:
            assert answer.out == b"credentials not found in native keychain\n"
            return None
        assert answer.json["ServerURL"] == server
        return answer.json["Username"], answer.json["Secret"]

    def erase(on: Desktop, server: str) -> None:
        assert Helper(program, on.environ).erase(server).code == 0

    return Peer(store, get, erase)


def _tool(on: Desktop, *words: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["secret-tool", *words], env=on.environ, input=stdin.encode(), capture_output=True, check=False, timeout=20
    )


def _tool_store(on: Desktop, server: str, username: str, secret: str) -> None:
    words = [word for pair in attributes(server, username).items() for word in pair]
    assert _tool(on, "store", f"--label={server}", "--", *words, stdin=secret).returncode == 0


def _tool_get(on: Desktop, server: str) -> tuple[str, str] | None:
    found = _tool(on, "lookup", "--", "server", server, "docker_cli", "1", "xdg:schema", SCHEMA)
    if found.returncode:
        return None
    shown = _tool(on, "search", "--all", "--", "server", server, "docker_cli", "1").stderr.decode()
    username = re.search(r"^attribute\.username = (.*)$", shown, re.MULTILINE)
    assert username is not None
    return username[1], found.stdout.decode()


def _tool_erase(on: Desktop, server: str) -> None:
    assert _tool(on, "clear", "--", "server", server, "docker_cli", "1", "xdg:schema", SCHEMA).returncode == 0


TRIPLES = [
    ("https://index.docker.io/v1/", "bob", "s3cret"),
    ("registry.example:5000", "<token>", "eyJ0eXAi." * 400),
    ("https://bücher.example/v2/", "jürgen@example.test", "pässwörd ☃ \U0001f600"),
    ("http://plain.example", "AWS", 'qu"ote \\ back\\slash'),
    ("https://a.example/team/app?x=1&y=%20#f", "oauth2accesstoken", "inner\nline\r\nends"),
    ("[::1]:5000", "_json_key", '{"private_key": "-----BEGIN-----\\n"}'),
    ("../../etc", "../zoe", " leading and trailing "),
    ("a b.example", "dom\\user", "\t\x01\x1b[31m"),
    ("'; rm -rf x", "$(id)", "%s%n $HOME `id`"),
    ("-rf", "--label=x", "-n"),
    ("https://" + "long-" * 60 + ".example", "u" * 300, "x" * 8_000),  # secret-tool reads no more
    ("R.EXAMPLE", " ", "{"),
]


@pytest.fixture
def peers(linked: dict[str, str]) -> dict[str, Peer]:
    require("docker-credential-secretservice", "secret-tool")
    return {
        "ours": helper_peer(linked["secretservice"]),
        "docker's": helper_peer(GO_HELPER),
        "secret-tool": Peer(_tool_store, _tool_get, _tool_erase),
    }


@pytest.mark.parametrize("triple", TRIPLES, ids=[server[:20] for server, _, _ in TRIPLES])
def test_each_finds_what_another_has_stored(
    any_desktop: Desktop, peers: dict[str, Peer], triple: tuple[str, str, str]
) -> None:
    """Every writer, every reader, over names and secrets that have broken others; each of them erases, too."""
    server, username, secret = triple
    wrong: list[tuple[str, ...]] = []
    for writer, eraser in zip(peers, [*list(peers)[1:], "ours"], strict=True):
        peers[writer].store(any_desktop, server, username, secret)
        wrong += [(writer, reader) for reader in peers if peers[reader].get(any_desktop, server) != (username, secret)]
        peers[eraser].erase(any_desktop, server)
        if any_desktop.items():
            wrong.append((writer, eraser, "still there"))
    assert wrong == []


def test_list_is_right_about_theirs_and_theirs_about_ours(gnome: Desktop, peers: dict[str, Peer]) -> None:
    expected = {}
    for number, (server, username, secret) in enumerate(TRIPLES):
        peers[list(peers)[number % len(peers)]].store(gnome, server, username, secret)
        expected[server] = username
    assert SecretServiceHelper(gnome.environ).list() == expected
    assert Helper(GO_HELPER, gnome.environ).list().json == expected


def test_another_user_replaces_the_one_that_dockers_helper_would_leave(gnome: Desktop, peers: dict[str, Peer]) -> None:
    """Docker's helper keeps an item for each user and then finds any of them [K2]."""
    for username in ("mid", "zoe", "adam"):
        peers["docker's"].store(gnome, SERVER, username, f"of {username}")
    assert len(gnome.items()) == 3
    peers["ours"].store(gnome, SERVER, "carol", "new")
    assert [item["Attributes"] for item in gnome.items()] == [attributes(SERVER, "carol")]
    assert peers["docker's"].get(gnome, SERVER) == ("carol", "new")


def test_two_who_store_at_once_leave_one(gnome: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each must remove what was there before it, and never what has come since."""
    helper = SecretServiceHelper(gnome.environ)
    create = SecretService.create

    def then_another(self: SecretService, *arguments: object) -> str:
        monkeypatch.setattr(SecretService, "create", create)
        path: str = create(self, *arguments)  # type: ignore[arg-type]
        helper.store(Credentials(SERVER, "zoe", "later"))
        return path

    monkeypatch.setattr(SecretService, "create", then_another)
    helper.store(Credentials(SERVER, "bob", "first"))
    assert helper.get(SERVER) == Credentials(SERVER, "zoe", "later")
    assert len(gnome.items()) == 1


def test_of_several_the_newest_is_found(gnome: Desktop) -> None:
    for username in ("mid", "zoe", "adam"):  # within one second, so that the path decides
        with gnome.connection() as bus:
            bus.create("", attributes(SERVER, username), username.encode())
    helper = SecretServiceHelper(gnome.environ)
    assert helper.get(SERVER) == Credentials(SERVER, "adam", "adam")
    assert helper.list() == {SERVER: "adam"}
    helper.erase(SERVER)
    assert gnome.items() == []


# Names


def test_equivalent_names(gnome: Desktop) -> None:
    helper = SecretServiceHelper(gnome.environ)
    helper.store(Credentials("https://index.docker.io/v1/", "bob", "hub"))
    assert helper.get("docker.io") == Credentials("docker.io", "bob", "hub")
    with pytest.raises(CredentialsNotFoundError):
        helper.get("https://index.docker.io/v1/access-token")
    strict = SecretServiceHelper({**gnome.environ, "PASSHELPER_STRICT": "1"})
    with pytest.raises(CredentialsNotFoundError):
        strict.get("docker.io")
    strict.erase("docker.io")
    assert helper.list() == {"https://index.docker.io/v1/": "bob"}
    helper.erase("registry-1.docker.io")
    assert helper.list() == {}


def test_odd_items_hide_no_other(gnome: Desktop) -> None:
    """A server that no client can ask for is not listed; a secret that is not text is an error of its own."""
    with gnome.connection() as bus:
        bus.create("", attributes("https://odd.example\nhttps://evil.example"))
        bus.create("", attributes("https://binary.example"), b"\xff\xfe")
        bus.create("", {"docker_cli": "1", "xdg:schema": SCHEMA})
        bus.create("", attributes(SERVER))
    helper = SecretServiceHelper(gnome.environ)
    assert helper.list() == {"https://binary.example": "bob", SERVER: "bob"}
    with pytest.raises(EntryError) as caught:
        helper.get("https://binary.example")
    assert str(caught.value) == (
        "the secret for https://binary.example is not UTF-8 text, which Docker cannot take; "
        "store it again: docker login"
    )


def test_many_items(gnome: Desktop) -> None:
    """More than a bus lets a connection ask at once."""
    with gnome.connection() as bus:
        for number in range(150):
            bus.create("", attributes(f"https://r{number}.example", f"u{number}"))
    expected = {f"https://r{number}.example": f"u{number}" for number in range(150)}
    assert SecretServiceHelper(gnome.environ).list() == expected


# Where new items go [K6]


def test_a_chosen_collection(gnome: Desktop) -> None:
    with gnome.connection() as bus:
        work = bus.make_collection("Work keys")
    for chosen in ("Work keys", work.rpartition("/")[2]):
        helper = SecretServiceHelper({**gnome.environ, "PASSHELPER_COLLECTION": chosen})
        helper.store(Credentials(SERVER, "bob", chosen))
        assert gnome.items() == []  # of the default one
        assert helper.get(SERVER).secret == chosen
        helper.erase(SERVER)
    helper = SecretServiceHelper({**gnome.environ, "PASSHELPER_COLLECTION": "nosuch"})
    with pytest.raises(KeychainUnavailableError) as caught:
        helper.store(Credentials(SERVER, "bob", "x"))
    assert str(caught.value) == ("no keyring is called 'nosuch'; set PASSHELPER_COLLECTION to one of: Login, Work keys")


def test_without_a_default_the_collection_that_docker_uses(gnome: Desktop) -> None:
    """KeePassXC and KWallet may have none; gnome-keyring would take its login keyring, if it were there."""
    helper = SecretServiceHelper(gnome.environ)
    with gnome.connection() as bus:
        work = bus.make_collection("Work keys")
        (login,) = bus.service("ReadAlias", "s", ("default",))
        assert bus.call(login, "org.freedesktop.Secret.Collection", "Delete") == ("/",)
        assert bus.service("ReadAlias", "s", ("default",)) == ("/",)

        def refused() -> str:
            with pytest.raises(KeychainUnavailableError) as caught:
                helper.store(Credentials(SERVER, "bob", "x"))
            return str(caught.value)

        advice = "no keyring is the default one; set PASSHELPER_COLLECTION to one of: Work keys"
        assert refused() == advice
        # An item that goes with the session is not a sign of where the others are.
        bus.create("", attributes("https://a.example"), collection="/org/freedesktop/secrets/collection/session")
        assert refused() == advice
        bus.create("", attributes("https://other.example"), collection=work)
        helper.store(Credentials(SERVER, "bob", "x"))
        assert len(bus.get(work, "org.freedesktop.Secret.Collection", "Items")) == 2
    assert helper.get(SERVER).secret == "x"


# The program


def test_the_program_speaks_the_protocol(gnome: Desktop, linked: dict[str, str]) -> None:
    helper = Helper(linked["secretservice"], gnome.environ)
    assert helper.store(SERVER, "bob", "s3cret\n").out == b""
    answer = helper.get(SERVER)
    assert (answer.code, answer.err) == (0, b"")
    assert answer.json == {"ServerURL": SERVER, "Username": "bob", "Secret": "s3cret"}
    assert helper.list().json == {SERVER: "bob"}
    assert helper.erase(SERVER).code == 0
    assert helper.get(SERVER).out == b"credentials not found in native keychain\n"
    assert helper("version").out.startswith(b"docker-credential-secretservice (passhelper) ")


def test_it_loads_no_library(gnome: Desktop, linked: dict[str, str]) -> None:
    """Start-up time is why there is a D-Bus client of its own."""
    program = Path(linked["secretservice"])
    python, _, options = program.read_text().splitlines()[0].removeprefix("#!").partition(" ")
    helper = Helper(str(program), gnome.environ)
    assert helper.store(SERVER, "bob", "s").code == 0
    for verb, stdin in (("get", SERVER), ("get", "https://nowhere.example"), ("list", ""), ("erase", SERVER)):
        answer = run([python, options, "-X", "importtime", str(program), verb], gnome.environ, stdin.encode())
        loaded = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", answer.err.decode(), re.MULTILINE))
        assert "passhelper_backends.secretservice._bus" in loaded
        heavy = {
            "jeepney", "secretstorage", "keyring", "click", "socket", "enum", "typing", "re", "json", "subprocess",
            "importlib", "importlib.metadata", "dataclasses", "contextlib", "collections", "functools", "logging",
            "passhelper.store.gpg", "passhelper.store.store", "passhelper.cli",
        }  # fmt: skip
        assert loaded & heavy == set()


def test_closed_streams_are_not_taken_for_the_bus(gnome: Desktop, linked: dict[str, str]) -> None:
    SecretServiceHelper(gnome.environ).store(Credentials(SERVER, "bob", "s"))
    command = f"{linked['secretservice']} list <&- 2>&- | cat"
    assert json.loads(run(["sh", "-c", command], gnome.environ).out) == {SERVER: "bob"}


def test_parallel_writers(gnome: Desktop, linked: dict[str, str]) -> None:
    """docker compose asks for many registries at once, and logins may overlap."""
    helper = Helper(linked["secretservice"], gnome.environ)
    children = []
    for number in range(8):
        request = json.dumps({"ServerURL": SERVER, "Username": f"u{number}", "Secret": f"s{number}"})
        child = subprocess.Popen(
            [helper.program, "store"], env=gnome.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        child.stdin.write(request.encode())
        child.stdin.close()
        children.append(child)
    for child in children:
        assert child.wait(30) == 0
        assert child.stdout is not None
        assert child.stdout.read() == b""
        child.stdout.close()
    found = helper.get(SERVER).json
    assert found["Secret"] == "s" + found["Username"].removeprefix("u")
    assert helper.list().json == {SERVER: found["Username"]}
    assert helper.store(SERVER, "zoe", "last").code == 0
    assert [item["Attributes"]["username"] for item in gnome.items()] == ["zoe"]
