"""Compares the lists of recipients with what was accepted (:mod:`passhelper.store.trust`), and refuses what is not."""

import os

from passhelper.errors import TrustError
from passhelper.store import keynames
from passhelper.store import recipients as recipients_module
from passhelper.store.layout import FOLDER
from passhelper.store.trust import Accepted, Pins, Trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from passhelper.store.gpg import Gpg
    from passhelper.store.recipients import Header, Recipients


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
    paths += map(recipients_module.own, names)
    pins: Pins = {}
    for path in paths:
        text = recipients_module.read_file(root, path)
        if text is not None:
            pins[path] = keys_of(text, os.path.join(root, path))
    return pins


def keys_of(text: bytes, label: str) -> "list[str]":
    """Read the keys of a ``.gpg-id`` as they are pinned: in one spelling, sorted, each once.

    Raises:
        StoreError: a line cannot be a key.
    """
    return sorted({keynames.normalize(key) for key in recipients_module.parse(text, label)})


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
        # A list that names nobody is not the same as none: the one above counts where there is none.
        here = keys_of(text, os.path.join(root, path)) if text is not None else None
        pinned = pins.get(path)
        if here != pinned:
            changed[path] = apart(pinned, here)
        if text is not None:
            break
    return changed


def all_differences(before: Pins, after: Pins) -> "dict[str, tuple[list[str], list[str]]]":
    """Compare two sets of lists; one that names nobody is not the same as none.

    Returns:
        for each list that differs, the keys that were added and those that were removed.
    """
    paths = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    return {path: apart(before.get(path), after.get(path)) for path in paths}


def apart(before: "list[str] | None", after: "list[str] | None") -> "tuple[list[str], list[str]]":
    """Give the keys that were added to a list, and those that were removed; None where there is no list."""
    old, new = before or [], after or []
    return [key for key in new if key not in old], [key for key in old if key not in new]


def first(root: str, found: "Recipients", gpg: "Gpg") -> Accepted:
    """Accept a store as it is found, which was never pinned.

    Args:
        root: the store.
        found: recipients whose signature, where one is demanded, was verified.
        gpg: for its environment.
    """
    named = newer(found, Trust({}), gpg.environ)
    return _accepted(current(root), found, named, is_first=True)


def check(root: str, directory: str, found: "Recipients", trust: Trust, gpg: "Gpg") -> "Accepted | None":
    """Refuse recipients that differ from the accepted ones.

    Args:
        root: the store.
        directory: the server directory that is written to.
        found: the recipients that would be encrypted to; their signature, where one is demanded, was
            verified.
        trust: what was accepted.
        gpg: for the names of keys in the message, and for its environment:
            what it allows unasked; see :mod:`passhelper.store.allowed`.

    Returns:
        what to write down when the environment or a signature accepts the change, None when nothing changed.

    Raises:
        TrustError: the recipients changed.
    """
    if not found.path:  # PASSWORD_STORE_KEY: the user's own word
        return None
    changed = differences(root, directory, trust.pins)
    if not changed:
        return None
    named = newer(found, trust, gpg.environ) if found.path in changed else None
    if named is not None and is_unknown(named, trust):
        named = None
    # The signature of a file says nothing about another one that is gone.
    if (named is not None and len(changed) == 1) or _is_allowed(directory, found, changed, trust, gpg.environ):
        pins: dict[str, list[str] | None] = {}
        for path in changed:
            there = recipients_module.read_file(root, path)
            pins[path] = None if there is None else keys_of(there, path)
        return _accepted(pins, found, named)
    from passhelper.store import claims  # only for the message

    raise TrustError(
        f"recipients changed: {claims.describe(changed, gpg, claims.on_disk(root))}",
        "run: passhelper recipients accept",
    )


def _is_allowed(
    directory: str, found: "Recipients", changed: "Collection[str]", trust: Trust, environ: "Mapping[str, str]"
) -> bool:
    from passhelper.store import allowed  # only where lists have changed

    keys = {keynames.normalize(key) for key in found.keys}
    pinned = [trust.pins[path] for path in recipients_module.candidates(directory) if path in trust.pins]
    nearest = next(iter(changed))  # of the lists that decide about this server
    return allowed.by_environment(environ).covers(nearest, keys, pinned[0] if pinned else None)


def _accepted(
    pins: "Mapping[str, list[str] | None]", found: "Recipients", named: "Header | None", *, is_first: bool = False
) -> Accepted:
    if named is None:
        return Accepted(pins, {}, is_first=is_first)
    return Accepted(pins, {found.path: named.serial}, named.store, is_first=is_first)


def newer(found: "Recipients", trust: Trust, environ: "Mapping[str, str]") -> "Header | None":
    """Read what a signed file whose signature was verified says about itself.

    Returns:
        None unless signatures are demanded, and the file says that it is this one, of this store, and newer than
        what was accepted.
    """
    if not recipients_module.signing_keys(environ):
        return None
    from passhelper.store import signature  # only where lists are signed

    named = recipients_module.header(found.text)
    return None if signature.complaint(named, found.path, trust.store, 1 + trust.serials.get(found.path, 0)) else named


def is_unknown(named: "Header", trust: Trust) -> bool:
    """Return whether a signed file is the first to name its store, in one that has readers already.

    The list of any other store could be that. So together with its first name a store gets no reader unasked.
    """
    return bool(named.store and not trust.store and trust.pins)
