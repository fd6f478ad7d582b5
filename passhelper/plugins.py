"""The backends that other distributions register.

Everything here runs code of other people, and turns whatever it raises into one of our errors.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions, entry_points
from typing import TYPE_CHECKING

from passhelper.credentials import Helper
from passhelper.errors import ConfigurationError, UnknownBackendError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution


def backend_class(name: str, group: str, shipped: Iterable[str]) -> type[Helper]:
    """Return the class that another distribution registers under a name.

    Args:
        name: the backend's name.
        group: the group of entry points.
        shipped: the names of our own backends, for the message.

    Raises:
        UnknownBackendError: there is none.
        ConfigurationError: it cannot be loaded, or is not a class of :class:`~passhelper.Helper`.
    """
    others = registered(group)
    for entry in others:
        if entry.name == name:
            return load(entry)
    known = ", ".join(sorted({*shipped, *(entry.name for entry in others)}))
    raise UnknownBackendError(f"no backend is called {name!r}", f"choose one of: {known}")


def registered(group: str) -> list[EntryPoint]:
    """Return the entry points of a group; those of a distribution whose files cannot be read are left out."""
    try:
        return list(entry_points(group=group))
    except Exception:  # noqa: BLE001 - one damaged file of any distribution is enough
        found: dict[tuple[str, str], EntryPoint] = {}  # each once, though several finders may know a distribution
        for one in distributions():
            for entry in _entries(one):
                if entry.group == group:
                    found.setdefault((entry.name, entry.value), entry)
        return list(found.values())


def _entries(one: Distribution) -> Iterable[EntryPoint]:
    try:
        return one.entry_points
    except Exception:  # noqa: BLE001 - as above
        return []


def load(entry: EntryPoint) -> type[Helper]:
    """Return the class that an entry point names.

    Raises:
        ConfigurationError: it cannot be loaded, or is not a class of :class:`~passhelper.Helper`.
    """
    try:
        loaded: object = entry.load()
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"backend {entry.name} ({entry.value}) cannot be loaded: {str(error) or type(error).__name__}",
            f"install {origin(entry)} again, or remove it",
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Helper)):
        kind = f"the class {loaded.__name__}" if isinstance(loaded, type) else type(loaded).__name__
        raise ConfigurationError(
            f"backend {entry.name} ({entry.value}) is {kind}, not a class of passhelper.Helper",
            f"report it to the authors of {origin(entry)}",
        )
    return loaded


def origin(entry: EntryPoint) -> str:
    """Return the distribution that registers an entry point, with its version."""
    if entry.dist is None:
        return "another distribution"
    try:
        name, version = entry.dist.name, entry.dist.version
    except Exception:  # noqa: BLE001 - a removal that was cut short may have left it without metadata
        name, version = "", ""
    return f"{name} {version}" if name else "a distribution without a name"
