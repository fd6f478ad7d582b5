"""What this machine has accepted, so that a push to the shared store cannot add a reader.

Whoever can push to the git remote can edit ``.gpg-id``; the next ``store`` on any machine would then
encrypt to the new key. So a git store keeps, outside the work tree, what was accepted here:
``<git dir>/passhelper/trust.json``::

    {"version":1,"recipients":{"docker-credential-helpers/.gpg-id":["<fingerprint>", ...]},
     "commits":{"refs/remotes/origin/main":"<id>"},"commit":"<id>",
     "serials":{"docker-credential-helpers/.gpg-id":7},"store":"<identity>","offer":"<id>"}

``commits`` are the newest commits that were accepted, by the branch of a remote that they came from; ``commit`` is one
of which that is not known, as in a fresh clone. ``serials`` are the highest serial of each signed file, ``store`` which
store the signed files say they are of, ``offer`` a commit that the user has accepted before it was merged. Only
``recipients`` is always there. A store without git has no pins: nobody but its owner changes it.
"""

import os

from passhelper.errors import StoreError
from passhelper.jsontext import parse, render
from passhelper.store import recipients as recipients_module
from passhelper.store.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


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
        commits: the newest commit of each branch of a remote, by the reference that git keeps of it; under an empty
            name, one that counts for those without their own.
        serials: the highest serial of every signed ``.gpg-id``.
        offer: a commit not merged yet whose recipients the user has accepted; empty if there is none.
        store: the identity that every signed ``.gpg-id`` has to name; empty if none was seen yet.
    """

    __slots__ = ("commits", "offer", "pins", "serials", "store")

    def __init__(
        self,
        pins: Pins,
        commits: "Mapping[str, str] | None" = None,
        serials: "Mapping[str, int] | None" = None,
        offer: str = "",
        store: str = "",
    ) -> None:
        self.pins = pins
        self.commits = dict(commits or {})
        self.serials = dict(serials or {})
        self.offer = offer
        self.store = store

    def commit(self, branch: str) -> str:
        """Give the newest commit of a branch of a remote that was accepted; empty if none was seen yet."""
        return self.commits.get(branch) or self.commits.get("", "")


def newer(commits: "Mapping[str, str]", branch: str, commit: str) -> "dict[str, str]":
    """Add a commit of a branch to those that were accepted; one that counts for all goes when its branch is known."""
    return {name: one for name, one in commits.items() if name} | {branch: commit}


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
    """Read what was accepted from ``<git dir>/passhelper``; None when the store was never pinned.

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
    commits = document.get("commits", {})
    if (
        isinstance(pins, dict)
        and all(isinstance(keys, list) and all(isinstance(key, str) for key in keys) for keys in pins.values())
        and isinstance(serials, dict)
        and all(type(serial) is int for serial in serials.values())
        and isinstance(commit, str)
        and isinstance(offer, str)
        and isinstance(commits, dict)
        and all(isinstance(one, str) and _HEX.issuperset(one) for one in (commit, offer, *commits.values()))
        and isinstance(store, str)
        and (not store or recipients_module.is_identity(store))
    ):
        return Trust(pins, {**commits, **({"": commit} if commit else {})}, serials, offer, store)
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
    document = {"version": VERSION, "recipients": dict(sorted(trust.pins.items()))}
    optional = {
        "commits": {name: one for name, one in sorted(trust.commits.items()) if name and one},
        "commit": trust.commits.get("", ""),
        "serials": dict(sorted(trust.serials.items())),
        "store": trust.store,
        "offer": trust.offer,
    }
    document |= {name: value for name, value in optional.items() if value}
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


def is_same(one: "Trust | None", other: "Trust | None") -> bool:
    """Return whether the same was accepted; never pinned is not the same as nothing accepted."""
    return (None if one is None else text(one)) == (None if other is None else text(other))
