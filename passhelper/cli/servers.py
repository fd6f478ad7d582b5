"""The server that a person names, as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, printable
from passhelper.store.helper import logged_out
from passhelper.store.layout import encode_server

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


def logged_out_of(store: PassStore, server: str) -> list[str]:
    """List the names of a registry that the store has a credential for and that this clone has logged out of."""
    hidden = logged_out(store)
    names = [server, *store.equivalents(server)] if hidden else []
    return [name for name in names if encode_server(name) in hidden and _has_entries(store, name)]


def _has_entries(store: PassStore, server: str) -> bool:
    try:
        return bool(store.all_entries(server))
    except OSError:
        return True  # who looks into it says what is wrong
