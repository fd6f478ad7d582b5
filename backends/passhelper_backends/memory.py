"""A helper that forgets: the reference for the contract, and a double for other projects' tests."""

from passhelper import Credentials, CredentialsNotFoundError, Helper


class MemoryHelper(Helper):
    """Credentials in a dictionary, gone with the object. Names are compared exactly."""

    def __init__(self) -> None:
        self._credentials: dict[str, Credentials] = {}

    @classmethod
    def priority(cls) -> float:
        """Return a number below 0: nothing is kept; see :class:`~passhelper.Helper`."""
        return -1

    def _store(self, credentials: Credentials) -> None:
        self._credentials[credentials.server] = credentials.replace(secret=credentials.secret.rstrip("\r\n"))

    def _get(self, server: str) -> Credentials:
        if server not in self._credentials:
            raise CredentialsNotFoundError
        return self._credentials[server]

    def _erase(self, server: str) -> None:
        self._credentials.pop(server, None)

    def _list(self) -> dict[str, str]:
        return {server: found.username for server, found in self._credentials.items()}
