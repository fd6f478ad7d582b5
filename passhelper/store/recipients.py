"""Who can read an entry: the nearest ``.gpg-id`` upwards, as pass(1) finds it.

Read as ``pass`` reads it (one key per line, ``#`` starts a comment), and where ``pass`` trips, as its
users meant it: a last line without a line end counts, CRLF is not part of a key. ``PASSWORD_STORE_KEY``
overrides the files; ``PASSWORD_STORE_SIGNING_KEY`` demands a good signature beside them
(:mod:`passhelper.store.signature`).
"""

import os
import stat

from passhelper.errors import StoreError, StoreNotInitializedError
from passhelper.store.keynames import can_be_name, is_fingerprint, normalize
from passhelper.store.layout import FOLDER, canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = ".gpg-id"
MAX_FILE = 1 << 20  # bytes; comments and all
MAX_KEYS = 500  # of one list, as of one message: see packets.py, which not every reader of lists loads
MAX_SERIAL = 18  # digits; seconds since 1970 would need ten
_DIGITS = frozenset("0123456789abcdef")


class Recipients:
    """The keys that one entry is encrypted to.

    Attributes:
        keys: fingerprints and key ids in one spelling, the rest as written; each once, in the file's order.
        path: the file that names them, relative to the store; empty for ``PASSWORD_STORE_KEY``.
        text: the file's content, which a signature covers.
    """

    __slots__ = ("keys", "path", "text")

    def __init__(self, keys: "list[str]", path: str, text: bytes) -> None:
        self.keys = keys
        self.path = path
        self.text = text

    @property
    def label(self) -> str:
        """What to call their source in messages."""
        return self.path or "PASSWORD_STORE_KEY"

    @property
    def all_fingerprints(self) -> bool:
        """Whether each is a full fingerprint, so that naming it is a statement of trust (pain G9)."""
        return all(is_fingerprint(key) for key in self.keys)


def parse(text: bytes, label: str) -> "list[str]":
    """Read the lines of a ``.gpg-id``; fingerprints and key ids in one spelling, as gpg is given them.

    Raises:
        StoreError: it is not UTF-8, a line cannot be a key, or there are too many.
    """
    try:
        # Not utf-8-sig: loading that codec takes a sixth of a millisecond of every `store`.
        lines = text.removeprefix(b"\xef\xbb\xbf").decode().split("\n")
    except UnicodeDecodeError:
        raise StoreError(f"{label} is not UTF-8", "write one key fingerprint per line") from None
    keys: dict[str, None] = {}  # in their order
    for line in lines:
        key = normalize(line.partition("#")[0].strip())
        if key.startswith("-") or not key.isprintable() or (key and not can_be_name(key)):
            raise StoreError(f"{label} has a line that is not a key: {key!r}", "write one key fingerprint per line")
        if key:
            keys[key] = None
    if len(keys) > MAX_KEYS:
        raise too_many(label)
    return list(keys)


def too_many(label: str) -> StoreError:
    """Say that a list names more keys than an entry may have, which nobody could read then."""
    return StoreError(f"{label} names more than {MAX_KEYS} keys", "take out the keys of those who need not read it")


def read_file(root: str, path: str) -> "bytes | None":
    """Read one ``.gpg-id``; None if it is not there.

    Raises:
        StoreError: it is a symbolic link, no regular file, or cannot be read.
    """
    full = os.path.join(root, path)
    try:
        facts = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        raise StoreError(f"{full} is not a regular file", "links inside a store are not followed: replace it")
    if facts.st_size > MAX_FILE:
        raise StoreError(f"{full} is larger than {MAX_FILE} bytes")
    with open(full, "rb") as file:
        return file.read(MAX_FILE)


def candidates(directory: str) -> "list[str]":
    """List the paths of the ``.gpg-id`` files that can count for a server directory, nearest first.

    A server has one list, whatever the spelling of the directory: the one in its canonical directory.

    Args:
        directory: the directory's name below ``docker-credential-helpers/``; empty for that folder itself.
    """
    nearest = [own(canonical(directory))] if directory else []
    return [*nearest, os.path.join(FOLDER, FILE), FILE]


def own(directory: str) -> str:
    """Name the ``.gpg-id`` inside a server directory; it counts if the directory is the canonical one."""
    return os.path.join(FOLDER, directory, FILE)


def directory_of(path: str) -> str:
    """Give the server directory that a ``.gpg-id`` is in; empty for one above. The reverse of :func:`own`."""
    folder = os.path.dirname(path)
    return os.path.basename(folder) if os.path.dirname(folder) else ""


