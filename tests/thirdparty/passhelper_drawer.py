"""Docker registry credentials in a database file, in plain text: an example, and nothing to use."""

import os
import sqlite3

from passhelper import Credentials, CredentialsNotFoundError, Helper


class DrawerHelper(Helper):
    """Keeps credentials in the file that DRAWER names."""

    def __init__(self) -> None:
        path = os.environ.get("DRAWER", os.path.expanduser("~/.drawer"))
        self._run = sqlite3.connect(path, isolation_level=None).execute
        self._run("PRAGMA synchronous = OFF")
        self._run("CREATE TABLE IF NOT EXISTS drawer (server TEXT PRIMARY KEY, username, secret)")

    def _store(self, credentials: Credentials) -> None:
        values = (credentials.server, credentials.username, credentials.secret.rstrip("\r\n"))
        self._run("INSERT OR REPLACE INTO drawer VALUES (?, ?, ?)", values)

    def _get(self, server: str) -> Credentials:
        for found in self._run("SELECT username, secret FROM drawer WHERE server = ?", (server,)):
            return Credentials(server, *found)
        raise CredentialsNotFoundError

    def _erase(self, server: str) -> None:
        self._run("DELETE FROM drawer WHERE server = ?", (server,))

    def _list(self) -> dict[str, str]:
        return dict(self._run("SELECT server, username FROM drawer"))
