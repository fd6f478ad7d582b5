"""Docker registry credentials in a ``pass`` store, served by the credential-helper protocol.

What is public: the names that this package exports, and the modules ``client``, ``conformance``, ``dockerconfig``,
``errors``, ``keyring_backend``, ``registry`` and ``testing`` with the names in their ``__all__``. Everything else is
private and may change in any version, whatever its name; the rules for versions are in ``CONTRIBUTING.md``.

The names are loaded when they are first used (PEP 562), so that importing the package costs nothing:
``docker-credential-pass`` is started once for every registry that Docker touches.
"""

# Where each name is; all others are errors.
_HOMES = {
    "AutoHelper": "auto",
    "Credentials": "credentials",
    "Helper": "credentials",
    "PassHelper": "store.helper",
    "ProgramHelper": "client",
    "get_helper": "backends",
    "handle": "protocol",
    "serve": "protocol",
}

__all__ = [
    "AutoHelper",
    "ConfigurationError",
    "Credentials",
    "CredentialsNotFoundError",
    "DockerError",
    "EntryError",
    "GitError",
    "GpgError",
    "GpgNotFoundError",
    "Helper",
    "HelperTimeoutError",
    "InvalidRequestError",
    "KeychainError",
    "KeychainUnavailableError",
    "LockedKeyError",
    "LockedKeychainError",
    "MemoryHelper",
    "NoSecretKeyError",
    "NoServerURLError",
    "NoUsernameError",
    "PassHelper",
    "PasshelperError",
    "ProgramHelper",
    "RecipientsError",
    "RemoteError",
    "StoreBusyError",
    "StoreError",
    "StoreNotInitializedError",
    "TrustError",
    "UnknownBackendError",
    "__version__",
    "get_helper",
    "handle",
    "serve",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.auto import AutoHelper
    from passhelper.backends import get_helper
    from passhelper.client import ProgramHelper
    from passhelper.credentials import Credentials, Helper
    from passhelper.errors import (
        ConfigurationError,
        CredentialsNotFoundError,
        DockerError,
        EntryError,
        GitError,
        GpgError,
        GpgNotFoundError,
        HelperTimeoutError,
        InvalidRequestError,
        KeychainError,
        KeychainUnavailableError,
        LockedKeychainError,
        LockedKeyError,
        NoSecretKeyError,
        NoServerURLError,
        NoUsernameError,
        PasshelperError,
        RecipientsError,
        RemoteError,
        StoreBusyError,
        StoreError,
        StoreNotInitializedError,
        TrustError,
        UnknownBackendError,
    )
    from passhelper.protocol import handle, serve
    from passhelper.store.helper import PassHelper
    from passhelper.version import __version__

    class MemoryHelper(Helper):  # the core names no module of passhelper_backends, not even for types
        """A helper that forgets; see :mod:`passhelper_backends.memory`."""

        def _store(self, credentials: Credentials) -> None: ...
        def _get(self, server: str) -> Credentials: ...
        def _erase(self, server: str) -> None: ...
        def _list(self) -> dict[str, str]: ...


def __getattr__(name: str) -> object:
    if name == "__version__":  # which no other import needs to pay for
        from passhelper.version import __version__

        globals()[name] = __version__
        return __version__
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "MemoryHelper":
        from passhelper.backends import backend_class  # never on the verb path

        value = backend_class("memory")
    else:
        from importlib import import_module

        value = getattr(import_module(f"passhelper.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
