"""The interface between the protocol and every place that keeps credentials.

A backend is a :class:`Helper`. :func:`passhelper.serve` turns one into a
``docker-credential-*`` program; the laws that every backend keeps are listed in :class:`Helper`.
The functions below decide which server URLs and usernames exist at all.
"""

from abc import ABC, abstractmethod

from passhelper.errors import InvalidRequestError, NoServerURLError, NoUsernameError


class Credentials:
    """One credential: who logs in to which server with which secret.

    Immutable. The secret never shows in ``repr`` or ``str``.

    Args:
        server: the server URL exactly as the client names it, an opaque key such as
            ``https://index.docker.io/v1/`` or ``registry.example:5000``.
        username: the user; ``<token>`` marks the secret as an identity token (docker/cli).
        secret: the password or token; inner line ends belong to it.
    """

    __slots__ = ("secret", "server", "username")

    server: str
    username: str
    secret: str

    def __init__(self, server: str, username: str, secret: str) -> None:
        put = object.__setattr__
        put(self, "server", server)
        put(self, "username", username)
        put(self, "secret", secret)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Credentials are immutable: {name}")

    def __reduce__(self) -> "tuple[type[Credentials], tuple[str, str, str]]":
        return Credentials, (self.server, self.username, self.secret)  # for copies, since nothing can be set

    def __repr__(self) -> str:
        return f"Credentials(server={self.server!r}, username={self.username!r}, secret=<hidden>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self.server, self.username, self.secret) == (other.server, other.username, other.secret)

    def __hash__(self) -> int:
        return hash((self.server, self.username))


class Helper(ABC):
    """A place that keeps credentials. Implement the four verbs; the docstrings are the contract.

    Server URLs and usernames arrive validated by :mod:`passhelper.protocol`: not empty, no control
    characters, no unpaired surrogates, the URL without surrounding white space. Text is ``str``; where
    a place keeps bytes they are UTF-8. Raise :class:`~passhelper.errors.PasshelperError` (with a remedy)
    for what you can explain; anything else that leaves a verb is reported as one line without a
    traceback.

    The laws:

    1. after ``store(c)``, ``get(c.server)`` returns ``c`` (its secret without trailing CR and LF), and
       the server has exactly one username;
    2. after ``erase(s)``, ``get(s)`` raises ``CredentialsNotFoundError`` and other servers are untouched;
    3. ``list`` names exactly the servers that ``get`` finds;
    4. a ``store`` that raises has changed nothing.
    """

    @abstractmethod
    def store(self, credentials: Credentials) -> None:
        """Keep a credential and replace whatever the server had, whoever the user was.

        Args:
            credentials: what to keep. An empty secret is allowed (Docker's own helpers take it).

        Raises:
            PasshelperError: the credential was not kept; the earlier one still is.
        """

    @abstractmethod
    def get(self, server: str) -> Credentials:
        """Look up the credential of a server.

        Args:
            server: the server URL; an exact match comes first, a backend may go on to equivalent names.

        Returns:
            the credential; its ``server`` is the one that was asked for.

        Raises:
            CredentialsNotFoundError: there is none. Never raised for a credential that exists but
                cannot be read: clients would go on anonymously and hide the cause.
            PasshelperError: there is one and it cannot be read.
        """

    @abstractmethod
    def erase(self, server: str) -> None:
        """Forget a server. Doing so twice is no error: ``docker logout`` erases four names for one host.

        Args:
            server: the server URL.

        Raises:
            PasshelperError: the credential is still there.
        """

    @abstractmethod
    def list(self) -> dict[str, str]:
        """Name all servers without opening a single secret.

        Returns:
            server URL to username, in any order; empty when there is nothing, also when the place
            itself does not exist yet.

        Raises:
            PasshelperError: the place exists and cannot be listed. One odd entry is no reason to
                raise: clients would lose all the others.
        """

    def unavailable(self) -> str:
        """Say why this place cannot be used on this machine now; empty if it can.

        Asked by ``docker-credential-auto`` before each verb, so it is quick, asks no person and starts nothing.
        A backend that works everywhere need not override it.
        """
        return ""


def validate_server(server: str) -> str:
    """Strip surrounding white space from a server URL and refuse what no registry has.

    An embedded line end is an attack: a client that splits lines and a helper that glues them would
    look at different hosts (the flaw of git's CVE-2020-5260).

    Raises:
        NoServerURLError: nothing is left.
        InvalidRequestError: a control character or an unpaired surrogate is in it.
    """
    server = server.strip()
    if not server:
        raise NoServerURLError
    _refuse_odd(server, "server URL")
    return server


def validate_username(username: str) -> str:
    """Refuse an empty username and what no user has.

    Raises:
        NoUsernameError: it is empty.
        InvalidRequestError: a control character or an unpaired surrogate is in it.
    """
    if not username:
        raise NoUsernameError
    _refuse_odd(username, "username")
    return username


def _refuse_odd(text: str, label: str) -> None:
    if has_control(text):
        raise InvalidRequestError(f"invalid character in {label}: control characters are refused")
    if not encodable(text):
        raise InvalidRequestError(f"invalid character in {label}: unpaired surrogate")


def has_control(text: str) -> bool:
    """Tell whether a C0 or C1 control character or DEL is in the text."""
    return not text.isprintable() and any(char < " " or "\x7f" <= char <= "\x9f" for char in text)


def encodable(text: str) -> bool:
    """Tell whether the text has a UTF-8 form, that is, holds no unpaired surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
