"""What this machine has accepted, so that a push to the shared store cannot add a reader.

Whoever can push to the git remote can edit ``.gpg-id``; the next ``store`` on any machine would then
encrypt to the new key. So a git store keeps, outside the work tree, what was accepted here:
``<git dir>/passhelper/trust.json``::

    {"version":1,"recipients":{"docker-credential-helpers/.gpg-id":["<fingerprint>", ...]},
     "commit":"<id>","serials":{"docker-credential-helpers/.gpg-id":7},"store":"<identity>","offer":"<id>"}

``commit`` is the newest commit of the remote that was accepted, ``serials`` the highest serial of each
signed file, ``store`` which store the signed files say they are of, ``offer`` a commit that the user has accepted
before it was merged. Only ``recipients`` is always there. A store without git has no pins: nobody but its owner
changes it.
"""

import os

from passhelper.errors import StoreError, TrustError
from passhelper.jsontext import parse, render
from passhelper.store import recipients as recipients_module
from passhelper.store.files import Files
from passhelper.store.layout import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping

    from passhelper.store.gpg import Gpg
    from passhelper.store.recipients import Header, Recipients

FILE = "trust.json"
VERSION = 1
_HEX = frozenset("0123456789abcdef")

Pins = dict[str, list[str]]
"""The accepted keys of every ``.gpg-id``, by its path in the store."""


class DamagedError(StoreError):
    """The file cannot be read as what it should be; what was accepted has to be accepted again."""


class Trust:
    """What was accepted.

    Attributes:
        pins: the keys of every ``.gpg-id``.
        commit: the newest commit of the remote; empty if none was seen yet.
        serials: the highest serial of every signed ``.gpg-id``.
        offer: a commit not merged yet whose recipients the user has accepted; empty if there is none.
        store: the identity that every signed ``.gpg-id`` has to name; empty if none was seen yet.
    """

    __slots__ = ("commit", "offer", "pins", "serials", "store")

    def __init__(
        self,
        pins: Pins,
        commit: str = "",
        serials: "Mapping[str, int] | None" = None,
        offer: str = "",
        store: str = "",
    ) -> None:
        self.pins = pins
        self.commit = commit
        self.serials = dict(serials or {})
        self.offer = offer
        self.store = store


class Accepted:
    """What a check has accepted, to be written down together with the change that it allowed.

    Attributes:
        pins: the keys of some files; None for a file that is gone.
        serials: of those that were accepted for their signature.
        store: the identity that those name, if they do.
        is_first: whether the store was never pinned before.
    """

    __slots__ = ("is_first", "pins", "serials", "store")

    def __init__(
        self,
        pins: "Mapping[str, list[str] | None]",
        serials: "Mapping[str, int]",
        store: str = "",
        *,
        is_first: bool = False,
    ) -> None:
        self.pins = dict(pins)
        self.serials = dict(serials)
        self.store = store
        self.is_first = is_first


def load(state: str) -> "Pins | None":
    """Read the pins of a store; None when it was never pinned. Raises as :func:`load_all` does."""
    trust = load_all(state)
    return None if trust is None else trust.pins


