"""The server that a person names, as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from passhelper.store.store import PassStore


def stored(store: PassStore, server: str) -> list[str]:
    """List the names, of those that mean a server, under which something is stored: what `get` would find.

    Raises:
        ConfigurationError: nothing is stored for it.
    """
    names = [name for name in (server, *store.equivalents(server)) if _has_entries(store, name)]
    if not names:
        raise ConfigurationError(f"nothing is stored for {printable(server)}", "run: passhelper list")
    return names


def _has_entries(store: PassStore, server: str) -> bool:
    try:
        return bool(store.all_entries(server))
    except OSError:
        return True  # who looks into it says what is wrong
