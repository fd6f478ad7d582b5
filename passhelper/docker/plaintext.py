"""Credentials that stand in plain text in Docker's ``config.json``, podman's ``auth.json`` or a variable.

Read as docker/cli does (``configfile.LoadFromReader``): ``auth`` is base64 of ``user:password`` and wins
over ``username`` and ``password``; an ``identitytoken`` goes into a helper under the user ``<token>``.
No message quotes a value.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from passhelper.credentials import Credentials, encodable, validate_server, validate_username
from passhelper.docker import jsonedit
from passhelper.docker.config import is_asked_for
from passhelper.errors import DockerError, InvalidRequestError, printable

VARIABLE = "DOCKER_AUTH_CONFIG"
TOKEN_USER = "<token>"  # noqa: S105 - docker/cli, credentials.tokenUsername
SECRETS = ("auth", "identitytoken", "password")
_REGISTRY_TOKEN = "registrytoken"  # noqa: S105 - docker/cli, AuthConfig
BLANKED = frozenset((*SECRETS, "username"))
_REPAIR = "repair it, or log in to that server again"


def document_of(text: str, label: str) -> dict[str, dict[str, object]]:
    """Read what the ``auths`` of a document say of each server; keys of an entry are in lower case.

    Raises:
        DockerError: it is not what Docker would read, or names something twice.
    """
    try:
        jsonedit.check(text)
    except ValueError as error:
        raise DockerError(f"{label} is damaged: {error}", "repair it") from None
    found: dict[str, dict[str, object]] = {}
    for member in entries(text, label):
        if member.key in found:
            raise DockerError(f"{label} names {printable(member.key)} twice", _REPAIR)
        fields: dict[str, object] = {}
        for field in jsonedit.members(text, member.start) if member.value is not None else ():
            if field.key.lower() in fields:
                raise DockerError(
                    f"{label} gives {printable(member.key)} {printable(field.key.lower())} twice", _REPAIR
                )
            fields[field.key.lower()] = field.value
        found[member.key] = fields
    return found


def entries(text: str, label: str) -> list[jsonedit.Member]:
    """Find the entry of each server in a checked document.

    Raises:
        DockerError: ``auths`` is not an object whose values are objects.
    """
    found: list[jsonedit.Member] = []
    for outer in jsonedit.members(text):
        if outer.key.lower() != "auths" or outer.value is None:
            continue
        if not isinstance(outer.value, dict):
            raise DockerError(f"{label} is damaged: auths is not an object", "repair it")
        found += jsonedit.members(text, outer.start)
    for member in found:
        if member.value is not None and not isinstance(member.value, dict):
            raise DockerError(f"{label} is damaged: its entry for {printable(member.key)} is not an object", _REPAIR)
    return found


@dataclass(frozen=True)
class Left:
    """An entry that stays where it is.

    Attributes:
        server: its name.
        why: the reason.
        is_right: whether it belongs there, such as a key of podman's for which no client asks a helper.
    """

    server: str
    why: DockerError
    is_right: bool = False


def credentials(text: str, label: str) -> list[Credentials | Left]:
    """Read every credential of a document; for each that has to stay there, say why.

    Raises:
        DockerError: the document is damaged.
    """
    found: list[Credentials | Left] = []
    for server, fields in document_of(text, label).items():
        try:
            one = credential(server, fields, label)
        except DockerError as error:
            found.append(Left(server, error))
            continue
        if one is not None:
            found.append(one if is_asked_for(server) else Left(server, _nobody_asks(server, label), is_right=True))
    return found


def _nobody_asks(server: str, label: str) -> DockerError:
    return DockerError(f"{label}: {printable(server)} stays there: clients ask a credential helper for hosts alone")


def credential(server: str, fields: dict[str, object], label: str) -> Credentials | None:
    """Read the credential of one entry that :func:`document_of` has found; None if it holds no secret.

    Raises:
        DockerError: the entry is not valid.
    """
    try:
        return _credential(server, fields)
    except (InvalidRequestError, ValueError) as error:
        why = error.cause if isinstance(error, InvalidRequestError) else str(error)
        name = printable(server) or "no server"
        raise DockerError(f"{label}: the entry for {name} cannot be used: {why}", _REPAIR) from None


def registry_tokens(text: str, label: str) -> list[str]:
    """List the servers whose entry has a ``registrytoken``, which no credential helper can keep.

    Docker sends it to the registry as it is; the protocol of the helpers has no place for it.

    Raises:
        DockerError: the document is damaged.
    """
    return [server for server, fields in document_of(text, label).items() if fields.get(_REGISTRY_TOKEN)]


def blanked(text: str, servers: set[str]) -> str:
    """Take the secrets of some servers out of a checked document, and nothing else."""
    changes = [
        (member.start, member.end, jsonedit.without(text, member.start, lambda name: name.lower() in BLANKED))
        for member in entries(text, "")
        if member.key in servers and member.value is not None
    ]
    return jsonedit.splice(text, changes)


def _credential(server: str, fields: dict[str, object]) -> Credentials | None:
    values = {name: _text(fields, name) for name in BLANKED}
    username, password = values["username"], values["password"]
    if values["auth"]:
        username, password = _decoded(values["auth"])
    token = values["identitytoken"]
    if token:
        if password:
            raise ValueError("it has a password and an identity token, and a helper can keep only one")
        username, password = TOKEN_USER, token
    if not (values["auth"] or token or password):
        return None
    if validate_server(server) != server:
        raise ValueError("its name has spaces around it")
    if "\0" in password or not encodable(password):
        raise ValueError("its secret holds a character that no client could send")
    return Credentials(server, validate_username(username), password)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004 - of the text, not of an argument
    return value


def _decoded(auth: str) -> tuple[str, str]:
    """Split ``auth`` at its first colon; Docker drops NULs around the password too."""
    try:
        # Go's decoder skips line ends and takes nothing else that is not base64.
        text = base64.b64decode(auth.replace("\r", "").replace("\n", ""), validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise ValueError("auth is not base64 of a text") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("auth holds no colon between user and password")
    return username, password.strip("\0")
