"""A file for secrets: always a new file of our own, which replaces only an older file of our own.

A name decides nothing between the check and the write: the directory is opened once, one name of its path after the
other and through no link, the new file is made in it with ``O_EXCL``, and mode and group are set on its descriptor. So
the directory of another user, in which root may write, gets a file that this user can take away and cannot read.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError
from passhelper.machine import paths
from passhelper.oserrors import remedy
from passhelper.store.files import make_private, refuse_gone
from passhelper.store.owners import name as name_of

if TYPE_CHECKING:
    from types import TracebackType

_PIPE = "leave --output out to write to a pipe"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OLD = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_GROUP = 0o070  # mode bits


class PrivateFile:
    """The file of a path, and the directory that it is in. Use it in a ``with`` statement.

    Args:
        path: an absolute path; missing directories are made, private ones.

    Raises:
        ConfigurationError: it is a link, not a file, another user's, or in a directory where others could replace it;
            or the system refuses.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._directory: int | None = None
        try:
            folder = self._find_folder()
            # Windows opens no directories.
            self._prefix = "" if sys.platform != "win32" else os.path.join(folder, "")
            self._name = self._prefix + os.path.basename(path)
            self._is_foreign = self._directory is not None and paths.is_foreign(os.fstat(self._directory))
            self._check()
        except OSError as error:
            self.close()
            raise self._refused(error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PrivateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def _find_folder(self) -> str:
        folder = paths.resolve(os.path.dirname(self.path), paths.ELSEWHERE)
        if sys.platform == "win32":
            make_private(folder)
            return folder
        there = "/"
        self._directory = os.open(there, _FOLDER)
        for word in folder.split("/"):
            if word:
                self._enter(there, self._directory, word)
                there = os.path.join(there, word)
        paths.check_folder(folder, os.fstat(self._directory))
        return folder

    def _enter(self, above: str, descriptor: int, word: str) -> None:
        """Open a directory without following a link that somebody has put there since; make it if it is missing."""
        try:
            self._directory = os.open(word, _FOLDER, dir_fd=descriptor)
        except FileNotFoundError:
            refuse_gone(os.path.join(above, word))
            paths.check_folder(above, os.fstat(descriptor))
            with suppress(FileExistsError):  # somebody else has made it since
                os.mkdir(word, 0o700, dir_fd=descriptor)
            self._directory = os.open(word, _FOLDER, dir_fd=descriptor)
        os.close(descriptor)

    def _facts(self) -> os.stat_result | None:
        try:
            return os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _check(self) -> os.stat_result | None:
        facts = self._facts()
        if facts is None:
            return None
        if stat.S_ISLNK(facts.st_mode) and (os.path.isfile(self.path) or not os.path.exists(self.path)):
            raise ConfigurationError(
                f"{self.path} is a symbolic link, and no secret is written through one",
                f"name the file itself, or {_PIPE}",
            )
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigurationError(f"{self.path} is not a regular file", _PIPE)
        self._check_owner(facts)
        return facts

    def _check_owner(self, facts: os.stat_result) -> None:
        if sys.platform != "win32" and facts.st_uid != os.geteuid():
            raise ConfigurationError(
                f"{self.path} belongs to {name_of(facts.st_uid)}", f"name another file, or {_PIPE}"
            )

    def read(self) -> tuple[int, bytes] | None:
        """Read what is there.

        Returns:
            its mode and its content; None if there is no such file.

        Raises:
            ConfigurationError: it cannot be read.
        """
        try:
            with open(os.open(self._name, _OLD, dir_fd=self._directory), "rb") as file:
                return os.fstat(file.fileno()).st_mode, file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror}", remedy(error)) from error

    def write(self, data: bytes) -> None:
        """Put a new file, mode 0600, into its place.

        The mode and group of an older file are kept, except in the directory of another user, who may have chosen them.

        Raises:
            ConfigurationError: it cannot be written; what was there is untouched.
        """
        try:
            self._write(data)
        except OSError as error:
            raise self._refused(error) from error

    def _write(self, data: bytes) -> None:
        temporary = f"{self._prefix}.{os.path.basename(self.path)}.{secrets.token_hex(8)}"
        descriptor = os.open(temporary, _NEW, 0o600, dir_fd=self._directory)
        try:
            with open(descriptor, "wb") as file:
                made = os.fstat(descriptor)
                self._check_owner(made)  # a server of files may give it to another user
                before = self._check()
                if before is not None and not self._is_foreign:
                    _set_mode(descriptor, before)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            self._check()
            os.replace(temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            there = self._facts()
            if self._is_foreign and (there is None or not os.path.samestat(made, there)):
                raise ConfigurationError(f"the owner of its directory has taken {self.path} away", paths.ELSEWHERE)
        except BaseException:
            with suppress(FileNotFoundError):  # an interrupt may come when the file is in its place already
                os.unlink(temporary, dir_fd=self._directory)
            raise

    def _refused(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot write {self.path}: {error.strerror}", remedy(error))


def _set_mode(descriptor: int, before: os.stat_result) -> None:
    if sys.platform != "win32":
        mode = stat.S_IMODE(before.st_mode)
        if os.fstat(descriptor).st_gid != before.st_gid:
            try:
                os.fchown(descriptor, -1, before.st_gid)
            except OSError:
                mode &= ~_GROUP  # or another group would get what the old one had
        os.fchmod(descriptor, mode)
