"""Automatic sync on the verb path: push after a commit, fetch before a miss, each within a few seconds.

Both are off unless ``git config passhelper.sync`` or ``PASSHELPER_SYNC`` names them (``push``, ``pull``). If a remote
is away, hangs or refuses, that costs a few seconds and a warning at most: no verb fails because of it. What could not
be pushed is noted in ``<git dir>/passhelper/unpushed``, and the next command that can pushes it.

A fetch only ever moves the store forward to a descendant of what is here, and only over entries: anything else that
came in (recipients, keys, other files, odd names, two histories) is left to ``passhelper sync``, which can ask.
"""

import os
import time

from passhelper.errors import PasshelperError
from passhelper.store.files import Files
from passhelper.store.lock import StoreLock
from passhelper.store.remote import Remote, patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore

PAUSE = 60.0  # seconds after a fetch, failed or not, during which a miss asks nobody
_ASKED = "asked"  # in <git dir>/passhelper; its time is that of the last fetch


def push(store: "PassStore", repository: "Repository", config: "Mapping[str, str] | None" = None) -> None:
    """Push what is committed, if this clone does so by itself; the caller no longer holds the lock.

    Args:
        store: warned when the push failed, which is not a failure of the verb.
        repository: where to push from.
        config: what ``git config --list`` says, if the caller knows it.
    """
    try:
        remote = Remote(store, repository, config)
        why = remote.push() if remote.may("push") else ""
    except (PasshelperError, OSError) as error:
        why = str(error)
    if why:
        store.warn(f"changed here but not pushed, the next change or passhelper sync pushes it: {why}")


def pull(store: "PassStore") -> bool:
    """Fetch before a miss, if this clone does so by itself and has not just done it.

    Returns:
        whether the store may have changed, so that a second look is worth while.
    """
    try:
        store.check_user()
        repository = store.repository("")
        return repository is not None and _pull(store, repository)
    except (PasshelperError, OSError, ValueError):
        return False  # not found is still the right answer; sync will say what is wrong


def _pull(store: "PassStore", repository: "Repository") -> bool:
    asked = os.path.join(repository.state, _ASKED)
    if _is_recent(asked):
        return False
    Files(store.environ).make_directory(repository.state)
    # One process asks, and those that miss meanwhile wait for its answer.
    with StoreLock(repository.state, asked + ".lock", timeout=store.deadline.left(patience(store))):
        if _is_recent(asked):
            return True
        remote = Remote(store, repository, None)
        if not remote.may("pull"):
            return False
        try:
            theirs = remote.fetch()
        finally:
            Files(store.environ).replace(asked, b"", repository.state, durable=False)
    changed = _forward(remote, theirs)
    if os.path.exists(repository.unpushed):
        try:
            if remote.may("push"):
                remote.push()
        except (PasshelperError, OSError):
            pass  # a miss has nothing to say about it
    return changed


def _is_recent(path: str) -> bool:
    try:
        return 0 <= time.time() - os.stat(path).st_mtime < PAUSE
    except FileNotFoundError:
        return False


def _forward(remote: Remote, theirs: str) -> bool:
    """Take over what was fetched, if it is news and nothing but entries; return whether the store has changed."""
    head = remote.behind(theirs)
    if not head:
        return False
    from passhelper.store.forward import forward  # after a fetch that brought something

    forward(remote, head, theirs)
    return True
