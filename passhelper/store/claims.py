"""Whose a key says that it is, before anybody has checked that: what the store's public keys offer.

Whoever can push can put any key there, with any name. The name helps a person to know whom to ask, and no more.
"""

import os
import tempfile

from passhelper.errors import StoreError
from passhelper.store import foreign, recipients
from passhelper.store.keyinfo import parse_keys
from passhelper.store.keynames import digits, is_fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.gpg import Gpg

    Offered = Callable[[str], bytes | None]
    """Reads the file that a store's public keys have for a fingerprint; None if there is none."""

ABSENT = "(not in this keyring)"
_MAX_NAME = 80  # characters


def on_disk(root: str) -> "Offered":
    """Read public keys from a store's directory.

    Args:
        root: the store.
    """

    def read(fingerprint: str) -> "bytes | None":
        try:
            return recipients.read_file(root, os.path.join(foreign.KEYS, fingerprint))
        except (StoreError, OSError):
            return None

    return read


def owner(gpg: "Gpg", key: str, offered: "Offered | None") -> str:
    """Say whose a recipient is that is not in this keyring, as far as the store itself knows.

    Args:
        gpg: reads the key, in a home of its own.
        key: the recipient.
        offered: where the store's public keys are; None if nowhere.
    """
    fingerprint = digits(key)
    data = offered(fingerprint) if offered is not None and is_fingerprint(key) else None
    if not data or len(data) > foreign.MAX_KEY:
        return ABSENT
    options = ("--with-colons", "--import-options", "show-only", "--import")
    with tempfile.TemporaryDirectory(prefix="passhelper-") as home:
        child = gpg.ask("--homedir", home, "--no-autostart", *options, stdin=data)
    found = [each for each in parse_keys(child.stdout.decode(errors="replace")) if each.fingerprint == fingerprint]
    # In quotes, so that no name can look like the end of it and what comes then.
    name = found[0].uid.replace('"', "'") if found else ""
    return f'"{name[:_MAX_NAME]}" (unverified, {ABSENT[1:]}' if name else ABSENT
