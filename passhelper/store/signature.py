"""The signature of a ``.gpg-id``: whether it is good, and whether what was signed is this file, here and now.

Loaded only where ``PASSWORD_STORE_SIGNING_KEY`` demands signatures, and by the commands.
"""

import os

from passhelper.errors import TrustError, printable
from passhelper.shellwords import word
from passhelper.store import keyinfo
from passhelper.store.gpg import status_lines
from passhelper.store.recipients import header, read_file, signing_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.store.gpg import Gpg
    from passhelper.store.recipients import Header, Recipients

SIGN_AGAIN = "run: passhelper sync; if it was removed on purpose, whoever signs runs: passhelper recipients sign"


def is_signed(signature: str, text: bytes, gpg: "Gpg") -> bool:
    """Return whether a key in ``PASSWORD_STORE_SIGNING_KEY`` has signed a text.

    As in pass(1), the signing key or its primary key must be one of the full fingerprints there.

    Args:
        signature: the file with the detached signature.
        text: what it has to cover.
        gpg: what checks it, and the environment that names the keys.

    Raises:
        GpgError: gpg has not answered; that says nothing about who has signed.
    """
    child = gpg.ask("--verify", "--", signature, "-", stdin=text)
    allowed = signing_keys(gpg.environ)
    found = False
    for line in status_lines(child):
        if line[0] in ("REVKEYSIG", "EXPSIG"):  # gpg calls these valid, too
            return False
        found = found or (line[0] == "VALIDSIG" and not allowed.isdisjoint((line[1], line[-1])))
    if child.timed_out or (not found and b"waiting for lock" in child.stderr):
        raise keyinfo.unanswered(gpg, child, "check a signature")
    return found


def verify_signature(root: str, found: "Recipients", gpg: "Gpg") -> None:
    """Demand a good signature of the file by a key in ``PASSWORD_STORE_SIGNING_KEY``, if that is set.

    Raises:
        TrustError: the signature is missing, bad, or by somebody else.
    """
    if not found.path or not signing_keys(gpg.environ):
        return
    path = os.path.join(root, found.path)
    if read_file(root, found.path + ".sig") is None:
        raise TrustError(
            f"{path} has no signature", f"run: gpg --detach-sign {word(path)}, or unset PASSWORD_STORE_SIGNING_KEY"
        )
    if not is_signed(path + ".sig", found.text, gpg):
        raise TrustError(
            f"the signature of {path} is not by a key in PASSWORD_STORE_SIGNING_KEY",
            "find out who changed it, then sign it again",
        )
    lacking = missing(header(found.text), lambda other: read_file(root, other))
    if lacking:
        raise TrustError(f"{path} was signed beside {printable(lacking)}, which is gone or older here", SIGN_AGAIN)


def missing(named: "Header | None", read: "Callable[[str], bytes | None]") -> str:
    """Find a list that was there when one above it was signed, and that is gone, or older.

    Where it limits who reads, the one above would count in its place: so that counts only beside it.

    Args:
        named: what the list above says about itself.
        read: gives the text of a list by its path in the store; None if there is none.

    Returns:
        its path, with slashes; empty if all are there.
    """
    for path, serial in named.lists.items() if named is not None else ():
        text = read(path.replace("/", os.sep))
        found = header(text) if text is not None else None
        if text is None or (found.serial if found is not None else 0) < serial:
            return path
    return ""


def complaint(named: "Header | None", path: str, store: str, least: int) -> str:
    """Say why a good signature of a file does not count; empty if it does.

    Args:
        named: what the file says about itself.
        path: the file's path in the store.
        store: the identity of the store; empty if none is known.
        least: the lowest serial that counts.
    """
    if named is None:
        return "the signed text does not say which file it is and how new"
    if named.path != path.replace(os.sep, "/"):
        return f"the signed text is that of {printable(named.path)}"
    if store and named.store != store:
        return "the signed text is that of another store" if named.store else "the signed text does not name its store"
    if named.serial < least:
        return f"its serial {named.serial} is not above the accepted {least - 1}"
    return ""
