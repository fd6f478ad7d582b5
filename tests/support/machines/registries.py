"""A real registry on a free loopback port, and an image for it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import socket
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from support import require
from support.waiting import LIMIT

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
    folder: Path, *, password: bool, users: Mapping[str, str] = USERS, tls: bool = False, auth: str = ""
) -> Iterator[str]:
    """Start a registry, with passwords for some users or for everybody; give its ``host:port``.

    With ``tls`` its certificate is ``folder / "cert.pem"``, as which ``SSL_CERT_FILE`` makes Go programs trust it.
    """
    require("docker-registry")
    address = free_address()
    configure_registry(folder, address, password=password, users=users, tls=tls, auth=auth)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        url = f"{'https' if tls else 'http'}://{address}/v2/"
        _wait_for(url, 401 if password or auth else 200, server, folder)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def free_address() -> str:
    """A ``host:port`` on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def configure_registry(
    folder: Path, address: str, *, password: bool, users: Mapping[str, str] = USERS, tls: bool = False, auth: str = ""
) -> None:
    """Write what a registry reads: ``config.yml`` and what that names, all in one directory.

    Args:
        folder: the directory.
        address: where the registry shall listen.
        password: whether it wants a password.
        users: whose password it takes.
        tls: whether it has a certificate.
        auth: its section ``auth``, where that is not a file of passwords.
    """
    if password:
        require("htpasswd")
        hashed = [["htpasswd", "-Bbn", user, secret] for user, secret in users.items()]
        lines = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for command in hashed]
        (folder / "htpasswd").write_text("".join(f"{line.strip()}\n" for line in lines))
        auth = _HTPASSWD.format(folder=folder)
    if tls:
        _make_certificate(folder)
    named = {"folder": folder, "address": address}
    (folder / "config.yml").write_text(_CONFIG.replace("@tls", _TLS if tls else "").format(**named) + auth)


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


def write_image(folder: Path) -> Path:
    """Write an OCI layout with one image, which holds one file, as tag ``1``; return its directory."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"hello\n"))
    plain = packed.getvalue()
    kind = "application/vnd.oci.image"
    layer = _blob(folder, gzip.compress(plain, mtime=0), f"{kind}.layer.v1.tar+gzip")
    root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": root}
    described = _blob(folder, json.dumps(config).encode(), f"{kind}.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": described, "layers": [layer]}
    found = _blob(folder, json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    found["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    index = {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [found]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


# What Docker's own format calls the parts of an image; docker 20.10 looks at no other.
_DOCKERS = {
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.config.v1+json": "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def upload(layout: Path, address: str, name: str, *, dockers: bool = False, tls: Path | None = None) -> None:
    """Put the image of :func:`write_image` into a registry as tag ``1``, without a client.

    Args:
        layout: its directory.
        address: the registry's ``host:port``; alice's password is sent, which one without passwords ignores.
        name: the repository.
        dockers: whether in Docker's own format.
        tls: the directory of a registry that has a certificate.
    """
    secret = base64.b64encode(f"alice:{USERS['alice']}".encode()).decode()
    url = f"{'https' if tls else 'http'}://{address}/v2/{name}"
    context = trusting(tls) if tls else None

    def send(method: str, url: str, data: bytes = b"", kind: str = "application/octet-stream") -> str:
        headers = {"Authorization": f"Basic {secret}", "Content-Type": kind}
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return str(answer.headers.get("Location"))

    (described,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = (layout / "blobs" / described["digest"].replace(":", "/")).read_bytes()
    for blob in (json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
        place = send("POST", f"{url}/blobs/uploads/")
        data = (layout / "blobs" / blob["digest"].replace(":", "/")).read_bytes()
        send("PUT", f"{place}{'&' if '?' in place else '?'}digest={blob['digest']}", data)
    for ours, theirs in _DOCKERS.items() if dockers else ():
        manifest = manifest.replace(ours.encode(), theirs.encode())
    send("PUT", f"{url}/manifests/1", manifest, json.loads(manifest)["mediaType"])


def _blob(folder: Path, data: bytes, kind: str) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256" / name).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}


def _wait_for(url: str, code: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the registry answers, with the one status that it should."""
    end = time.monotonic() + LIMIT
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
