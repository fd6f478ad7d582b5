"""The keys of the keyring as gpg lists them: which are there, and why one cannot be encrypted to.

Imported only after a failure, and by the commands.
"""

import os
import time

from passhelper import shellwords
from passhelper.errors import GpgError, printable
from passhelper.store import gpghome, packets
from passhelper.store.child import last_line
from passhelper.store.gpg import Gpg, status_lines
from passhelper.store.keynames import digits, is_fingerprint, long_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from passhelper.store.child import Child

_PUBLIC_KEY = 6  # the packet that a key begins with
NEWER = "GnuPG 2.4 and newer take version 5, and none takes version 6"
_SET_CLOCK = "set this machine's clock; if it is right, wait until then, or use another key"
_EXTEND = "extend: gpg --quick-set-expire"
_ADD = "add one: gpg --quick-add-key"
_BY_PRIMARY = (_EXTEND, _ADD)
# How gpg says that it has looked and found nothing: no such key, or no keyring yet.
_NO_KEY = (["ERROR", "keylist.getkey"], ["ERROR", "add_keyblock_resource"])


class Key:
    """One key of the keyring as gpg's colon format tells it (doc/DETAILS, "Format of the colon listings").

    Attributes:
        fingerprint: of the primary key.
        uid: the first user id that is not revoked, if there is one.
        uids: all user ids, each behind the letter that says how far gpg vouches for it.
        problem: why one cannot encrypt to it; empty if one can.
        remedy: what to do about the problem, where that is done.
        has_primary: whether a listing of secret keys says that this machine has that part.
        encryption: long ids of the subkeys that one can encrypt to.
        fingerprints: of the primary key and of all subkeys.
    """

    def __init__(self) -> None:
        self.fingerprint = ""
        self.uid = ""
        self.uids: list[tuple[str, str]] = []
        self.uid_revoked = False
        self.validity = ""
        self.expires = ""
        self.made = 0
        self.future_subkeys: list[int] = []
        self.encryption: list[str] = []
        self.fingerprints: list[str] = []
        self.expired_subkeys: list[str] = []
        self.disabled = False
        self.has_primary = False

    @property
    def label(self) -> str:
        """The fingerprint with the user id, if there is one."""
        return f"{self.fingerprint} {self.uid}".rstrip()

    def note(self, validity: str, id_: str, made: str, expires: str) -> None:
        """Take down a primary key or subkey that is meant for encryption."""
        if validity == "e" and expires:
            self.expired_subkeys.append(expires)
        elif made.isdigit() and int(made) > time.time():  # gpg calls some of them invalid and others good
            self.future_subkeys.append(int(made))
        elif validity not in ("r", "i", "d", "e"):
            self.encryption.append(id_)

    def name(self, validity: str, uid: str) -> None:
        """Take down a user id."""
        self.uids.append((validity, uid))
        is_revoked = validity == "r"  # of a revoked key, all are
        if not self.uid or (self.uid_revoked and not is_revoked):
            self.uid, self.uid_revoked = uid, is_revoked

    @property
    def problem(self) -> str:
        """Why one cannot encrypt to the key; empty if one can."""
        return self._fault()[0]

    @property
    def remedy(self) -> str:
        """What to type about the problem."""
        return self._fault()[1]

    @property
    def needs_primary(self) -> bool:
        """Whether only the primary secret key can mend it: by a new signature of its own (RFC 9580, 10.1)."""
        return self.remedy.startswith(_BY_PRIMARY)

    def _fault(self) -> "tuple[str, str]":
        if self.validity == "r":
            return "has been revoked", ""
        if self.validity == "e":
            return f"expired on {day(self.expires)}", extend(self.fingerprint)
        if self.made > time.time():  # which only some versions of gpg call invalid
            return f"was made on {_ahead(self.made)}", _SET_CLOCK
        if self.validity == "i":
            return "is invalid", ""
        if self.disabled:
            return "is disabled", f"run: gpg --edit-key {self.fingerprint} enable save"
        if self.encryption:
            return "", ""
        if self.expired_subkeys:
            return f"has an encryption subkey that expired on {day(max(self.expired_subkeys))}", extend(
                self.fingerprint, " '*'"
            )
        if self.future_subkeys:
            return f"has an encryption subkey that was made on {_ahead(min(self.future_subkeys))}", _SET_CLOCK
        return "has no encryption subkey", f"{_ADD} {self.fingerprint} cv25519 encr"