def find(root: str, directory: str, environ: "Mapping[str, str]") -> Recipients:
    """Find the recipients for a server directory.

    Raises:
        StoreNotInitializedError: there are none.
        StoreError: the file that counts cannot be used.
    """
    override = [normalize(key) for key in environ.get("PASSWORD_STORE_KEY", "").split()]
    if override and os.path.isdir(root):
        if len(override) > MAX_KEYS:
            raise too_many("PASSWORD_STORE_KEY")
        return Recipients(override, "", b"")
    for path in candidates(directory):
        text = read_file(root, path)
        if text is None:
            continue
        keys = parse(text, os.path.join(root, path))
        if not keys:
            raise StoreError(f"{os.path.join(root, path)} names no key", "write one key fingerprint per line")
        return Recipients(keys, path, text)
    if os.path.lexists(os.path.join(root, ".age-recipients")):
        raise StoreError(f"{root} is an age store, which is not supported", "set PASSWORD_STORE_DIR to a GPG store")
    raise StoreNotInitializedError(f"password store not initialised at {root}", _missing(root, environ))


def _missing(root: str, environ: "Mapping[str, str]") -> str:
    """Say what to do where there is no store. In a snap, whose HOME is its own, a new store would be the wrong one."""
    own, below = environ.get("SNAP_REAL_HOME", ""), environ.get("SNAP_USER_DATA", "")
    if not own or not below or not root.startswith(below + os.sep):
        return "run: passhelper setup"
    return (
        f"set PASSWORD_STORE_DIR={own}/.password-store and GNUPGHOME={own}/.gnupg, for HOME is that of the snap "
        f"{environ.get('SNAP_NAME', '')}; where it may not read them, use a docker that is not a snap"
    )


class Header:
    """What a signed ``.gpg-id`` says about itself, in the comments that it begins with.

    ::

        # passhelper <path in the store> <serial> <store>
        # key <fingerprint> <SHA-256 of its file in .public-keys>
        # list <path in the store> <serial>

    A signature says who, not where or when: without this an older signed file could be put back, one directory's or
    another store's copied here, and a list below this one kept back, so that this one would count in its place.

    Attributes:
        path: which file it is, with slashes.
        serial: how new it is.
        store: which store it is of, 32 hex digits; empty in a list from before stores had an identity.
        keys: the digests of files in ``.public-keys`` by the keys' fingerprints.
        lists: the lists below this one that were there when it was signed, with slashes, and the serial of each; 0 for
            one without.
    """

    __slots__ = ("keys", "lists", "path", "serial", "store")

    def __init__(
        self,
        path: str,
        serial: int,
        store: str = "",
        keys: "Mapping[str, str] | None" = None,
        lists: "Mapping[str, int] | None" = None,
    ) -> None:
        self.path = path
        self.serial = serial
        self.store = store
        self.keys = dict(keys or {})
        self.lists = dict(lists or {})


def header(text: bytes) -> "Header | None":
    """Read what a signed ``.gpg-id`` says about itself; None if it does not."""
    return _split(text)[0]


def body(text: bytes) -> bytes:
    """Give a ``.gpg-id`` without what it says about itself."""
    return _split(text)[1]


def with_header(text: bytes, new: Header) -> bytes:
    """Let a ``.gpg-id`` say something about itself, instead of what it says now."""
    lines = [f"# passhelper {new.path} {new.serial} {new.store}".rstrip()]
    lines += [f"# key {fingerprint} {new.keys[fingerprint]}" for fingerprint in sorted(new.keys)]
    lines += [f"# list {path} {new.lists[path]}" for path in sorted(new.lists)]
    return "".join(f"{line}\n" for line in lines).encode() + body(text)


def _split(text: bytes) -> "tuple[Header | None, bytes]":
    lines = text.split(b"\n")
    words = _words(lines[0])
    if words[:2] != ["#", "passhelper"] or len(words) not in (4, 5):
        return None, text
    path, serial, store = (*words[2:], "")[:3]
    if not _is_serial(serial):
        return None, text
    if len(words) == 5 and not is_identity(store):
        return None, text
    found = Header(path, int(serial), store)
    at = 1
    for line in lines[1:]:
        words = _words(line)
        if len(words) != 4 or words[0] != "#":
            break
        _, kind, name, value = words
        if kind == "key" and _DIGITS.issuperset(value) and len(value) == 64:
            found.keys[normalize(name)] = value
        elif kind == "list" and _is_serial(value):
            found.lists[name] = int(value)
        else:
            break
        at += 1
    return found, b"\n".join(lines[at:])


def _is_serial(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_SERIAL


def _words(line: bytes) -> "list[str]":
    return line.decode(errors="replace").rstrip("\r").split(" ")


def is_identity(text: str) -> bool:
    """Return whether a text can be the identity of a store."""
    return len(text) == 32 and _DIGITS.issuperset(text)


def signing_keys(environ: "Mapping[str, str]") -> "set[str]":
    """Read ``PASSWORD_STORE_SIGNING_KEY``: the full fingerprints that may sign a ``.gpg-id``."""
    return {normalize(key).removesuffix("!") for key in environ.get("PASSWORD_STORE_SIGNING_KEY", "").split()}
