"""Find the programs to start and prepare their environment: a safe PATH, and no variable that is only for us.

For every child of ours; :mod:`passhelper.store.child` starts those of the verb path.
"""

import os
import sys

from passhelper.errors import PasshelperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATUS = -1  # in argv: the number of the descriptor that gpg writes its status lines to
PASSPHRASE = -2  # in argv: the number of the descriptor that gpg reads the passphrase from

ROOTLESS = "_CONTAINERS_ROOTLESS_UID"  # podman and buildah set it for what they run as root of a user namespace

MAX_OUTPUT = 4 << 20  # bytes kept of a child's stdout unless the caller says otherwise

# What children must never inherit: passphrases, secret keys and a URL that may hold a password; only passhelper
# reads them.
_PRIVATE = ("PASSHELPER_PASSPHRASE", "PASSHELPER_PASSPHRASE_FILE", "PASSHELPER_PASSPHRASE_FD",
            "PASSHELPER_GPG_KEY", "PASSHELPER_GPG_KEY_FILE", "PASSHELPER_STORE_URL")  # fmt: skip


def search_path(environ: "Mapping[str, str]") -> str:
    """Give the PATH of all that we start: its absolute directories that are there.

    Relative entries, the empty one among them, would run what lies in the current directory: git works in the store,
    and whoever can push decides what lies there.
    """
    # An empty PATH would mean the current directory, too.
    return os.pathsep.join(filter(os.path.isdir, _absolute(environ))) or os.devnull


def _absolute(environ: "Mapping[str, str]") -> "list[str]":
    return [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]


def clean_environ(environ: "Mapping[str, str]") -> "dict[str, str]":
    """Copy an environment for a child: without secrets, with messages in one language, with a PATH that is safe."""
    cleaned = {name: value for name, value in environ.items() if name not in _PRIVATE}
    cleaned["PATH"] = search_path(environ)
    cleaned["LC_ALL"] = "C"
    cleaned.pop("LANGUAGE", None)
    return cleaned


def find_program(names: "Iterable[str]", environ: "Mapping[str, str]") -> "str | None":
    """Find the first program of several in the directories of :func:`search_path`."""
    folders = _absolute(environ)
    suffixes = (".exe", "") if sys.platform == "win32" else ("",)
    for name in names:
        for folder in folders:
            for suffix in suffixes:
                path = os.path.join(folder, name + suffix)
                if _is_program(path):
                    return path
    return None


def _is_program(path: str) -> bool:
    try:
        return os.access(path, os.X_OK) and os.path.isfile(path)
    except ValueError:  # somebody's configuration names what no file can be called
        return False


def collect(process: int) -> "int | None":
    """Collect the exit status of a child of ours. Not on Windows, where subprocess does it.

    Args:
        process: its number; it has not been collected.

    Returns:
        the status (negative: the signal that ended it), None while it runs.

    Raises:
        PasshelperError: somebody else has collected it.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        pid, status = os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        raise PasshelperError(
            "how a program has ended cannot be told: this process ignores SIGCHLD, or collects children "
            "that it has not started",
            "set SIGCHLD to its default before using passhelper",
        ) from None
    return os.waitstatus_to_exitcode(status) if pid else None
