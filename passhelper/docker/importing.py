"""Bring credentials into the store: from plain text in a file, from a variable, from another helper.

Each is read back through the store before it counts. A file is changed in one step, when all of its
credentials are in the store; if one cannot be stored, the file stays as it is and the store gets back
what it had.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.client import ProgramHelper
from passhelper.credentials import Credentials, validate_server
from passhelper.docker import config, plaintext
from passhelper.errors import (
    ConfigurationError,
    CredentialsNotFoundError,
    DockerError,
    HelperTimeoutError,
    InvalidRequestError,
    PasshelperError,
    StoreError,
    printable,
)
from passhelper.machine import paths, userfile
from passhelper.oserrors import remedy
from passhelper.store.helper import PassHelper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.credentials import Helper

_LABEL = "Registry credentials for "  # docker-credential-secretservice 0.9 lists this before each server


@dataclass(frozen=True)
class Report:
    """The result for one credential.

    Attributes:
        server: its name.
        username: its user; empty where it could not be read.
        result: ``stored``, ``kept`` (the store had it), ``would-store``, ``failed``, or ``left`` where it belongs.
        error: why it failed or was left.
    """

    server: str
    username: str
    result: str
    error: PasshelperError | None = None


class Importer:
    """Stores credentials and reads them back.

    Args:
        store: where they go.
        replace: whether to replace another credential that the store has for a server.
        dry_run: whether nothing is stored.
    """

    def __init__(self, store: Helper, *, replace: bool = False, dry_run: bool = False) -> None:
        self._store = store
        self._replace = replace
        self._dry_run = dry_run
        self._known = servers(store)
        self._undo: list[tuple[str, Credentials | None]] = []

    def take(self, credential: Credentials) -> Report:
        """Store one credential and read it back; called within :meth:`all_or_none`.

        Raises:
            PasshelperError: the store does not have it, or does not give it back.
        """
        server, username = credential.server, credential.username
        wanted = Credentials(server, username, credential.secret.rstrip("\r\n"))  # as every helper keeps it
        before = self._store.get(server) if server in self._known else None
        if before == wanted:
            return Report(server, username, "kept")
        if before is not None and not self._replace:
            raise StoreError(
                f"the store has another credential for {printable(server)}, of {printable(before.username)}",
                "give --replace to overwrite it, or run: passhelper logout SERVER",
            )
        if self._dry_run:
            return Report(server, username, "would-store")
        self._undo.append((server, before))
        self._store.store(credential)
        self._known.add(server)
        self._verify(wanted)
        return Report(server, username, "stored")

    def _verify(self, wanted: Credentials) -> None:
        try:
            found = self._store.get(wanted.server)
        except CredentialsNotFoundError:
            found = None
        if found != wanted:
            raise StoreError(
                f"the store does not give back the credential for {printable(wanted.server)}",
                "check that PASSHELPER_IGNORE_WRITES is not set",
            )

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Restore what the store had before, unless everything in this block succeeds."""
        self._undo.clear()
        try:
            yield
        except (PasshelperError, OSError) as error:
            left = self._undo_all()
            if left:
                cause = error.cause if isinstance(error, PasshelperError) else error.strerror
                raise StoreError(
                    f"{cause}; and these stay in the store, because it refused to erase them: {', '.join(left)}",
                    error.remedy if isinstance(error, PasshelperError) else "",
                ) from error
            raise

    def _undo_all(self) -> list[str]:
        """Undo every :meth:`take`; return the servers for which that failed."""
        left = []
        for server, before in reversed(self._undo):
            try:
                if before is None:
                    self._store.erase(server)
                else:
                    self._store.store(before)
            except PasshelperError:
                left.append(printable(server))
        self._undo.clear()
        return left


def servers(store: Helper) -> set[str]:
    """Name all servers, including those that this machine cannot read and ``list`` leaves out."""
    if isinstance(store, PassHelper):
        return {entry.server for entry in store.pass_store.walk()}
    return set(store.list())


def move_file(file: str, importer: Importer, *, dry_run: bool) -> list[Report]:
    """Move every credential of a configuration file into the store: all that can be used, or none.

    What cannot be used, and what no client would ask the store for, stays in the file; the rest is moved.

    Raises:
        PasshelperError: why nothing was moved.
    """
    data = userfile.read(file)
    if data is None:
        raise ConfigurationError(f"there is no {file}", "name the file: passhelper import --docker-config FILE")
    text = config.read(file)
    found = plaintext.credentials(text, file)
    if not found:
        return []
    if not dry_run:
        _check_folder(file)
    with importer.all_or_none():
        reports = _take(importer, found)
        moved = {one.server for one in found if isinstance(one, Credentials)}
        if moved and not dry_run:
            new = plaintext.blanked(text, moved)
            if userfile.read(file) != data:
                raise DockerError(f"{file} was changed by another program, so it is left as it is", "run it again")
            userfile.replace(file, new.encode(), 0o600)
    return reports


def _check_folder(file: str) -> None:
    """Find out that a file cannot be replaced, before anything is stored that would have to be undone."""
    folder = os.path.dirname(paths.resolve(file))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"cannot replace {file}: {folder} cannot be written, so nothing was moved", remedy(error)
        ) from error


def copy_text(text: str, label: str, importer: Importer) -> list[Report]:
    """Copy every credential of a document that cannot be changed, as :func:`move_file` does.

    Raises:
        PasshelperError: why nothing was copied.
    """
    with importer.all_or_none():
        return _take(importer, plaintext.credentials(text, label))


def _take(importer: Importer, found: list[Credentials | plaintext.Left]) -> list[Report]:
    """Store what can be used; report on each in the order of the document."""
    return [
        importer.take(one)
        if isinstance(one, Credentials)
        else Report(one.server, "", "left" if one.is_right else "failed", one.why)
        for one in found
    ]


def copy_helper(source: Helper, importer: Importer) -> Iterator[Report]:
    """Copy every credential of another helper; one that fails does not stop the others.

    A helper that did not answer once is not asked again, since it would take as long for every server.

    Raises:
        PasshelperError: the helper cannot list what it has.
    """
    is_silent = False
    # What `list` leaves out is named, with the reason, where anything can be known of it.
    listed = source.listed() if isinstance(source, ProgramHelper) else source.list()
    for name, username in sorted(listed.items()):
        server = name.removeprefix(_LABEL)
        try:
            if is_silent:
                raise DockerError("not asked for, because the helper gave no answer before")
            if validate_server(server) != server:
                raise InvalidRequestError("its name has spaces around it")
            found = source.get(server)
            with importer.all_or_none():
                report = importer.take(Credentials(server, found.username, found.secret))
            yield report
        except CredentialsNotFoundError:
            missing = DockerError("it lists the server but does not have its credential")
            yield Report(server, username, "failed", missing)
        except PasshelperError as error:
            is_silent = is_silent or isinstance(error, HelperTimeoutError)
            yield Report(server, username, "failed", error)


def unserved(file: str, servers: list[str]) -> list[str]:
    """Return the servers for which a file does not name the helper ``pass``."""
    text = config.read(file)
    return [server for server in servers if config.helper_for(text, server) != config.HELPER]
