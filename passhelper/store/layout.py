r"""Names to paths and back. The only code that builds a path inside a store.

::

    <store>/docker-credential-helpers/<base64url of the server URL>/<username>.gpg

is what Docker's own ``docker-credential-pass`` writes (pass/pass.go), with padding, from the raw
bytes of the URL. Usernames are file names there, so ``/`` makes folders and ``..`` leaves the store;
here both are percent-escaped, and everything else keeps the bytes that the Go helper would use:

* written: ``/``, a leading ``.`` and ``%`` before two hex digits become ``%XX``; on Windows also
  ``<>:"|?*\``;
* read: only what one of the two writers (POSIX, Windows) would have written is decoded, so
  ``decode(encode(u)) == u`` for every ``u`` and a Go-written ``a%2fb`` or ``%41`` stays literal.

Paths are ``str`` in the interpreter's own file-system encoding; names go through UTF-8, so that a
Latin-1 locale writes the same bytes as any other.
"""

import binascii
import os
import sys

from passhelper.credentials import has_control
from passhelper.errors import InvalidRequestError, NoServerURLError, NoUsernameError

FOLDER = "docker-credential-helpers"  # docker-credential-helpers, pass/pass.go: PASS_FOLDER
SUFFIX = ".gpg"
MAX_NAME = 255  # bytes in one file name: NAME_MAX of every file system in use
MAX_SERVER = MAX_NAME // 4 * 3  # bytes of a URL whose base64 still fits a file name
MAX_ENTRY = 4 << 20  # bytes of one .gpg file; a secret of 2 MiB and its recipients fit

_WINDOWS = '<>:"|?*\\'
LOGGED_OUT = "logged-out"  # in <git dir>/passhelper; see passhelper.store.loggedout
_HEX = frozenset("0123456789abcdefABCDEF")


def encode_server(server: str) -> str:
    """Name the directory of a server: base64url with padding.

    Raises:
        NoServerURLError: there is no URL; its directory would be the folder of all others.
        InvalidRequestError: the URL is too long for a file name, or has no bytes.
    """
    if not server:
        raise NoServerURLError
    data = _utf8(server, "server URL")
    if len(data) > MAX_SERVER:
        raise InvalidRequestError(f"server URL too long to store: {len(data)} bytes, at most {MAX_SERVER}")
    return binascii.b2a_base64(data, newline=False).decode().replace("+", "-").replace("/", "_")


def spellings(server: str) -> "list[str]":
    """List the directory names that decode to a server, the canonical one first.

    Hand-made stores hold the standard alphabet, lost padding, and URLs that ``echo`` gave a line end
    (pain M3). The list is short enough to look each one up, so no lookup reads the whole folder.

    Raises:
        NoServerURLError, InvalidRequestError: no server has such a URL.
    """
    if not server:
        raise NoServerURLError
    names: list[str] = []
    for url in (server, server + "\n"):
        if len(_utf8(url, "server URL")) > MAX_SERVER:
            continue
        name = encode_server(url)
        standard = _standard(name)
        for spelling in (name, name.rstrip("="), standard, standard.rstrip("=")):
            if "/" not in spelling and spelling not in names:
                names.append(spelling)
    return names


def decode_server(name: str) -> "str | None":
    """Read a directory name as a server URL.

    Returns:
        the URL, or None when the name is not base64 or the protocol would refuse what it says.
    """
    standard = _standard(name)
    try:
        data = binascii.a2b_base64(standard + "=" * (-len(name) % 4))
        server = data.decode()
    except ValueError:  # UnicodeError and binascii.Error among them
        return None
    canonical = "+" not in name and binascii.b2a_base64(data, newline=False).decode() == standard
    if canonical and server.isprintable() and server == server.strip() and server:
        return server  # nearly every name; the rest is for hand-made stores
    server = server.removesuffix("\n")
    if not server or server != server.strip() or has_control(server):
        return None
    # Lenient decoders skip foreign characters; only names that a lookup would try may be listed.
    return server if name in spellings(server) else None


def canonical(name: str) -> str:
    """Name the directory of the server that a directory's name means: the one that a writer uses.

    Its list of recipients counts for every spelling; otherwise a copy in another one would have other readers.

    Returns:
        the name itself where it means no server.
    """
    server = decode_server(name)
    return name if server is None else encode_server(server)


def may_contain(name: str, host: str) -> bool:
    """Return whether a directory's name could be for a host (in lower case); cheap, and never wrongly False."""
    try:
        return host.encode() in binascii.a2b_base64(_standard(name)).lower()
    except ValueError:
        return True  # padding lost, or no base64 at all: decode_server will tell


def holds(folder: str, path: str) -> bool:
    """Return whether a directory holds something of exactly this name.

    A disk that does not tell ``Bob`` from ``bob`` (macOS, Windows, exFAT), or composed letters from decomposed ones,
    finds one file by many names; the one that it lists is what the file is called. The list is read only where
    another case is found too, so on a disk that tells them apart the question costs two looks. The path is a name in
    the directory, or several, one in the other.
    """
    for name in path.split(os.sep):
        if not os.path.lexists(os.path.join(folder, name)):
            return False
        other = name.swapcase()
        is_told_apart = name.isascii() and name != other and not os.path.lexists(os.path.join(folder, other))
        if not is_told_apart and name not in os.listdir(folder):
            return False
        folder = os.path.join(folder, name)
    return True


