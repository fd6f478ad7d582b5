"""All errors, as one tree; every error says what happened and what to type next.

::

    PasshelperError
     +-- CredentialsNotFoundError       the server is not in the store (clients match its text)
     +-- InvalidRequestError            the client sent something that cannot be served
     |    +-- NoServerURLError          ... an empty server URL (clients match its text)
     |    +-- NoUsernameError           ... an empty username (clients match its text)
     +-- ConfigurationError             an environment variable or option makes no sense
     |    +-- UnknownBackendError       ... no backend has this name
     +-- StoreError                     the place that keeps the credentials
     |    +-- StoreNotInitializedError  no .gpg-id
     |    +-- StoreBusyError            another writer holds the lock
     |    +-- EntryError                one entry cannot be trusted or read
     |    +-- KeychainError             a keychain of the operating system said no
     |         +-- KeychainUnavailableError  ... it is not there, or does not answer
     |         +-- LockedKeychainError  ... it is locked, and nobody unlocked it
     +-- GpgError                       gpg said no
     |    +-- GpgNotFoundError          there is no gpg program
     |    +-- LockedKeyError            the key needs a passphrase that nobody can give
     |    +-- NoSecretKeyError          this machine holds none of the keys
     |    +-- RecipientsError           at least one recipient cannot be encrypted to
     +-- TrustError                     something came from elsewhere and was not accepted here (exit 4)
     +-- GitError                       git said no
     |    +-- RemoteError               the store's remote cannot be reached or refuses (exit 6)
     +-- DockerError                    Docker's configuration, another helper or a registry
     |    +-- HelperTimeoutError        ... another helper gave no answer in time

Errors are printed in two places only: :mod:`passhelper.protocol` for the verbs and
:mod:`passhelper.cli` for the commands. Grammar: lower case unless a name starts the sentence, no
full stop, the remedy starts with an imperative (``run: ...``, ``set ...``, ``check ...``). What others have
written goes into a message only through :func:`printable`, and a whole line through :func:`one_line`.
"""

__all__ = [
    "NOT_FOUND",
    "NO_SERVER_URL",
    "NO_USERNAME",
    "ConfigurationError",
    "CredentialsNotFoundError",
    "DockerError",
    "EntryError",
    "GitError",
    "GpgError",
    "GpgNotFoundError",
    "HelperTimeoutError",
    "InvalidRequestError",
    "KeychainError",
    "KeychainUnavailableError",
    "LockedKeyError",
    "LockedKeychainError",
    "NoSecretKeyError",
    "NoServerURLError",
    "NoUsernameError",
    "PasshelperError",
    "RecipientsError",
    "RemoteError",
    "StoreBusyError",
    "StoreError",
    "StoreNotInitializedError",
    "TrustError",
    "UnknownBackendError",
]

# Docker's clients recognise these three by their exact text on stdout (docker-credential-helpers,
# credentials/error.go; docker-py and oras-go compare the first one).
NOT_FOUND = "credentials not found in native keychain"
NO_SERVER_URL = "no credentials server URL"
NO_USERNAME = "no credentials username"

# What runners of CI systems obey at the begin of a line: GitHub's workflow commands, GitLab's and Travis' sections.
_OBEYED = ("::", "section_start:", "section_end:", "travis_")


class PasshelperError(Exception):
    """Any failure that passhelper reports.

    Args:
        cause: what happened, to which file, key or server; never a secret.
        remedy: what the user can type or change next; empty where there is nothing to do.

    Attributes:
        exit_code: what the ``passhelper`` commands exit with (the verbs always exit 1).
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        """Give the cause and the remedy as one line, as the verbs print it."""
        text = f"{self.cause}; {self.remedy}" if self.remedy else self.cause
        return " ".join(text.split())


class CredentialsNotFoundError(PasshelperError):
    """The helper holds nothing for the server. Clients go on without credentials."""

    def __init__(self) -> None:
        super().__init__(NOT_FOUND)


class InvalidRequestError(PasshelperError):
    """The client sent something that cannot be served; nothing was read or changed."""


class NoServerURLError(InvalidRequestError):
    """The request names no server."""

    def __init__(self) -> None:
        super().__init__(NO_SERVER_URL)


class NoUsernameError(InvalidRequestError):
    """The credentials to store name no user."""

    def __init__(self) -> None:
        super().__init__(NO_USERNAME)


class ConfigurationError(PasshelperError):
    """An environment variable, option or setting cannot be used as it is."""


class UnknownBackendError(ConfigurationError):
    """No backend of this installation has the name."""


class StoreError(PasshelperError):
    """The place that keeps the credentials cannot be read or written: the files of the pass store, or a keychain."""


class StoreNotInitializedError(StoreError):
    """The store has no ``.gpg-id``, so it has no recipients."""


class StoreBusyError(StoreError):
    """Another program held the store's lock for too long."""


class EntryError(StoreError):
    """One entry is corrupt, was moved here from another server, or is not what it should be."""


class GpgError(PasshelperError):
    """gpg failed."""


class GpgNotFoundError(GpgError):
    """There is no gpg program in an absolute directory of PATH."""


class LockedKeyError(GpgError):
    """The secret key needs a passphrase and nobody can be asked for it."""


class NoSecretKeyError(GpgError):
    """The entry is encrypted to keys that this machine does not have."""


class RecipientsError(GpgError):
    """One or more recipients cannot be encrypted to; nothing was written."""


class TrustError(PasshelperError):
    """Recipients, a signature or history differ from what this machine has accepted."""

    exit_code = 4


class GitError(PasshelperError):
    """git failed, or its repository is not in a usable state."""


class RemoteError(GitError):
    """The store's remote cannot be reached, or refuses; what was done here stays."""

    exit_code = 6


class DockerError(PasshelperError):
    """Docker's configuration cannot be edited, another helper failed, or a registry refused."""


class HelperTimeoutError(DockerError):
    """Another helper gave no answer in time and was ended."""


class KeychainError(StoreError):
    """A keychain of the operating system failed or refused."""


class KeychainUnavailableError(KeychainError):
    """The keychain cannot be reached: none is there, none is set up, or it does not answer."""


class LockedKeychainError(KeychainError):
    """The keychain is locked, and nobody unlocked it."""


def printable(text: str, limit: int = 200) -> str:
    """Make foreign text safe to show inside a line; see :func:`one_line` for a whole one.

    Controls, marks that change the direction of writing, other characters without a form of their own, separators of
    lines and surrogates become ``?``; ``##``, with which commands for runners of CI systems begin anywhere in a line
    (Azure Pipelines ``##vso[``, TeamCity ``##teamcity[``, GitHub's older ``##[``), is escaped; length is bounded.
    """
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join([char if char.isprintable() else "?" for char in shown])
    return shown.replace("##", "\\x23\\x23") + ("..." if len(text) > limit else "")


def one_line(text: str) -> str:
    """Make a line safe to print: as :func:`printable`, and no runner of a CI system takes its begin for a command."""
    return unobeyed(printable(text, len(text)))


def unobeyed(text: str) -> str:
    """Escape the begin of a line that is safe to show where a runner would take it for a command."""
    begin = text.lstrip()  # GitHub's runner looks behind white space
    if not begin.startswith(_OBEYED):
        return text
    return f"{text[: len(text) - len(begin)]}\\x{ord(begin[0]):02x}{begin[1:]}"
