"""Docker registry credentials in a database file, in plain text: an example, and nothing to use."""

import os
import sqlite3

from passhelper import Credentials, CredentialsNotFoundError, Helper


class DrawerHelper(Helper):
    """Keeps credentials in the file that DRAWER names."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(
            os.environ.get("DRAWER", os.path.expanduser("~/.drawer")), isolation_level=None
        )
        self._database.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
        self._database.execute("CREATE TABLE IF NOT EXISTS drawer (server TEXT PRIMARY KEY, username, secret)")

    def _store(self, credentials: Credentials) -> None:
        secret = credentials.secret.rstrip("\r\n")
        values = (credentials.server, credentials.username, secret)
        self._database.execute("INSERT OR REPLACE INTO drawer VALUES (?, ?, ?)", values)

    def _get(self, server: str) -> Credentials:
        found = self._database.execute("SELECT username, secret FROM drawer WHERE server = ?", (server,)).fetchone()
        if found is None:
            raise CredentialsNotFoundError
        return Credentials(server, *found)

    def _erase(self, server: str) -> None:
        self._database.execute("DELETE FROM drawer WHERE server = ?", (server,))

    def _list(self) -> dict[str, str]:
        return dict(self._database.execute("SELECT server, username FROM drawer"))
