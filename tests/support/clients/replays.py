"""How the clients that cannot run here read an answer, as strictly as their source does.

Their source was read at the commits that ``tests/clients/test_replays*.py`` name; none of it is copied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support import Answer

NOT_FOUND = "credentials not found in native keychain"
TOKEN = "<token>"


class ClientError(Exception):
    """What a client tells its user."""


@dataclass(frozen=True)
class Login:
    """What a client sends to the registry."""

    username: str = ""
    password: str = ""
    token: str = ""


def go_strings(out: bytes, *, exact: bool = False) -> dict[str, str]:
    """Decode as Go's ``json.Unmarshal``: one object of strings, and nothing after it.

    Args:
        out: the document.
        exact: into a map, whose keys count as they are written; else into a struct, whose names match in any case.
    """

    def members(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
        found = {}
        for key, value in pairs:
            if not isinstance(value, str):
                raise ClientError(f"json: cannot unmarshal {key} into Go value of type string")
            found[key if exact else key.lower()] = value
        return found

    try:
        document = json.loads(out.decode(), object_pairs_hook=members)
    except ValueError as error:
        raise ClientError(f"invalid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ClientError("json: cannot unmarshal into Go value")
    return document


def go_json(server: str, username: str, secret: str) -> str:
    """Encode as Go's ``json.Marshal``: compact, with ``<``, ``>`` and ``&`` escaped."""
    document = {"ServerURL": server, "Username": username, "Secret": secret}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def nomad(answer: Answer) -> Login | None:
    """Nomad's ``authFromHelper``: no text means "not found", and only stderr is shown."""
    if answer.code:
        raise ClientError(f"docker-credential-pass failed with stderr: {answer.err.decode()}")
    found = go_strings(answer.out, exact=True)
    login = Login(found.get("Username", ""), found.get("Secret", ""))
    return None if login == Login() else login


def dockercfg(answer: Answer) -> Login | None:
    """dockercfg's ``GetCredentialsFromHelper``: compares the trimmed stdout; knows no tokens."""
    if answer.code:
        if answer.out.decode().strip() == NOT_FOUND:
            return None
        raise ClientError(f"{answer.out.decode()} {answer.err.decode()}")
    found = go_strings(answer.out)
    return Login(found["username"], found["secret"])


def go_dockerclient(answer: Answer) -> Login | None:
    """go-dockerclient has stderr thrown away, and goes on without a login after any error."""
    if answer.code:
        return None
    found = go_strings(answer.out)
    return Login(found["username"], found["secret"])


def docker_cli(answer: Answer) -> Login | None:
    """docker/cli's native store. It would take text after the document; :func:`go_strings` does not."""
    if answer.code:
        if answer.text.strip() == NOT_FOUND:
            return None
        raise ClientError(f"error getting credentials - err: exit status {answer.code}, out: `{answer.text.strip()}`")
    return _with_token(answer.out)


def oras_go(answer: Answer) -> Login | None:
    """oras-go's native store: the error is the trimmed stdout, or the exit status where that is empty."""
    if answer.code:
        message = answer.text.strip() or f"exit status {answer.code}"
        if message == NOT_FOUND:
            return None
        raise ClientError(message)
    return _with_token(answer.out)


def terraform(answer: Answer) -> Login | None:
    """The Terraform provider takes user name and password of docker/cli's answer and no identity token."""
    found = docker_cli(answer)
    return None if found is None or found.token else found


def _with_token(out: bytes) -> Login:
    found = go_strings(out)
    if found["username"] == TOKEN:
        return Login(token=found["secret"])
    return Login(found["username"], found["secret"])
