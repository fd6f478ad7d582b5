"""Clients that cannot run here and ask only for one registry: what each sends, and what it makes of the answer.

Each row follows one project at the commit that it names. The installed program runs as the source runs it, with the
same bytes on a pipe that is then closed; ``tests/replays.py`` decodes the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support.clients import replays
from support.clients.replays import ClientError, Login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Answer, Helper

HOST, HUB = "registry.example:5000", "https://index.docker.io/v1/"
SECRET = 'p\u00e4ss <&>"\\'
NO_GPG = "PASSHELPER_GPG names /nowhere/gpg, which cannot be run"


@dataclass(frozen=True)
class Source:
    """One project.

    Attributes:
        name: the project.
        commit: what the replay follows.
        decode: what it makes of the answer.
        token: what it makes of the user ``<token>``.
        miss: what it says where there is no credential; None where it goes on without a login.
        failure: what it says where gpg is missing; None where it goes on without a login.
        hub: what it asks for an image of Docker Hub, where that was seen in its source.
    """

    name: str
    commit: str
    decode: Callable[[Answer], Login | None]
    token: Login | None
    miss: str | None
    failure: str | None
    hub: str = ""


SOURCES = {
    source.name: source
    for source in (
        Source(
            "Nomad's docker driver", "aa026cc99c", replays.nomad,
            token=Login("<token>", "refresh"),  # it does not know what that means
            miss="docker-credential-pass failed with stderr: ",
            failure=f"docker-credential-pass failed with stderr: docker-credential-pass: {NO_GPG}\n",
            hub="docker.io",
        ),
        Source(
            "dockercfg, for testcontainers in Go", "a07c3d1", replays.dockercfg,
            token=Login("<token>", "refresh"),
            miss=None,
            failure=f"{NO_GPG}\n docker-credential-pass: {NO_GPG}\n",
            hub=HUB,
        ),
        Source(
            "go-dockerclient, of container-structure-test", "1.19.1", replays.go_dockerclient,
            token=Login("<token>", "refresh"),
            miss=None,
            failure=None,
        ),
        Source(
            "Terraform's docker provider", "83c00e0b", replays.terraform,
            token=None,
            miss=None,
            failure=f"error getting credentials - err: exit status 1, out: `{NO_GPG}`",
        ),
    )
}  # fmt: skip


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, store: Path, works_with: Callable[..., None]) -> Source:
    found = SOURCES[request.param]
    works_with(found.name, found.commit, how="replayed", verbs=("get",))
    return found


def outcome(source: Source, answer: Answer) -> str | Login | None:
    """A login, none, or what the user is told."""
    try:
        return source.decode(answer)
    except ClientError as error:
        return str(error)


@pytest.mark.parametrize(("username", "secret"), [("alice", SECRET), ("007", "1234")], ids=["text", "digits"])
def test_a_login(source: Source, helper: Helper, username: str, secret: str) -> None:
    helper.store(HOST, username, secret)
    assert outcome(source, helper("get", HOST)) == Login(username, secret)


def test_a_token(source: Source, helper: Helper) -> None:
    helper.store(HOST, "<token>", "refresh")
    assert outcome(source, helper("get", HOST)) == source.token


def test_a_miss(source: Source, helper: Helper) -> None:
    """Nomad knows no miss: the task fails, with an empty message, unless it sets ``auth_soft_fail``."""
    assert outcome(source, helper("get", HOST)) == source.miss


def test_a_failure(source: Source, helper: Helper) -> None:
    helper.store(HOST, "alice", SECRET)
    assert outcome(source, helper("get", HOST, PASSHELPER_GPG="/nowhere/gpg")) == source.failure


@pytest.mark.parametrize("source", [source.name for source in SOURCES.values() if source.hub], indirect=True)
def test_docker_hub_after_docker_login(source: Source, helper: Helper) -> None:
    """``docker login`` keeps it as ``https://index.docker.io/v1/``; ``PASSHELPER_STRICT=1`` takes that at its word."""
    helper.store(HUB, "alice", SECRET)
    assert outcome(source, helper("get", source.hub)) == Login("alice", SECRET)
    strict = outcome(source, helper("get", source.hub, PASSHELPER_STRICT="1"))
    assert strict == (Login("alice", SECRET) if source.hub == HUB else source.miss)
