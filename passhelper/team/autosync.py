"""Switch automatic sync on and off for one clone; :mod:`passhelper.store` does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError
from passhelper.protocol import printable
from passhelper.team import gitrepo
from passhelper.team.sync import shared_repository

if TYPE_CHECKING:
    from passhelper.store.store import PassStore

_SETTING = "passhelper.sync"
_WORDS = ("push", "pull")
_OFF = "off"


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
    words = [word.strip() for word in wanted.split(",")]
    if words == [_OFF]:
        words = []
    elif not set(words) <= set(_WORDS):
        raise ConfigurationError(f"--auto cannot be {printable(wanted)!r}", "use push, pull, push,pull or off")
    words = [word for word in _WORDS if word in words]
    with gitrepo.opened(shared_repository(store), store.environ) as git:
        git.run("config", _SETTING, ",".join(words) or _OFF)
    return words
