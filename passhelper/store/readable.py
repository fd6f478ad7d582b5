"""Which entries this machine could decrypt, for ``list``, without starting gpg.

Docker's clients ask for every server that ``list`` names. In a shared store most of them may be encrypted to
others, and each such ``get`` fails after a gpg run. So the commands that ask gpg anyway (``setup``, ``unlock``,
``doctor``, ``sync``), and a ``get`` that fails so where nothing is noted yet, write the key ids of this machine's
secret keys to a small cache file::

    passhelper-rights 1
    <GNUPGHOME>
    <mtimes of the keyring's files>
    <key id> ...

and ``list`` leaves out what none of them opens. The file counts only while the keyring's files have exactly the
times that they had before gpg was asked. Without it, or in any doubt, nothing is hidden.
"""

import binascii
import os
import sys

from passhelper.errors import PasshelperError
from passhelper.settings import home_directory
from passhelper.store import packets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.store import PassStore

_HEADER = b"passhelper-rights 1"
_FIRST = 512  # bytes read of an entry; the headers of five cv25519 recipients fit
# What gpg changes when a key comes or goes: classic keyrings, gpg-agent's secret keys and stubs of cards, keyboxd.
_KEYRING = ("private-keys-v1.d", "pubring.kbx", "pubring.gpg", os.path.join("public-keys.d", "pubring.db"))
_SECRET = (b"sec", b"ssb")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Rights:
    """The key ids that decrypt on this machine; at least one."""

    def __init__(self, key_ids: "list[str]") -> None:
        self._readable = {packets.HIDDEN, *key_ids}
        self._bytes = [bytes.fromhex(key_id) for key_id in key_ids]

    def hides(self, path: str) -> bool:
        """Return whether this machine certainly cannot decrypt a file, which a directory listing has just named."""
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            data = os.read(descriptor, _FIRST)
            # An id of ours this early is a header that names it; only the others are worth a closer look.
            for own in self._bytes:
                if own in data:
                    return False
            return self._is_strange(data, descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _is_strange(self, data: bytes, descriptor: int) -> bool:
        try:
            return self._readable.isdisjoint(packets.key_ids(data))
        except packets.PacketError:
            if len(data) < _FIRST:
                return True
        data += os.read(descriptor, packets.MAX_HEADERS)
        try:
            return self._readable.isdisjoint(packets.key_ids(data))
        except packets.PacketError:
            return True


def load(environ: "Mapping[str, str]") -> "Rights | None":
    """Read the cache; None when there is none, or when the keyring has changed since."""
    try:
        with open(_path(environ), "rb") as file:
            header, home, stamp, *key_ids, end = file.read().split(b"\n")
        is_ours = header == _HEADER and not end and os.fsdecode(home) == _home(environ)
        if is_ours and stamp == _stamp(os.fsdecode(home)):
            return Rights([key_id.decode() for key_id in key_ids])
    except (OSError, ValueError, PasshelperError):
        pass  # not there, damaged, or a keyring that is out of reach
    return None


def write(store: "PassStore") -> None:
    """Ask gpg which secret keys there are and write the cache; quiet when it cannot be written.

    On a machine without any secret key nothing is hidden: its keys are most likely elsewhere, with an agent that is
    reached through a forwarded socket.
    """
    path = ""
    try:
        home = _home(store.environ)
        path = _path(store.environ)
        stamp = _stamp(home)  # before gpg is asked: what changes meanwhile makes the file stale
        # Where there is no keyring yet, gpg would make one.
        key_ids = _secret_key_ids(store) if stamp.strip(b"0 ") else []
        if not key_ids:
            _remove(path)
            return
        text = b"\n".join((_HEADER, os.fsencode(home), stamp, *key_ids, b""))
        with open(path, "rb") as file:
            if file.read() == text:
                return
    except (PasshelperError, ValueError):
        _remove(path)
        return
    except OSError:
        pass  # there is no cache yet
    _save(path, text)


def _save(path: str, text: bytes) -> None:
    folder = os.path.dirname(path)
    try:
        if sys.platform != "win32" and os.geteuid() == 0 and _owner(folder) != 0:
            return  # in a user's home, who could not replace it afterwards
        from passhelper.store.files import Files  # only who writes the cache

        Files({}).put(path, text, folder, durable=False)
    except (OSError, PasshelperError):
        pass


def _owner(path: str) -> int:
    """Return the owner of a directory, or of the nearest one above it that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_uid


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _path(environ: "Mapping[str, str]") -> str:
    """Name the cache: one per keyring, with a runner's own files where ``setup --ci`` made them."""
    folder = environ.get("PASSHELPER_CI_DIR", "") or os.path.join(home_directory(environ), ".cache", "passhelper")
    return os.path.join(folder, f"rights-{binascii.crc32(os.fsencode(_home(environ))):08x}")


def _home(environ: "Mapping[str, str]") -> str:
    """Find gpg's home; ValueError if the user's options for gpg choose another one, or if its name has a line end."""
    home = os.path.abspath(environ.get("GNUPGHOME", "") or os.path.join(home_directory(environ), ".gnupg"))
    if "\n" in home or "--homedir" in environ.get("PASSWORD_STORE_GPG_OPTS", ""):
        raise ValueError(home)
    return home


def _stamp(home: str) -> bytes:
    """Read when the files of a keyring were last changed; each may be missing."""
    times = []
    for name in _KEYRING:
        try:
            times.append(os.stat(os.path.join(home, name)).st_mtime_ns)
        except OSError:
            times.append(0)
    return b" ".join(b"%d" % time for time in times)


def _secret_key_ids(store: "PassStore") -> "list[bytes]":
    """List the ids of all keys with a secret part here or on a card, expired and revoked ones too: they decrypt."""
    child = store.gpg.ask("--with-colons", "--fixed-list-mode", "--list-secret-keys")
    if child.returncode != 0 or child.timed_out:
        return []
    fields = [line.split(b":") for line in bytes(child.stdout).split(b"\n")]
    # doc/DETAILS, "Field 15 - S/N of a token": "+" here, a number on a card, "#" nowhere.
    return [field[4] for field in fields if field[0] in _SECRET and len(field) > 14 and field[14] not in (b"", b"#")]
