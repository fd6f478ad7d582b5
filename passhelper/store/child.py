"""Child processes for the verb path: what is common to gpg and git, on every system.

Nothing secret goes into argv or the environment: input and passphrases travel through pipes.
:class:`Child` and :func:`finish` come from the module for this system.
"""

import os
import sys

from passhelper.errors import PasshelperError

if sys.platform == "win32":
    from passhelper.store.child_windows import PASSPHRASE, STATUS, Child, finish
else:
    from passhelper.store.child_posix import PASSPHRASE, STATUS, Child, finish

__all__ = ["PASSPHRASE", "STATUS", "Child", "clean_environ", "find_program", "finish", "start"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What children must never inherit: passphrases and secret keys that only passhelper reads.
_PRIVATE = ("PASSHELPER_PASSPHRASE", "PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD",
            "PASSHELPER_GPG_KEY", "PASSHELPER_GPG_KEY_FILE")  # fmt: skip


def clean_environ(environ: "Mapping[str, str]") -> "dict[str, str]":
    """Copy an environment for a child: without secrets, with messages in one language."""
    cleaned = {name: value for name, value in environ.items() if name not in _PRIVATE}
    cleaned["LC_ALL"] = "C"
    cleaned.pop("LANGUAGE", None)
    return cleaned


def find_program(names: "Iterable[str]", environ: "Mapping[str, str]") -> "str | None":
    """Find the first program of several in the absolute directories of PATH.

    Relative entries, the empty one among them, would run what lies in the current directory.
    """
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    suffixes = (".exe", "") if sys.platform == "win32" else ("",)
    for name in names:
        for folder in folders:
            for suffix in suffixes:
                path = os.path.join(folder, name + suffix)
                if os.access(path, os.X_OK) and os.path.isfile(path):
                    return path
    return None


def start(
    argv: "Sequence[str | int]",
    environ: "Mapping[str, str]",
    *,
    stdin: "bytes | int" = b"",
    passphrase: "bytes | None" = None,
    limit: "int | None" = None,
) -> Child:
    """Start a child; see :class:`Child` for the arguments.

    Raises:
        PasshelperError: the system refused to start it.
    """
    try:
        return Child(argv, environ, stdin=stdin, passphrase=passphrase, limit=limit)
    except OSError as error:
        raise PasshelperError(f"cannot start {argv[0]}: {error.strerror}") from error
