"""The passphrase of the GPG key, for machines where nobody can be asked (pain G2).

It comes from a file, a descriptor or a variable, goes to gpg through a pipe, and is never an
argument, never in a child's environment and never on disk.
"""

import os
import stat
import sys

from passhelper.errors import ConfigurationError
from passhelper.settings import PASSPHRASE_VARIABLES
from passhelper.shellwords import word
from passhelper.store import inputs

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


def read(environ: "Mapping[str, str]", seconds: float = inputs.MAX_WAIT) -> bytes:
    """Read the passphrase, without a line end at its end.

    Args:
        environ: where it stands, or where it says where to read.
        seconds: how long whoever writes it into a pipe may take.

    Raises:
        ConfigurationError: the file or descriptor cannot be read or trusted, or is empty.
    """
    name = source(environ)
    value = environ[name]
    if name == "PASSHELPER_PASSPHRASE_FD" and not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ConfigurationError(f"{name} is not the number of an open descriptor: {value!r}")
    try:
        if name == "PASSHELPER_PASSPHRASE":
            data = os.fsencode(value)
        elif name == "PASSHELPER_PASSPHRASE_FD":
            data = inputs.read(int(value), MAX_PASSPHRASE + 3, seconds)
        else:
            data, facts = inputs.read_file(value, MAX_PASSPHRASE + 3, seconds)
            refuse_foreign_writers(name, value, facts)
    except OSError as error:
        from passhelper.oserrors import remedy  # after a failure only

        raise ConfigurationError(f"cannot read {name} ({value}): {error.strerror}", remedy(error)) from error
    data = data.rstrip(b"\r\n")
    if not data:
        raise ConfigurationError(f"the passphrase in {name} is empty")
    if b"\n" in data or b"\0" in data:
        raise ConfigurationError(f"the passphrase in {name} has more than one line")
    if len(data) > MAX_PASSPHRASE:
        raise ConfigurationError(f"the passphrase in {name} is longer than {MAX_PASSPHRASE} bytes")
    return data


def refuse_foreign_writers(name: str, path: str, facts: os.stat_result) -> None:
    """Refuse a file that another user may write; that others may read it is a doctor's finding."""
    if not stat.S_ISREG(facts.st_mode) or sys.platform == "win32":
        return  # a pipe: process substitution
    if facts.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"{name}: {path} belongs to another user (uid {facts.st_uid})", "make a copy of your own, mode 0600"
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{name}: {path} can be written by other users", f"run: chmod 600 {word(path)}")
