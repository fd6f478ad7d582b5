"""Configuration files for Docker, podman and skopeo that only one job uses."""

from __future__ import annotations

import codecs
import json
import os
from typing import TYPE_CHECKING

from passhelper.docker import config
from passhelper.errors import InvalidRequestError
from passhelper.machine import userfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.ci.homedir import Home

# Go's decoder takes names in any case. Plaintext credentials stay where they are, and the user's
# helper for all registries is what the runner replaces; one that he named for a single registry counts.
_LEFT_OUT = ("auths", "credsstore")
_LINKED = ("cli-plugins", "contexts")


def write(home: Home, environ: Mapping[str, str], registries: Sequence[str], known: Sequence[str]) -> None:
    """Write ``DOCKER_CONFIG`` and ``REGISTRY_AUTH_FILE`` of a runner.

    Args:
        home: the runner's directory.
        environ: the user's environment, which says where the user's own configuration is.
        registries: the only ones that ``pass`` serves; empty means all.
        known: servers in the store; podman's and skopeo's file must list each of them.

    Raises:
        DockerError: the user's file is not what Docker would read.
        InvalidRequestError: a name is not valid for a registry.
    """
    user_file = config.path(environ)
    text = json.dumps(_without_credentials(user_file), indent="\t", ensure_ascii=False)
    userfile.replace(os.path.join(home.docker, "config.json"), f"{text}\n".encode(errors="surrogateescape"), 0o600)
    config.use_pass({**environ, "DOCKER_CONFIG": home.docker}, registries)
    for name in _LINKED:
        target = os.path.join(os.path.dirname(user_file), name)
        if os.path.isdir(target):
            os.symlink(target, os.path.join(home.docker, name))
    helpers = dict.fromkeys(sorted(_container_names(registries or known)), config.HELPER)
    for registry in registries:
        config.server_name(registry)  # refuses what cannot be one
    userfile.replace(home.auth_file, json.dumps({"auths": {}, "credHelpers": helpers}).encode() + b"\n", 0o600)


def _without_credentials(path: str) -> dict[str, object]:
    data = (userfile.read(path) or b"").removeprefix(codecs.BOM_UTF8)
    text = config.decode(path, data, "repair it", "its settings cannot be copied") if data.strip() else "{}"
    return {name: value for name, value in json.loads(text).items() if name.lower() not in _LEFT_OUT}


def _container_names(servers: Sequence[str]) -> set[str]:
    """Give servers the names that podman and skopeo ask for: host and port, and Docker Hub's short one."""
    names = set()
    for server in servers:
        try:
            name = config.server_name(server)
        except InvalidRequestError:
            continue
        names.add(config.SHORT_HUB if name == config.DOCKER_HUB else name)
    return names
