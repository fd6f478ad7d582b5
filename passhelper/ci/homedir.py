"""The private directory that ``setup --ci`` makes, and its removal.

It holds the runner's secret key, so it lies in memory if the machine has a file system there. Its path is short
enough for the agent's sockets. A mark inside says who made it; ``teardown`` touches nothing without one.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError
from passhelper.machine import wipe
from passhelper.store.gpghome import MAX_SOCKET_PATH
from passhelper.store.helper import PROGRAM

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VARIABLE = "PASSHELPER_CI_DIR"
MARK = ".passhelper-ci"
_PREFIX = "passhelper-ci-"
_RANDOM = 8  # characters that tempfile appends
_LONGEST_SOCKET = "S.gpg-agent.browser"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a directory of our own is made in it, with a random name
_ROOM = 4 << 20  # bytes that a keyring, its agent's files and Docker's configuration take; a store is on top of it
_SHORT = ("/tmp", "/var/tmp")  # noqa: S108 - as above
_VERSION = 1
_RIGHTS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@dataclass
class Home:
    """One runner's directory.

    Attributes:
        path: the directory itself, mode 0700.
        bin: where ``docker-credential-pass`` goes; elsewhere if no program may run in ``path``.
        store: the password store that the runner uses.
        made_store: whether ``setup --ci`` made that store.
        agent: the process id of its gpg-agent, 0 before there is one.
        is_complete: whether set-up has come to its end; from then on only ``teardown`` removes it.
    """

    path: str
    bin: str
    store: str = ""
    made_store: bool = False
    agent: int = 0
    is_complete: bool = True

    @property
    def gnupg(self) -> str:
        """Its ``GNUPGHOME``."""
        return os.path.join(self.path, "gnupg")

    @property
    def docker(self) -> str:
        """Its ``DOCKER_CONFIG``."""
        return os.path.join(self.path, "docker")

    @property
    def auth_file(self) -> str:
        """Its ``REGISTRY_AUTH_FILE``."""
        return os.path.join(self.path, "auth.json")

    def save(self) -> None:
        """Write the mark: what belongs to this runner and has to be removed with it."""
        text = json.dumps({"version": _VERSION, **asdict(self)})
        temporary = os.path.join(self.path, MARK + ".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.replace(temporary, os.path.join(self.path, MARK))

    def erase(self) -> None:
        """Overwrite what may be secret and remove everything, the mark last: an interrupted run can be repeated."""
        # Not the store: it holds ciphertext, and git may share the inodes of its objects.
        for folder in (self.gnupg, self.docker):
            wipe.overwrite_below(folder)
        wipe.overwrite(self.auth_file)
        for name in os.listdir(self.path):
            if name != MARK:
                wipe.remove(os.path.join(self.path, name))
        if os.path.dirname(self.bin) != self.path:
            _remove_bin(self.bin)
        wipe.remove(os.path.join(self.path, MARK))
        os.rmdir(self.path)


@contextmanager
def create(environ: Mapping[str, str], warn: Callable[[str], None]) -> Iterator[Home]:
    """Make the directory, with its mark.

    While the caller sets it up a lock is held on it; a directory that is neither locked nor complete was
    left by a set-up that was killed. See :func:`abandoned`.

    Raises:
        ConfigurationError: no place is suitable.
    """
    home, lock = _create(environ, warn)
    try:
        yield home
    finally:
        os.close(lock)


def _create(environ: Mapping[str, str], warn: Callable[[str], None]) -> tuple[Home, int]:
    """Make the directory; give it, and the descriptor that holds its lock."""
    if sys.platform == "win32":
        raise ConfigurationError("setup --ci does not work on Windows", "run: passhelper setup")
    for base, is_memory in _bases(environ):
        if not _has_room(base):
            continue
        try:
            path = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
        except OSError:
            continue  # full, read-only: the next one
        lock = os.open(path, os.O_RDONLY)
        try:
            _try_lock(lock)  # before the mark is there, which makes it ours to sweep
            folder = os.path.join(path, "bin") if _may_run(path) else _bin_elsewhere(environ)
            home = Home(path, folder, is_complete=False)
            home.save()
            os.mkdir(home.gnupg, 0o700)
            os.mkdir(home.docker, 0o700)
        except BaseException:
            os.close(lock)
            shutil.rmtree(path, ignore_errors=True)
            raise
        if not is_memory:
            warn(f"neither XDG_RUNTIME_DIR nor {_SHARED_MEMORY} can be used, so the key lies on disk: {path}")
        return home, lock
    raise ConfigurationError(
        "no private directory can be made for the key: XDG_RUNTIME_DIR, "
        f"{_SHARED_MEMORY}, the temp directory and {_SHORT[0]} are missing, full, read-only, too long or other users'",
        "set XDG_RUNTIME_DIR to a directory of your own with a short path",
    )


@contextmanager
def abandoned(environ: Mapping[str, str]) -> Iterator[list[Home]]:
    """Find the directories of set-ups that were killed, in all places where they may be.

    Each is locked until the caller is done, so that no other process removes it at the same time. If the file
    system has no locks, a directory is left alone, since its set-up may still run.
    """
    found, locks = [], []
    try:
        for home in (home for base, _ in _bases(environ) for home in _incomplete_in(base)):
            try:
                lock = os.open(home.path, os.O_RDONLY | _NO_LINK)
            except OSError:
                continue  # its own set-up has just removed it
            locks.append(lock)
            # Once more under the lock: it may have come to its end meanwhile.
            if _try_lock(lock) and _load_incomplete(home.path) is not None:
                found.append(home)
        yield found
    finally:
        for lock in locks:
            os.close(lock)


def _incomplete_in(base: str) -> list[Home]:
    try:
        names = [name for name in os.listdir(base) if name.startswith(_PREFIX)]
    except OSError:
        return []
    return [home for name in names if (home := _load_incomplete(os.path.join(base, name))) is not None]


def _load_incomplete(path: str) -> Home | None:
    try:
        home = load(path)
    except ConfigurationError:
        return None  # another user's, or not ours at all
    return None if home is None or home.is_complete else home


def _try_lock(descriptor: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
    return False


def load(path: str) -> Home | None:
    """Find the directory that ``setup --ci`` made; None if it is gone.

    Raises:
        ConfigurationError: it is something else.
    """
    refusal = ConfigurationError(
        f"{path} was not made by passhelper setup --ci for this user, so it is left as it is", f"unset {VARIABLE}"
    )
    if not os.path.isabs(path):
        raise refusal
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return None
    # Not the setgid bit, which a directory has from the one that it was made in.
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != _user() or facts.st_mode & _RIGHTS != stat.S_IRWXU:
        raise refusal
    try:
        with open(os.open(os.path.join(path, MARK), os.O_RDONLY | _NO_LINK), encoding="utf-8") as file:
            found = json.load(file)
        if found.pop("version") != _VERSION or found["path"] != path:
            raise refusal
        return Home(**found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refusal from None


def _user() -> int:
    if sys.platform == "win32":
        return 0  # as os.stat has it there
    return os.geteuid()


def _bases(environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """List the places to try, each with whether it is in memory."""
    candidates = [(environ.get("XDG_RUNTIME_DIR", ""), True), (_SHARED_MEMORY, True)]
    candidates += [(path, False) for path in _temporary(environ)]
    for base, is_memory in candidates:
        if os.path.isabs(base) and _is_safe(base, private=base == environ.get("XDG_RUNTIME_DIR")):
            real = os.path.realpath(base)
            longest = os.path.join(real, _PREFIX + "x" * _RANDOM, "gnupg", _LONGEST_SOCKET)
            if len(os.fsencode(longest)) <= MAX_SOCKET_PATH:
                yield real, is_memory


def _temporary(environ: Mapping[str, str]) -> list[str]:
    return [environ.get("RUNNER_TEMP", ""), environ.get("TMPDIR", ""), *_SHORT]


def _is_safe(base: str, *, private: bool) -> bool:
    """Return whether no other user can remove what is made in a directory."""
    try:
        facts = os.stat(base)
    except OSError:
        return False
    owners = (_user(),) if private else (0, _user())
    writable = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    is_shared_badly = writable and not facts.st_mode & stat.S_ISVTX
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid in owners and not is_shared_badly


def _has_room(base: str) -> bool:
    """Return whether a file system has space left, since a full one would leave half a set-up behind."""
    if sys.platform == "win32":
        return True
    facts = os.statvfs(base)
    return facts.f_bavail * facts.f_frsize >= _ROOM and (facts.f_files == 0 or facts.f_favail > 0)


def _may_run(path: str) -> bool:
    """Return whether programs may run in a directory; Docker mounts a container's ``/dev/shm`` so that none may."""
    if sys.platform == "win32":
        return True
    return not os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0)


def _bin_elsewhere(environ: Mapping[str, str]) -> str:
    for base in _temporary(environ):
        if os.path.isabs(base) and _is_safe(base, private=False) and _may_run(base):
            try:
                return tempfile.mkdtemp(prefix=f"{_PREFIX}bin-", dir=base)
            except OSError:
                continue
    raise ConfigurationError(
        f"no temp directory lets programs run, so there is no place for {PROGRAM}",
        "set TMPDIR to a directory that is not mounted noexec",
    )


def _remove_bin(folder: str) -> None:
    """Remove a directory of :func:`_bin_elsewhere`; it holds one file."""
    if os.path.basename(folder).startswith(f"{_PREFIX}bin-") and not os.path.islink(folder):
        wipe.remove(os.path.join(folder, PROGRAM))
        try:
            os.rmdir(folder)
        except OSError:
            pass  # gone already, or somebody has put a file of his own there
