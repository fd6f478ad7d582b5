"""Docker's ``config.json``: which helper serves which registry.

What Docker does with them (docker/cli, cli/config/configfile): ``credHelpers`` names a helper for one
server, ``credsStore`` the helper for all others. The keys of ``credHelpers`` are names as ``docker
login`` stores them: see :func:`server_name`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from passhelper.credentials import validate_server
from passhelper.docker import jsonedit
from passhelper.errors import DockerError, InvalidRequestError, NoServerURLError, printable
from passhelper.machine import userfile
from passhelper.registry import normalize
from passhelper.settings import home_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELPER = "pass"
DOCKER_HUB = "https://index.docker.io/v1/"  # docker/cli, registry.IndexServer
SHORT_HUB = "docker.io"  # as podman and skopeo (containers/image) call it
# docker/cli, internal/oauth/manager: what a login to Docker Hub in a browser leaves beside its credential.
HUB_TOKENS = (f"{DOCKER_HUB}access-token", f"{DOCKER_HUB}refresh-token")
_SCHEMES = ("https", "http", "docker", "oci")  # of registries, of podman's and of Helm's references
_NAME_IT = "name the registry as HOST or HOST:PORT"
_IN_SETUP = "repair it, or run setup with --no-docker"


def server_name(server: str) -> str:
    """Give the name under which ``docker login`` stores a server.

    Docker Hub has one name of its own; of every other server only host and port count, of a URL, of an image's name
    and of a reference like ``docker://host/image``. The host is in lower case, as in the names of images; so podman,
    which asks a helper for hosts alone, finds it too.

    Raises:
        InvalidRequestError: it is empty or holds what no server has; no message shows what may be a password.
    """
    server = validate_server(server)
    scheme, separator, rest = server.partition("://")
    if separator and scheme.lower() not in _SCHEMES:
        raise InvalidRequestError(f"{printable(scheme)}:// is not how a registry is reached", _NAME_IT)
    host = (rest if separator else server).partition("/")[0]
    if not host:
        raise NoServerURLError
    if "@" in host:
        raise InvalidRequestError(
            f"there is a user name before the server {printable(host.rpartition('@')[2])}",
            "leave it out; the option --username names the user",
        )
    if normalize(host) is None:
        shown = "this" if "@" in server else printable(host)  # it may be a password with a slash in it
        raise InvalidRequestError(f"{shown} is not the name of a registry", _NAME_IT)
    return DOCKER_HUB if normalize(host) == normalize(DOCKER_HUB) else host.lower()


def stored_name(server: str) -> str:
    """Give the name under which Docker asks for a server, whatever the store calls it."""
    if server in HUB_TOKENS:
        return server
    try:
        return server_name(server)
    except InvalidRequestError:
        return server


def is_asked_for(server: str) -> bool:
    """Return whether any client asks a helper for a server of this name: a host, or what Docker keeps for its Hub.

    podman looks for a namespace (``host/team``) only in files; it asks a helper for the host.
    """
    return normalize(server) is not None or server in HUB_TOKENS


def hostname(server: str) -> str:
    """Cut a server URL down to host and port, as docker/cli does (``ConvertToHostname``)."""
    scheme, separator, rest = server.partition("://")
    if separator and scheme in ("http", "https"):
        server = rest
    return server.partition("/")[0]


def path(environ: Mapping[str, str]) -> str:
    """Find Docker's configuration file: in ``DOCKER_CONFIG``, else in ``~/.docker``."""
    folder = environ.get("DOCKER_CONFIG") or os.path.join(home_directory(environ), ".docker")
    return os.path.join(os.path.abspath(folder), "config.json")


def use_pass(environ: Mapping[str, str], registries: Sequence[str], remedy: str = _IN_SETUP) -> list[str]:
    """Point Docker at ``pass``, for some servers (``credHelpers``) or, if none is named, for all (``credsStore``).

    Args:
        environ: where ``DOCKER_CONFIG`` and ``HOME`` come from.
        registries: the servers.
        remedy: what to do about a damaged file.

    Returns:
        what was changed, one phrase each.

    Raises:
        DockerError: the file is not what Docker would read; it is left as it is.
        ConfigurationError: it cannot be read or written.
    """
    file = path(environ)
    new, changes = read(file, remedy), []
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


