"""A helper that forgets: the reference for the contract, and a double for other projects' tests."""

from passhelper import Credentials, CredentialsNotFoundError, Helper


class MemoryHelper(Helper):
    """Credentials in a dictionary, gone with the object. Names are compared exactly."""

    def __init__(self) -> None:
        self._credentials: dict[str, Credentials] = {}

    def _store(self, credentials: Credentials) -> None:
        """Keep a credential, its secret without trailing line ends."""
        secret = credentials.secret.rstrip("\r\n")
        self._credentials[credentials.server] = Credentials(credentials.server, credentials.username, secret)

    def _get(self, server: str) -> Credentials:
        """Look a credential up."""
        if server not in self._credentials:
            raise CredentialsNotFoundError
        return self._credentials[server]

    def _erase(self, server: str) -> None:
        """Forget a server."""
        self._credentials.pop(server, None)

    def _list(self) -> dict[str, str]:
        """Name all servers."""
        return {server: found.username for server, found in self._credentials.items()}