def load_all(state: str) -> "Trust | None":
    """Read what was accepted.

    Args:
        state: the directory ``<git dir>/passhelper``.

    Returns:
        None when the store was never pinned.

    Raises:
        DamagedError: the file is damaged.
        StoreError: a newer passhelper wrote it.
    """
    path = os.path.join(state, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            document = parse(file.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version > VERSION:
        raise StoreError(f"{path} was written by a newer passhelper (format {version})", "upgrade passhelper")
    trust = _read(document) if isinstance(document, dict) and type(version) is int else None
    if trust is None or version != VERSION:
        raise _damaged(path, "unknown format")
    return trust


def _read(document: "dict[object, object]") -> "Trust | None":
    """Read the parts of the document; None if one is not what it should be."""
    pins, serials = document.get("recipients"), document.get("serials", {})
    commit, offer, store = document.get("commit", ""), document.get("offer", ""), document.get("store", "")
    if (
        isinstance(pins, dict)
        and all(isinstance(keys, list) and all(isinstance(key, str) for key in keys) for keys in pins.values())
        and isinstance(serials, dict)
        and all(type(serial) is int for serial in serials.values())
        and isinstance(commit, str)
        and isinstance(offer, str)
        and _HEX.issuperset(commit + offer)
        and isinstance(store, str)
        and (not store or recipients_module.is_identity(store))
    ):
        return Trust(pins, commit, serials, offer, store)
    return None


def _damaged(path: str, why: str) -> DamagedError:
    return DamagedError(f"{path} is damaged: {why}", "run: passhelper recipients accept")


def save(state: str, pins: Pins, files: Files) -> None:
    """Write all pins and keep the rest; the caller holds the store's lock.

    Raises:
        StoreError: a newer passhelper wrote the file. A damaged one is written anew.
    """
    try:
        trust = load_all(state) or Trust({})
    except DamagedError:
        trust = Trust({})
    trust.pins = pins
    save_all(state, trust, files)


def save_all(state: str, trust: Trust, files: Files) -> None:
    """Write everything that was accepted; the caller holds the store's lock, and read it under the same lock."""
    files.make_directory(state)
    files.replace(os.path.join(state, FILE), text(trust), state)


def text(trust: Trust) -> bytes:
    """Write everything that was accepted as the content of the file."""
    document: dict[str, object] = {
        "version": VERSION,
        "recipients": {path: trust.pins[path] for path in sorted(trust.pins)},
    }
    if trust.commit:
        document["commit"] = trust.commit
    if trust.serials:
        document["serials"] = {path: trust.serials[path] for path in sorted(trust.serials)}
    if trust.store:
        document["store"] = trust.store
    if trust.offer:
        document["offer"] = trust.offer
    return render(document).encode() + b"\n"


def write_down(state: str, accepted: Accepted, files: Files) -> None:
    """Add to what was accepted; the caller holds the store's lock.

    Only what the check was about is changed: another process may have accepted something else since.
    """
    trust = load_all(state)
    if trust is None:
        trust = Trust({})
    elif accepted.is_first:
        return
    for path, keys in accepted.pins.items():
        if keys is None:
            trust.pins.pop(path, None)
        else:
            trust.pins[path] = keys
    for path, serial in accepted.serials.items():
        trust.serials[path] = max(serial, trust.serials.get(path, 0))
    trust.store = trust.store or accepted.store
    save_all(state, trust, files)


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
    return sorted({recipients_module.normalize(key) for key in recipients_module.parse(text, label)})


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
            ``PASSHELPER_ACCEPT_RECIPIENTS`` names the complete set of keys that may be accepted unasked.

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
    allowed = accepted_by_environment(gpg.environ.get("PASSHELPER_ACCEPT_RECIPIENTS", ""))
    # The signature of a file says nothing about another one that is gone.
    keys = {recipients_module.normalize(key) for key in found.keys}
    if (named is not None and len(changed) == 1) or is_allowed(keys, allowed):
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
    """Tell whether a signed file is the first to name its store, in one that has readers already.

    The list of any other store could be that. So together with its first name a store gets no reader unasked.
    """
    return bool(named.store and not trust.store and trust.pins)


def accepted_by_environment(value: str) -> "set[str]":
    """Read ``PASSHELPER_ACCEPT_RECIPIENTS``: fingerprints separated by white space or commas."""
    return {recipients_module.normalize(key) for key in value.replace(",", " ").split()}


def is_allowed(keys: "Collection[str]", allowed: "Container[str]") -> bool:
    """Tell whether a list names somebody, and nobody but whom a set allows; a list of nobody is in no such set."""
    return bool(keys) and all(key in allowed for key in keys)


def is_same(one: "Trust | None", other: "Trust | None") -> bool:
    """Tell whether the same was accepted; never pinned is not the same as nothing accepted."""
    return (None if one is None else text(one)) == (None if other is None else text(other))
