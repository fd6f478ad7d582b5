"""A real registry on a free loopback port."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from support import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

USERS = {"alice": "s3cret-Pw!", "bob": "b0b's p%ss: wörd"}

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{address}"@tls}}
"""
_TLS = ", tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}"
_HTPASSWD = "auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"


def serve_registry(
    folder: Path, *, password: bool, users: Mapping[str, str] = USERS, tls: bool = False
) -> Iterator[str]:
    """Start a registry, with passwords for some users or for everybody; give its ``host:port``.

    With ``tls`` its certificate is ``folder / "cert.pem"``, as which ``SSL_CERT_FILE`` makes Go programs trust it.
    """
    require("docker-registry", "htpasswd")
    lines = [
        subprocess.run(["htpasswd", "-Bbn", user, secret], check=True, capture_output=True, text=True).stdout.strip()
        for user, secret in users.items()
    ]
    (folder / "htpasswd").write_text("\n".join(lines) + "\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    if tls:
        _make_certificate(folder)
    text = _CONFIG.replace("@tls", _TLS if tls else "") + (_HTPASSWD if password else "")
    (folder / "config.yml").write_text(text.format(folder=folder, address=address))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        url = f"{'https' if tls else 'http'}://{address}/v2/"
        _wait_for(url, 401 if password else 200, server, folder)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def _make_certificate(folder: Path) -> None:
    require("openssl")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    to = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    name = ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*new, *to, *name], check=True, capture_output=True)


def trusting(folder: Path) -> ssl.SSLContext:
    """Trust the registry of a directory, where it has a certificate."""
    file = folder / "cert.pem"
    return ssl.create_default_context(cafile=file if file.exists() else None)


def _wait_for(url: str, code: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the registry answers, with the one status that it should."""
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5, context=trusting(folder)) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            with error:
                found = error.code
        except OSError:
            time.sleep(0.05)
            continue
        if found == code:
            return
        break
    pytest.fail(f"the registry did not start: {(folder / 'log').read_text()}")
