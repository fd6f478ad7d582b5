"""A survey of all backends of this installation, made without an object of any of them.

A backend that cannot be loaded is named with the reason, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from passhelper import backends, plugins
from passhelper.errors import PasshelperError

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.credentials import Helper


@dataclass(frozen=True)
class Found:
    """What is known of one backend without making an object of it.

    Attributes:
        name: its name.
        origin: the distribution that registers it, with its version.
        priority: how good a choice it is on this machine; None if it cannot be used.
        reason: why it cannot be used; empty if it can.
        remedy: what to type next; may be empty.
        is_broken: whether that is a fault of the backend, not of this machine.
    """

    name: str
    origin: str
    priority: float | None
    reason: str = ""
    remedy: str = ""
    is_broken: bool = False


def survey() -> list[Found]:
    """Ask every backend of this installation for its priority.

    Returns:
        the best ones first; those that cannot be used last. Nothing that a backend does raises.
    """
    found = [_ask(name, "passhelper", partial(backends.backend_class, name)) for name in backends.SHIPPED]
    taken = dict.fromkeys(backends.SHIPPED, "passhelper")
    for entry in plugins.registered(backends.GROUP):
        if backends.SHIPPED.get(entry.name) == entry.value:
            continue
        origin = plugins.origin(entry)
        if entry.name in taken:
            reason = f"the name is taken by {taken[entry.name]}"
            found.append(Found(entry.name, origin, None, reason, "uninstall one of the two", is_broken=True))
            continue
        taken[entry.name] = origin
        found.append(_ask(entry.name, origin, partial(plugins.load, entry)))
    return sorted(found, key=lambda one: (one.priority is None, -(one.priority or 0), one.name))


def _ask(name: str, origin: str, load: Callable[[], type[Helper]]) -> Found:
    try:
        backend = load()
    except PasshelperError as error:
        return Found(name, origin, None, error.cause, error.remedy, is_broken=True)
    try:
        return Found(name, origin, float(backend.priority()))
    except PasshelperError as error:
        return Found(name, origin, None, error.cause, error.remedy)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code
        return Found(name, origin, None, f"its priority fails with {type(error).__name__}", is_broken=True)
