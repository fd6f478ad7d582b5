"""docker, a real engine, and a real registry in a container: from the first refusal to the last.

The test keeps a transcript of commands, what they said, and their calls of the helper. To read it::

    python -m pytest tests/engine/test_docker_engine.py --capture=no
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.machines.registries import USERS

if TYPE_CHECKING:
    from pathlib import Path

    from support.clients.transcripts import Shell
    from support.machines.engines import Engine

GET, STORE = ["get 127.0.0.1:PORT"], ["store 127.0.0.1:PORT"]
MISS = ["get 127.0.0.1:PORT !"]
ERASE = [f"erase {server}" for server in [*["127.0.0.1:PORT"] * 2, "http://127.0.0.1:PORT", "https://127.0.0.1:PORT"]]
REFUSED = "no basic auth credentials"


def test_login_push_pull_run_logout(
    shell: Shell, engine: Engine, registry: str, image: str, config: Path, docker_version: str
) -> None:
    def show(users: dict[str, dict[str, str]]) -> None:
        text = (config / "config.json").read_text()
        shell.note("cat $DOCKER_CONFIG/config.json", json.dumps(json.loads(text)))
        assert json.loads(text) == {"credsStore": "pass", "auths": users}

    assert REFUSED in shell(f"docker push {image}", code=1)
    assert shell.calls == MISS

    assert "Login Succeeded" in shell(f"docker login -u alice --password-stdin {registry}", stdin=USERS["alice"])
    assert shell.calls == STORE
    show({registry: {}})
    pushed = shell(f"docker push {image}")
    assert ": Pushed\n" in pushed
    assert ": digest: sha256:" in pushed
    assert shell.calls == GET
    assert "Deleted: " in shell(f"docker rmi {image}")
    assert shell.calls == []
    assert "Downloaded newer image" in shell(f"docker pull {image}")
    assert shell.calls == GET
    ran = shell(f"docker run --rm --network none --pull always {image} sh -c 'echo hello'")
    assert "Image is up to date" in ran
    assert "hello" in ran.splitlines()
    assert shell.calls == GET
    assert '"schemaVersion": 2' in shell(f"docker manifest inspect --insecure {image}")
    assert set(shell.calls) == set(GET)

    assert "Login Succeeded" in shell(f"docker login -u bob --password-stdin {registry}", stdin=USERS["bob"])
    assert shell.calls == STORE
    listed = shell("docker-credential-pass list")
    assert json.loads(listed) == {"127.0.0.1:PORT": "bob"}
    assert "Login Succeeded" in shell(f"docker login {registry}")  # with what is stored, so it asks for nothing
    assert shell.calls == GET + STORE
    assert "Image is up to date" in shell(f"docker pull {image}")
    assert shell.client.calls[0].out == shell.client.calls[-1].out
    assert '"Username":"bob"' in shell.client.calls[0].out

    assert shell(f"docker logout {registry}") == "Removing login credentials for 127.0.0.1:PORT\n"
    assert shell.calls == ERASE
    show({})
    assert REFUSED in shell(f"docker pull {image}", code=1)
    assert shell.calls == MISS
    assert json.loads(shell("docker-credential-pass list")) == {}
    assert "arning" not in shell.transcript.replace("WARNING: Error loading config", "")


def test_a_wrong_password_keeps_the_right_one(shell: Shell, registry: str, private: str) -> None:
    shell(f"docker login -u alice --password-stdin {registry}", stdin=USERS["alice"])
    said = shell(f"docker login -u alice --password-stdin {registry}", stdin="wrong", code=1)
    assert "401 Unauthorized" in said
    assert shell.calls == []
    shell(f"docker pull {private}")
    assert json.loads(shell.client.calls[0].out)["Secret"] == USERS["alice"]
