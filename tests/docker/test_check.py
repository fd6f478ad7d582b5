"""``login --check`` and ``list --check``: a real registry for Basic, a small token server for Bearer."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from support import FOLDER, Helper, KeyRing
from support.machines.new import Command
from support.machines.registries import USERS
from support.waiting import LIMIT

from passhelper import Credentials
from passhelper.docker import inventory, registrycheck
from passhelper.errors import DockerError
from passhelper.store.store import PassStore


class _Server(ThreadingHTTPServer):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stopped = threading.Event()


class TokenRegistry:
    """A registry that asks for a token, its token server, and what both were sent.

    Attributes:
        address: ``host:port`` of both.
        realm: where clients are sent for a token.
        redirect: where ``/v2/`` redirects to, if anywhere.
        document: what the token server answers, None for a good token; bytes as they are.
        drips: send one byte after the other, slowly, and never end.
        status: what the token server answers to a good login.
        seen: path and Authorization header of every request.
    """

    def __init__(self) -> None:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.realm = f"http://{self.address}/token?fixed=1"
        self.redirect = ""
        self.document: object = None
        self.drips = False
        self.status = 200
        self.seen: list[tuple[str, str]] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        authorization = request.headers.get("Authorization", "")
        self.seen.append((request.path, authorization))
        path = urlsplit(request.path).path
        if self.drips:
            self._drip(request)
        elif path == "/token":
            self._token(request, authorization)
        elif self.redirect and path == "/v2/":
            self._send(request, 307, {"Location": self.redirect})
        elif path in ("/v2/", "/elsewhere/") and authorization == "Bearer good":
            self._send(request, 200, {})
        elif path in ("/v2/", "/elsewhere/"):
            challenge = f'Bearer realm="{self.realm}",service="a, b",scope="x"'
            self._send(request, 401, {"WWW-Authenticate": challenge})
        else:
            self._send(request, 404, {})

    def _token(self, request: BaseHTTPRequestHandler, authorization: str) -> None:
        wanted = "Basic " + base64.b64encode(f"alice:{USERS['alice']}".encode()).decode()
        if authorization != wanted:
            self._send(request, 401, {})
            return
        document = {"token": "good"} if self.document is None else self.document
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._send(request, self.status, {"Content-Type": "application/json"}, body)

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        with contextlib.suppress(OSError):
            while not self.server.stopped.wait(0.05):
                request.wfile.write(b"x")

    def _send(self, request: BaseHTTPRequestHandler, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        request.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    @property
    def secrets_sent(self) -> list[str]:
        return [path for path, authorization in self.seen if authorization.startswith("Basic")]


@pytest.fixture
def token_registry() -> Iterator[TokenRegistry]:
    registry = TokenRegistry()
    thread = threading.Thread(target=registry.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield registry
    registry.server.stopped.set()
    registry.server.shutdown()
    registry.server.server_close()
    thread.join()


def login(passhelper: Command, server: str, user: str, secret: str, **environ: str) -> tuple[int, str, str]:
    answer = passhelper("login", server, "-u", user, "--password-stdin", "--check", stdin=secret, **environ)
    return answer.code, answer.text, answer.err.decode()


# Basic, at a real registry


@pytest.mark.parametrize("user", USERS)
def test_basic(passhelper: Command, store: Path, registry: str, user: str) -> None:
    stored = f"stored the credential of {user} for {registry}\n"
    assert login(passhelper, registry, user, USERS[user]) == (0, stored, "")


def test_basic_refused_is_not_stored(passhelper: Command, store: Path, helper: Helper, registry: str) -> None:
    assert login(passhelper, f"http://{registry}/", "alice", "wrong") == (
        1,
        "",
        (
            f"error: {registry} refuses the credential of alice, so it was not stored\n"
            "hint: check the user name and the password\n"
        ),
    )
    assert helper.list().json == {}


def test_open_registry(passhelper: Command, store: Path, open_registry: str) -> None:
    code, out, err = login(passhelper, open_registry, "alice", "any")
    assert (code, out) == (0, f"stored the credential of alice for {open_registry}\n")
    assert err == f"warning: {open_registry} asks for no login, so the credential was not tried\n"


def test_a_proxy_is_not_used_for_loopback(passhelper: Command, store: Path, registry: str) -> None:
    proxy = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    assert login(passhelper, registry, "alice", USERS["alice"], **proxy)[0] == 0


def test_unreachable(passhelper: Command, store: Path) -> None:
    code, _, err = login(passhelper, "127.0.0.1:9", "alice", "x")
    assert code == 1
    assert err.startswith("error: cannot reach 127.0.0.1:9: ")
    assert "hint: check the name, the network and the certificate\n" in err


def test_without_tls_only_to_loopback(passhelper: Command, store: Path) -> None:
    assert login(passhelper, "http://registry.example", "alice", "x") == (
        1,
        "",
        (
            "error: http://registry.example is reached without TLS, so its credential is not sent\n"
            "hint: use the https registry\n"
        ),
    )


def test_identity_token(passhelper: Command, store: Path) -> None:
    code, _, err = login(passhelper, "127.0.0.1:9", "<token>", "x")
    assert (code, err.splitlines()[0]) == (1, "error: an identity token is not a password and cannot be tried")


# Bearer, at a token server


def test_bearer(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    code, _, err = login(passhelper, token_registry.address, "alice", USERS["alice"])
    assert (code, err) == (0, "")
    (token_request,) = token_registry.secrets_sent
    assert parse_qs(urlsplit(token_request).query) == {
        "fixed": ["1"], "service": ["a, b"], "account": ["alice"], "client_id": ["passhelper"],
    }  # fmt: skip
    assert token_registry.seen[-1] == ("/v2/", "Bearer good")


def test_bearer_refused(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    code, _, err = login(passhelper, token_registry.address, "alice", "wrong")
    assert (code, err.splitlines()[0]) == (
        1, f"error: {token_registry.address} refuses the credential of alice, so it was not stored",
    )  # fmt: skip


def test_bearer_token_that_the_registry_refuses(
    passhelper: Command, store: Path, token_registry: TokenRegistry
) -> None:
    token_registry.document = {"access_token": "bad"}
    assert "refuses the credential" in login(passhelper, token_registry.address, "alice", USERS["alice"])[2]


@pytest.mark.parametrize(
    "document", [{}, [], "x", {"token": 7}, {"token": "a\nb"}, {"token": "ü"}, b"[" * 100_000, b"\xff", b""]
)
def test_no_token(passhelper: Command, store: Path, token_registry: TokenRegistry, document: object) -> None:
    token_registry.document = document
    code, _, err = login(passhelper, token_registry.address, "alice", USERS["alice"])
    assert (code, err.splitlines()[0]) == (
        1, f"error: the token server of http://{token_registry.address} gave no token",
    )  # fmt: skip


def test_token_server_in_trouble(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.status = 503
    err = login(passhelper, token_registry.address, "alice", USERS["alice"])[2]
    assert err.startswith(f"error: the token server of http://{token_registry.address} answers 503\n")


def test_answer_without_end(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.document = {"token": "x" * (1 << 20)}
    err = login(passhelper, token_registry.address, "alice", USERS["alice"])[2]
    assert err.startswith(f"error: {token_registry.address} answers more than 1048576 bytes\n")


@pytest.mark.parametrize("realm", ["http://tokens.example/", "", "ftp://127.0.0.1/", "//127.0.0.1/token"])
def test_realm_that_gets_no_secret(passhelper: Command, store: Path, token_registry: TokenRegistry, realm: str) -> None:
    token_registry.realm = realm
    code, _, err = login(passhelper, token_registry.address, "alice", USERS["alice"])
    assert code == 1
    where = f"http://{token_registry.address} sends logins to {realm or 'nowhere'}"
    assert err.startswith(f"error: {where} without TLS, so no credential was sent\n")
    assert token_registry.secrets_sent == []


@pytest.mark.parametrize("realm", ["https://[::1/t", "https://h.example:port/t", "https://a\xad.example/t"])
def test_realm_that_is_no_url(passhelper: Command, store: Path, token_registry: TokenRegistry, realm: str) -> None:
    token_registry.realm = realm
    code, _, err = login(passhelper, token_registry.address, "alice", USERS["alice"])
    assert code == 1
    assert err.startswith(f"error: http://{token_registry.address} sends logins to https://")
    assert ", which is not a URL, so no credential was sent\n" in err
    assert token_registry.secrets_sent == []


def test_challenge_without_end(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.realm = "a" * 60_000
    code, _, err = login(passhelper, token_registry.address, "alice", USERS["alice"])
    assert (code, err.splitlines()[0]) == (1, "error: a WWW-Authenticate header is longer than 8192 bytes")


def test_answer_that_takes_for_ever(token_registry: TokenRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    token_registry.drips = True
    monkeypatch.setattr(registrycheck, "SECONDS", 0.5)
    with pytest.raises(DockerError) as caught:
        registrycheck.check(Credentials(f"http://{token_registry.address}", "alice", "s"))
    told = f"http://{token_registry.address} gave no whole answer in 0.5 s; try again later"
    assert str(caught.value) == told


def test_redirect_to_another_host(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.redirect = "https://elsewhere.example/v2/"
    err = login(passhelper, token_registry.address, "alice", USERS["alice"])[2]
    assert err.startswith(
        f"error: {token_registry.address} redirects to https://elsewhere.example/v2/, which is not followed\n"
    )
    assert token_registry.secrets_sent == []


def test_redirect_on_the_same_host(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.redirect = "/elsewhere/"
    assert login(passhelper, token_registry.address, "alice", USERS["alice"])[0] == 0


def test_redirect_without_end(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.redirect = "/v2/"
    err = login(passhelper, token_registry.address, "alice", USERS["alice"])[2]
    assert err.startswith(f"error: {token_registry.address} redirects without end\n")


def test_no_registry(passhelper: Command, store: Path, token_registry: TokenRegistry) -> None:
    token_registry.redirect = "/404"
    err = login(passhelper, token_registry.address, "alice", USERS["alice"])[2]
    assert err.startswith(f"error: http://{token_registry.address} is not a registry: /v2/ answers 404\n")


# list --check


def test_list_check(passhelper: Command, store: Path, helper: Helper, keys: KeyRing, registry: str) -> None:
    helper.store(registry, "alice", USERS["alice"])
    answer = passhelper("list", "--check")
    assert (answer.code, answer.err) == (0, b"")
    assert answer.text.splitlines()[1].split()[-1] == "works"
    helper.store(registry, "alice", "wrong")
    answer = passhelper("list", "--check", "--json")
    assert answer.code == 1
    assert answer.json["data"][0]["check"] == {"result": "refused", "reason": ""}
    assert answer.err == (
        b"error: 1 of 1 credentials did not pass\n"
        b"hint: store a refused one again: passhelper login SERVER -u USER --check\n"
    )


def test_list_check_sends_no_unbound_entry(
    passhelper: Command, store: Path, helper: Helper, keys: KeyRing, token_registry: TokenRegistry
) -> None:
    helper.store(token_registry.address, "alice", USERS["alice"])
    (file,) = (store / FOLDER).glob("*/alice.gpg")
    file.write_bytes(keys.encrypt(USERS["alice"].encode(), "alice"))
    answer = passhelper("list", "--check", "--json")
    assert answer.code == 0
    assert answer.json["data"][0]["check"] == {
        "result": "unbound",
        "reason": "not bound to its server, so not sent: store it again with passhelper",
    }
    assert token_registry.seen == []


def test_list_check_sends_no_token_of_dockers_own_login(passhelper: Command, store: Path, helper: Helper) -> None:
    """Neither to Docker Hub, where it is not a password, nor is that a reason to fail."""
    for name in ("access-token", "refresh-token"):
        helper.store(f"https://index.docker.io/v1/{name}", "bob", "t0ken")
    answer = passhelper("list", "--check", "--json", HTTPS_PROXY="http://127.0.0.1:9")
    assert answer.code == 0
    assert [item["check"] for item in answer.json["data"]] == [
        {"result": "untried", "reason": "a token of docker's own login to Docker Hub, not a password"}
    ] * 2


def test_list_check_sends_no_moved_entry(
    passhelper: Command, store: Path, helper: Helper, token_registry: TokenRegistry
) -> None:
    helper.store("prod.example", "alice", USERS["alice"])
    (prod,) = (store / FOLDER).glob("*/alice.gpg")
    helper.store(token_registry.address, "alice", "x")
    for file in (store / FOLDER).glob("*/alice.gpg"):
        file.write_bytes(prod.read_bytes())
    (store / FOLDER / prod.parent.name / "alice.gpg").unlink()
    answer = passhelper("list", "--check", "--json")
    assert answer.code == 1
    assert answer.json["data"][0]["check"] == {"result": "failed", "reason": "moved here from another server"}
    assert answer.err.endswith(b"did not pass\nhint: see why in its line\n")
    assert token_registry.seen == []


def check_all(environ: dict[str, str]) -> list[tuple[str, str]]:
    store = PassStore(environ, pytest.fail)
    return inventory.check(store, sorted(store.walk(), key=lambda entry: entry.server))


class _Meeting(BaseHTTPRequestHandler):
    """A registry that answers a login when all of its kind have got theirs; the first one refuses it."""

    all_are_asked: ClassVar[threading.Barrier]
    refusing: ClassVar[int]

    def do_GET(self) -> None:
        code, port = 401, self.connection.getsockname()[1]
        if "Authorization" in self.headers:
            self.all_are_asked.wait(LIMIT)
            code = 401 if port == self.refusing else 200
        self.send_response(code)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


def test_list_check_asks_some_at_a_time(store: Path, helper: Helper, environ: dict[str, str]) -> None:
    """Each answers when as many have been asked, and comes back in its own line."""
    _Meeting.all_are_asked = threading.Barrier(inventory.AT_ONCE)
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(inventory.AT_ONCE):
            server = stack.enter_context(_Server(("127.0.0.1", 0), _Meeting))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            ports.append(server.server_port)
        _Meeting.refusing = ports[0]
        for port in ports:
            assert helper.store(f"http://127.0.0.1:{port}", "alice", "s").code == 0
        found = check_all(environ)
    names = sorted(f"http://127.0.0.1:{port}" for port in ports)
    assert found == [("refused" if name.endswith(f":{ports[0]}") else "works", "") for name in names]


def test_list_check_has_an_end(
    store: Path, helper: Helper, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many registries take a connection and never answer."""
    monkeypatch.setattr(inventory, "SECONDS", 3.0)
    number = inventory.AT_ONCE + 2
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            assert helper.store(f"http://127.0.0.1:{silent.getsockname()[1]}", "alice", "s").code == 0
        found = check_all(environ)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+ gave no whole answer in [0-3](\.\d)? s", found[0][1])
    assert found[-1] == ("failed", "not asked, because the others have taken 3 s")
    assert [word for word, _ in found] == ["failed"] * number
