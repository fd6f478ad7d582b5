"""Docker's ``config.json`` and podman's ``registries.conf``: which helper serves which registry.

What Docker does with them (docker/cli, cli/config/configfile): ``credHelpers`` names a helper for one
server, ``credsStore`` the helper for all others. The keys of ``credHelpers`` are names as ``docker
login`` stores them: see :func:`server_name`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from passhelper.credentials import validate_server
from passhelper.errors import DockerError
from passhelper.machine import jsonedit, userfile
from passhelper.registry import normalize
from passhelper.store.store import home_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELPER = "pass"
DOCKER_HUB = "https://index.docker.io/v1/"  # docker/cli, registry.IndexServer
_DROP_IN = os.path.join("registries.conf.d", "50-passhelper.conf")
_DROP_IN_TEXT = """\
# Written by: passhelper setup --containers
# podman, buildah and skopeo ask docker-credential-pass for credentials.
credential-helpers = ["pass"]
"""


def server_name(server: str) -> str:
    """Give the name under which ``docker login`` stores a server.

    Docker Hub has one name of its own; of every other server only host and port count
    (docker/cli, ``ConvertToHostname``).

    Raises:
        InvalidRequestError: it is empty or holds what no server has.
    """
    server = validate_server(server)
    if normalize(server) == normalize(DOCKER_HUB):
        return DOCKER_HUB
    scheme, separator, rest = server.partition("://")
    if separator and scheme in ("http", "https"):
        server = rest
    return validate_server(server.partition("/")[0])


def path(environ: Mapping[str, str]) -> str:
    """Find Docker's configuration file: in ``DOCKER_CONFIG``, else in ``~/.docker``."""
    folder = environ.get("DOCKER_CONFIG") or os.path.join(home_directory(environ), ".docker")
    return os.path.join(os.path.abspath(folder), "config.json")


def use_pass(environ: Mapping[str, str], registries: Sequence[str]) -> list[str]:
    """Point Docker at ``pass``.

    Args:
        environ: where ``DOCKER_CONFIG`` and ``HOME`` come from.
        registries: only these servers (``credHelpers``); none of them means all (``credsStore``).

    Returns:
        what was changed, one phrase each; empty if nothing was.

    Raises:
        DockerError: the file is not what Docker would read; it is left as it is.
        ConfigurationError: it cannot be read or written.
    """
    file = path(environ)
    data = userfile.read(file)
    text = "{\n}\n" if data is None or not data.strip() else _decode(file, data)
    new, changes = text, []
    if registries:
        for registry in registries:
            new, change = _serve_one(file, new, server_name(registry))
            changes += change
    else:
        current = jsonedit.find(new, "credsStore")
        if current is None or current.value != HELPER:
            new = jsonedit.put(new, "credsStore", json.dumps(HELPER))
            before = f" (was {json.dumps(current.value)})" if current is not None and current.value else ""
            changes.append(f"credsStore{before}")
    if changes:
        userfile.replace(file, new.encode(), 0o600)
    return changes


def _decode(file: str, data: bytes) -> str:
    try:
        text = data.decode()
        jsonedit.check(text)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except ValueError as error:
        why = str(error)
    else:
        return text
    raise DockerError(f"{file} is damaged, so it is left as it is: {why}", "repair it, or run setup with --no-docker")


def _serve_one(file: str, text: str, server: str) -> tuple[str, list[str]]:
    helpers = jsonedit.find(text, "credHelpers")
    if helpers is None or helpers.value is None:
        unit = jsonedit.indentation(text)
        entry = f"{json.dumps(server)}: {json.dumps(HELPER)}"
        value = f"{{\n{unit * 2}{entry}\n{unit}}}" if unit else f"{{{entry}}}"
        return jsonedit.put(text, "credHelpers", value), [f"credHelpers for {server}"]
    if not isinstance(helpers.value, dict):
        raise DockerError(f"{file}: credHelpers is not an object, so it is left as it is", "repair it")
    current = helpers.value.get(server)
    if current == HELPER:
        return text, []
    before = f" (was {json.dumps(current)})" if current else ""
    text = jsonedit.put_inside(text, helpers, server, json.dumps(HELPER))
    return text, [f"credHelpers for {server}{before}"]


def use_pass_for_containers(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Point podman, buildah and skopeo at ``pass``.

    The setting goes into a file of its own in ``registries.conf.d``, which is read last: a
    ``registries.conf`` in the home directory would hide the system's one (containers/image,
    sysregistriesv2).

    Returns:
        the file, and whether it was changed.
    """
    file = os.path.join(home_directory(environ), ".config", "containers", _DROP_IN)
    if userfile.read(file) == _DROP_IN_TEXT.encode():
        return file, False
    userfile.replace(file, _DROP_IN_TEXT.encode(), 0o644)
    return file, True
