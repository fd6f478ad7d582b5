"""Write credentials for tools that cannot run a helper: Kubernetes pull secrets, kaniko, podman's auth.json."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

from passhelper.credentials import validate_server
from passhelper.docker.config import DOCKER_HUB, HUB_TOKENS, SHORT_HUB, server_name
from passhelper.docker.plaintext import TOKEN_USER
from passhelper.errors import ConfigurationError, CredentialsNotFoundError, DockerError, PasshelperError, printable
from passhelper.jsontext import inert
from passhelper.registry import normalize
from passhelper.shellwords import word
from passhelper.store import owners

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper.credentials import Credentials, Helper
    from passhelper.machine.privatefile import PrivateFile

KUBERNETES = "dockerconfigjson"
PODMAN = "auth.json"
FORMATS = (KUBERNETES, PODMAN)
_OTHERS = 0o077  # mode bits of everybody but the owner


def collect(store: Helper, servers: Iterable[str]) -> tuple[list[Credentials], list[tuple[str, PasshelperError]]]:
    """Read the credentials of some servers, named exactly or as for ``docker login``; of all servers if none is named.

    Docker Hub's tokens are left out, because they are docker's own and not passwords.

    Returns:
        the credentials, and what could not be read with the reason.
    """
    known = store.list()
    wanted = dict.fromkeys(_choose(server, known) for server in servers) or sorted({*known} - {*HUB_TOKENS})
    found: list[Credentials] = []
    failed: list[tuple[str, PasshelperError]] = []
    for server in wanted:
        if server in HUB_TOKENS:
            token = DockerError("it is a token of docker's own login, with which nobody else can log in")
            failed.append((server, token))
            continue
        try:
            found.append(store.get(server))
        except CredentialsNotFoundError:
            remedy = f"run: passhelper login {word(server)} -u USER"
            failed.append((server, DockerError("there is no credential", remedy)))
        except PasshelperError as error:
            failed.append((server, error))
    return found, failed


def _choose(server: str, known: dict[str, str]) -> str:
    exact = validate_server(server)
    return exact if exact in known else server_name(server)


def render(credentials: Iterable[Credentials], form: str) -> str:
    """Write credentials as a document of one of the :data:`FORMATS`.

    Raises:
        DockerError: two of them would have one name in it.
    """
    auths: dict[str, dict[str, str]] = {}
    origin: dict[str, str] = {}
    for one in credentials:
        name = one.server if form == KUBERNETES else _podman_name(one.server)
        if name in origin:
            raise DockerError(
                f"{printable(origin[name])} and {printable(one.server)} are both called {printable(name)} in {form}",
                "choose one of them with --server, or log out of the other",
            )
        origin[name] = one.server
        auths[name] = _entry(one, form)
    # In ASCII alone, which every encoding of stdout can write; a "?" in a password would go unseen.
    return inert(json.dumps({"auths": auths}, indent="\t")) + "\n"


def unusable(credentials: Iterable[Credentials], form: str) -> list[str]:
    """List the servers whose credential is valid in a format but useless to one of its readers.

    Docker, podman and what shares their code send an identity token as one. Kubernetes' kubelet does not know the
    field (pkg/credentialprovider, dockerConfigEntryWithAuth): it would log in as ``<token>``, without a password.
    """
    return [one.server for one in credentials if form == KUBERNETES and one.username == TOKEN_USER]


def _entry(one: Credentials, form: str) -> dict[str, str]:
    if one.username == TOKEN_USER:
        # podman looks at the token only where `auth` names a user (containers/image, decodeDockerAuth).
        return {"auth": _encoded(one.username, ""), "identitytoken": one.secret}
    if ":" in one.username:
        raise DockerError(
            f"the user of {printable(one.server)} has a colon in it, which {form} cannot express",
            "leave that server out: name the others with --server",
        )
    entry = {"auth": _encoded(one.username, one.secret)}
    if form == KUBERNETES:  # as kubectl create secret docker-registry writes it
        entry = {"username": one.username, "password": one.secret, **entry}
    return entry


def _encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def _podman_name(server: str) -> str:
    """Name a server as podman does: without a scheme, Docker Hub as ``docker.io``."""
    if normalize(server) is not None:
        name = server_name(server)
        return SHORT_HUB if name == DOCKER_HUB else name
    return server.removeprefix("https://").removeprefix("http://")


def check_stream(descriptor: int) -> None:
    """Refuse to write secrets where they would be seen: a terminal, a file that others can read.

    Raises:
        ConfigurationError: it is one of these.
    """
    if os.isatty(descriptor):
        raise ConfigurationError(
            "secrets are not written to a terminal", "give --output FILE or pipe it into a program; --force shows them"
        )
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        return
    remedy = "give --output FILE instead, which makes a private one"
    if sys.platform != "win32" and facts.st_uid != os.geteuid():
        raise ConfigurationError(f"stdout is a file that belongs to {owners.name(facts.st_uid)}", remedy)
    if _is_open(facts.st_mode):
        raise ConfigurationError("stdout is a file that other users can read", remedy)


def _is_open(mode: int) -> bool:
    """Return whether other users can read a file; unknown on Windows, where Python makes up the mode."""
    return sys.platform != "win32" and bool(mode & _OTHERS)


def check_file(file: PrivateFile) -> list[str]:
    """Refuse to replace what is not an earlier export, or what other users can read.

    Returns:
        the servers whose credentials the file holds; see :func:`check_kept`.

    Raises:
        ConfigurationError: it is.
    """
    found = file.read()
    if found is None:
        return []
    mode, data = found
    if _is_open(mode):
        raise ConfigurationError(f"{file.path} can be read by other users", f"run: chmod 600 {word(file.path)}")
    try:
        document = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        document = None
    auths = (document.get("auths") or {}) if isinstance(document, dict) and not document.keys() - {"auths"} else None
    if not isinstance(auths, dict):
        raise ConfigurationError(
            f"{file.path} holds other things than credentials, which would be lost",
            "name another file, or give --force",
        )
    return [server for server, entry in auths.items() if entry]  # an import leaves empty ones behind


def check_kept(path: str, held: Iterable[str], credentials: Iterable[Credentials]) -> None:
    """Refuse to replace a file that holds credentials of other servers: podman's own looks just like an export.

    Args:
        path: the file.
        held: the servers that :func:`check_file` has found in it.
        credentials: what the file would hold.

    Raises:
        ConfigurationError: a server would be lost.
    """
    servers = {one.server for one in credentials}
    names = servers | {_podman_name(server) for server in servers}  # the file may be of the other format
    registries = {normalize(server) for server in servers} - {None}
    lost = [server for server in held if server not in names and normalize(server) not in registries]
    if lost:
        raise ConfigurationError(
            f"{path} also holds {', '.join(map(printable, lost))}, which would be lost",
            f"name another file, give --force, or run: passhelper import --docker-config {word(path)}",
        )
