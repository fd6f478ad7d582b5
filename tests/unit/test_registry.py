"""Which server URLs mean the same registry (C1 and C2 of the collected complaints)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passhelper.registry import equivalents, normalize

ROOTS = ["", "/", "/v1", "/v1/", "/v2", "/v2/"]
HUB = ["docker.io", "index.docker.io", "registry-1.docker.io", "DOCKER.IO", "Index.Docker.io", "docker.io:443"]


@pytest.mark.parametrize(
    "server",
    [f"{scheme}{host}{root}" for scheme, host, root in itertools.product(["", "https://", "HTTPS://"], HUB, ROOTS)],
)
def test_all_names_of_docker_hub_are_one(server: str) -> None:
    assert normalize(server) == ("https", "docker.io", 443)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("r.example", ("https", "r.example", 443)),
        ("r.example:443", ("https", "r.example", 443)),
        ("r.example:0443", ("https", "r.example", 443)),
        ("R.Example", ("https", "r.example", 443)),
        ("https://r.example", ("https", "r.example", 443)),
        ("hTTps://r.EXAMPLE:443", ("https", "r.example", 443)),
        ("r.example:5000", ("https", "r.example", 5000)),
        ("https://r.example:80", ("https", "r.example", 80)),
        ("http://r.example", ("http", "r.example", 80)),
        ("HTTP://r.example:80", ("http", "r.example", 80)),
        ("http://r.example:443", ("http", "r.example", 443)),
        ("http://docker.io", ("http", "docker.io", 80)),
        ("http://index.docker.io", ("http", "index.docker.io", 80)),
        ("http://index.docker.io:443", ("http", "index.docker.io", 443)),
        ("index.docker.io:5000", ("https", "index.docker.io", 5000)),
        ("localhost", ("https", "localhost", 443)),
        ("127.0.0.1:5000", ("https", "127.0.0.1", 5000)),
        ("[::1]", ("https", "[::1]", 443)),
        ("[::1]:443", ("https", "[::1]", 443)),
        ("[::1]:5000", ("https", "[::1]", 5000)),
        ("http://[2001:DB8::1]:80", ("http", "[2001:db8::1]", 80)),
        ("r.example:65535", ("https", "r.example", 65535)),
        ("123.dkr.ecr.eu-west-1.amazonaws.com", ("https", "123.dkr.ecr.eu-west-1.amazonaws.com", 443)),
        ("xn--bcher-kva.example", ("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_scheme_host_and_port_are_what_counts(authority: str, expected: tuple[str, str, int], root: str) -> None:
    assert normalize(authority + root) == expected


@pytest.mark.parametrize(
    "server",
    [
        "https://index.docker.io/v1/access-token",
        "https://index.docker.io/v1/refresh-token",
        "docker.io/v1/access-token",
        "docker.io/library/alpine",
        "https://r.example/v3/",
        "https://r.example//",
        "https://r.example/v1//",
        "https://r.example/V1/",
        "https://r.example/v1/x",
        "https://r.example/v2/?n=1",
        "https://r.example?n=1",
        "https://r.example#v1",
        "https://bob@r.example",
        "https://bob:pw@r.example/v1/",
        "bob@r.example",
        "r.example:",
        "r.example:0",
        "r.example:65536",
        "r.example:-1",
        "r.example:+443",
        "r.example:4_43",
        "r.example:٤٤٣",
        "r.example:443x",
        "r.example:443:443",
        "::1",
        "[::1",
        "::1]",
        "[::1]x:5000",
        "[fe80::1%eth0]:5000",
        "[]:5000",
        "https://",
        "https:///v1/",
        "https://:5000",
        "://r.example",
        "ftp://r.example",
        "oci://r.example",
        "https:/r.example",
        "https://https://r.example",
        "r.example\\v1",
        "r example",
        "bücher.example",
        "",
        "/",
    ],
)
def test_other_names_equal_only_themselves(server: str) -> None:
    assert normalize(server) is None


@given(
    st.sampled_from(["http", "https"]), st.sampled_from(["a.example", "b.example", "docker.io"]),
    st.integers(1, 65535), st.sampled_from(ROOTS),
)  # fmt: skip
def test_no_other_scheme_host_or_port_is_ever_equal(scheme: str, host: str, port: int, root: str) -> None:
    assert normalize(f"{scheme}://{host}:{port}{root}") == (scheme, host, port)


@given(st.text())
def test_any_text_has_an_answer(server: str) -> None:
    found = normalize(server)
    if found is not None:
        scheme, host, port = found
        assert scheme in ("http", "https")
        assert host == host.lower()
        assert 0 < port < 65536
        assert normalize(f"{scheme}://{host}:{port}") == found


@given(st.text(st.sampled_from("htps:/.@?#[]%\\v12aA0 \u0660"), max_size=20))
def test_what_is_equivalent_is_equivalent_to_its_normal_form(server: str) -> None:
    found = normalize(server)
    if found is not None:
        assert normalize("{}://{}:{}".format(*found)) == found
        assert not set(server) & set("@?#\\ ")


def test_equivalents_are_the_other_names_in_byte_order() -> None:
    held = ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "http://docker.io", "docker.io/team"]
    assert equivalents("docker.io", held) == ["https://index.docker.io/v1/", "index.docker.io"]
    assert equivalents("docker.io/team", held) == []
