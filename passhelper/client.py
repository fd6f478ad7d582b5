"""Run any ``docker-credential-*`` program from Python, with the types of :class:`passhelper.Helper`.

::

    from passhelper.client import ProgramHelper

    keychain = ProgramHelper.find("osxkeychain")
    for server in keychain.list():
        print(keychain.get(server).username)

Secrets travel through pipes only. What a program says when it fails is shown, cut to one line, and
never when a secret is in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper import jsontext, running
from passhelper.credentials import Credentials, Helper
from passhelper.errors import (
    NOT_FOUND,
    ConfigurationError,
    CredentialsNotFoundError,
    DockerError,
    HelperTimeoutError,
    InvalidRequestError,
    printable,
)
from passhelper.store import rootless
from passhelper.store.programs import clean_environ, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREFIX", "SECONDS", "Answer", "ProgramHelper", "short_name"]

PREFIX = "docker-credential-"
SECONDS = 30.0  # for one verb; the only client with a limit, testcontainers-java, has the same
_OPENING = "{["  # of a document: what a failing program says is a sentence, or it may hold a secret


def short_name(name: str) -> str:
    """Check a helper's name, as it stands in ``credsStore``; the program's full name is one too.

    Raises:
        ConfigurationError: it would lead outside the directories of PATH.
    """
    short = name.removeprefix(PREFIX)
    if not short or not short.isprintable() or any(char in "/\\ " for char in short):
        raise ConfigurationError(
            f"{printable(name)!r} is not the name of a credential helper",
            "name it as docker does, such as secretservice",
        )
    return short


@dataclass(frozen=True)
class Answer:
    """A program's answer to one verb.

    Attributes:
        code: its exit status; negative for the signal that ended it.
        out, err: its two streams, as they are.
    """

    code: int
    out: bytes
    err: bytes


class ProgramHelper(Helper):
    """A ``docker-credential-*`` program.

    Every verb raises, apart from what :class:`~passhelper.Helper` says, HelperTimeoutError when the program
    takes too long and DockerError when it fails for a reason of its own.

    Args:
        program: its absolute path.
        environ: its environment, from which passphrases of ours are taken out; the process's by default.
        seconds: how long one verb may take.

    Attributes:
        program: its path.
        environ: what it will be started with.
    """

    def __init__(self, program: str, environ: Mapping[str, str] | None = None, seconds: float = SECONDS) -> None:
        self.program = program
        self.environ = clean_environ(os.environ if environ is None else environ)
        self._seconds = seconds

    @classmethod
    def find(cls, name: str, environ: Mapping[str, str] | None = None, seconds: float = SECONDS) -> ProgramHelper:
        """Find the program of a name, such as ``secretservice``, on PATH.

        Raises:
            ConfigurationError: there is none.
        """
        environ = os.environ if environ is None else environ
        program = PREFIX + short_name(name)
        path = find_program((program,), environ)
        if path is None:
            raise ConfigurationError(f"{program} is not on PATH", "install it, or add its directory to PATH")
        return cls(path, environ, seconds)

    def _store(self, credentials: Credentials) -> None:
        document = {"ServerURL": credentials.server, "Username": credentials.username, "Secret": credentials.secret}
        self._run("store", jsontext.render(document), hidden=credentials.secret)

    def _get(self, server: str) -> Credentials:
        """Ask the program for a server; with neither user nor secret Docker's helper for ``pass`` 0.6.4 says "none"."""
        document = self._document("get", self._run("get", server))
        fields = {key.lower(): value for key, value in document.items()}
        username, secret = fields.get("username"), fields.get("secret")
        if not isinstance(username, str) or not isinstance(secret, str):
            raise self._failed("get", "its answer is not a credential")
        if not username and not secret:
            raise CredentialsNotFoundError
        try:
            return Credentials(server, username, secret)
        except InvalidRequestError as error:
            raise self._failed("get", error.cause) from None

    def _erase(self, server: str) -> None:
        """Let the program forget a server. Many programs fail when they do not know it."""
        self._run("erase", server)

    def _list(self) -> dict[str, str]:
        return self.listed()

    def listed(self) -> dict[str, str]:
        """Give what the program lists exactly as it does, also what :meth:`list` leaves out.

        Raises:
            DockerError: it fails, or lists nothing that can be understood.
        """
        answer = self._run("list", "")
        document = self._document("list", answer) if answer.strip() not in ("", "null") else {}
        return {server: username if isinstance(username, str) else "" for server, username in document.items()}

    def run(self, verb: str, request: bytes | int = b"") -> Answer:
        """Run one verb and give what the program says, whether it succeeds or not.

        Args:
            verb: its argument; none if empty.
            request: what it reads; or a descriptor that it reads from.

        Raises:
            HelperTimeoutError: it gave no answer in time, and was ended with all of its process group.
            DockerError: it said more than any helper has to say, and was ended.
            PasshelperError: it cannot be started.
        """
        command = [self.program, verb] if verb else [self.program]
        ended = running.run([*rootless.prefix(self.environ), *command], self.environ, request, self._seconds)
        if ended.is_late:
            raise HelperTimeoutError(
                f"{self.program} {verb} gave no answer within {self._seconds:g} seconds", "run it by hand to see why"
            )
        if ended.is_too_long:
            raise self._failed(verb, "it says too much")
        return Answer(ended.code, ended.out, ended.err)

    def _run(self, verb: str, request: str, *, hidden: str = "") -> str:
        """Run one verb; give its answer, or raise that there is none, as clients compare it, or that it failed."""
        answer = self.run(verb, request.encode())
        out = answer.out.decode(errors="replace")
        if answer.code == 0:
            return out
        said = out.strip()
        if said == NOT_FOUND:
            raise CredentialsNotFoundError
        reason = said or answer.err.decode(errors="replace").strip()
        if not reason or reason[0] in _OPENING or (hidden and hidden in reason):
            reason = f"exit status {answer.code}"
        raise self._failed(verb, printable(" ".join(reason.split())))

    def _document(self, verb: str, answer: str) -> dict[str, object]:
        try:
            document = jsontext.parse(answer)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._failed(verb, "its answer is not a JSON object")
        return document

    def _failed(self, verb: str, reason: str) -> DockerError:
        return DockerError(f"{self.program} {verb} failed: {reason}")
