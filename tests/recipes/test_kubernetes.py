"""The image pull secret: what the script writes is what kubectl would write, and opens a registry."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support import Answer, Helper, Program, require, run
from support.machines.runners import TEAM, Site, private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.project.recipes import Recipe

HUB = "https://index.docker.io/v1/"


@pytest.fixture
def pull_secret(
    recipe: Callable[[str], Recipe], helper: Helper, store: Path, installed: Program
) -> Callable[..., Answer]:
    """The script, beside a store with a credential of Docker Hub and an identity token."""
    assert helper.store(HUB, "ann", "hub's secret").code == 0
    assert helper.store("azure.example", "<token>", "refresh").code == 0
    script = recipe("kubernetes").take("pull-secret", "whole")
    path = f"{installed.folder}/bin:{helper.environ['PATH']}"
    return lambda *words: run(["sh", "-c", script, "pull-secret", *words], {**helper.environ, "PATH": path})


def content(answer: Answer) -> dict[str, Any]:
    """Take a secret apart as strictly as an API server does."""
    assert (answer.code, answer.err) == (0, b"")
    secret = yaml.safe_load(answer.out)
    assert secret == {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": "team-a"},
        "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": secret["data"][".dockerconfigjson"]},
    }  # fmt: skip
    document = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"], validate=True))
    assert list(document) == ["auths"]
    auths: dict[str, Any] = document["auths"]
    return auths


def test_it_opens_the_registry(pull_secret: Callable[..., Answer], helper: Helper, site: Site, tmp_path: Path) -> None:
    assert helper.store(site.registry, *TEAM).code == 0
    answer = pull_secret("pull", "team-a", site.registry)
    auths = content(answer)
    user, secret = TEAM
    assert auths == {
        site.registry: {
            "username": user, "password": secret, "auth": base64.b64encode(f"{user}:{secret}".encode()).decode(),
        }
    }  # fmt: skip
    require("docker", "skopeo")
    file = private(tmp_path / "docker" / "config.json", json.dumps({"auths": auths}))
    empty = private(tmp_path / "empty" / "config.json", "{}")
    environ = {
        name: value for name, value in site.environ(tmp_path).items() if name in ("PATH", "HOME", "SSL_CERT_FILE")
    }
    for config, code in ((empty, 1), (file, 0)):
        command = ["docker", "--config", config.removesuffix("/config.json"), "manifest", "inspect", site.image]
        assert run(command, environ).code == code
        command = ["skopeo", "inspect", "--authfile", config, f"docker://{site.image}"]
        assert run(command, environ).code == code


def test_it_is_what_kubectl_writes(pull_secret: Callable[..., Answer]) -> None:
    require("kubectl")
    ours = pull_secret("pull", "team-a", "docker.io")
    assert list(content(ours)) == [HUB]
    words = ["kubectl", "create", "secret", "docker-registry", "pull", "--dry-run=client", "--output=yaml",
             f"--docker-server={HUB}", "--docker-username=ann", "--docker-password=hub's secret",
             "--namespace=team-a"]  # fmt: skip
    theirs = run(words, {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"})
    assert theirs.code == 0, theirs.err
    secret = yaml.safe_load(theirs.out)
    assert secret["metadata"].pop("creationTimestamp") is None
    assert content(Answer(0, yaml.safe_dump(secret).encode(), b"")) == content(ours)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param([], 2, "usage: pull-secret NAME NAMESPACE SERVER...\n", id="no words"),
        pytest.param(["pull", "team-a"], 2, "usage: pull-secret NAME NAMESPACE SERVER...\n", id="no server"),
        pytest.param(
            ["pull", "team-a", HUB, "unknown.example"],
            1,
            "error: unknown.example: there is no credential\n",
            id="no credential",
        ),
        pytest.param(
            ["pull", "team-a", "azure.example"], 1, "pull-secret: kubelet cannot use an identity token; ", id="token"
        ),
    ],
)
def test_no_half_of_a_secret(pull_secret: Callable[..., Answer], words: list[str], code: int, said: str) -> None:
    answer = pull_secret(*words)
    assert (answer.code, answer.out) == (code, b"")
    lines = answer.err.decode().splitlines(keepends=True)
    own = [line for line in lines if not line.startswith("warning: ")]  # export warns of the token too
    assert "".join(own).startswith(said)


@pytest.mark.parametrize("name", ["1e3", "true", "a.b-c"])
def test_names_stay_names(pull_secret: Callable[..., Answer], name: str) -> None:
    """YAML would read a number or a word of its own in some of them."""
    metadata = yaml.safe_load(pull_secret(name, name, HUB).out)["metadata"]
    assert metadata == {"name": name, "namespace": name}


@pytest.mark.parametrize("name", ["a\n  labels: {x: y}", "$(id)", 'a"', "A", "a b"])
def test_what_is_no_name(pull_secret: Callable[..., Answer], name: str) -> None:
    for words in ((name, "team-a"), ("pull", name)):
        answer = pull_secret(*words, HUB)
        assert (answer.code, answer.out) == (2, b"")
        assert answer.err == b"pull-secret: names in Kubernetes have small letters, digits, - and . only\n"
