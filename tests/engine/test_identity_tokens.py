"""A registry that gives ``docker login`` an identity token, which the helper keeps for the user ``<token>``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.machines.registries import USERS
from support.machines.tokens import Tokens, token_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.clients.transcripts import Shell
    from support.machines.engines import Engine


@pytest.fixture
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with token_registry(tmp_path_factory.mktemp("tokens")) as tokens:
        yield tokens


def test_login_push_pull_logout(
    shell: Shell, engine: Engine, tokens: Tokens, git_store: Path, docker_version: str
) -> None:
    registry = tokens.registry
    shell.names[registry] = "127.0.0.1:TOKENS"
    image = f"{registry}/team/app:1"
    engine.make_shell_image(image)

    shell(f"docker login -u alice --password-stdin {registry}", stdin=USERS["alice"])
    assert shell.calls == ["store 127.0.0.1:TOKENS"]
    sent = json.loads(shell.client.calls[0].stdin)
    assert (sent["Username"], tokens.refresh[sent["Secret"]]) == ("<token>", "alice")
    assert tokens.asked == ["password alice"]
    assert json.loads(shell("docker-credential-pass list")) == {"127.0.0.1:TOKENS": "<token>"}
    assert len(list(git_store.rglob("<token>.gpg"))) == 1

    for command, access in ((f"docker push {image}", {"push", "pull"}), (f"docker pull {image}", {"pull"})):
        tokens.asked.clear()
        assert "digest: sha256:" in shell(command).lower()
        assert shell.calls == ["get 127.0.0.1:TOKENS"]
        shell.note("# the token server was asked for", tokens.asked)
        assert {asked.rpartition(":")[0] for asked in tokens.asked} == {"refresh_token alice repository:team/app"}
        assert {word for asked in tokens.asked for word in asked.rpartition(":")[2].split(",")} == access
        engine.remove_images(image)

    tokens.refresh.clear()
    assert "unauthorized" in shell(f"docker pull {image}", code=1)
    shell(f"docker logout {registry}")
    assert json.loads(shell("docker-credential-pass list")) == {}
