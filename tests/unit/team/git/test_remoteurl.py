"""What of a remote's URL is secret, and what of it may be seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import run

from passhelper.errors import ConfigurationError
from passhelper.team.git import remoteurl
from passhelper.team.sync.clone import password_pipe

HEX = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
TOKENS = {
    "GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "GitHub, of a job": "ghs_x",
    "GitHub, fine-grained": "github_pat_11ABCDEFG0abcdefghijkl_0123456789",
    "GitLab": "glpat-xAbCdEfGhIjKlMnOpQrS",
    "GitLab, with dots": "glpat-abcdefghijklmnop.01.0w1234567",
    "GitLab, of a job": "glcbt-64_abc",
    "GitLab, before its prefixes": "Xy-zAb_CdEf1GhIjKlMn",
    "Gitea, old GitHub": HEX,
    "Azure": "p2xq7" * 10 + "ab",
    "a UUID": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "letters only": "abcdefghijklmnopqrst",
}
NAMES = (
    "alice",
    "x-access-token",
    "x-bitbucket-api-token-auth",
    "oauth2",
    "gitlab+deploy-token-1234567",
    "team-registry-robot-account",
    "svc-registry-prod-eu-01",
    "SVC_REGISTRY_PROD_EU_01",
    "alice-at-123456789012",
    "alice.liddell.of.wonderland.and.more@example.org",
    "abcdefghijklmnopqrs",  # 19
)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("password", ["", ":", ":x-oauth-basic"])
def test_a_token_as_user_is_a_secret(name: str, password: str) -> None:
    token = TOKENS[name]
    found = remoteurl.split(f"https://{token}{password}@git.example:8443/team/store.git")
    assert found.clean == "https://git.example:8443/team/store.git"
    assert found.secret == (token, password.removeprefix(":"))
    assert token not in repr(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_none(name: str) -> None:
    url = f"https://{name.replace('@', '%40')}@git.example/store.git"
    assert remoteurl.split(url) == remoteurl.RemoteUrl(url)
    assert remoteurl.shown(url) == "https://git.example/store.git"


def test_a_password() -> None:
    for url in ("https://al%40ice:p%2Fw@[::1]:8/s.git", "HTTPS://al%40ice:p%2Fw@[::1]:8/s.git"):
        assert remoteurl.split(url) == remoteurl.RemoteUrl("https://al%40ice@[::1]:8/s.git", ("al@ice", "p/w"))
    assert remoteurl.split("https://alice:a@b@git.example/s") == remoteurl.RemoteUrl(
        "https://alice@git.example/s", ("alice", "a@b")
    )


@pytest.mark.parametrize(
    "url",
    [
        f"git@github.com:{HEX}/store.git",
        f"ssh://{HEX}@git.example/store.git",
        "ssh://git@git.example/store.git",
        "/srv/https://a@b/store.git",
        "https://git.example/team/@scope/store.git",
        "file:///srv/a@b",
    ],
)
def test_any_other_is_left_alone(url: str) -> None:
    assert remoteurl.split(url) == remoteurl.RemoteUrl(url)
    assert remoteurl.shown(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:pa/ss@git.example/store.git",
        "https://alice:pa#ss@git.example/store.git",
        "https://alice:12#ss@git.example/store.git",
        "https://alice:12?ss@git.example/store.git",
        "https://alice:pass@[git.example/store.git",
        "https://alice:pa ss@git.example/store.git",
        " https://alice:pass@git.example/store.git",
        "https://alice:pass@git.example/store.git\n",
    ],
)
def test_an_odd_one_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        remoteurl.split(url)
    assert str(caught.value) == (
        "the URL of the store cannot be understood; check it; in a password write / # ? @ as %2F %23 %3F %40"
    )
    assert remoteurl.shown(url) == "an odd URL"


def test_git_reads_it_from_a_descriptor_of_any_number(tmp_path: Path) -> None:
    """As below a CI agent that has left some open."""
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(12)]
    try:
        with password_pipe("https://alice:s3cret@git.example/s.git") as (clean, options, pipe):
            asked = f"url={clean}\n\n".encode()
            git = ["git", *options, "credential", "fill"]
            environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"}
            answer = run(git, environ, asked, pass_fds=pipe)
    finally:
        for descriptor in taken:
            os.close(descriptor)
    assert (answer.code, answer.err) == (0, b"")
    assert {"username=alice", "password=s3cret"} <= set(answer.text.splitlines())
