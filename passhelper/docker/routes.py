"""Which credential helper Docker runs for which registry, and why.

What Docker does (docker/cli, cli/config): since 28.3 ``DOCKER_AUTH_CONFIG`` comes first, for the servers
that it names; then ``credHelpers``, where an empty name means the file itself; then ``credsStore``. A file
with none of these and no ``auths`` gets a choice made by Docker: on Linux the helper ``pass`` if there
is a program ``pass`` on PATH, else ``secretservice``, and none if that helper's program is missing.
Where no helper serves a server, its credential stands in the file in plain text.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.client import PREFIX
from passhelper.docker import config
from passhelper.docker.plaintext import SECRETS, VARIABLE, document_of
from passhelper.errors import DockerError, printable
from passhelper.machine import launcher
from passhelper.store.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHERS = "*"  # every server that is not named
_SECONDS = 5.0  # for a program that is asked for its version
UNSET = f"unset {VARIABLE}; to keep what it holds, run before: passhelper import --docker-auth-config"
_NOBODY_ASKS = "docker asks a helper for hosts alone"
_CHOICES = {"darwin": "osxkeychain", "win32": "wincred"}


@dataclass(frozen=True)
class Route:
    """Which helper serves a registry.

    Attributes:
        server: its name as Docker stores it; :data:`OTHERS` for all that are not named.
        helper: the helper's name, such as ``pass``; empty for none.
        program: the program that Docker would start; empty if there is none.
        source: where the decision stands: ``DOCKER_AUTH_CONFIG``, ``credHelpers``, ``credsStore``, ``auths``
            (plain text), ``automatic`` (Docker's own choice) or ``none``. With the first, helper and program are
            what a Docker that does not read the variable uses.
        is_passhelper: whether the program is ours.
        is_plain: whether the file holds a secret of this server in plain text.
        trouble: what is wrong with it; empty for nothing.
    """

    server: str
    helper: str
    program: str
    source: str
    is_passhelper: bool
    is_plain: bool
    trouble: str


class Configuration:
    """The settings in Docker's file and its variable.

    Args:
        environ: where ``DOCKER_CONFIG``, ``DOCKER_AUTH_CONFIG``, ``HOME`` and ``PATH`` come from.

    Attributes:
        file: the file's path.
        given: the entries of ``DOCKER_AUTH_CONFIG``, by server.
        helpers: ``credHelpers``.
        auths: the entries of the file, by server.

    Raises:
        DockerError, ConfigurationError: the configuration is damaged or cannot be read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.file = config.path(environ)
        text = config.read(self.file)
        self.given = document_of(environ[VARIABLE], VARIABLE) if environ.get(VARIABLE) else {}
        self.helpers = config.named_helpers(text)
        self._store = config.default_helper(text)
        self.auths = document_of(text, self.file)

    def is_given(self, server: str) -> bool:
        """Return whether the variable holds a server's credential, which comes before the file."""
        return bool(self.given.get(server, {}).get("auth"))

    def helper(self, server: str) -> tuple[str, str]:
        """Find the helper that serves a server by the file alone: its name, empty for none, and who says so."""
        if server in self.helpers:
            return self.helpers[server], "credHelpers"
        if self._store:
            return self._store, "credsStore"
        if self.helpers or self.auths:
            return "", "none"  # whatever is configured, it keeps Docker from choosing
        return automatic(self._environ), "automatic"


def routes(environ: Mapping[str, str]) -> list[Route]:
    """Find out which helper serves each registry that the configuration names, and which serves all the others.

    Raises:
        DockerError, ConfigurationError: the configuration is damaged or cannot be read.
    """
    configuration, programs = Configuration(environ), Programs(environ)
    servers = sorted({*configuration.given, *configuration.helpers, *configuration.auths})
    return [_route(configuration, programs, server) for server in [*servers, OTHERS]]


def _route(configuration: Configuration, programs: Programs, server: str) -> Route:
    is_plain = any(configuration.auths.get(server, {}).get(key) for key in SECRETS)
    if server != OTHERS and not config.is_asked_for(server):
        return Route(server, "", "", "none", is_passhelper=False, is_plain=is_plain, trouble=_NOBODY_ASKS)
    helper, source = configuration.helper(server)
    program, is_ours = programs.find(helper) if helper else ("", False)
    trouble = ""
    if not helper:
        source, trouble = ("auths", "secret in plain text") if is_plain else ("none", "")
    elif not program:
        trouble = f"{PREFIX}{helper} is not on PATH"
    elif is_plain:
        trouble = "plain text left over, which docker does not use"
    if configuration.is_given(server):
        source, trouble = VARIABLE, "docker before 28.3 does not read it"
    return Route(server, helper, program, source, is_passhelper=is_ours, is_plain=is_plain, trouble=trouble)


def shadow(environ: Mapping[str, str]) -> str:
    """Say which credentials ``DOCKER_AUTH_CONFIG`` puts before the store; empty for none."""
    if not environ.get(VARIABLE):
        return ""
    try:
        given = document_of(environ[VARIABLE], VARIABLE)
    except DockerError as error:
        return error.cause
    servers = [printable(server) for server, fields in given.items() if fields.get("auth")]
    if not servers:
        return ""
    named = f"the credentials of {', '.join(servers)}"
    return f"{VARIABLE} is set, and docker from 28.3 on takes {named} from there, not from the store"


def automatic(environ: Mapping[str, str]) -> str:
    """Return the helper that Docker chooses by itself if nothing is configured; empty for none."""
    choice = _CHOICES.get(sys.platform) or ("pass" if find_program(("pass",), environ) else "secretservice")
    return choice if find_program((PREFIX + choice,), environ) else ""


class Programs:
    """The helpers' programs, each looked at once: one that hangs takes its time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: dict[str, tuple[str, bool]] = {}

    def find(self, helper: str) -> tuple[str, bool]:
        """Give the program that Docker would start, empty if there is none, and whether it is ours."""
        if helper not in self._known:
            program = find_program((PREFIX + helper,), self._environ) if "/" not in helper else None
            is_ours = program is not None and launcher.is_ours(program, self._environ, _SECONDS)
            self._known[helper] = program or "", is_ours
        return self._known[helper]
