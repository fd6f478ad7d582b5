"""Backends by name: the shipped ones from a table, everybody else's from entry points.

The table costs nothing to read; ``importlib.metadata`` costs as much as three interpreters, so it is asked
only for names that are not in the table. A third party registers a class under ``passhelper.backends``::

    [project.entry-points."passhelper.backends"]
    vault = "docker_credential_vault:VaultHelper"
"""

from passhelper.errors import ConfigurationError, PasshelperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.credentials import Helper

GROUP = "passhelper.backends"

# Strings, so that the core never imports a backend (and its platform's libraries) by itself.
SHIPPED = {
    "keyring": "passhelper_backends.keyring:KeyringHelper",
    "memory": "passhelper_backends.memory:MemoryHelper",
    "osxkeychain": "passhelper_backends.osxkeychain:OsxKeychainHelper",
    "pass": "passhelper.store.helper:PassHelper",
    "secretservice": "passhelper_backends.secretservice:SecretServiceHelper",
    "wincred": "passhelper_backends.wincred:WincredHelper",
}


def backend_class(name: str) -> "type[Helper]":
    """Return the class of a backend; no object of it is made.

    Args:
        name: ``pass``, another shipped name, or one that a distribution registered.

    Raises:
        UnknownBackendError: there is no such backend.
        ConfigurationError: it cannot be loaded, or is not a class of :class:`~passhelper.Helper`.
    """
    if name not in SHIPPED:
        from passhelper import plugins  # see the module's docstring

        return plugins.backend_class(name, GROUP, SHIPPED)
    module, _, attribute = SHIPPED[name].partition(":")
    try:
        # Not importlib, which costs a tenth of the start of a helper.
        found: type[Helper] = getattr(__import__(module, fromlist=[attribute]), attribute)
    except ImportError as error:
        raise ConfigurationError(
            f"backend {name} cannot be loaded: {error}", "install passhelper again, with what it needs"
        ) from error
    return found


def get_helper(name: str) -> "Helper":
    """Make the backend of a name.

    Args:
        name: as for :func:`backend_class`.

    Raises:
        UnknownBackendError: there is no such backend.
        ConfigurationError: it cannot be loaded, or its object cannot be made.
    """
    backend = backend_class(name)
    try:
        return backend()
    except PasshelperError:
        raise
    except Exception as error:  # somebody else's; its text may hold a secret
        raise ConfigurationError(
            f"backend {name} cannot be opened: {type(error).__name__}", "set PASSHELPER_DEBUG=1 to see where"
        ) from error


def late_helper(name: str) -> "Helper":
    """Make a helper that makes its backend when it is first used, so that a failure becomes an answer to Docker."""
    from passhelper.credentials import Credentials, Helper  # kept off the path of those who only ask for names

    class Late(Helper):
        def _store(self, credentials: Credentials) -> None:
            get_helper(name).store(credentials)

        def _get(self, server: str) -> Credentials:
            return get_helper(name).get(server)

        def _erase(self, server: str) -> None:
            get_helper(name).erase(server)

        def _list(self) -> dict[str, str]:
            return get_helper(name).list()

        def unavailable(self) -> str:
            return get_helper(name).unavailable()

    return Late()
