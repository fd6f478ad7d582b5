"""Where a credential may be sent at all; the flows themselves are in tests/docker/test_check.py."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from passhelper.docker import registrycheck
from passhelper.errors import DockerError


@pytest.mark.parametrize(
    ("server", "bases"),
    [
        ("quay.io", ["https://quay.io"]),
        ("https://quay.io:8443/v2/", ["https://quay.io:8443"]),
        ("docker.io", ["https://registry-1.docker.io"]),
        ("https://index.docker.io/v1/", ["https://registry-1.docker.io"]),
        ("127.0.0.1:5000", ["https://127.0.0.1:5000", "http://127.0.0.1:5000"]),
        ("127.3.2.1", ["https://127.3.2.1", "http://127.3.2.1"]),
        ("localhost:5000", ["https://localhost:5000", "http://localhost:5000"]),
        ("[::1]:5000", ["https://[::1]:5000", "http://[::1]:5000"]),
        ("http://localhost:5000", ["http://localhost:5000"]),
        # Names that only look like this machine:
        ("localhost.example", ["https://localhost.example"]),
        ("127.0.0.1.example", ["https://127.0.0.1.example"]),
    ],
)
def test_addresses(server: str, bases: list[str]) -> None:
    assert registrycheck._bases(server) == bases


@pytest.mark.parametrize("server", ["http://quay.io", "http://10.0.0.1:5000", "http://localhost.example"])
def test_no_secret_without_tls(server: str) -> None:
    with pytest.raises(DockerError, match="is reached without TLS, so its credential is not sent"):
        registrycheck._bases(server)


@pytest.mark.parametrize(
    ("challenge", "parameters"),
    [
        ('realm="https://a/t",service="x y"', {"realm": "https://a/t", "service": "x y"}),
        ("realm=plain, service=a", {"realm": "plain", "service": "a"}),
        ('REALM="a,b" , error="x"', {"realm": "a,b", "error": "x"}),
        ("", {}),
    ],
)
def test_parameters(challenge: str, parameters: dict[str, str]) -> None:
    assert registrycheck._parameters(challenge) == parameters


def test_a_damaged_certificate_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "quay.io"
    folder.mkdir()
    (folder / "ca.crt").write_text("nothing")
    monkeypatch.setattr(registrycheck, "_CERTIFICATES", str(tmp_path))
    with pytest.raises(DockerError, match=r"ca\.crt is not a certificate"):
        registrycheck._load_docker_certificates(ssl.create_default_context(), "quay.io")
