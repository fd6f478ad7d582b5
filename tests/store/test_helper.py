"""PassHelper and the program: the four verbs as a client meets them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FOLDER, NOT_FOUND, Answer, KeyRing, require, run
from support.worlds.vault import SERVER, Vault

from passhelper import AutoHelper, Credentials, CredentialsNotFoundError, PassHelper, get_helper
from passhelper.errors import EntryError, NoServerURLError, StoreError
from passhelper.store.erase import remove
from passhelper.store.store import PassStore

REPOSITORY = Path(__file__).parents[2]
PROGRAM = [
    sys.executable, "-I", "-S", "-c",
    f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from passhelper.store.helper import main; main()",
]  # fmt: skip
PREFIX = b"docker-credential-pass: "


class Client:
    """Runs the program as Docker does."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ

    def __call__(self, verb: str, stdin: bytes = b"", **environ: str) -> Answer:
        return run([*PROGRAM, verb], {**self.environ, **environ}, stdin)

    def store(
        self, server: object = SERVER, username: object = "bob", secret: object = "s3cret", **environ: str
    ) -> Answer:
        request = {"ServerURL": server, "Username": username, "Secret": secret}
        return self("store", json.dumps(request).encode(), **environ)


@pytest.fixture
def client(store: Path, environ: dict[str, str]) -> Client:
    return Client(environ)


# The class


