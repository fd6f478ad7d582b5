"""``passhelper login``, ``logout`` and ``get`` on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import FOLDER, Helper, KeyRing, Program, dockers, require, run, tree
from support.machines.new import Command
from support.people.clones import Team
from support.people.terminals import Person

HUB = "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("registry.example:5000", "registry.example:5000"),
        ("https://registry.example/v2/", "registry.example"),
        ("http://registry.example", "registry.example"),
        (" registry.example/team/app ", "registry.example"),
        ("docker.io", HUB),
        ("index.docker.io", HUB),
        (HUB, HUB),
        ("docker://Registry.Example/team/app:1", "registry.example"),
        ("oci://registry.example/charts", "registry.example"),
        ("HTTPS://Registry.Example", "registry.example"),
        ("docker://docker.io/library/busybox", HUB),
    ],
)
def test_login_stores_under_dockers_name(
    passhelper: Command, store: Path, helper: Helper, typed: str, stored: str
) -> None:
    answer = passhelper("login", typed, "-u", "alice", "--password-stdin", stdin="s3cret\n")
    assert (answer.code, answer.text, answer.err) == (0, f"stored the credential of alice for {stored}\n", b"")
    assert helper.list().json == {stored: "alice"}
    assert passhelper("get", typed, "--password").text == "s3cret\n"


@pytest.mark.parametrize("docker", dockers())
def test_same_name_as_docker_login(
    passhelper: Command, helper: Helper, store: Path, tls_registry: tuple[str, Path], docker: str
) -> None:
    require("docker")
    registry, certificate = tls_registry
    config = Path(helper.environ["HOME"]) / ".docker"
    config.mkdir()
    (config / "config.json").write_text('{"credsStore": "pass"}')
    environ = {
        **helper.environ, "PATH": f"{Path(helper.program).parent}:{helper.environ['PATH']}",
        "SSL_CERT_FILE": str(certificate), "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    }  # fmt: skip
    words = ["-u", "alice", "--password-stdin"]
    for typed in (registry, f"https://{registry}/v2/", f"{registry}/team/app"):
        assert run([docker, "login", *words, typed], environ, b"s3cret-Pw!").code == 0
        by_docker = helper.list().json
        passhelper("logout", registry)
        passhelper("login", typed, *words, stdin="s3cret-Pw!")
        assert helper.list().json == by_docker == {registry: "alice"}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("https://me:hunter2@a.example", "there is a user name before the server a.example"),
        ("me@a.example", "there is a user name before the server a.example"),
        ("https://me:hunt/er2@a.example", "this is not the name of a registry"),
        ("a.example:port", "a.example:port is not the name of a registry"),
        ("ftp://a.example", "ftp:// is not how a registry is reached"),
    ],
)
def test_names_that_no_client_asks_for_are_refused(passhelper: Command, store: Path, typed: str, why: str) -> None:
    before = tree(store)
    for words in (("login", typed, "-u", "alice", "--password-stdin"), ("logout", typed), ("get", typed)):
        answer = passhelper(*words, stdin="s3cret")
        assert (answer.code, answer.out) == (1, b"")
        assert answer.err.decode().startswith(f"error: {why}\nhint: ")
        assert b"hunt" not in answer.err
    assert tree(store) == before


def test_what_is_stored_under_an_odd_name_can_be_read_and_erased(
    passhelper: Command, store: Path, helper: Helper
) -> None:
    for server in ("docker:", "me@a.example"):
        helper.store(server, "u", "s")
        assert passhelper("get", server).json["Username"] == "u"
        assert passhelper("logout", server).text == f"erased the credential for {server}\n"


@pytest.mark.parametrize("secret", ["in\nside", " spaced ", "ünïcode", '{"json": "key\\n"}', "x" * 5000])
def test_secrets_are_kept_exactly(passhelper: Command, store: Path, secret: str) -> None:
    passhelper("login", "a.example", "-u", "u", "--password-stdin", stdin=secret + "\r\n")
    assert passhelper("get", "a.example").json == {"ServerURL": "a.example", "Username": "u", "Secret": secret}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("a.example", "-u", "u"), b"", "the password on stdin is empty"),
        (("a.example", "-u", "u"), b"\n", "the password on stdin is empty"),
        (("a.example", "-u", "u"), b"\xff", "the password on stdin is not UTF-8 text"),
        (("a.example", "-u", "u"), b"a\0b", "the password holds a character that no client could send"),
        (("a.example", "-u", "u"), b"x" * ((2 << 20) + 1), "request larger than 2097152 bytes"),
        (("a.example", "-u", ""), b"x", "no credentials username"),
        (("a.example", "-u", "a\nb"), b"x", "invalid character in username: control characters are refused"),
        (("", "-u", "u"), b"x", "no credentials server URL"),
        (("https://", "-u", "u"), b"x", "no credentials server URL"),
        (("a\nb", "-u", "u"), b"x", "invalid character in server URL: control characters are refused"),
    ],
)
def test_login_refuses(
    passhelper: Command, store: Path, arguments: tuple[str, ...], stdin: bytes, message: str
) -> None:
    before = tree(store)
    answer = passhelper("login", *arguments, "--password-stdin", stdin=stdin)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode().splitlines()[0] == f"error: {message}"
    assert tree(store) == before


def test_login_needs_a_user(passhelper: Command, store: Path) -> None:
    answer = passhelper("login", "a.example")
    assert answer.code == 2
    assert answer.err.decode() == "error: missing option '-u' / '--username'\nhint: run: passhelper login --help\n"


def test_login_asks_on_the_terminal(installed: Program, store: Path, environ: dict[str, str], helper: Helper) -> None:
    person = Person((b"Password: ", b"typed secret\n"))
    command = [installed.passhelper, "login", "a.example", "-u", "alice"]
    answer = person.run(command, {**environ, "PASSHELPER_NONINTERACTIVE": "0"}, b"not the password")
    assert (answer.code, answer.out) == (0, b"stored the credential of alice for a.example\n")
    assert b"typed" not in person.screen
    assert helper.get("a.example").json["Secret"] == "typed secret"


def test_login_takes_no_empty_answer(installed: Program, store: Path, environ: dict[str, str]) -> None:
    person = Person((b"Password: ", b"\n"))
    command = [installed.passhelper, "login", "a.example", "-u", "alice"]
    answer = person.run(command, {**environ, "PASSHELPER_NONINTERACTIVE": "0", "NO_COLOR": "1"}, b"")
    assert answer.code == 1
    assert b"error: the password is empty" in person.screen


def test_login_without_a_terminal(passhelper: Command, store: Path) -> None:
    answer = passhelper("login", "a.example", "-u", "alice", stdin="not asked for")
    assert answer.code == 1
    assert answer.err == b"error: no terminal to ask for the password\nhint: use --password-stdin\n"


def test_login_without_a_store(passhelper: Command, environ: dict[str, str]) -> None:
    answer = passhelper("login", "a.example", "-u", "alice", "--password-stdin", stdin="x")
    store = environ["PASSWORD_STORE_DIR"]
    assert answer.err.decode() == f"error: password store not initialised at {store}\nhint: run: passhelper setup\n"


def test_ignored_writes_are_not_reported_as_done(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("b.example", "u", "s")
    answer = passhelper("login", "a.example", "-u", "u", "--password-stdin", stdin="x", PASSHELPER_IGNORE_WRITES="1")
    assert (answer.code, answer.out) == (0, b"")
    assert answer.err == b"warning: nothing was stored: PASSHELPER_IGNORE_WRITES is set\n"
    answer = passhelper("logout", "b.example", PASSHELPER_IGNORE_WRITES="1")
    assert (answer.code, answer.out) == (0, b"")
    assert helper.list().json == {"b.example": "u"}


def test_logout_twice(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example", "u", "s")
    helper.store("b.example", "u", "s")
    answer = passhelper("logout", "https://a.example/v2/")
    assert (answer.code, answer.text) == (0, "erased the credential for a.example\n")
    answer = passhelper("logout", "a.example")
    assert (answer.code, answer.text) == (0, "there is no credential for a.example\n")
    assert helper.list().json == {"b.example": "u"}


def test_logout_of_a_name_that_equals_only_itself(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example/team", "u", "s")
    assert passhelper("logout", "a.example/team").text == "erased the credential for a.example/team\n"


def test_logout_of_one_of_docker_hubs_names_leaves_the_others(passhelper: Command, store: Path, helper: Helper) -> None:
    """Docker keeps the refresh token of the Hub beside its login, below the same host."""
    token = f"{HUB}access-token"
    for server in (HUB, token):
        helper.store(server, "u", "s")
    assert passhelper("logout", token).text == f"erased the credential for {token}\n"
    assert helper.list().json == {HUB: "u"}


@pytest.mark.parametrize("typed", ["docker.io", HUB, "index.docker.io", "docker.io/library/busybox"])
def test_logout_of_docker_hub_takes_the_tokens_of_dockers_own_login(
    passhelper: Command, store: Path, helper: Helper, typed: str
) -> None:
    for server in (HUB, f"{HUB}access-token", f"{HUB}refresh-token", "a.example"):
        helper.store(server, "u", "s")
    answer = passhelper("logout", typed)
    assert answer.text.splitlines() == [
        f"erased the credential for {name}" for name in (HUB, f"{HUB}access-token", f"{HUB}refresh-token")
    ]
    assert helper.list().json == {"a.example": "u"}


def test_logout_of_what_this_machine_cannot_read(
    passhelper: Command, store: Path, helper: Helper, keys: KeyRing
) -> None:
    """``list`` leaves it out, and it is erased all the same, so that is what is said."""
    helper.store("a.example", "u", "s")
    entry = next(store.glob(f"{FOLDER}/*/u.gpg"))
    entry.write_bytes(keys.encrypt(b"s", "stranger"))
    assert helper.get("a.example").code == 1  # which notes what can be read here
    assert helper.list().json == {}
    assert passhelper("logout", "a.example").text == "erased the credential for a.example\n"
    assert not entry.exists()


def test_logout_of_a_store_that_others_share(passhelper: Command, helper: Helper, team: Team, git_store: Path) -> None:
    team.adopt(git_store).git("config", "passhelper.sharedErase", "false")
    helper.store("a.example", "u", "s")
    said = (
        "warning: logged out of a.example in this clone; the team keeps the credential, and passhelper logout --team "
        "a.example erases it for everybody\n"
    )
    answer = passhelper("logout", "https://a.example/v2/")
    assert (answer.code, answer.text, answer.err.decode()) == (0, "", said)
    answer = passhelper("get", "a.example")
    assert answer.code == 1
    assert answer.err.decode() == (
        "error: this clone has logged out of a.example, which the store has a credential for\n"
        "hint: run: passhelper restore a.example\n"
    )
    assert passhelper("list", "--json").json["data"][0]["logged_out"] is True
    note = "this clone has logged out of a.example; to undo that, run: passhelper restore SERVER\n"
    assert passhelper("list").err.decode() == note
    assert "logged out  a.example\n" in passhelper("status").text
    answer = passhelper("restore", "a.example")
    assert (answer.code, answer.text) == (0, "this clone serves the credential for a.example again\n")
    assert helper.get("a.example").json["Secret"] == "s"
    assert passhelper("restore", "a.example").code == 1  # it is there

    answer = helper("erase", "a.example")
    assert (answer.code, answer.text) == (0, "")
    assert answer.err.decode() == said.replace("warning", "docker-credential-pass: warning")
    answer = passhelper("restore", "--json", "a.example")
    assert answer.json["data"] == {"server": "a.example", "logged_in": ["a.example"]}
    answer = passhelper("logout", "--team", "a.example")
    assert (answer.code, answer.text, answer.err) == (0, "erased the credential for a.example\n", b"")
    assert list(git_store.glob(f"{FOLDER}/*/u.gpg")) == []


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "utf-8"])
def test_secrets_whatever_the_encoding_of_stdout(
    passhelper: Command, store: Path, helper: Helper, encoding: str
) -> None:
    secret = "p\u00e4\u20ac\u00df\U0001f600"
    helper.store("a.example", "u", secret)
    assert passhelper("get", "a.example", "--password", PYTHONIOENCODING=encoding).out == f"{secret}\n".encode()
    assert passhelper("get", "a.example", PYTHONIOENCODING=encoding).json["Secret"] == secret


def test_get_prefers_the_exact_name(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example/team", "team", "s")
    helper.store("a.example", "all", "s")
    assert passhelper("get", "a.example/team").json["Username"] == "team"
    assert passhelper("get", "a.example/other").json["Username"] == "all"


def test_get_of_nothing(passhelper: Command, store: Path) -> None:
    answer = passhelper("get", "https://a.example")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err.decode() == (
        "error: there is no credential for a.example\nhint: run: passhelper login a.example -u USER\n"
    )


def test_get_answers_what_a_client_reads(passhelper: Command, store: Path, helper: Helper) -> None:
    helper.store("a.example", "ü", "s\nt")
    assert json.loads(passhelper("get", "a.example").out) == helper.get("a.example").json
