"""Change what a ``.gpg-id`` says, and keep what people wrote into it."""

from __future__ import annotations

import os
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from passhelper.errors import ConfigurationError, RecipientsError, printable
from passhelper.store import keynames, layout, recipients
from passhelper.team.entries.batch import Edit
from passhelper.team.entries.choose import usable
from passhelper.team.keyring.key import mail_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from passhelper.store.store import PassStore
    from passhelper.team.entries.drift import Policy, Recipient
    from passhelper.team.keyring.key import Key
    from passhelper.team.keyring.keys import KeyRing


class Editor:
    """Writes the lists of one store.

    Args:
        store: which.
        ring: its keyring.
        policy: what its lists say now.
    """

    def __init__(self, store: PassStore, ring: KeyRing, policy: Policy) -> None:
        self._store = store
        self._ring = ring
        self._policy = policy

    def edit(
        self,
        path: str,
        before: tuple[Recipient, ...],
        drop: Sequence[Recipient],
        add: Mapping[str, Key],
    ) -> Edit:
        """Write the new file, and make sure that everything can be encrypted to what it names.

        Args:
            path: the list, in the store.
            before: its recipients, or those of the list that applies now.
            drop: those to take out.
            add: the keys to add, by what is to be written of each.

        Raises:
            ConfigurationError: it would name nobody, or nobody here.
            RecipientsError: one cannot be encrypted to, or means no key.
        """
        left = [each for each in before if each not in drop]
        if not left and not add:
            raise ConfigurationError(
                f"{path} would name no key any more",
                f"add another one first: passhelper recipients add {_path_option(path)}KEY",
            )
        named = {
            each.line: Line(key.line(each.line), key.uid)
            for each in left
            if not keynames.is_fingerprint(each.line)
            for key in [self._one(each, path)]
        }
        renamed = [self._policy.recipient(named[each.line].written) if each.line in named else each for each in left]
        after = (*renamed, *map(self._policy.recipient, add))
        # Somebody who does not read what a list decides about may take others out of it, and locks nobody out by that.
        is_reader = bool(add) or any(each.is_own for each in before)
        if not any(each.is_own and each.is_usable for each in usable(self._store, after, path)) and is_reader:
            raise ConfigurationError(
                f"{path} would name no key of this machine, which could then not read what it stores",
                "let another member do this, or add a key of this machine first",
            )
        content = edited(
            self.base(path),
            {each.line for each in drop},
            named,
            [Line(line, key.uid) for line, key in add.items()],
        )
        before_text = recipients.read_file(self._store.root, path)
        return Edit(content, None, tuple(each.line for each in after), before_text)

    def base(self, path: str) -> bytes:
        """Read a file; one that does not exist begins as the one above it, without what vouches for that."""
        text = recipients.read_file(self._store.root, path)
        if text is not None:
            return text
        above = self._policy.source(recipients.directory_of(path))
        return recipients.body(recipients.read_file(self._store.root, above) or b"")

    def _one(self, recipient: Recipient, path: str) -> Key:
        """Find the one key that an old line means, for its fingerprint to be written instead."""
        if not recipient.keys:
            raise RecipientsError(
                f"{recipient.line} in {path} means no key in this keyring", "replace the line with a fingerprint"
            )
        return self._ring.meant(recipient.line, recipient.keys, path)

    def match(self, one: str, before: Sequence[Recipient], path: str) -> list[Recipient]:
        """Find the recipients that a person means: by line, fingerprint or address; the key need not be here."""
        bare = keynames.normalize("".join(one.split()))
        if os.path.isfile(one) and not keynames.is_fingerprint(bare):
            bare = self._ring.resolve(one).fingerprint
        address = mail_address(one)
        exact = [
            each
            for each in before
            if bare in (each.line, each.line.removesuffix("!"), *(key.fingerprint for key in each.keys))
            or one == each.line
        ]
        found = exact or [each for each in before if address and any(address in key.emails for key in each.keys)]
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} recipients in {path} are {printable(one)}: {', '.join(each.line for each in found)}",
                "name one by its fingerprint",
            )
        if found and not exact:  # anybody can have that address, and the one that is meant would stay
            self._ring.meant(one, [key for key in found[0].keys if address in key.emails])
        return found


class Line(NamedTuple):
    """A key as a ``.gpg-id`` names it.

    Attributes:
        written: a full fingerprint, with a ``!`` if it is one subkey.
        owner: its owner, for the comment above it.
    """

    written: str
    owner: str


def edited(text: bytes, drop: Collection[str], named: Mapping[str, Line], add: Iterable[Line]) -> bytes:
    """Change the lines of a ``.gpg-id``.

    Args:
        text: what it is now.
        drop: the lines to take out, normalized; the comment directly above each, its owner's name, goes too.
        named: for lines that name a key by less than its fingerprint, what is to be there instead.
        add: what to add at the end.
    """
    body = recipients.body(text)
    head, text = text[: len(text) - len(body)].decode(), body
    kept: list[str] = []
    for line in text.decode("utf-8-sig").removesuffix("\n").split("\n") if text else []:
        written, mark, comment = line.partition("#")
        key = keynames.normalize(written.strip())
        if key and key in drop:
            if kept and kept[-1].startswith("#"):
                kept.pop()
        elif key in named:
            kept += [f"# {named[key].owner}".rstrip(), f"{named[key].written} {mark}{comment}".rstrip()]
        else:
            kept.append(line.rstrip())
    for line_to_add in add:
        kept += [f"# {line_to_add.owner}".rstrip(), line_to_add.written]
    return (head + "".join(f"{line}\n" for line in kept)).encode()


def _path_option(path: str) -> str:
    """Write the option that names the server whose list this is; empty for a list of more than one."""
    server = layout.decode_server(recipients.directory_of(path))
    return f"--path {quote(printable(server))} " if server is not None else ""
