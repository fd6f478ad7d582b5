"""The interface between the protocol and every place that stores credentials.

A backend is a :class:`Helper`. :func:`passhelper.serve` turns one into a
``docker-credential-*`` program; the laws that every backend keeps are listed in :class:`Helper`.
The functions below decide which server URLs and usernames exist at all.
"""

from abc import ABC, abstractmethod

from passhelper.errors import (
    EntryError,
    InvalidRequestError,
    NoServerURLError,
    NoUsernameError,
    PasshelperError,
    StoreError,
)

MAX_SECRET = 2 << 20  # bytes in UTF-8: no request of a client can hold more (protocol.MAX_REQUEST), no backend need


class Credentials:
    """One credential: who logs in to which server with which secret.

    Immutable, and valid: what the protocol would refuse is refused here, in the same words. The secret never
    shows in ``repr``, ``str`` or an error.

    Args:
        server: the server URL exactly as the client names it, an opaque key such as
            ``https://index.docker.io/v1/`` or ``registry.example:5000``; white space around it is dropped.
        username: the user; ``<token>`` marks the secret as an identity token (docker/cli).
        secret: the password or token, maybe empty; inner line ends belong to it.

    Raises:
        InvalidRequestError: no client could send such a server URL, username or secret.
    """

    __slots__ = ("secret", "server", "username")
    __match_args__ = ("server", "username", "secret")

    server: str
    username: str
    secret: str

    def __new__(cls, server: str, username: str, secret: str) -> "Credentials":
        """Check and keep the three parts: not in ``__init__``, which could be called again and set others."""
        self = super().__new__(cls)
        put = object.__setattr__
        put(self, "server", validate_server(server))
        put(self, "username", validate_username(username))
        put(self, "secret", validate_secret(secret))
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Credentials are immutable: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Credentials are immutable: {name}")

    def __reduce__(self) -> "tuple[type[Credentials], tuple[str, str, str]]":
        return Credentials, (self.server, self.username, self.secret)  # for copies, since nothing can be set

    def replace(self, **changes: str) -> "Credentials":
        """Return other credentials that differ in some parts; ``copy.replace`` of Python 3.13 does the same.

        Args:
            changes: the new ``server``, ``username`` or ``secret``.

        Raises:
            InvalidRequestError: no client could send the result.
            TypeError: credentials have no such part.
        """
        parts = {name: getattr(self, name) for name in self.__match_args__}
        for name in changes:
            if name not in parts:
                raise TypeError(f"Credentials have no {name!r}")
        return Credentials(**{**parts, **changes})

    __replace__ = replace

    def __repr__(self) -> str:
        return f"Credentials(server={self.server!r}, username={self.username!r}, secret=<hidden>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self.server, self.username, self.secret) == (other.server, other.username, other.secret)

    def __hash__(self) -> int:
        return hash((self.server, self.username))


