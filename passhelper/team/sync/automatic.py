"""Switch automatic sync on and off for one clone; :mod:`passhelper.store` does the syncing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper import settings
from passhelper.team.git import gitrepo
from passhelper.team.sync.exchange import shared_repository

if TYPE_CHECKING:
    from passhelper.store.store import PassStore

_SETTING = "passhelper.sync"


def set_up(store: PassStore, wanted: str) -> list[str]:
    """Set what the verbs do by themselves in this clone.

    Args:
        store: the store.
        wanted: ``push``, ``pull``, both with a comma, or ``off``.

    Returns:
        what they do from now on.

    Raises:
        ConfigurationError: it is something else.
    """
    words = settings.sync_words(wanted, "--auto")
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        git.run("config", _SETTING, ",".join(words) or "off")
    return words
