"""Find the credential that the ``docker`` command would send to a registry, for Python tools.

::

    from passhelper.dockerconfig import credentials_for

    found = credentials_for("registry.example:5000")
    session.auth = (found.username, found.secret)

The order is docker/cli's (cli/config/configfile): ``DOCKER_AUTH_CONFIG`` for the servers that it names (Docker
reads it since 28.3); then the helper that ``credHelpers`` names for the server, or ``credsStore`` for all; where
nothing at all is configured, the helper that Docker chooses by itself; and ``auths`` only where no helper
serves the server. What a helper does not have is not looked for elsewhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.client import SECONDS, ProgramHelper
from passhelper.credentials import Credentials
from passhelper.docker import plaintext
from passhelper.docker.config import hostname, server_name
from passhelper.docker.routes import Configuration
from passhelper.errors import CredentialsNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TOKEN_USER", "Origin", "credentials_for", "origin_of", "server_name"]

TOKEN_USER = plaintext.TOKEN_USER
"""The user of a credential whose secret is an identity token (an OAuth refresh token) and no password."""


@dataclass(frozen=True)
class Origin:
    """Where Docker looks for the credential of a registry.

    Attributes:
        server: the registry under Docker's own name for it; see :func:`server_name`.
        source: ``DOCKER_AUTH_CONFIG``, ``credHelpers``, ``credsStore``, ``automatic`` or ``auths``.
        helper: the helper's name, such as ``pass``; empty where the credential stands in plain text.
    """

    server: str
    source: str
    helper: str


def origin_of(registry: str, environ: Mapping[str, str] | None = None) -> Origin:
    """Find out where Docker looks for the credential of a registry; nothing is opened or run.

    Args:
        registry: a registry's host, with its port; a URL or an image's full name will do.
        environ: where ``DOCKER_CONFIG``, ``DOCKER_AUTH_CONFIG``, ``HOME`` and ``PATH`` come from.

    Raises:
        InvalidRequestError: no registry has such a name.
        DockerError, ConfigurationError: Docker's configuration is damaged or cannot be read.
    """
    return _origin(Configuration(os.environ if environ is None else environ), server_name(registry))


def credentials_for(registry: str, environ: Mapping[str, str] | None = None, seconds: float = SECONDS) -> Credentials:
    """Find the credential that Docker would send to a registry.

    Args:
        registry: as for :func:`origin_of`.
        environ: also the helper's environment.
        seconds: how long a helper may take.

    Returns:
        the credential, under Docker's own name for the registry; an identity token has the user
        :data:`TOKEN_USER`.

    Raises:
        CredentialsNotFoundError: there is none; Docker would go on without.
        ConfigurationError: the helper is not on PATH, or the configuration cannot be read.
        DockerError: the configuration is damaged, or the helper failed.
        InvalidRequestError: no registry has such a name.
    """
    environ = os.environ if environ is None else environ
    configuration = Configuration(environ)
    origin = _origin(configuration, server_name(registry))
    server = origin.server
    if origin.helper:
        return ProgramHelper.find(origin.helper, environ, seconds).get(server)
    if origin.source == plaintext.VARIABLE:
        found = plaintext.credential(server, configuration.given[server], plaintext.VARIABLE)
    else:
        found = _plain(configuration, server)
    if found is None:
        raise CredentialsNotFoundError
    return Credentials(server, found.username, found.secret)


def _origin(configuration: Configuration, server: str) -> Origin:
    if configuration.is_given(server):
        return Origin(server, plaintext.VARIABLE, "")
    helper, source = configuration.helper(server)
    return Origin(server, source if helper else "auths", helper)


def _plain(configuration: Configuration, server: str) -> Credentials | None:
    """Find a server in the file: by its name, else the first entry that is a URL of its host."""
    auths = configuration.auths
    names = [server] if server in auths else [name for name in auths if hostname(name) == server]
    return plaintext.credential(names[0], auths[names[0]], configuration.file) if names else None
