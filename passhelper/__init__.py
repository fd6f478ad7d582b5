"""Docker registry credentials in a ``pass`` store, served by the credential-helper protocol.

The public names below are loaded when they are first used (PEP 562), so that importing the package
costs nothing: ``docker-credential-pass`` is started once for every registry that Docker touches.
"""

_HOMES = {
    "Credentials": "credentials",
    "CredentialsNotFoundError": "errors",
    "Helper": "credentials",
    "InvalidRequestError": "errors",
    "PassHelper": "store.helper",
    "PasshelperError": "errors",
    "get_helper": "backends",
    "serve": "protocol",
}

__all__ = [
    "Credentials",
    "CredentialsNotFoundError",
    "Helper",
    "InvalidRequestError",
    "PassHelper",
    "PasshelperError",
    "__version__",
    "get_helper",
    "serve",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.backends import get_helper
    from passhelper.credentials import Credentials, Helper
    from passhelper.errors import CredentialsNotFoundError, InvalidRequestError, PasshelperError
    from passhelper.protocol import serve
    from passhelper.store.helper import PassHelper
    from passhelper.version import __version__


def __getattr__(name: str) -> object:
    if name == "__version__":  # which no other import needs to pay for
        from passhelper.version import __version__

        return __version__
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # never on the verb path

    value: object = getattr(import_module(f"passhelper.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
