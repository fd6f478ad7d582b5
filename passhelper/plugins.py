"""The backends that other distributions register.

Everything here runs code of other people, and turns whatever it raises into one of our errors.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from passhelper.credentials import Helper
from passhelper.errors import ConfigurationError, UnknownBackendError

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    for entry in entry_points(group=group, name=name):
        return load(entry)
    known = ", ".join(sorted({*shipped, *(entry.name for entry in entry_points(group=group))}))
    raise UnknownBackendError(f"no backend is called {name!r}", f"choose one of: {known}")


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
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "another distribution"
