"""Write a ``.gpg-id``, and sign it if ``PASSWORD_STORE_SIGNING_KEY`` names the keys that may sign.

A signed file begins with comments that name its store and its path and give a serial number. So an older file cannot
be put back, and no file can be copied elsewhere: see :class:`passhelper.store.recipients.Header`.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, GpgError, LockedKeyError, TrustError
from passhelper.store import keyinfo, pinning, recipients, signature
from passhelper.store.child import last_line
from passhelper.store.gpg import status_lines
from passhelper.store.recipients import Header

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from passhelper.store.store import PassStore
    from passhelper.store.trust import Trust
    from passhelper.team.keyring.key import Key

_SECONDS = 30.0  # for one signature; a touch on a card included


def render(keys: Sequence[Key]) -> bytes:
    """Write the text of a ``.gpg-id``: full fingerprints, each below a comment with its owner."""
    lines = []
    for key in keys:
        lines += [f"# {key.uid}".rstrip(), key.fingerprint]
    return "".join(f"{line}\n" for line in lines).encode()


def headers(store: PassStore) -> dict[str, Header]:
    """Read what the ``.gpg-id`` files of a store say about themselves, as far as they do; nobody has verified it."""
    texts = {path: recipients.read_file(store.root, path) for path in sorted(pinning.current(store.root))}
    named = {path: recipients.header(text) for path, text in texts.items() if text is not None}
    return {path: header for path, header in named.items() if header is not None}


def signed_headers(store: PassStore, least: int = 0) -> dict[str, Header]:
    """Read what those ``.gpg-id`` files say about themselves that a key in ``PASSWORD_STORE_SIGNING_KEY`` has signed.

    Args:
        store: which.
        least: the lowest serial that matters.
    """
    found = {}
    for path, header in headers(store).items():
        text = recipients.read_file(store.root, path)
        is_new = header.serial >= least and _has_signature(store, path)
        if (
            text is not None
            and is_new
            and signature.is_signed(os.path.join(store.root, f"{path}.sig"), text, store.gpg)
        ):
            found[path] = header
    return found


def identity(named: Iterable[Header]) -> str:
    """Give the identity of the store that some lists name: the first one counts; empty if none names a store."""
    return next((header.store for header in named if header.store), "")


class Signer:
    """Signs the lists of one store: all that change together get one serial, above every other one of the store.

    Args:
        store: where ``PASSWORD_STORE_SIGNING_KEY`` stands in the environment.
        known: what this machine has accepted.
        other: the identity of the store from now on; empty to keep the one that it has.

    Attributes:
        is_wanted: whether lists are signed at all.
        identity: what the lists will call the store. A store whose lists are signed without one keeps it so, until
            all of them are signed anew: one alone would make the others void.
        serial: of the lists.
    """

    def __init__(self, store: PassStore, known: Trust | None, other: str = "") -> None:
        self._store = store
        self.is_wanted = bool(recipients.signing_keys(store.environ))
        accepted = max(known.serials.values(), default=0) if known is not None else 0
        self.identity = other or (known.store if known is not None else "")
        # What nobody has signed says nothing: this key would sign in the name of whatever store somebody wrote there.
        there = signed_headers(store, accepted if self.identity else 0) if self.is_wanted else {}
        self.identity = self.identity or identity(there.values())
        if not self.identity and not any(_has_signature(store, path) for path in pinning.current(store.root)):
            self.identity = new_identity()
        self.serial = 1 + max([accepted, *(header.serial for header in there.values())])

    def beside(self, path: str, together: Collection[str]) -> dict[str, int]:
        """Name the lists below one that will be there with it, and their serials.

        Args:
            path: the list above them.
            together: the lists that get a new serial with it.
        """
        folder = os.path.dirname(path)
        there = [other for other in pinning.current(self._store.root) if _is_below(other, folder) and other != path]
        signed = signed_headers(self._store) if there and self.is_wanted else {}
        serials = {other: signed[other].serial if other in signed else 0 for other in there}
        serials |= {other: self.serial for other in together if other in serials}
        return {other.replace(os.sep, "/"): serial for other, serial in serials.items()}

    def seal(
        self,
        path: str,
        text: bytes,
        digests: Mapping[str, str] | None = None,
        least: int = 0,
        lists: Mapping[str, int] | None = None,
    ) -> tuple[bytes, bytes | None]:
        """Sign a ``.gpg-id`` where that is demanded.

        Args:
            path: the file's path in the store.
            text: what it will say.
            digests: of the files in ``.public-keys``, by fingerprint; those that the text names now, if None.
            least: the lowest serial that it may get.
            lists: the lists below it (:meth:`beside`); those that the text names now, if None.

        Returns:
            the text, with what a signed file says about itself, and the content of the ``.sig``; None for none.

        Raises:
            TrustError: it must be signed, and this machine has no key for that.
            ConfigurationError: it is signed now, and nothing says by whom.
            GpgError: gpg could not sign.
        """
        if not self.is_wanted:
            if recipients.read_file(self._store.root, path) is not None and _has_signature(self._store, path):
                raise ConfigurationError(
                    f"{os.path.join(self._store.root, path)} is signed, and a change would make its signature void",
                    "set PASSWORD_STORE_SIGNING_KEY to the fingerprint of the key that signs it",
                )
            return text, None
        named = recipients.header(text)
        if digests is None:
            digests = named.keys if named is not None else {}
        if lists is None:
            lists = named.lists if named is not None else {}
        new = Header(path.replace(os.sep, "/"), max(self.serial, least), self.identity, digests, lists)
        text = recipients.with_header(text, new)
        signature = sign(self._store, path, text)
        if signature is None:
            raise TrustError(
                f"{path} has to be signed, and no key in PASSWORD_STORE_SIGNING_KEY has its secret part here",
                "run it on a machine that has the key",
            )
        return text, signature


def _is_below(path: str, folder: str) -> bool:
    """Return whether a list lies below a directory of the store, in words that its header can hold."""
    inside = not folder or path.startswith(folder + os.sep)
    return inside and path.count(os.sep) > folder.count(os.sep) + bool(folder) and path.isascii() and " " not in path


def _has_signature(store: PassStore, path: str) -> bool:
    return recipients.read_file(store.root, f"{path}.sig") is not None


def new_identity() -> str:
    """Make an identity for a store that no other store has."""
    return secrets.token_hex(16)


def sign(store: PassStore, path: str, text: bytes) -> bytes | None:
    """Sign the text of a ``.gpg-id`` with a key in ``PASSWORD_STORE_SIGNING_KEY``.

    Args:
        store: whose keyring signs.
        path: the file's path in the store, for messages.
        text: what is signed.

    Returns:
        the detached signature, for ``<path>.sig``; None where none is demanded, or this machine has no key for it.

    Raises:
        LockedKeyError: the key needs a passphrase that the agent does not hold.
        GpgError: gpg could not sign.
    """
    for name in store.environ.get("PASSWORD_STORE_SIGNING_KEY", "").split():
        if not keyinfo.find_keys(store.gpg, name, secret=True):
            continue
        child = store.gpg.ask("--local-user", name, "--no-armor", "--detach-sign", stdin=text, seconds=_SECONDS)
        lines = status_lines(child)
        if child.returncode == 0 and child.stdout and any(line[0] == "SIG_CREATED" for line in lines):
            return bytes(child.stdout)
        if _is_locked(lines):
            raise LockedKeyError(f"GPG key {name}, which signs {path}, is locked", "run: passhelper unlock")
        raise GpgError(f"gpg could not sign {path} with {name}: {last_line(child)}")
    return None


def _is_locked(lines: list[list[str]]) -> bool:
    """Return whether the agent wanted to ask for a passphrase: the codes are libgpg-error's."""
    return any(line[0] == "FAILURE" and line[1] == "sign" and int(line[2]) & 0xFFFF in (85, 99, 198) for line in lines)
