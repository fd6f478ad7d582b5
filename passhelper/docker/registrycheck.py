"""Try a credential against its registry, as ``docker login`` does, without sending it anywhere else.

The flow is the one of the distribution specification: ``/v2/`` answers 401 and says how to
authenticate, by ``Basic`` or by a token from a server of its own (``Bearer``). Where the credential may go:

* only over https, or without TLS to this machine itself (loopback), as Docker has it;
* no redirect to another host is followed;
* the token server may be another host, but then only over https.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import parse_http_list

import httpx

from passhelper import jsontext
from passhelper.docker.config import DOCKER_HUB, server_name
from passhelper.docker.plaintext import TOKEN_USER
from passhelper.errors import DockerError, printable
from passhelper.team.git.remoteurl import is_this_machine
from passhelper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.credentials import Credentials

TIMEOUT = 15.0  # seconds for each part of an answer
SECONDS = 60.0  # for all of it: a server may send a byte now and then
MAX_ANSWER = 1 << 20  # bytes of a token server's answer
MAX_REDIRECTS = 3  # within the same host
_HUB_REGISTRY = "registry-1.docker.io"  # where Docker Hub's /v2/ is
_CERTIFICATES = "/etc/docker/certs.d"  # Docker's own trusted certificates, a directory for each host
_MAX_CHALLENGE = 8192  # bytes of a WWW-Authenticate header; what asks for more is not a registry


class Verdict(Enum):
    """The registry's answer."""

    WORKS = "works"
    REFUSED = "refused"
    OPEN = "open"  # it asks for no credential, so nothing was tried


class Asked:
    """A registry that is asked about a credential while others are asked too.

    httpx has no time limit for a whole answer, so the wait for it has one; the thread ends with the program.

    Args:
        credentials: what is tried.
        until: when the wait ends at the latest, of ``time.monotonic``; it has :data:`SECONDS`.
    """

    def __init__(self, credentials: Credentials, until: float | None = None) -> None:
        self._credentials = credentials
        self._found: list[Verdict | Exception] = []
        self._begin = time.monotonic()
        self._end = min(self._begin + SECONDS, math.inf if until is None else until)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(_check(self._credentials))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            self._found.append(error)

    def verdict(self) -> Verdict:
        """Wait for the answer.

        Raises:
            DockerError: the registry cannot be asked, may not be asked this way, or takes too long.
        """
        self._thread.join(max(0.0, self._end - time.monotonic()))
        if not self._found:
            server, seconds = printable(self._credentials.server), round(self._end - self._begin, 1)
            raise DockerError(f"{server} gave no whole answer in {seconds:g} s", "try again later")
        if isinstance(self._found[0], Exception):
            raise self._found[0]
        return self._found[0]


def check(credentials: Credentials) -> Verdict:
    """Try a credential.

    Raises:
        DockerError: the registry cannot be asked, may not be asked this way, or takes more than :data:`SECONDS`.
    """
    return Asked(credentials).verdict()


def _check(credentials: Credentials) -> Verdict:
    if credentials.username == TOKEN_USER:
        raise DockerError("an identity token is not a password and cannot be tried", "pull an image to try it")
    last: Exception | None = None
    for base in _bases(credentials.server):
        try:
            with _client(base) as client:
                return _Check(client, base, credentials).run()
        except httpx.TransportError as error:
            last = error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DockerError(f"{base} gave no proper answer: {type(error).__name__}") from error
    reason = printable(str(last)) or type(last).__name__
    raise DockerError(f"cannot reach {credentials.server}: {reason}", "check the name, the network and the certificate")


def _bases(server: str) -> list[str]:
    """List where the registry may be, best first."""
    scheme = "http" if server.lower().startswith("http://") else "https"
    name = server_name(server)
    if name == DOCKER_HUB:
        return [f"https://{_HUB_REGISTRY}"]
    host = urlsplit(f"https://{name}").hostname or ""
    if is_this_machine(host):
        return [f"http://{name}"] if scheme == "http" else [f"https://{name}", f"http://{name}"]
    if scheme != "https":
        raise DockerError(f"{server} is reached without TLS, so its credential is not sent", "use the https registry")
    return [f"https://{name}"]


def _client(base: str) -> httpx.Client:
    parts = urlsplit(base)
    verify: ssl.SSLContext | bool = True
    if parts.scheme == "https":
        verify = httpx.create_ssl_context()
        verify.load_default_certs()  # what the system trusts counts for Docker, so it counts here
        _load_docker_certificates(verify, parts.netloc)
    # A proxy must not see what is sent to this machine.
    local = is_this_machine(parts.hostname or "")
    headers = {"User-Agent": f"passhelper/{__version__}"}
    return httpx.Client(verify=verify, trust_env=not local, timeout=TIMEOUT, headers=headers, follow_redirects=False)


def _load_docker_certificates(context: ssl.SSLContext, host: str) -> None:
    folder = os.path.join(_CERTIFICATES, host)
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".crt")]
    except OSError:
        return
    for name in names:
        try:
            context.load_verify_locations(os.path.join(folder, name))
        except (OSError, ssl.SSLError) as error:
            raise DockerError(f"{os.path.join(folder, name)} is not a certificate", "repair or remove it") from error


