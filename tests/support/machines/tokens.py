"""A stand-in for the server that issues a registry's tokens; the registry that obeys it is real.

``docker login`` gets a refresh token, which Docker hands to the helper as the secret of the user ``<token>``; later
commands trade it for access to one repository.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from support import require
from support.machines.registries import USERS, serve_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVICE = "test registry"
_AUTH = (
    'auth: {{token: {{realm: "{realm}", service: "{service}", issuer: test, rootcertbundle: {folder}/issuer.pem}}}}\n'
)
_SECONDS = 300


@dataclass
class Tokens:
    """What the server has issued.

    Attributes:
        registry: the ``host:port`` of the registry that obeys it.
        refresh: the refresh tokens, and their users.
        asked: what it was asked for, such as ``password alice`` or ``refresh_token alice repository:team/app:pull``.
    """

    registry: str = ""
    refresh: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def token_registry(folder: Path) -> Iterator[Tokens]:
    """Start a registry and the server that issues its tokens.

    Args:
        folder: an empty directory for their files.
    """
    require("openssl")
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/issuer.key", "-out", f"{folder}/issuer.pem"]
    subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=issuer"], check=True, capture_output=True)
    tokens = Tokens()

    class Handler(_Handler):
        state, files = tokens, folder

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            realm = f"http://127.0.0.1:{server.server_port}/token"
            auth = _AUTH.format(realm=realm, service=_SERVICE, folder=folder)
            for tokens.registry in serve_registry(folder, password=False, auth=auth):
                yield tokens
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Tokens
    files: Path

    def do_GET(self) -> None:
        """A login with a password, for which Docker also wants a refresh token; or access with one."""
        asked = parse_qs(urlsplit(self.path).query)
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(given if scheme == "Basic" else "").decode().partition(":")
        if USERS.get(user) != password:
            return self._answer(401, {"details": "wrong password"})
        answer = self._access(asked, f"password {user}")
        if asked.get("offline_token") == ["true"]:
            token = f"refresh-{user}-{len(self.state.refresh)}"
            self.state.refresh[token] = user
            answer["refresh_token"] = token
        return self._answer(200, answer)

    def do_POST(self) -> None:
        """Access with a refresh token."""
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        user = self.state.refresh.get(asked.get("refresh_token", [""])[0])
        if asked.get("grant_type") != ["refresh_token"] or user is None:
            return self._answer(401, {"details": "no such refresh token"})
        return self._answer(200, self._access(asked, f"refresh_token {user}"))

    def _access(self, asked: dict[str, list[str]], how: str) -> dict[str, object]:
        scopes = [scope for value in asked.get("scope", []) for scope in value.split()]
        self.state.asked.append(" ".join([how, *scopes]))
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        token = self._sign(access)
        return {"token": token, "access_token": token, "expires_in": _SECONDS}

    def _sign(self, access: list[dict[str, Any]]) -> str:
        der = ssl.PEM_cert_to_DER_cert((self.files / "issuer.pem").read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {
            "iss": "test", "sub": "", "aud": _SERVICE, "exp": now + _SECONDS, "nbf": now - 10, "iat": now,
            "jti": str(time.monotonic_ns()), "access": access,
        }  # fmt: skip
        text = b".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.files / "issuer.key")]
        signature = subprocess.run(command, input=text, check=True, capture_output=True).stdout
        return b".".join((text, _encode(signature))).decode()

    def _answer(self, code: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