def _ahead(seconds: int) -> str:
    """Say when, in the view of a clock for which that has yet to come."""
    moment, now = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) for at in (seconds, time.time()))
    return f"{moment} UTC, while this machine's clock says {now} UTC"


def extend(fingerprint: str, parts: str = "") -> str:
    """Say how a key is made to last a year longer, or, with `` '*'``, its subkeys."""
    return f"{_EXTEND} {fingerprint} 1y{parts}"


def day(seconds: str) -> str:
    """Write gpg's seconds since 1970 as a day (UTC)."""
    return time.strftime("%Y-%m-%d", time.gmtime(int(seconds)))


def find_keys(gpg: Gpg, name: str, *, secret: bool = False) -> "list[Key]":
    """List the keys that a name means: the one that has a fingerprint for its own, or all that gpg would take.

    Raises:
        GpgError: gpg cannot say, which is not the same as that there is none.
    """
    found = holders(gpg, name, secret=secret)
    # Anybody can make that one a subkey of his own.
    return [key for key in found if key.fingerprint == digits(name)] or found


def holders(gpg: Gpg, name: str, *, secret: bool = False) -> "list[Key]":
    """List the keys that gpg finds for a name: those that hold a fingerprint as a subkey's, too. May raise GpgError."""
    kind = "--list-secret-keys" if secret else "--list-keys"
    found = _named(gpg, kind, name)
    bare = digits(name)
    if len(found) < 2 and bare and _has_keyboxd(gpg):
        # keyboxd notes one key for each fingerprint, the last that came with it, and none once that one is removed.
        matching = [key for key in _listed(gpg, kind, name) if any(_is(bare, each) for each in key.fingerprints)]
        return matching or found
    return found


def _is(bare: str, fingerprint: str) -> bool:
    """Return whether a fingerprint or a key id is that of a key."""
    return fingerprint == bare if is_fingerprint(bare) else long_id(fingerprint).endswith(bare)


def _has_keyboxd(gpg: Gpg) -> bool:
    """Return whether keyboxd may keep the public keys, in a file of its own."""
    return os.path.exists(_database(gpg))


def _database(gpg: Gpg) -> str:
    return os.path.join(gpg.home, "public-keys.d", "pubring.db")


def overlooked(gpg: Gpg, name: str, keys: "Collection[str]") -> "tuple[str, str] | None":
    """Say that keyboxd has a key which it does not find; None if it finds it, or does not have it.

    Args:
        gpg: which.
        name: what it is to find it by: a fingerprint or a key id.
        keys: the fingerprints of those that the name means; it is enough that keyboxd finds one.

    Returns:
        the cause, and what to do.

    Raises:
        GpgError: gpg cannot say.
    """
    if not keys or not digits(name) or not _has_keyboxd(gpg):
        return None
    found = _named(gpg, "--list-keys", name)
    if any(key.fingerprint in keys for key in found):
        return None
    if found:
        cause, remedy = _claimed(found[0], name)
        return f"{cause}, and keyboxd finds no other key for it", remedy
    file = shellwords.word(_database(gpg))
    remedy = (  # it cannot import a key again that it has
        "let it take all keys in anew: gpg --export-options backup --export > KEYFILE && gpgconf --kill keyboxd && "
        f"mv {file} {file}.old && gpg --import-options restore --import KEYFILE"
    )
    cause = f"{name} is in this keyring, but keyboxd does not find it, as after a key has gone that called it a subkey"
    return cause, remedy


def in_the_way(gpg: Gpg, fingerprint: str) -> "tuple[str, str] | None":
    """Say which key keeps gpg 2.2 from an import: one that calls the new one a subkey of its own. May raise GpgError.

    Returns:
        the cause, and what to do; None if there is no such key.
    """
    for key in holders(gpg, fingerprint):
        if fingerprint in key.fingerprints[1:]:
            return _claimed(key, fingerprint)
    return None