def stop_using_pass(environ: Mapping[str, str], registries: Sequence[str]) -> list[str]:
    """Stop pointing Docker at ``pass``, for some servers or, if none is named, altogether.

    A setting that names another helper stays.

    Returns:
        what was removed, one phrase each.

    Raises:
        DockerError, ConfigurationError: as :func:`use_pass`.
    """
    file = path(environ)
    text = read(file)
    changes = []
    wanted = {server_name(registry) for registry in registries}
    helpers, names = _helpers(file, text)
    gone = [server for server, helper in names.items() if helper == HELPER and (server in wanted or not wanted)]
    if helpers is not None and gone:
        if len(gone) == len(names):
            text = jsonedit.drop(text, "credHelpers")
        else:
            inner = jsonedit.without(text, helpers.start, lambda name: name in gone)
            text = jsonedit.splice(text, [(helpers.start, helpers.end, inner)])
        changes = [f"credHelpers for {server}" for server in gone]
    store = jsonedit.find(text, "credsStore")
    if not wanted and store is not None and store.value == HELPER:
        text = jsonedit.drop(text, "credsStore")
        changes.insert(0, "credsStore")
    if changes:
        userfile.replace(file, text.encode(), 0o600)
    return changes


def read(file: str, remedy: str = "repair it", consequence: str = "it is left as it is") -> str:
    """Read a configuration file as text that can be edited; an empty document if there is none.

    Raises:
        DockerError: it is not what Docker would read; the error says what follows from that, and what to do.
        ConfigurationError: it cannot be read.
    """
    data = userfile.read(file)
    if data is None or not data.strip():
        return "{\n}\n"
    return decode(file, data, remedy, consequence)


def decode(file: str, data: bytes, remedy: str, consequence: str) -> str:
    """Check that the content of a configuration file is what Docker would read.

    Raises:
        DockerError: it is not; see :func:`read`.
    """
    try:
        text = data.decode()
        jsonedit.check(text)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except ValueError as error:
        why = str(error)
    else:
        return text
    raise DockerError(f"{file} is damaged, so {consequence}: {why}", remedy)


def named_helpers(text: str) -> dict[str, str]:
    """List the helpers that a checked document names in ``credHelpers``, by server."""
    found = jsonedit.find(text, "credHelpers")
    if found is None or not isinstance(found.value, dict):
        return {}
    return {name: value for name, value in found.value.items() if isinstance(value, str)}


def default_helper(text: str) -> str:
    """Return the helper that a checked document names in ``credsStore``; empty for none."""
    found = jsonedit.find(text, "credsStore")
    return found.value if found is not None and isinstance(found.value, str) else ""


def helper_for(text: str, server: str) -> str:
    """Return which helper a checked document names for a server; empty for none."""
    return named_helpers(text).get(server, default_helper(text))


def _helpers(file: str, text: str) -> tuple[jsonedit.Member | None, dict[str, object]]:
    """Find ``credHelpers`` and its value; None if it is missing or null."""
    found = jsonedit.find(text, "credHelpers")
    if found is None or found.value is None:
        return None, {}
    if not isinstance(found.value, dict):
        raise DockerError(f"{file}: credHelpers is not an object, so it is left as it is", "repair it")
    return found, found.value


def _serve_one(file: str, text: str, server: str) -> tuple[str, list[str]]:
    helpers, names = _helpers(file, text)
    if helpers is None:
        unit = jsonedit.indentation(text)
        entry = f"{json.dumps(server)}: {json.dumps(HELPER)}"
        value = f"{{\n{unit * 2}{entry}\n{unit}}}" if unit else f"{{{entry}}}"
        return jsonedit.put(text, "credHelpers", value), [f"credHelpers for {server}"]
    current = names.get(server)
    if current == HELPER:
        return text, []
    before = f" (was {json.dumps(current)})" if current else ""
    text = jsonedit.put_inside(text, helpers, server, json.dumps(HELPER))
    return text, [f"credHelpers for {server}{before}"]
