"""Which credential helper podman, buildah and skopeo ask for which registry, and why.

What they do (containers/image, pkg/sysregistriesv2 and pkg/docker/config): ``credential-helpers`` in
``registries.conf`` and its drop-ins lists helpers that are asked in turn for every registry. The default is
``containers-auth.json``, which stands for the authentication files. The first of these files that has a registry
counts, with its ``credHelpers`` before its ``auths``; with ``REGISTRY_AUTH_FILE`` there is no other. A login goes to
the first helper of the list. For an image below a namespace (``host/team``) a helper is asked for the host, before or
after the files are looked through for the namespace.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from passhelper.client import PREFIX
from passhelper.docker import config
from passhelper.docker.plaintext import SECRETS, document_of
from passhelper.docker.routes import OTHERS, Programs, Route
from passhelper.errors import ConfigurationError, PasshelperError
from passhelper.machine import userfile
from passhelper.settings import home_directory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "REGISTRY_AUTH_FILE"
PROGRAMS = ("podman", "skopeo", "buildah")
_FILES = "containers-auth.json"  # the helper that is not a program
_SYSTEM = "/etc/containers"
_DROP_IN = os.path.join("registries.conf.d", "50-passhelper.conf")
_HEADER = "# Written by: passhelper setup --containers\n"
_DROP_IN_TEXT = (
    f"{_HEADER}# podman, buildah and skopeo ask docker-credential-pass first, and log in through it; what it does not\n"
    "# have they look for where they did before.\ncredential-helpers = "
)
_HUB = (config.SHORT_HUB, "index.docker.io", "registry-1.docker.io")
_PLAIN_LOGIN = (
    f"DOCKER_CONFIG is set and {VARIABLE} is not: newer podman and skopeo (5.4, 1.18) then log in to config.json "
    f"there, in plain text, and ask no helper; set {VARIABLE}, or unset DOCKER_CONFIG for them"
)


@dataclass
class Survey:
    """What these programs will do.

    Attributes:
        helpers: the list that they go through.
        source: the file that names the list; empty for the default.
        files: the authentication files, in the order in which they are looked at; not all need be there.
        routes: who serves which registry; ``source`` says in words where that stands.
        warnings: what is odd about it, one line each.
    """

    helpers: list[str] = field(default_factory=lambda: [_FILES])
    source: str = ""
    files: list[str] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def survey(environ: Mapping[str, str]) -> Survey:
    """Find out which helper serves each registry that the files name, and which serves all the others."""
    found = Survey(files=_auth_files(environ))
    try:
        _read_helpers(found, environ)
        contents = {file: _Contents(file) for file in found.files if os.path.exists(file)}
    except PasshelperError as error:
        found.warnings.append(str(error))
        return found
    if environ.get("DOCKER_CONFIG") and not environ.get(VARIABLE):
        found.warnings.append(_PLAIN_LOGIN)
    names = {name for content in contents.values() for name in (*content.helpers, *content.plain)}
    programs = Programs(environ)
    found.routes = [_route(found, programs, contents, name) for name in [*sorted(names), OTHERS]]
    return found


def use_pass(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Point podman, buildah and skopeo at ``pass``, before whatever they ask already.

    The setting goes into a file of its own in ``registries.conf.d``, which is read last: a
    ``registries.conf`` in the home directory would hide the system's one (containers/image,
    sysregistriesv2). A list that names ``pass`` already is left as it is.

    Returns:
        the file that names ``pass``, and whether it was changed.

    Raises:
        ConfigurationError: a file that is not ours is in the way, or is read after ours and names others.
    """
    file = os.path.join(home_directory(environ), ".config", "containers", _DROP_IN)
    before = (userfile.read(file) or b"").decode(errors="replace")
    found = Survey()
    _read_helpers(found, environ)
    if config.HELPER in found.helpers and (found.source != file or not before.startswith(_HEADER)):
        return found.source, False
    others = [helper for helper in found.helpers if helper != config.HELPER]
    if found.source == file and not others:
        others.append(_FILES)  # which an earlier version left out
    helpers = [config.HELPER, *others]
    setting = f"credential-helpers = {json.dumps(helpers)}"
    text = f"{_DROP_IN_TEXT}{json.dumps(helpers)}\n"
    if before == text:
        return file, False
    if before and not before.startswith(_HEADER):
        raise ConfigurationError(
            f"{file} was not written by passhelper, so it is left as it is", f"put there: {setting}"
        )
    userfile.replace(file, text.encode(), 0o644)
    _read_helpers(found, environ)
    if config.HELPER not in found.helpers:
        raise ConfigurationError(f"{found.source} is read after {file} and names others", f"put there: {setting}")
    return file, True


