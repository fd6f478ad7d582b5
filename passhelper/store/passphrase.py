"""The passphrase of the GPG key, for machines where nobody can be asked (pain G2).

It comes from a file, a descriptor or a variable, goes to gpg through a pipe, and is never an
argument, never in a child's environment and never on disk.
"""

import os
import stat
import sys

from passhelper.errors import ConfigurationError
from passhelper.store.gpg import PASSPHRASE_VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PASSPHRASE = 4096  # bytes; gpg itself stops at 255 characters for some key formats


def source(environ: "Mapping[str, str]") -> str:
    """Name the variable that gives the passphrase; empty when none does."""
    for name in PASSPHRASE_VARIABLES:
        if environ.get(name):
            return name
    return ""


def read(environ: "Mapping[str, str]") -> bytes:
    """Read the passphrase, without a line end at its end.

    Raises:
        ConfigurationError: the file or descriptor cannot be read or trusted, or is empty.
    """
    name = source(environ)
    value = environ[name]
    if name == "PASSHELPER_PASSPHRASE":
        data = os.fsencode(value)
    elif name == "PASSHELPER_PASSPHRASE_FD":
        data = _read_descriptor(name, value)
    else:
        data = _read_file(name, value)
    data = data.rstrip(b"\r\n")
    if not data:
        raise ConfigurationError(f"the passphrase in {name} is empty")
    if b"\n" in data or b"\0" in data:
        raise ConfigurationError(f"the passphrase in {name} has more than one line")
    if len(data) > MAX_PASSPHRASE:
        raise ConfigurationError(f"the passphrase in {name} is longer than {MAX_PASSPHRASE} bytes")
    return data


def _read_descriptor(name: str, value: str) -> bytes:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ConfigurationError(f"{name} is not the number of an open descriptor: {value!r}")
    try:
        with open(int(value), "rb", closefd=False) as file:
            return file.read(MAX_PASSPHRASE + 3)
    except OSError as error:
        raise ConfigurationError(f"cannot read {name} ({value}): {error.strerror}") from error


def _read_file(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            facts = os.fstat(file.fileno())
            if sys.platform != "win32":
                refuse_foreign_writers(name, path, facts)
            return file.read(MAX_PASSPHRASE + 3)
    except OSError as error:
        raise ConfigurationError(f"cannot read {name} ({path}): {error.strerror}") from error


def refuse_foreign_writers(name: str, path: str, facts: os.stat_result) -> None:
    """Refuse a file that another user may write; that others may read it is a doctor's finding."""
    if not stat.S_ISREG(facts.st_mode) or sys.platform == "win32":
        return  # a pipe: process substitution
    if facts.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"{name}: {path} belongs to another user (uid {facts.st_uid})",
            "make a copy of your own, mode 0600",
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{name}: {path} can be written by other users", f"run: chmod 600 {path}")
