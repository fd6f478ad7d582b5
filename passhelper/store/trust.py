"""Which recipients this machine has accepted, so that a push to the shared store cannot add one.

Whoever can push to the git remote can edit ``.gpg-id``; the next ``store`` on any machine would then
encrypt to the new key. So a git store keeps, outside the work tree, the key lists that were accepted
here: ``<git dir>/passhelper/trust.json``::

    {"version":1,"recipients":{"docker-credential-helpers/.gpg-id":["<fingerprint>", ...]}}

A store without git has no pins: nobody but its owner changes it.
"""

import os

from passhelper.errors import StoreError, TrustError
from passhelper.jsontext import parse, render
from passhelper.store import recipients as recipients_module
from passhelper.store.files import Files
from passhelper.store.layout import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from passhelper.store.gpg import Gpg
    from passhelper.store.recipients import Recipients

FILE = "trust.json"
VERSION = 1

Pins = dict[str, list[str]]
"""The accepted keys of every ``.gpg-id``, by its path in the store."""


def load(state: str) -> "Pins | None":
    """Read the pins of a store.

    Args:
        state: the directory ``<git dir>/passhelper``.

    Returns:
        the pins; None when the store was never pinned.

    Raises:
        StoreError: the file is damaged.
    """
    path = os.path.join(state, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            document = parse(file.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    pins = document.get("recipients") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("version") != VERSION or not isinstance(pins, dict):
        raise _damaged(path, "unknown format")
    for keys in pins.values():
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise _damaged(path, "unknown format")
    return pins


def _damaged(path: str, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}", "run: passhelper recipients accept")


def save(state: str, pins: Pins, files: Files) -> None:
    """Write the pins; the caller holds the store's lock."""
    files.make_directory(state)
    document = {"version": VERSION, "recipients": {path: pins[path] for path in sorted(pins)}}
    files.replace(os.path.join(state, FILE), render(document).encode() + b"\n", state)


def current(root: str) -> Pins:
    """Read the key lists of all ``.gpg-id`` files that count for credentials.

    Raises:
        StoreError: one of them cannot be used.
    """
    paths = [recipients_module.FILE, os.path.join(FOLDER, recipients_module.FILE)]
    try:
        with os.scandir(os.path.join(root, FOLDER)) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        names = []
    paths += [os.path.join(FOLDER, name, recipients_module.FILE) for name in names]
    pins: Pins = {}
    for path in paths:
        text = recipients_module.read_file(root, path)
        if text is not None:
            pins[path] = _keys(text, os.path.join(root, path))
    return pins


def _keys(text: bytes, label: str) -> "list[str]":
    return sorted(recipients_module.normalize(key) for key in recipients_module.parse(text, label))


def differences(root: str, directory: str, pins: Pins) -> "dict[str, tuple[list[str], list[str]]]":
    """Compare the files that decide about one server directory with the pins.

    Every file from the server's directory up to the one that counts is compared: a new file nearer
    to the entry, or a removed one, changes the readers as much as an edited one.

    Returns:
        for each file that differs, the keys that were added and those that were removed.
    """
    changed: dict[str, tuple[list[str], list[str]]] = {}
    for path in recipients_module.candidates(directory):
        text = recipients_module.read_file(root, path)
        here = _keys(text, os.path.join(root, path)) if text is not None else []
        pinned = pins.get(path, [])
        if here != pinned:
            changed[path] = ([key for key in here if key not in pinned], [key for key in pinned if key not in here])
        if text is not None:
            break
    return changed


def check(root: str, directory: str, found: "Recipients", pins: Pins, gpg: "Gpg") -> "Pins | None":
    """Refuse recipients that differ from the accepted ones.

    Args:
        root: the store.
        directory: the server directory that is written to.
        found: the recipients that would be encrypted to.
        pins: what was accepted.
        gpg: for the names of keys in the message, and for its environment:
            ``PASSHELPER_ACCEPT_RECIPIENTS`` names the complete set of keys that may be accepted unasked.

    Returns:
        new pins when the environment accepts the change, None when nothing changed.

    Raises:
        TrustError: the recipients changed.
    """
    if not found.path:  # PASSWORD_STORE_KEY: the user's own word
        return None
    changed = differences(root, directory, pins)
    if not changed:
        return None
    allowed = accepted_by_environment(gpg.environ.get("PASSHELPER_ACCEPT_RECIPIENTS", ""))
    if allowed and allowed.issuperset(recipients_module.normalize(key) for key in found.keys):
        renewed = dict(pins)
        for path in changed:
            renewed.pop(path, None)
            text = recipients_module.read_file(root, path)
            if text is not None:
                renewed[path] = _keys(text, path)
        return renewed
    raise TrustError(f"recipients changed: {describe(changed, gpg)}", "run: passhelper recipients accept")


def accepted_by_environment(value: str) -> "set[str]":
    """Read ``PASSHELPER_ACCEPT_RECIPIENTS``: fingerprints separated by white space or commas."""
    return {recipients_module.normalize(key) for key in value.replace(",", " ").split()}


def describe(changed: "dict[str, tuple[list[str], list[str]]]", gpg: "Gpg") -> str:
    """Write differences as ``+<key> <user id> -<key> <user id> (<file>)``."""
    parts = []
    for path, (added, removed) in changed.items():
        marks = [*_named("+", added, gpg), *_named("-", removed, gpg)]
        parts.append(" ".join([*marks, f"({path})"]))
    return ", ".join(parts)


def _named(mark: str, keys: "Iterable[str]", gpg: "Gpg") -> "list[str]":
    from passhelper.store.diagnose import find_keys  # noqa: PLC0415 - only for messages

    named = []
    for key in keys:
        found = find_keys(gpg, key)
        named.append(f"{mark}{key} {found[0].uid}".rstrip() if found else f"{mark}{key} (not in this keyring)")
    return named