class _Check:
    """One try against one address."""

    def __init__(self, client: httpx.Client, base: str, credentials: Credentials) -> None:
        self._client = client
        self._base = base
        self._basic = httpx.BasicAuth(credentials.username.encode(), credentials.secret.encode())
        self._user = credentials.username

    def run(self) -> Verdict:
        first = self._ask(f"{self._base}/v2/", None)
        if first.status_code == httpx.codes.OK:
            return Verdict.OPEN
        if first.status_code != httpx.codes.UNAUTHORIZED:
            raise DockerError(f"{self._base} is not a registry: /v2/ answers {first.status_code}", "check the name")
        ways = {}
        for challenge in first.headers.get_list("www-authenticate"):
            way, _, rest = challenge.strip().partition(" ")
            ways[way.lower()] = _parameters(rest)
        if "bearer" in ways:
            return self._bearer(ways["bearer"])
        if "basic" in ways:
            return self._verdict(self._ask(f"{self._base}/v2/", self._basic))
        raise DockerError(f"{self._base} asks for a login that is neither Basic nor Bearer")

    def _bearer(self, challenge: dict[str, str]) -> Verdict:
        realm = challenge.get("realm", "")
        self._check_realm(realm)
        query = {"account": self._user, "client_id": "passhelper"}
        if challenge.get("service"):
            query["service"] = challenge["service"]
        address = str(httpx.URL(realm).copy_merge_params(query))
        answer = self._ask(address, self._basic)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.BAD_REQUEST):
            return Verdict.REFUSED
        if answer.status_code != httpx.codes.OK:
            raise DockerError(f"the token server of {self._base} answers {answer.status_code}", "try again later")
        return self._verdict(self._ask(f"{self._base}/v2/", _token(answer, self._base)))

    def _check_realm(self, realm: str) -> None:
        """Refuse to send the credential to a token server that nobody has verified."""
        try:
            here, there = urlsplit(self._base), urlsplit(str(httpx.URL(realm)))
        except (httpx.InvalidURL, ValueError):
            raise DockerError(
                f"{self._base} sends logins to {printable(realm)}, which is not a URL, so no credential was sent",
                "ask the registry's administrator",
            ) from None
        secure = there.scheme == "https"
        local = there.scheme == "http" and here.scheme == "http" and is_this_machine(there.hostname or "")
        if not there.hostname or not (secure or local):
            raise DockerError(
                f"{self._base} sends logins to {printable(realm) or 'nowhere'} without TLS, so no credential was sent",
                "ask the registry's administrator",
            )

    def _verdict(self, answer: httpx.Response) -> Verdict:
        if answer.status_code == httpx.codes.OK:
            return Verdict.WORKS
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return Verdict.REFUSED
        raise DockerError(f"{self._base} answers {answer.status_code} to a login", "try again later")

    def _ask(self, address: str, auth: httpx.Auth | Callable[[httpx.Request], httpx.Request] | None) -> httpx.Response:
        """Send one request and follow redirects as long as they stay on the same host."""
        for _ in range(MAX_REDIRECTS + 1):
            request = self._client.build_request("GET", address)
            answer = self._client.send(request, auth=auth, stream=True)
            try:
                body = b""
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise DockerError(f"{urlsplit(address).netloc} answers more than {MAX_ANSWER} bytes")
            finally:
                answer.close()
            if answer.next_request is None:
                return httpx.Response(answer.status_code, headers=_plain(answer.headers), content=body)
            target = str(answer.next_request.url)
            old, new = urlsplit(address), urlsplit(target)
            if (new.scheme, new.netloc) != (old.scheme, old.netloc):
                where = printable(target)
                raise DockerError(f"{old.netloc} redirects to {where}, which is not followed", "use that name")
            address = target
        raise DockerError(f"{urlsplit(address).netloc} redirects without end")


def _plain(headers: httpx.Headers) -> list[tuple[bytes, bytes]]:
    """Keep the headers that describe no encoding, as they came: the body has been decoded already."""
    return [(name, value) for name, value in headers.raw if not name.lower().startswith((b"content-", b"transfer-"))]


def _token(answer: httpx.Response, base: str) -> Callable[[httpx.Request], httpx.Request]:
    """Read the token and return what puts it into a request."""
    try:
        document = jsontext.parse(answer.content.decode())
    except ValueError:
        document = None
    found = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        raise DockerError(f"the token server of {base} gave no token", "try again later")

    def authorize(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {found}"
        return request

    return authorize


def _parameters(text: str) -> dict[str, str]:
    """Read the parameters of a WWW-Authenticate header (RFC 9110, section 11.6.1).

    Raises:
        DockerError: it is longer than any registry's.
    """
    if len(text) > _MAX_CHALLENGE:
        raise DockerError(f"a WWW-Authenticate header is longer than {_MAX_CHALLENGE} bytes", "check the name")
    found = {}
    for part in parse_http_list(text):
        name, equals, value = part.partition("=")
        value = value.strip()
        if equals:
            found[name.strip().lower()] = value[1:-1] if value[:1] == value[-1:] == '"' and len(value) > 1 else value
    return found
