"""What the files of a ``pass`` store may look like; for programs that keep their entries in one.

A store is shared with other programs, so it holds things that no helper wrote. These laws put such
things into the store, below names of ours, and take them away again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.client import ProgramHelper
from passhelper.contract.laws import Law
from passhelper.contract.place import LawBrokenError, NotApplicableError
from passhelper.errors import ConfigurationError
from passhelper.settings import store_path
from passhelper.store.layout import FOLDER, SUFFIX, encode_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.contract.place import Place

_GPG_ID = ".gpg-id"


def _entry(place: Place, form: str) -> str:
    """Store a credential of ``bob`` and find its file; NotApplicableError if it is nowhere in a pass store."""
    server = place.server(form)
    place.keep(server, "bob")
    try:
        root = store_path(place.helper.environ if isinstance(place.helper, ProgramHelper) else os.environ)
    except ConfigurationError as error:
        raise NotApplicableError(error.cause) from None
    path = os.path.join(root, FOLDER, encode_server(server), f"bob{SUFFIX}")
    if not os.path.isfile(path):
        raise NotApplicableError(f"it keeps nothing in {root}")
    return path


@contextmanager
def _gone_afterwards(path: str) -> Iterator[str]:
    shutil.rmtree(path, ignore_errors=True)  # a run that was killed has left it
    try:
        yield path
    finally:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def _stray_directory(place: Place) -> None:
    entry = _entry(place, "stray.{}")
    folder = os.path.dirname(os.path.dirname(entry))
    with _gone_afterwards(os.path.join(folder, "no base64!." + place.domain)) as stray:
        os.mkdir(stray, 0o700)
        shutil.copy(entry, stray)
        place.expect(place.server("stray.{}"), "bob")


def _foreign_files(place: Place) -> None:
    entry = _entry(place, "foreign.{}")
    names = (_GPG_ID, ".DS_Store", "a.sync-conflict-20260101-000000-ABCDEFG.gpg", "notes.txt")
    folder = os.path.dirname(entry)
    root = os.path.dirname(os.path.dirname(folder))
    for name in names:
        source = os.path.join(root, _GPG_ID) if name == _GPG_ID else entry
        if not os.path.isfile(source):
            continue
        with _gone_afterwards(os.path.join(folder, name)) as path:
            shutil.copy(source, path)
            try:
                place.expect(place.server("foreign.{}"), "bob")
            except LawBrokenError as error:
                raise LawBrokenError(f"beside a file {name}: {error}") from error


LAWS = (
    Law(
        "pass-stray-directory",
        "a directory in the store that is not a server's does not hide the others",
        _stray_directory,
    ),
    Law("pass-foreign-files", "other files in a server's directory are not users", _foreign_files),
)
