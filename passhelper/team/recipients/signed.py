"""Which signed lists of recipients are valid: by their signer, and by what they say about themselves."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from passhelper.store import recipients, signature, trust
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction
from passhelper.team.recipients import gpgid, recipientlists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.recipients import Header
    from passhelper.store.store import PassStore
    from passhelper.store.trust import Trust
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.recipients.recipientlists import RecipientFile


def is_signed(store: PassStore, file: RecipientFile) -> bool:
    """Return whether a key in ``PASSWORD_STORE_SIGNING_KEY`` has signed the text of a ``.gpg-id``."""
    if file.signature is None:
        return False
    with tempfile.TemporaryDirectory(prefix="passhelper-") as folder:
        path = os.path.join(folder, "signature")
        with open(path, "xb") as handle:
            handle.write(file.signature)
        return signature.is_signed(path, file.text, store.gpg)


def counting(store: PassStore, lists: Mapping[str, RecipientFile], known: Trust | None) -> dict[str, Header]:
    """Find the lists of a commit whose signature counts, each as the one at its very path.

    Where this machine knows no identity of the store yet, it is the one that the first of them names. From then on a
    list without it counts no more, nor one of another store.

    Args:
        store: the store.
        lists: those of the commit.
        known: what this machine has accepted; a list with a lower serial than that does not count.

    Returns:
        what each of them says about itself.
    """
    if not recipients.signing_keys(store.environ):
        return {}
    known = known or trust.Trust({})
    found = {}
    for path in sorted(filter(recipientlists.counts, lists)):
        named = recipients.header(lists[path].text)
        least = max(1, known.serials.get(path, 0))
        if named and not signature.complaint(named, path, known.store, least) and is_signed(store, lists[path]):
            found[path] = named
    identity = known.store or gpgid.identity(found.values())
    return {path: named for path, named in found.items() if named.store == identity}


def learn(store: PassStore, git: Git) -> None:
    """Pin which store this is, where its accepted lists say so and this machine did not know yet."""
    known = trust.load_all(git.repository.state)
    if known is None or known.store or not recipients.signing_keys(store.environ):
        return
    lists = recipientlists.read(store, git, git.revision("HEAD^{commit}"))
    named = {path: recipients.header(file.text) for path, file in lists.items()}
    lists = {path: file for path, file in lists.items() if (header := named[path]) is not None and header.store}
    if not lists:
        return
    with Transaction(store, git.repository):
        known = trust.load_all(git.repository.state) or known
        found = counting(
            store, {path: file for path, file in lists.items() if known.pins.get(path) == file.keys}, known
        )
        known.store = known.store or gpgid.identity(found.values())
        if known.store:
            known.serials |= {path: named.serial for path, named in found.items()}
            trust.save_all(git.repository.state, known, Files(store.environ))


def is_bound(store: PassStore, git: Git) -> bool:
    """Return whether this machine demands signed lists, and knows which store they have to name."""
    known = trust.load_all(git.repository.state)
    return known is not None and bool(known.store) and bool(recipients.signing_keys(store.environ))


def digests(store: PassStore, git: Git) -> dict[str, str]:
    """Read the digests of the files in ``.public-keys`` from the lists of HEAD that count, by fingerprint."""
    known = trust.load_all(git.repository.state) or trust.Trust({})
    lists = recipientlists.read(store, git, git.revision("HEAD^{commit}"))
    accepted = {path: file for path, file in lists.items() if known.pins.get(path) == file.keys}
    found: dict[str, str] = {}
    for header in sorted(counting(store, accepted, known).values(), key=lambda header: header.serial):
        found |= header.keys  # of two that name a file the newer list knows it
    return found
