"""Describe in words who was added to a list of recipients and who was removed, with the owners that the keys name.

If a key is not in the keyring, its name comes from the store's public keys, which nobody has checked: whoever can push
can put any key there, with any name. The name only helps a person to know whom to ask.
"""

import os
import tempfile

from passhelper.errors import GpgError, StoreError
from passhelper.store import recipients, treepolicy
from passhelper.store.keyinfo import find_keys, parse_keys
from passhelper.store.keynames import digits, is_fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.gpg import Gpg

    Offered = Callable[[str], bytes | None]
    """Reads the file that a store's public keys have for a fingerprint; None if there is none."""

ABSENT = "(not in this keyring)"
MAX_NAMED = 200  # keys that a message names; gpg is asked about each
_MAX_NAME = 80  # characters


def on_disk(root: str) -> "Offered":
    """Let public keys be read from the directory of a store."""

    def read(fingerprint: str) -> "bytes | None":
        try:
            return recipients.read_file(root, os.path.join(treepolicy.KEYS, fingerprint))
        except (StoreError, OSError):
            return None

    return read


def owner(gpg: "Gpg", key: str, offered: "Offered | None") -> str:
    """Name the owner of a recipient that is not in this keyring, as far as the public keys of the store know."""
    fingerprint = digits(key)
    data = offered(fingerprint) if offered is not None and is_fingerprint(key) else None
    if not data or len(data) > treepolicy.MAX_KEY:
        return ABSENT
    options = ("--with-colons", "--import-options", "show-only", "--import")
    with tempfile.TemporaryDirectory(prefix="passhelper-") as home:
        child = gpg.ask("--homedir", home, "--no-autostart", *options, stdin=data)
    found = [each for each in parse_keys(child.stdout.decode(errors="replace")) if each.fingerprint == fingerprint]
    # In quotes, so that no name can look like the end of it and what comes then.
    name = found[0].uid.replace('"', "'") if found else ""
    return f'"{name[:_MAX_NAME]}" (unverified, {ABSENT[1:]}' if name else ABSENT


def whose(line: str, fingerprint: str, uid: str) -> str:
    """Say whose a recipient is for which the keyring has this key: its user id.

    For a subkey it says so, and names the key: anybody can call another one's key a subkey of his own.
    """
    if not is_fingerprint(line) or digits(line) == fingerprint:
        return uid
    return f"(a subkey of {fingerprint} {uid})"


def describe(changed: "dict[str, tuple[list[str], list[str]]]", gpg: "Gpg", offered: "Offered | None" = None) -> str:
    """Write differences as ``+<key> <user id> -<key> <user id> (<file>)``.

    What is too much to read is only counted. Added keys are named before removed ones.

    Args:
        changed: the keys that were added to each file, and removed from it.
        gpg: for the names of keys.
        offered: where the store's public keys are, which may name those that are not in the keyring.
    """
    parts = []
    names: dict[str, str] = {}
    room = {"+": MAX_NAMED, "-": max(0, MAX_NAMED - sum(len(added) for added, _ in changed.values()))}
    lists = 0
    for path, (added, removed) in changed.items():
        shown, left = [], 0
        for mark, keys in (("+", added), ("-", removed)):
            shown += [f"{mark}{_named(key, names, gpg, offered)}" for key in keys[: room[mark]]]
            left += len(keys[room[mark] :])
            room[mark] -= len(keys[: room[mark]])
        if left and not shown:
            lists += 1
            continue
        shown += [f"and {left} more keys"] if left else []
        parts.append(" ".join([*(shown or ["a list that names nobody"]), f"({path})"]))
    if lists:
        parts.append(f"and {lists} more lists")
    return ", ".join(parts)


def _named(key: str, names: "dict[str, str]", gpg: "Gpg", offered: "Offered | None") -> str:
    """Give a key with its owner; what was found before is kept in ``names``, since gpg takes long for each question."""
    if key not in names:
        try:
            found = find_keys(gpg, key)
            name = whose(key, found[0].fingerprint, found[0].uid) if found else owner(gpg, key, offered)
        except GpgError:  # what there is to say about the key matters more than whose it is
            name = ""
        names[key] = f"{key} {name}".rstrip()
    return names[key]
