"""Change a ``.gpg-id`` and keep what people wrote into it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from passhelper.errors import ConfigurationError, TrustError
from passhelper.store import recipients
from passhelper.team import gpgid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from passhelper.store.store import PassStore
    from passhelper.store.trust import Trust


class Line(NamedTuple):
    """A key as a ``.gpg-id`` names it.

    Attributes:
        written: a full fingerprint, with a ``!`` where it is one subkey.
        owner: whose, for the comment above it.
    """

    written: str
    owner: str


def edited(text: bytes, drop: Collection[str], named: Mapping[str, Line], add: Iterable[Line]) -> bytes:
    """Change the lines of a ``.gpg-id``.

    Args:
        text: what it is now.
        drop: the lines to take out, normalized; the comment directly above each, its owner's name, goes too.
        named: for lines that name a key by less than its fingerprint, what is to be there instead.
        add: what to add at the end.
    """
    kept: list[str] = []
    for line in text.decode("utf-8-sig").removesuffix("\n").split("\n") if text else []:
        written, mark, comment = line.partition("#")
        key = recipients.normalize(written.strip())
        if key and key in drop:
            if kept and kept[-1].startswith("#") and recipients.header(f"{kept[-1]}\n".encode()) is None:
                kept.pop()
        elif key in named:
            kept += [f"# {named[key].owner}".rstrip(), f"{named[key].written} {mark}{comment}".rstrip()]
        else:
            kept.append(line.rstrip())
    for line_to_add in add:
        kept += [f"# {line_to_add.owner}".rstrip(), line_to_add.written]
    return "".join(f"{line}\n" for line in kept).encode()


def signed(store: PassStore, path: str, text: bytes, trust: Trust | None) -> tuple[bytes, bytes | None]:
    """Sign a changed ``.gpg-id`` where that is demanded.

    Args:
        store: where.
        path: the file's path in the store.
        text: what it will be.
        trust: what this machine has accepted.

    Returns:
        the text, with the first line that signed files have, and the content of the ``.sig``; None for none.

    Raises:
        TrustError: it must be signed, and this machine has no key for that.
        ConfigurationError: it is signed now, and nothing says by whom.
        GpgError: gpg could not sign.
    """
    serial = gpgid.next_serial(store, path, trust)
    if serial is None:
        if recipients.read_file(store.root, f"{path}.sig") is not None:
            raise ConfigurationError(
                f"{os.path.join(store.root, path)} is signed, and a change would make its signature void",
                "set PASSWORD_STORE_SIGNING_KEY to the fingerprint of the key that signs it",
            )
        return text, None
    text = gpgid.with_header(text, path, serial)
    signature = gpgid.sign(store, path, text)
    if signature is None:
        raise TrustError(
            f"{path} must be signed by a key in PASSWORD_STORE_SIGNING_KEY, of which this machine has none",
            "run this on a machine with the signing key",
        )
    return text, signature
