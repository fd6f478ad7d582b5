"""The store of a runner: cloned from the team's, made new, or one that exists already.

What comes out of a clone is data. Its recipients are pinned only as far as the environment or a signature
vouches for them; without either, the runner reads and does not write. What it writes stays in the clone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, StoreError
from passhelper.setup import newstore
from passhelper.store import allowed, claims, pinning, repository, trust
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction
from passhelper.team.git import gitrepo
from passhelper.team.keyring.keys import KeyRing
from passhelper.team.recipients import acceptance, publickeys, recipientlists, signed
from passhelper.team.sync import clone as shared
from passhelper.team.sync import freshness
from passhelper.team.sync.clone import COMMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore
    from passhelper.team.keyring.key import Key

URL = "PASSHELPER_STORE_URL"
MADE = ".passhelper-ci-store"  # in a store without git
_MADE_IN_GIT = "made-by-setup-ci"  # in <git dir>/passhelper


def is_made(root: str) -> bool:
    """Return whether ``setup --ci`` made a store."""
    place = repository.find(root, "")
    mark = os.path.join(root, MADE) if place is None else os.path.join(place.state, _MADE_IN_GIT)
    return os.path.isfile(mark) and not os.path.islink(mark)


def clone(store: PassStore, url: str, commit: str, depth: int = 0) -> Repository:
    """Clone the team's store; see :func:`passhelper.team.sync.clone.clone`."""
    remedy = f"check {URL} and that this runner may read it"
    source = shared.Source(url, commit, depth, remedy, freshness.demands(store.environ))
    shared.warn_of_the_way(store, url)
    place = shared.clone(store, source, ("passhelper.ci=true",))
    Files(store.environ).replace(os.path.join(place.state, _MADE_IN_GIT), b"", place.state)
    return place


def make(store: PassStore, key: Key) -> None:
    """Make a new store with the runner's key as its recipient."""
    newstore.write_recipients(store, [key])
    with open(os.path.join(store.root, MADE), "x", encoding="utf-8"):
        pass


def check_readable(store: PassStore, key: Key) -> None:
    """Make sure that the runner's key is a recipient of something in the store.

    Raises:
        ConfigurationError: it is not.
    """
    ring = KeyRing(store.gpg)
    lines = newstore.lines(store)
    if not lines:
        raise StoreError(f"{store.root} names no recipients: it is not a password store", f"check {URL}")
    if not any(found.fingerprint == key.fingerprint for line in lines for found in ring.find(line)):
        raise ConfigurationError(
            f"the key of this runner is not a recipient of the store: {key}",
            f"ask a member to run: passhelper recipients add {key.fingerprint}",
        )


def pin(store: PassStore, place: Repository) -> str:
    """Pin the recipients for which ``PASSHELPER_ACCEPT_RECIPIENTS`` or a signature vouches, and no others.

    Returns:
        which are not accepted, empty if all are.
    """
    pins = pinning.current(store.root)
    may_read = allowed.by_environment(store.environ)
    with gitrepo.opened(place, store.environ) as git, Transaction(store, place):
        lists = recipientlists.read(store, git, git.revision("HEAD"))
        vouched = signed.counting(store, lists, trust.load_all(place.state))
        accepted = {path: keys for path, keys in pins.items() if may_read.covers(path, keys, None) or path in vouched}
        acceptance.pin(store, git, accepted)
    if accepted:
        with gitrepo.opened(place, store.environ) as git:
            publickeys.refresh(store, git)  # of those whom it will encrypt to
    left = {path: (keys, list[str]()) for path, keys in pins.items() if path not in accepted}
    return claims.describe(left, store.gpg, claims.on_disk(store.root)) if left else ""


def source(environ: Mapping[str, str]) -> tuple[str, str]:
    """Read from the environment what to clone, and the commit that it must contain.

    Raises:
        ConfigurationError: a commit or depth without a URL, or one that is not valid.
    """
    url, commit = environ.get(URL, ""), environ.get(COMMIT, "")
    for name in (COMMIT, *freshness.VARIABLES):
        if environ.get(name, "") and not url:
            raise ConfigurationError(f"{name} is set and {URL} is not, so there is nothing to clone", f"set {URL}")
    freshness.demands(environ)
    return url, commit