def twin(folder: str, path: str) -> str:
    """Give what lies in the place of a path because the disk takes it for the same; see :func:`holds`.

    Returns:
        the first part of the path, up to the name that differs, as the directory lists it; empty if there is none.
    """
    above = ""
    for name in path.split(os.sep):
        place = os.path.join(folder, above)
        if not os.path.lexists(os.path.join(place, name)):
            return ""
        if not holds(place, name):
            others = [other for other in os.listdir(place) if _are_one(place, name, other)]
            return os.path.join(above, others[0]) if others else ""
        above = os.path.join(above, name)
    return ""


def _are_one(folder: str, name: str, other: str) -> bool:
    if folded(name) == folded(other):
        return True
    try:
        return os.path.samestat(os.lstat(os.path.join(folder, name)), os.lstat(os.path.join(folder, other)))
    except FileNotFoundError:
        return False


def folded(path: str) -> str:
    """Write a path so that two which some disk takes for one are the same."""
    if path.isascii():
        return path.lower()
    import unicodedata  # only for names that are not ASCII

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def is_refused_by_some(path: str) -> bool:
    """Return whether a name has a character that the disks of Windows (FAT, exFAT, NTFS) cannot hold."""
    return not set(_WINDOWS).isdisjoint(path)


def encode_username(username: str, *, windows: bool = False) -> str:
    """Name the file of a user.

    Args:
        username: who.
        windows: for a disk that holds no other names than Windows does; always so on Windows.

    Raises:
        NoUsernameError: there is no name.
        InvalidRequestError: the name is too long for a file name, or has no bytes.
    """
    if not username:
        raise NoUsernameError
    name = _escape(username, windows=windows or sys.platform == "win32") + SUFFIX
    size = len(_utf8(name, "username"))
    if size > MAX_NAME:
        raise InvalidRequestError(
            f"username too long to store: {size - len(SUFFIX)} bytes as a file name, at most {MAX_NAME - len(SUFFIX)}"
        )
    return name


def decode_username(name: str) -> "str | None":
    """Read a file's path below its server directory as a username.

    Args:
        name: ``user.gpg``, or ``org/bot.gpg`` as the Go helper writes a username with a slash.

    Returns:
        the username, or None when the file is not an entry: another suffix, a ``.gpg-id``, a copy that
        a file synchroniser left, or a name that the protocol would refuse.
    """
    last = name[name.rfind("/") + 1 :]
    if not last.endswith(SUFFIX) or last == SUFFIX or last.startswith("._") or _is_conflict_copy(last):
        return None
    stem = name[: -len(SUFFIX)]
    try:
        stem.encode()
    except UnicodeEncodeError:
        return None
    if has_control(stem):
        return None
    if "%" not in stem:
        return stem
    decoded = _unescape(stem)
    if has_control(decoded):
        return stem
    for windows in (False, True):
        if _escape(decoded, windows=windows) == stem:
            return decoded
    return stem


def _utf8(text: str, label: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(f"invalid character in {label}: unpaired surrogate") from None


def _standard(name: str) -> str:
    """Write base64url in the standard alphabet; ``replace`` is ten times as fast as ``translate``."""
    return name.replace("-", "+").replace("_", "/")


def native(name: str) -> str:
    """Turn a name into the ``str`` that the interpreter writes as the name's UTF-8 bytes."""
    return os.fsdecode(name.encode())


def foreign(name: str) -> "str | None":
    """Turn what a directory listing gave into the name itself; None if its bytes are not UTF-8."""
    try:
        return os.fsencode(name).decode()
    except UnicodeError:
        return None


def _escape(username: str, *, windows: bool) -> str:
    parts = []
    for index, char in enumerate(username):
        if (
            char == "/"
            or (char == "." and index == 0)
            or (char == "%" and len(username) > index + 2 and {*username[index + 1 : index + 3]} <= _HEX)
            or (windows and char in _WINDOWS)
        ):
            char = f"%{ord(char):02X}"  # noqa: PLW2901 - the escaped form replaces it
        parts.append(char)
    name = "".join(parts)
    if _is_conflict_copy(name + SUFFIX):
        # A real user of this name must not be taken for a synchroniser's left-over.
        name = name.replace(".sync-conflict-", "%2Esync-conflict-").replace(" (", " %28")
    return name


def _unescape(name: str) -> str:
    pieces = name.split("%")
    decoded = [pieces[0]]
    for piece in pieces[1:]:
        if len(piece) >= 2 and {*piece[:2]} <= _HEX:
            decoded.append(chr(int(piece[:2], 16)) + piece[2:])
        else:
            decoded.append("%" + piece)
    return "".join(decoded)


def _is_conflict_copy(name: str) -> bool:
    """Recognise what Syncthing and Dropbox-like programs leave beside a file."""
    if ".sync-conflict-" in name:
        return True
    opening = name.find(" (")
    return opening >= 0 and "conflicted copy" in name[opening:] and name.endswith(")" + SUFFIX)
