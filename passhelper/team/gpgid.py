"""Write a ``.gpg-id``, and sign it where ``PASSWORD_STORE_SIGNING_KEY`` says who may.

A signed file begins with a comment that names its own path and a serial, so that an older one cannot be put back
and none be copied into another directory: :func:`passhelper.store.recipients.header` reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GpgError, LockedKeyError, TrustError
from passhelper.store import diagnose, keyinfo, recipients
from passhelper.store.gpg import status_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.store import PassStore
    from passhelper.store.trust import Trust
    from passhelper.team.keys import Key

_SECONDS = 30.0  # for one signature; a touch on a card included


def render(keys: Sequence[Key], path: str, serial: int | None = None) -> bytes:
    """Write the text of a ``.gpg-id``: full fingerprints, each below a comment with its owner.

    Args:
        keys: who can read.
        path: the file's path in the store.
        serial: what a signed file says about how new it is; None for a file without a signature.
    """
    lines = [] if serial is None else [f"# passhelper {_slashes(path)} {serial}"]
    for key in keys:
        lines += [f"# {key.uid}".rstrip(), key.fingerprint]
    return "".join(f"{line}\n" for line in lines).encode()


def with_header(text: bytes, path: str, serial: int) -> bytes:
    """Give a text, comments and all, the first line that a signed file has."""
    if recipients.header(text) is not None:
        text = text.partition(b"\n")[2]
    return f"# passhelper {_slashes(path)} {serial}\n".encode() + text


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")


def next_serial(store: PassStore, path: str, trust: Trust | None) -> int | None:
    """Find the serial for the next signed version of a file; None where files are not signed.

    Args:
        store: where ``PASSWORD_STORE_SIGNING_KEY`` stands in the environment.
        path: the file's path in the store.
        trust: what this machine has accepted.
    """
    if not recipients.signing_keys(store.environ):
        return None
    named = recipients.header(recipients.read_file(store.root, path) or b"")
    return 1 + max(named[1] if named else 0, trust.serials.get(path, 0) if trust else 0)


def compose(
    store: PassStore, keys: Sequence[Key], path: str, known: Trust | None
) -> tuple[dict[str, bytes], int | None]:
    """Write a ``.gpg-id`` for some keys, with its signature where one is demanded.

    Args:
        store: the store.
        keys: who can read.
        path: the file's path in the store.
        known: what this machine has accepted.

    Returns:
        the content of each file by its path in the store, and the serial; None without a signature.

    Raises:
        TrustError: a signature is demanded, and this machine has none of the keys for it.
    """
    serial = next_serial(store, path, known)
    text = render(keys, path, serial)
    if serial is None:
        return {path: text}, None
    signature = sign(store, path, text)
    if signature is None:
        raise TrustError(
            f"{path} has to be signed, and no key in PASSWORD_STORE_SIGNING_KEY has its secret part here",
            "run it on a machine that has the key",
        )
    return {path: text, f"{path}.sig": signature}, serial


def sign(store: PassStore, path: str, text: bytes) -> bytes | None:
    """Sign the text of a ``.gpg-id`` with a key in ``PASSWORD_STORE_SIGNING_KEY``.

    Args:
        store: whose keyring signs.
        path: the file's path in the store, for messages.
        text: what is signed.

    Returns:
        the detached signature, for ``<path>.sig``; None where none is demanded, or this machine has no key for it.

    Raises:
        LockedKeyError: the key needs a passphrase that the agent does not hold.
        GpgError: gpg could not sign.
    """
    for name in store.environ.get("PASSWORD_STORE_SIGNING_KEY", "").split():
        if not keyinfo.find_keys(store.gpg, name, secret=True):
            continue
        child = store.gpg.ask("--local-user", name, "--no-armor", "--detach-sign", stdin=text, seconds=_SECONDS)
        lines = status_lines(child)
        if child.returncode == 0 and child.stdout and any(line[0] == "SIG_CREATED" for line in lines):
            return bytes(child.stdout)
        if _is_locked(lines):
            raise LockedKeyError(f"GPG key {name}, which signs {path}, is locked", "run: passhelper unlock")
        raise GpgError(f"gpg could not sign {path} with {name}: {diagnose.last_line(child)}")
    return None


def _is_locked(lines: list[list[str]]) -> bool:
    """Tell whether the agent wanted to ask for a passphrase: the codes are libgpg-error's."""
    return any(line[0] == "FAILURE" and line[1] == "sign" and int(line[2]) & 0xFFFF in (85, 99, 198) for line in lines)
