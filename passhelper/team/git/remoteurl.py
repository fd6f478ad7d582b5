"""Separate the secret from a remote's URL, to keep it out of argv, the repository's configuration and messages."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from passhelper.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# How forges begin their tokens: some of them hold a dot.
_PREFIXES = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
             "glpat-", "gldt-", "glcbt-", "glptt-", "glrt-", "glft-", "glsoat-", "gloas-")  # fmt: skip
_SHORTEST = 20  # characters of a token without such a beginning; GitLab's had so many
# What people name accounts: words and numbers. In what a machine has drawn at random they are not so well apart.
_WORD = r"(?:(?:[A-Z]?[a-z]{1,19}|[A-Z]{1,19})[0-9]{0,4}|[0-9]{1,12})"
_WORDS = re.compile(f"{_WORD}(?:[-_+]{_WORD})*")


@dataclass(frozen=True, repr=False)
class RemoteUrl:
    """A URL, and the secret that stood in it.

    Attributes:
        clean: what git may be told and may keep.
        secret: user and password for git, None where nothing of the URL is secret.
    """

    clean: str
    secret: tuple[str, str] | None = None


def split(url: str) -> RemoteUrl:
    """Take the secret out of an http(s) URL; any other is left as it is.

    A password is one, and so is a user that looks like a token (see :func:`is_token`), which git sends with an
    empty password. Any other user stays.

    Raises:
        ConfigurationError: nobody could tell where the host begins, or git could not be told the secret.
    """
    if not _is_http(url):
        return RemoteUrl(url)
    parts = _parsed(url)
    if parts is None:
        raise ConfigurationError(
            "the URL of the store cannot be understood", "check it; in a password write / # ? @ as %2F %23 %3F %40"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    is_secret = is_token(user)
    if parts.password is None and not is_secret:
        return RemoteUrl(url)
    if any(char < " " for char in user + password):
        raise ConfigurationError("the user name or password in the URL has a control character", "check the URL")
    kept, _, host = parts.netloc.rpartition("@")
    rest = host if is_secret else f"{kept.partition(':')[0]}@{host}"
    return RemoteUrl(parts._replace(netloc=rest).geturl(), (user, password))


def _is_http(url: str) -> bool:
    return url.lstrip().lower().startswith(("https://", "http://"))


def _parsed(url: str) -> SplitResult | None:
    """Take an http(s) URL apart; None where nobody could tell which part of it is the password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # a slash in a password ends the host too early, and leaves a port that is not a number
    except ValueError:
        return None
    is_cut = not parts.path and (parts.query or parts.fragment)  # so do # and ?; every store has a path
    return None if is_cut or any(char <= " " for char in url) else parts


def is_token(user: str) -> bool:
    """Return whether the user of a URL is a token: by how it begins, or long, without a dot or @, and not of words.

    In doubt it is one. A token that is taken for a name can be seen by every user of the machine; a name
    that is taken for a token fails at once, and its owner can tell git the name.
    """
    if user.startswith(_PREFIXES):
        return True
    return len(user) >= _SHORTEST and not {".", "@"} & set(user) and not _WORDS.fullmatch(user)


def unencrypted(url: str) -> str:
    """Say that the connection to a remote is not encrypted; empty if it is, or if the remote is on this machine."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("http", "git"):
        return ""
    host = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return (
        ""
        if is_this_machine(host)
        else (
            f"the connection to {shown(url)} is not encrypted ({scheme.lower()}): anybody on the way can read and "
            "change it"
        )
    )


def is_this_machine(host: str) -> bool:
    """Return whether the host of a URL is this machine itself: localhost, or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Make a URL safe to show; of an http(s) URL nothing that stands before the ``@``."""
    if not _is_http(url):
        return printable(url)
    parts = _parsed(url)
    return "an odd URL" if parts is None else printable(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