def test_a_store_that_the_system_refuses_is_no_choice(
    store: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to itself stands for what root has made with sudo: nobody may look inside."""
    shutil.rmtree(store)
    store.symlink_to(store)
    reason = PassHelper(environ).unavailable()
    assert reason.startswith(f"cannot read {store}/"), reason
    assert reason.endswith(": Too many levels of symbolic links")
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(store))
    with pytest.raises(StoreError) as caught:
        PassHelper.priority()
    assert caught.value.cause == reason
    memory = get_helper("memory")
    auto = AutoHelper(("pass", "memory"), {"pass": PassHelper(environ), "memory": memory}.__getitem__, environ)
    auto.store(Credentials(SERVER, "bob", "s3cret"))
    assert (auto.list(), memory.list()) == ({SERVER: "bob"}, {SERVER: "bob"})


@pytest.mark.parametrize("server", ["", " ", "\n"])
def test_no_name_means_the_whole_store(store: Path, environ: dict[str, str], server: str) -> None:
    helper = PassHelper(environ)
    for name in (SERVER, "b.example"):
        helper.store(Credentials(name, "bob", "s3cret"))
    for verb in (helper.get, helper.erase):
        with pytest.raises(NoServerURLError):
            verb(server)
    with pytest.raises(NoServerURLError):
        helper.pass_store.lookup("")
    with pytest.raises(NoServerURLError):
        remove(helper.pass_store, [""])
    assert helper.list() == {SERVER: "bob", "b.example": "bob"}


def test_what_pass_wrote_and_no_client_could_take_is_an_error(vault: Vault, keys: KeyRing) -> None:
    """A NUL in a secret: not served, as it could not have been stored, and not called missing."""
    vault.put(keys.encrypt(b"a\0b", "alice"))
    with pytest.raises(EntryError) as caught:
        vault.helper.get(SERVER)
    assert caught.value.cause == f"what is kept for {SERVER} cannot be served: the secret holds a NUL character"
    assert caught.value.remedy == "store it again: docker login"
    assert vault.helper.list() == {SERVER: "bob"}
    vault.helper.store(Credentials(SERVER, "bob", "new"))
    assert vault.helper.get(SERVER).secret == "new"


# The program


def test_the_four_verbs(client: Client) -> None:
    for answer in (client.store(), client("erase", b"https://absent.example\n")):
        assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    answer = client("get", SERVER.encode() + b"\n")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.out == b'{"ServerURL":"https://a.example","Username":"bob","Secret":"s3cret"}\n'
    answer = client("list")
    assert (answer.code, answer.out, answer.err) == (0, b'{"https://a.example":"bob"}\n', b"")
    assert client("erase", SERVER.encode()).code == 0
    answer = client("get", SERVER.encode())
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")
    assert client("list").out == b"{}\n"


def test_version_and_unknown_verbs_name_the_program(client: Client) -> None:
    assert client("version").out.startswith(b"docker-credential-pass (passhelper) ")
    assert client("foo").out.startswith(b"docker-credential-pass: unknown action: foo\n")


BAD = [
    ("", "bob", "x", "no credentials server URL"),
    (" \n", "bob", "x", "no credentials server URL"),
    (SERVER, "", "x", "no credentials username"),
    (SERVER, None, "x", "no credentials username"),
    (1, "bob", "x", "ServerURL in the request is not a string"),
    (SERVER, ["bob"], "x", "Username in the request is not a string"),
    (SERVER, "bob", {"x": 1}, "Secret in the request is not a string"),
    (SERVER, "bob", "a\0b", "the secret holds a NUL character"),
    (SERVER, "bob", "a\ud800b", "the secret holds an unpaired surrogate"),
    (SERVER, "b\0b", "x", "invalid character in username: control characters are refused"),
    (SERVER, "b\nb", "x", "invalid character in username: control characters are refused"),
    (SERVER, "b\x7f", "x", "invalid character in username: control characters are refused"),
    (SERVER, "b\x9b", "x", "invalid character in username: control characters are refused"),
    (SERVER, "b\udc00", "x", "invalid character in username: unpaired surrogate"),
    ("a.exa\nmple", "bob", "x", "invalid character in server URL: control characters are refused"),
    ("a.exa\0mple", "bob", "x", "invalid character in server URL: control characters are refused"),
    ("a.\ud800", "bob", "x", "invalid character in server URL: unpaired surrogate"),
    ("x" * 190, "bob", "x", "server URL too long to store: 190 bytes, at most 189"),
    (SERVER, "x" * 252, "x", "username too long to store: 252 bytes as a file name, at most 251"),
]


@pytest.mark.parametrize(("server", "username", "secret", "message"), BAD)
def test_bad_requests_are_refused_twice_and_write_nothing(
    client: Client, store: Path, server: object, username: object, secret: object, message: str
) -> None:
    answer = client.store(server, username, secret)
    line = message.encode() + b"\n"
    assert (answer.code, answer.out, answer.err) == (1, line, PREFIX + line)
    assert [path.name for path in store.iterdir()] == [".gpg-id"]


def test_a_request_that_is_too_large_writes_nothing(client: Client, store: Path) -> None:
    answer = client("store", b'{"Secret":"' + b"x" * (2 << 20) + b'"}')
    assert (answer.code, answer.out) == (1, b"request larger than 2097152 bytes\n")
    assert [path.name for path in store.iterdir()] == [".gpg-id"]


@pytest.mark.parametrize(
    "username", ["..", "../../x", "/abs", ".", "-rf", "--help", ".gpg-id", "<token>", "_json_key", "a b"]
)
def test_names_that_could_be_paths_are_names(client: Client, store: Path, username: str) -> None:
    assert client.store(SERVER, username).code == 0
    assert client("get", SERVER.encode()).json["Username"] == username
    assert client("list").json == {SERVER: username}
    assert sorted(path.name for path in store.iterdir()) == [".gpg-id", FOLDER]
    assert client("erase", SERVER.encode()).code == 0


@pytest.mark.parametrize(
    ("secret", "read"),
    [
        ("", ""), ("a\n\n", "a"), ("\n a", "\n a"), ("a\r", "a"), ("a\r\nb\r\n", "a\r\nb"), ("\u2028", "\u2028"),
        ("a\u2029", "a\u2029"), ("\U0001f600", "\U0001f600"), (" a ", " a "), ("a\x0b", "a\x0b"), ("\n", ""),
        ('{\n  "type": "service_account",\n  "private_key": "-----BEGIN\\nPRIVATE"\n}\n',
         '{\n  "type": "service_account",\n  "private_key": "-----BEGIN\\nPRIVATE"\n}'),
    ],
)  # fmt: skip
def test_secrets_are_kept_but_for_trailing_line_ends(vault: Vault, secret: str, read: str) -> None:
    vault.store(secret=secret)
    assert vault.get() == ("bob", read)
    entry = vault.helper.pass_store.lookup(SERVER)
    assert entry
    assert vault.helper.pass_store.read(entry) == secret.encode()


def test_a_secret_of_a_million_bytes(client: Client) -> None:
    secret = "0123456789" * 100_000
    assert client.store(secret=secret).code == 0
    assert client("get", SERVER.encode()).json["Secret"] == secret


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_do_no_harm(client: Client, closed: tuple[int, ...]) -> None:
    client.store()
    redirect = " ".join(f"{number}>&-" for number in closed)
    answer = run(["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *PROGRAM, "list"], client.environ)
    assert answer.code == 0
    assert answer.out == (b"" if 1 in closed else b'{"https://a.example":"bob"}\n')
    assert answer.err == b""
    answer = run(["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *PROGRAM, "get"], client.environ, SERVER.encode())
    if closed == (2,):
        assert answer.json["Secret"] == "s3cret"


def test_warnings_go_to_stderr_only(client: Client, store: Path, keys: KeyRing) -> None:
    (store / ".gpg-id").write_text(f"{keys['alice']}\n{keys['missing']}\n")
    answer = client.store(PASSHELPER_SKIP_UNUSABLE="1")
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err.startswith(PREFIX + b"warning: not encrypted for a recipient in .gpg-id: ")
    assert answer.err.count(b"\n") == 1


def test_a_failure_is_told_twice_in_one_line(client: Client, store: Path) -> None:
    (store / FOLDER).write_text("x")
    for verb in ("get", "list", "erase"):
        answer = client(verb, SERVER.encode())
        line = f"{store / FOLDER} is not a directory; remove it\n".encode()
        assert (answer.code, answer.out, answer.err) == (1, line, PREFIX + line)


@pytest.mark.parametrize("missing", ["store", "gpg", "gpg-id", "keyring", "home"])
def test_a_miss_needs_nothing_installed(client: Client, store: Path, missing: str) -> None:
    settings: dict[str, str] = {
        "store": {"PASSWORD_STORE_DIR": "/nonexistent/store"},
        "gpg": {"PATH": ""},
        "gpg-id": {},
        "keyring": {"GNUPGHOME": "/nonexistent"},
        "home": {"HOME": "/nonexistent"},
    }[missing]
    if missing == "gpg-id":
        (store / ".gpg-id").unlink()
    answer = client("get", SERVER.encode(), **settings)
    assert (answer.code, answer.out, answer.err) == (1, NOT_FOUND, b"")
    assert client("list", b"", **settings).out == b"{}\n"
    assert client("erase", SERVER.encode(), **settings).code == 0


def test_without_home_the_password_database_decides(client: Client) -> None:
    del client.environ["HOME"]
    assert client.store().code == 0
    del client.environ["PASSWORD_STORE_DIR"]
    answer = client("get", b"https://nobody-has-this.example")
    assert (answer.code, answer.out) == (1, NOT_FOUND)


def test_a_relative_store_is_refused(client: Client, tmp_path: Path) -> None:
    for verb in ("get", "list", "erase"):
        answer = client(verb, SERVER.encode(), PASSWORD_STORE_DIR="store")
        assert answer.code == 1
        assert answer.out.startswith(b"PASSWORD_STORE_DIR is relative: store; set it to an absolute path such as /")


# Equivalent names


HUB = [
    "https://index.docker.io/v1/",
    "docker.io",
    "index.docker.io",
    "https://registry-1.docker.io/v2/",
    "https://docker.io/",
]
PRIVATE = ["r.example", "https://r.example", "r.example/v1/", "https://R.example:443/v2", "r.example:443"]
APART = ["http://r.example", "r.example:5000", "https://r.example/v3", "https://index.docker.io/v1/access-token",
         "http://docker.io", "https://bob@r.example", "other.r.example"]  # fmt: skip


@pytest.mark.parametrize("names", [HUB, PRIVATE], ids=["hub", "private"])
def test_every_name_of_a_registry_finds_the_entry_and_erases_it(vault: Vault, names: list[str]) -> None:
    for other in APART:
        vault.store(other, "other", other)
    for stored in names:
        vault.store(stored, "bob", stored)
        for asked in names:
            assert vault.get(asked) == ("bob", stored)
        vault.erase(names[names.index(stored) - 1])
        with pytest.raises(CredentialsNotFoundError):
            vault.get(stored)
    assert vault.list() == dict.fromkeys(APART, "other")
    for other in APART:
        assert vault.get(other) == ("other", other)


@pytest.mark.parametrize("asked", APART)
def test_other_names_find_nothing(vault: Vault, asked: str) -> None:
    vault.store("r.example")
    vault.store("docker.io")
    with pytest.raises(CredentialsNotFoundError):
        vault.get(asked)
    vault.erase(asked)
    assert len(vault.list()) == 2


def test_the_exact_name_comes_first_and_then_the_byte_order(vault: Vault) -> None:
    for number, server in enumerate(["https://r.example/v1/", "r.example/v2/", "https://r.example"]):
        vault.store(server, f"user{number}")
    assert vault.get("r.example/v2/")[0] == "user1"
    assert vault.get("r.example")[0] == "user2"  # "https://r.example" is the first in byte order
    assert len(vault.list()) == 3
    vault.erase("r.example/")
    assert vault.list() == {}


def test_store_writes_the_exact_name_and_removes_no_other(vault: Vault) -> None:
    vault.store("docker.io", "one")
    vault.store("index.docker.io", "two")
    assert vault.list() == {"docker.io": "one", "index.docker.io": "two"}


def test_strict_turns_equivalence_off(vault: Vault) -> None:
    vault.store("https://r.example", "bob")
    vault.environ["PASSHELPER_STRICT"] = "1"
    with pytest.raises(CredentialsNotFoundError):
        vault.get("r.example")
    vault.erase("r.example")
    assert vault.get("https://r.example") == ("bob", "s3cret")
    vault.erase("https://r.example")
    assert vault.list() == {}


def test_an_empty_directory_of_the_exact_name_hides_no_equivalent(vault: Vault) -> None:
    vault.store("https://r.example")
    vault.directory("r.example").mkdir()
    assert vault.get("r.example") == ("bob", "s3cret")


def test_an_equivalent_name_in_a_hand_made_directory(vault: Vault, keys: KeyRing) -> None:
    for name in ("ZG9ja2VyLmlv", "ZG9ja2VyLmlvCg=="):
        path = vault.path / FOLDER / name / "bob.gpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(keys.encrypt(name.encode(), "alice"))
        assert vault.get("https://index.docker.io/v1/") == ("bob", name)
        vault.erase("index.docker.io")
        assert vault.list() == {}


# Settings


@pytest.mark.parametrize("verb", ["store", "erase"])
def test_writes_can_be_ignored(vault: Vault, verb: str) -> None:
    vault.store()
    before = vault.tree
    vault.environ["PASSHELPER_IGNORE_WRITES"] = "1"
    vault.store(secret="new") if verb == "store" else vault.erase()
    assert vault.tree == before
    past = {"store": "stored", "erase": "erased"}[verb]
    assert vault.warnings == [f"nothing was {past}: PASSHELPER_IGNORE_WRITES is set"]


def test_ignoring_an_erasure_of_nothing_is_silent(vault: Vault) -> None:
    vault.environ["PASSHELPER_IGNORE_WRITES"] = "1"
    vault.erase()
    assert vault.warnings == []


def test_the_environment_is_read_at_each_verb(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store()
    for name, value in vault.environ.items():
        monkeypatch.setenv(name, value)
    assert PassHelper().get(SERVER) == Credentials(SERVER, "bob", "s3cret")
    monkeypatch.setenv("PASSWORD_STORE_DIR", "/nonexistent")
    assert PassHelper().list() == {}


def test_a_secret_that_is_not_utf_8(vault: Vault, keys: KeyRing) -> None:
    vault.put(keys.encrypt(b"\xff\xfe", "alice"))
    with pytest.raises(EntryError) as caught:
        vault.get()
    assert str(caught.value) == (
        f"the secret for {SERVER} is not UTF-8 text, which Docker cannot take; store it again: docker login"
    )


# A writer in between


def vanishing(vault: Vault, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object], times: int) -> list[str]:
    """Let a writer act between a reader's two looks, so many times."""
    real = PassStore.read
    seen: list[str] = []

    def read(store: PassStore, entry: object) -> bytes:
        if len(seen) < times:
            seen.append("read")
            then()
        return real(store, entry)  # type: ignore[arg-type] # handed through

    monkeypatch.setattr(PassStore, "read", read)
    return seen


def test_a_reader_looks_again_when_a_writer_replaced_the_file(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store(username="adam", secret="old")
    writer = Vault(vault.environ)
    seen = vanishing(vault, monkeypatch, lambda: writer.store(username="zoe", secret="new"), 1)
    assert vault.get() == ("zoe", "new")
    assert seen == ["read"]


def test_a_reader_finds_nothing_when_a_writer_erased_it(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.store()
    vanishing(vault, monkeypatch, Vault(vault.environ).erase, 1)
    with pytest.raises(CredentialsNotFoundError):
        vault.get()


def test_an_operating_system_error_names_path_and_user(vault: Vault) -> None:
    os.symlink("loop", vault.path.parent / "loop")
    vault.environ["PASSWORD_STORE_DIR"] = str(vault.path.parent / "loop")
    with pytest.raises(StoreError) as caught:
        vault.list()
    assert str(caught.value).startswith(f"cannot read {vault.path.parent}/loop: Too many levels of symbolic links")


def test_a_user_without_a_home_needs_none(keys: KeyRing, environ: dict[str, str], short_tmp: Path) -> None:
    """As in a container of any uid: the two directories are named, and nothing else is asked for."""
    require("setpriv")
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    uid = 54321
    place = Path(tempfile.mkdtemp(prefix="u", dir=short_tmp))
    folder, store = place / "g", place / "store"
    shutil.copytree(keys.home, folder, ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))
    store.mkdir()
    (store / ".gpg-id").write_text(keys["alice"] + "\n")
    place.chmod(0o755)
    run(["chown", "-R", str(uid), str(store), str(folder)], environ)
    settings = {**environ, "GNUPGHOME": str(folder), "PASSWORD_STORE_DIR": str(store), "PATH": "/usr/bin:/bin"}
    del settings["HOME"]
    request = json.dumps({"ServerURL": SERVER, "Username": "bob", "Secret": "s"}).encode()
    program = ["setpriv", f"--reuid={uid}", "--clear-groups", "--inh-caps=-all", *PROGRAM]
    try:
        for verb, stdin, out in (("store", request, b""), ("list", b"", f'{{"{SERVER}":"bob"}}\n'.encode()),
                                 ("erase", SERVER.encode(), b""), ("get", SERVER.encode(), NOT_FOUND)):  # fmt: skip
            answer = run([*program, verb], settings, stdin)
            assert (answer.out, answer.err) == (out, b""), verb
    finally:
        run(["gpgconf", "--homedir", str(folder), "--kill", "all"], environ)
        shutil.rmtree(place)