class Helper(ABC):
    """A place that keeps credentials. A backend implements ``_store``, ``_get``, ``_erase`` and ``_list``.

    Callers use :meth:`store`, :meth:`get`, :meth:`erase` and :meth:`list`, which check what goes in and what comes
    out, whoever calls: the methods of a backend get server URLs that are not empty, have no control characters, no
    unpaired surrogates and no white space around them, and :class:`Credentials`, which are always valid. A
    backend that overrides one of the four is refused when its class is made.

    Text is ``str``; where a place keeps bytes they are UTF-8. Raise :class:`~passhelper.errors.PasshelperError` (with
    a remedy) for what you can explain; anything else that leaves a verb is reported as one line without a traceback.

    The laws:

    1. after ``store(c)``, ``get(c.server)`` returns ``c`` (its secret without trailing CR and LF), and
       the server has exactly one username;
    2. after ``erase(s)``, ``get(s)`` raises ``CredentialsNotFoundError`` and other servers are untouched;
    3. ``list`` names exactly the servers that ``get`` finds;
    4. a ``store`` that raises has changed nothing.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for verb in ("store", "get", "erase", "list"):
            if getattr(cls, verb) is not getattr(Helper, verb):
                raise TypeError(
                    f"{cls.__name__} overrides {verb}, which checks what comes in and goes out; define _{verb} instead"
                )

    def store(self, credentials: Credentials) -> None:
        """Keep a credential and replace whatever the server had, whoever the user was.

        Args:
            credentials: what to keep. An empty secret is allowed (Docker's own helpers take it).

        Raises:
            PasshelperError: the credential was not kept; the earlier one still is.
        """
        if not isinstance(credentials, Credentials):
            raise InvalidRequestError(f"store takes Credentials, not {type(credentials).__name__}")
        self._store(credentials)

    def get(self, server: str) -> Credentials:
        """Look up the credential of a server.

        Args:
            server: the server URL; an exact match comes first, a backend may go on to equivalent names.

        Returns:
            the credential; its ``server`` is the one that was asked for.

        Raises:
            CredentialsNotFoundError: there is none. Never raised for a credential that exists but
                cannot be read: clients would go on anonymously and hide the cause.
            InvalidRequestError: no server has such a name.
            PasshelperError: there is one and it cannot be read, or no client could take it.
        """
        server = validate_server(server)
        try:
            found = self._get(server)
        except InvalidRequestError as error:  # of what was found, since the request is none
            raise EntryError(
                f"what is kept for {server} cannot be served: {error.cause}", "store it again: docker login"
            ) from error
        if not isinstance(found, Credentials):
            raise StoreError(f"{type(self).__name__} answers with {type(found).__name__} instead of Credentials")
        if found.server != server:
            raise StoreError(f"{type(self).__name__} answers for {found.server} when asked for {server}")
        return found

    def erase(self, server: str) -> None:
        """Forget a server. Doing so twice is not an error: ``docker logout`` erases four names for one host.

        Args:
            server: the server URL.

        Raises:
            InvalidRequestError: no server has such a name.
            PasshelperError: the credential is still there.
        """
        self._erase(validate_server(server))

    def list(self) -> dict[str, str]:
        """Name all servers without opening a single secret.

        Returns:
            server URL to username, in any order; empty when there is nothing, also when the place
            itself does not exist yet. What no client could ask for or take is left out: it must not
            hide the others.

        Raises:
            PasshelperError: the place exists and cannot be listed. One odd entry is no reason to
                raise: clients would lose all the others.
        """
        listed = self._list()
        if not isinstance(listed, dict):
            raise StoreError(f"{type(self).__name__} lists {type(listed).__name__} instead of a dict")
        if _all_ordinary(listed):
            return listed
        return {server: username for server, username in listed.items() if _is_valid(server, username)}

    @abstractmethod
    def _store(self, credentials: Credentials) -> None:
        """Do what :meth:`store` promises."""

    @abstractmethod
    def _get(self, server: str) -> Credentials:
        """Do what :meth:`get` promises. If what it finds is not valid, :class:`Credentials` may raise its errors."""

    @abstractmethod
    def _erase(self, server: str) -> None:
        """Do what :meth:`erase` promises."""

    @abstractmethod
    def _list(self) -> dict[str, str]:
        """Do what :meth:`list` promises; invalid names may be left in, the caller removes them."""

    @classmethod
    def priority(cls) -> float:
        """Return how good a choice this backend is on this machine; the class answers, and no object is made.

        It is quick, asks no person and starts nothing. ``passhelper backends`` shows it and sorts by it; it never makes
        a choice on its own. The keychain of an operating system has 5, the pass store 4, and backends for tests are
        below 0.

        Raises:
            PasshelperError: the backend cannot be used on this machine now; its cause says why.
        """
        return 1

    def unavailable(self) -> str:
        """Return why this place cannot be used on this machine now; an empty string if it can.

        ``docker-credential-auto`` asks this before each verb. The answer is that of :meth:`priority`; a backend whose
        objects may differ from each other, such as by their environment, overrides it.
        """
        try:
            self.priority()
        except PasshelperError as error:
            return error.cause
        except Exception as error:  # noqa: BLE001 - somebody else's code, and its text may hold a secret
            return f"its priority fails with {type(error).__name__}"
        return ""


def validate_server(server: str) -> str:
    """Strip surrounding white space from a server URL and refuse what no registry has.

    An embedded line end is an attack: a client that splits lines and a helper that glues them would
    look at different hosts (the flaw of git's CVE-2020-5260).

    Raises:
        NoServerURLError: nothing is left.
        InvalidRequestError: a control character or an unpaired surrogate is in it, or it is not text.
    """
    if not isinstance(server, str):
        raise InvalidRequestError(f"the server URL is {type(server).__name__} and not text")
    server = server.strip()
    if not server:
        raise NoServerURLError
    _refuse_odd(server, "server URL")
    return server


def validate_username(username: str) -> str:
    """Refuse an empty username and what no user has.

    Raises:
        NoUsernameError: it is empty.
        InvalidRequestError: a control character or an unpaired surrogate is in it, or it is not text.
    """
    if not isinstance(username, str):
        raise InvalidRequestError(f"the username is {type(username).__name__} and not text")
    if not username:
        raise NoUsernameError
    _refuse_odd(username, "username")
    return username


def validate_secret(secret: str) -> str:
    """Refuse a secret that no client could send or take. No message repeats any of it.

    Raises:
        InvalidRequestError: a NUL or an unpaired surrogate is in it, it is larger than :data:`MAX_SECRET`, or no text.
    """
    if not isinstance(secret, str):
        raise InvalidRequestError(f"the secret is {type(secret).__name__} and not text")
    if "\0" in secret:
        raise InvalidRequestError("the secret holds a NUL character")
    try:
        size = len(secret.encode())
    except UnicodeEncodeError:
        raise InvalidRequestError("the secret holds an unpaired surrogate") from None
    if size > MAX_SECRET:
        raise InvalidRequestError(f"the secret is larger than {MAX_SECRET} bytes")
    return secret


def decoded(secret: bytes, label: str) -> str:
    """Decode a secret, without the line ends at its end, which no client takes for a part of it.

    Args:
        secret: as a backend keeps it.
        label: whose it is, for the message.

    Raises:
        EntryError: it is not UTF-8 text.
    """
    try:
        return secret.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise EntryError(
            f"the secret for {label} is not UTF-8 text, which Docker cannot take", "store it again: docker login"
        ) from None


def _all_ordinary(listed: dict[str, str]) -> bool:
    """Return, quickly, whether nothing listed is odd: ten thousand names are joined to one text."""
    try:
        servers, usernames = "".join(listed), "".join(listed.values())
    except TypeError:
        return False
    is_plain = servers.isprintable() and usernames.isprintable() and " " not in servers
    return is_plain and "" not in listed and all(listed.values())


def _is_valid(server: str, username: str) -> bool:
    try:
        return validate_server(server) == server and validate_username(username) == username
    except InvalidRequestError:
        return False


def _refuse_odd(text: str, label: str) -> None:
    if has_control(text):
        raise InvalidRequestError(f"invalid character in {label}: control characters are refused")
    if not encodable(text):
        raise InvalidRequestError(f"invalid character in {label}: unpaired surrogate")


def has_control(text: str) -> bool:
    """Return whether a C0 or C1 control character or DEL is in the text."""
    return not text.isprintable() and any(char < " " or "\x7f" <= char <= "\x9f" for char in text)


def encodable(text: str) -> bool:
    """Return whether the text has a UTF-8 form, that is, holds no unpaired surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