def _claimed(key: Key, name: str) -> "tuple[str, str]":
    """Say that a key calls another one its own subkey, and what to do."""
    cause = f"the key {key.label} calls {name} a subkey of its own"
    return cause, f"find out who made it, then remove it: gpg --delete-keys {key.fingerprint}"


def _named(gpg: Gpg, kind: str, name: str) -> "list[Key]":
    """List the keys that gpg itself finds for a name."""
    return _listed(gpg, kind, name, "--", name.removesuffix("!"))


def _listed(gpg: Gpg, kind: str, name: str, *words: str) -> "list[Key]":
    """Let gpg list keys; `name` is for the message that it cannot."""
    child = gpg.ask("--with-colons", "--fixed-list-mode", kind, *words)
    is_answer = child.returncode == 0 or any(line[:2] in _NO_KEY for line in status_lines(child))
    if child.timed_out or not is_answer:
        raise unanswered(gpg, child, f"look for the key {printable(name)}")
    return parse_keys(child.stdout.decode(errors="replace"))


def unanswered(gpg: Gpg, child: "Child", what: str) -> GpgError:
    """Return why gpg has not done ``what`` it was asked: that it gave no answer is different from the answer no."""
    trouble = gpghome.lock_error(gpg, child.stderr)
    if trouble is not None:
        return trouble
    why = "it took too long" if child.timed_out else last_line(child)
    return GpgError(f"gpg cannot {what}: {why}", "run: passhelper doctor")


def parse_keys(listing: str) -> "list[Key]":
    """Parse a colon listing."""
    keys: list[Key] = []
    for line in listing.split("\n"):  # splitlines() would end them at U+2028 too, which a user id may have
        field = line.split(":")
        if field[0] in ("pub", "sec"):
            keys.append(Key())
            key = keys[-1]
            key.validity, key.expires = field[1], field[6]
            key.made = int(field[5]) if field[5].isdigit() else 0
            key.disabled = "D" in field[11]
            key.has_primary = field[0] == "sec" and field[14:15] != ["#"]
        if not keys:
            continue
        key = keys[-1]
        if field[0] == "fpr":
            key.fingerprint = key.fingerprint or field[9]
            key.fingerprints.append(field[9])
        elif field[0] == "uid":
            key.name(field[1], _unescape(field[9]))
        elif field[0] in ("pub", "sec", "sub", "ssb") and "e" in field[11]:
            key.note(field[1], field[4], field[5], field[6])
    return keys


def _unescape(text: str) -> str:
    """Undo gpg's C-style escapes and drop what a terminal must not see."""
    return printable(text.replace("\\x3a", ":").replace("\\x5c", "\\"))


def is_pinned(line: str) -> bool:
    """Return whether a recipient is exactly one subkey (``!`` after its id): two tokens may hold two of one key."""
    return line.endswith("!") and bool(digits(line))


def names(line: str, key_id: str) -> bool:
    """Return whether a fingerprint or a key id, with or without ``!``, is that of a long key id."""
    bare = digits(line)
    return long_id(bare) == key_id if is_fingerprint(bare) else bool(bare) and key_id.endswith(bare)


def version(gpg: Gpg) -> str:
    """Name gpg with its version."""
    words = gpg.ask("--version").stdout.decode(errors="replace").partition("\n")[0].split()
    return f"gpg {words[-1]}" if words and words[-1][:1].isdigit() else "this gpg"


def knows_newer_keys(gpg: Gpg) -> bool:
    """Return whether gpg is new enough for keys of version 5."""
    numbers = version(gpg).rpartition(" ")[2].split(".")
    return len(numbers) < 2 or not numbers[1].isdigit() or (int(numbers[0]), int(numbers[1])) >= (2, 4)


def newer_format(gpg: Gpg, data: bytes) -> str:
    """Say that an exported key, binary or armored, is one which this gpg is too old for; empty if it is not."""
    try:
        body = packets.binary(data, len(data), b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
        tag, start, _ = packets.header(body, 0)
    except packets.PacketError:
        return ""
    kind = body[start] if tag == _PUBLIC_KEY and start < len(body) else 0
    if kind == 6 or (kind == 5 and not knows_newer_keys(gpg)):
        return f"a key of version {kind}, which {version(gpg)} does not take: {NEWER}"
    return ""