class _Contents:
    """One authentication file: its helpers and its plain text, by the names that these programs use."""

    def __init__(self, file: str) -> None:
        text = config.read(file)
        self.helpers = {_name(server): helper for server, helper in config.named_helpers(text).items()}
        self.plain = {
            _name(server)
            for server, fields in document_of(text, file).items()
            if any(fields.get(key) for key in SECRETS)
        }


def _name(server: str) -> str:
    """Give a server the name by which these programs look it up: of a URL its host, of Docker Hub's names one."""
    bare = config.hostname(server) if server.startswith(("https://", "http://")) else server
    return config.SHORT_HUB if bare in _HUB else bare


def _auth_files(environ: Mapping[str, str]) -> list[str]:
    if environ.get(VARIABLE):
        return [os.path.abspath(environ[VARIABLE])]
    settings = environ.get("XDG_CONFIG_HOME") or os.path.join(home_directory(environ), ".config")
    shared = os.path.join(settings, "containers", "auth.json")
    if sys.platform != "linux":
        return [shared, config.path(environ)]
    runtime = environ.get("XDG_RUNTIME_DIR")
    own = os.path.join(runtime, "containers") if runtime else f"/run/containers/{os.getuid()}"
    return [os.path.join(own, "auth.json"), shared, config.path(environ)]


def _read_helpers(found: Survey, environ: Mapping[str, str]) -> None:
    """Read ``credential-helpers``: the user's ``registries.conf`` hides the system's, drop-ins of both count."""
    own = os.path.join(home_directory(environ), ".config", "containers")
    main = os.path.join(own, "registries.conf")
    files = [main if os.path.exists(main) else os.path.join(_SYSTEM, "registries.conf")]
    for folder in (_SYSTEM, own):
        place = os.path.join(folder, "registries.conf.d")
        try:
            files += [os.path.join(place, name) for name in sorted(os.listdir(place)) if name.endswith(".conf")]
        except OSError:
            continue
    for file in files:
        try:
            helpers = tomllib.loads((userfile.read(file) or b"").decode()).get("credential-helpers")
        except ValueError as error:
            found.warnings.append(f"{file} is damaged, so podman and skopeo stop there: {error}")
            continue
        if isinstance(helpers, list) and helpers:
            found.helpers, found.source = [str(helper) for helper in helpers], file


def _route(found: Survey, programs: Programs, contents: Mapping[str, _Contents], name: str) -> Route:
    """Go through the helpers as these programs do for one registry, or for a namespace of one."""
    for helper in found.helpers:
        if helper != _FILES:
            route = _served(programs, name, helper, f"credential-helpers in {found.source}")
            return replace(route, trouble="; ".join(filter(None, [route.trouble, *_beside(found, contents, name)])))
        for file, content in contents.items():
            if name in content.helpers and name == _host(name):
                return _served(programs, name, content.helpers[name], f"credHelpers in {file}")
            if name in content.plain:
                trouble = "secret in plain text"
                return Route(name, "", "", f"auths in {file}", is_passhelper=False, is_plain=True, trouble=trouble)
    trouble = f"podman login would write plain text into {found.files[0]}"
    return Route(name, "", "", "none", is_passhelper=False, is_plain=False, trouble=trouble)


def _beside(found: Survey, contents: Mapping[str, _Contents], name: str) -> Iterator[str]:
    """Say what follows for a name from a helper that is asked first."""
    if name != _host(name):
        yield f"it is asked for {_host(name)}"
    files = [file for file, content in contents.items() if name in content.plain]
    if files:
        counts = "counts where it has none" if _FILES in found.helpers else "is not used"
        yield f"the plain text in {files[0]} {counts}"


def _host(name: str) -> str:
    return name.partition("/")[0]


def _served(programs: Programs, name: str, helper: str, source: str) -> Route:
    program, is_ours = programs.find(helper)
    trouble = "" if program else f"{PREFIX}{helper} is not on PATH"
    return Route(name, helper, program, source, is_passhelper=is_ours, is_plain=False, trouble=trouble)
