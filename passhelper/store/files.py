"""Replace files so that each is always the old one or the new one, never half of one.

A write goes to a temporary file on the same file system, is forced to the disk, takes the place of
the old file in one step (``os.replace``), and the directory is forced to the disk too. Modes come from
``PASSWORD_STORE_UMASK`` (077 as in pass(1)), whatever the caller's umask says.
"""

import errno
import os
import stat
import sys

from passhelper.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRIES = 10  # at something in a directory that git, or ``pass rm``, removes whenever it is empty
_MANY = 16  # files, from which on it is faster to force the whole file system to the disk
TEMPORARY = ".passhelper-"  # not ending in .gpg: other readers of the store skip such files


def make_private(path: str) -> None:
    """Make a directory and its missing parents, each for this user alone: ``os.makedirs`` leaves parents to the umask.

    Raises:
        ConfigurationError: it would be in a runner's directory that is gone.
        OSError: it cannot be made.
    """
    for folder in reversed(_missing(path)):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:  # somebody else has made it since
            if not os.path.isdir(folder):
                raise


def _missing(path: str) -> "list[str]":
    """Name a directory and its parents as far as they are not there, innermost first; see :func:`refuse_gone`."""
    missing = []
    while path and not os.path.isdir(path):  # a relative one ends in nothing: the current directory
        missing.append(path)
        above = os.path.dirname(path)
        if above == path:  # a drive that is not there
            break
        path = above
    if missing:
        refuse_gone(missing[0])
    return missing


def refuse_gone(path: str) -> None:
    """Refuse to make something in the directory of ``setup --ci`` once ``teardown`` has removed that.

    Without the mark of `setup --ci` no teardown and no later set-up would remove it again.

    Raises:
        ConfigurationError: it would be there.
    """
    gone = os.environ.get("PASSHELPER_CI_DIR", "")
    if gone and (path == gone or path.startswith(gone + os.sep)) and not os.path.isdir(gone):
        raise ConfigurationError(
            f"{gone} of setup --ci is gone, and nothing is made there without it",
            "run: unset PASSHELPER_CI_DIR GNUPGHOME DOCKER_CONFIG REGISTRY_AUTH_FILE PASSWORD_STORE_DIR",
        )


class Files:
    """Writes with the store's modes.

    Args:
        environ: where ``PASSWORD_STORE_UMASK`` comes from.
    """

    def __init__(self, environ: "Mapping[str, str]") -> None:
        text = environ.get("PASSWORD_STORE_UMASK", "") or "077"
        try:
            self.umask = int(text, 8)
        except ValueError:
            self.umask = -1
        if not 0 <= self.umask <= 0o777:
            raise ConfigurationError(f"PASSWORD_STORE_UMASK is not an octal mode: {text!r}", "set it to 077")

    def make_directory(self, path: str) -> "list[str]":
        """Make a directory and its missing parents.

        Returns:
            the directories that were made, outermost first, for undoing.
        """
        missing = _missing(path)
        made: list[str] = []
        try:
            for folder in reversed(missing):
                try:
                    os.mkdir(folder)
                except FileExistsError:  # somebody else has made it since
                    if not os.path.isdir(folder):
                        raise
                    continue
                made.append(folder)
                # Its own mode, and the bit that says "what is made here belongs to my group".
                inherited = os.stat(folder).st_mode & stat.S_ISGID
                _set_mode(folder, 0o777 & ~self.umask | inherited)
        except BaseException:
            self.remove_directories(made)
            raise
        return made

    def remove_directories(self, paths: "list[str]") -> None:
        """Remove directories that :meth:`make_directory` made, as far as they are empty."""
        for path in reversed(paths):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                continue
            except OSError:
                return

    def put(self, path: str, data: bytes, temporary_folder: str, *, durable: bool = True) -> "list[str]":
        """Write a file in one step as :meth:`replace` does, and make its directory if there is none.

        Returns:
            the directories that were made, outermost first, for undoing.
        """
        return self._inside(os.path.dirname(path), lambda: self.replace(path, data, temporary_folder, durable=durable))

    def _inside(self, folder: str, act: "Callable[..., object]", *arguments: str) -> "list[str]":
        """Make a directory and do something in it; again if somebody has removed it in between, for it was empty."""
        for left in reversed(range(_TRIES)):
            made: list[str] = []
            try:
                made = self.make_directory(folder)
                act(*arguments)
                return made
            except FileNotFoundError:
                self.remove_directories(made)
                if not left:
                    raise
            except BaseException:
                self.remove_directories(made)
                raise
        raise AssertionError  # pragma: no cover

    def replace(self, path: str, data: bytes, temporary_folder: str, *, durable: bool = True) -> None:
        """Write a file in one step; the caller holds the store's lock.

        Args:
            path: where the file goes; its directory exists.
            data: its content.
            temporary_folder: where the temporary file goes first; on another file system than
                ``path``, the file's own directory's parent is used.
            durable: whether the file must survive a power failure, not only the end of this process.
        """
        temporary = os.path.join(temporary_folder, f"{TEMPORARY}{os.getpid()}")
        try:
            self._write(temporary, data, durable=durable)
            _move(temporary, path)
        except OSError as error:
            _remove(temporary)
            beside = os.path.dirname(os.path.dirname(path))
            if error.errno not in (errno.EXDEV, errno.EPERM) or beside == temporary_folder:
                raise
            self.replace(path, data, beside, durable=durable)
            return
        except BaseException:
            _remove(temporary)
            raise
        if durable:
            sync_directory(os.path.dirname(path))

    def replace_many(self, contents: "Sequence[tuple[str, bytes]]", temporary_folder: str) -> None:
        """Write many files, each in one step; the caller holds the store's lock.

        All are forced to the disk at once before the first takes its place, and their directories at once after the
        last: a thousand times apart takes ten times as long.

        Args:
            contents: where each file goes, and what it will hold; missing directories are made.
            temporary_folder: where the temporary files go first.
        """
        if len(contents) < _MANY:
            for path, data in contents:
                self.put(path, data, temporary_folder)
            return
        begin = os.path.join(temporary_folder, f"{TEMPORARY}{os.getpid()}-")
        for number, (_, data) in enumerate(contents):
            self._write(f"{begin}{number}", data, durable=False)
        sync_file_system(temporary_folder)
        for number, (path, data) in enumerate(contents):
            try:
                self._inside(os.path.dirname(path), _move, f"{begin}{number}", path)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM):
                    raise
                _remove(f"{begin}{number}")
                self.put(path, data, temporary_folder)
        sync_file_system(os.path.dirname(contents[0][0]))

    def _write(self, path: str, data: bytes, *, durable: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        _remove(path)
        descriptor = os.open(path, flags, 0o600)
        try:
            if sys.platform != "win32":
                _set_mode(descriptor, 0o666 & ~self.umask)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sweep(self, folder: str) -> bool:
        """Remove what a killed writer left in a folder; the caller holds the store's lock.

        Returns:
            whether there was anything.
        """
        found = False
        try:
            names = os.listdir(folder)
        except OSError:
            return False
        for name in names:
            if name.startswith(TEMPORARY):
                try:
                    os.unlink(os.path.join(folder, name))
                except OSError:
                    continue  # a directory, which no writer of ours makes: somebody's own
                found = True
        return found

    def mark(self, folder: str) -> str:
        """Leave a sign that a change of several steps has begun; :meth:`sweep` finds it after a kill.

        Returns:
            the file to remove when the change is complete.
        """
        path = os.path.join(folder, f"{TEMPORARY}{os.getpid()}-begun")
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._inside(folder, lambda: os.close(os.open(path, flags, 0o600)))
        return path


def _set_mode(path: "str | int", mode: int) -> None:
    """Set a mode, where the disk has any: FAT and exFAT take what their mount says, and may refuse the question."""
    try:
        os.chmod(path, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise


def _move(temporary: str, path: str) -> None:
    """Let a file take its place, with the group that it would have if it were made there (the setgid bit).

    Raises:
        OSError: we are not in that group (EPERM), though the system would give it to a file made there.
    """
    if sys.platform != "win32":
        folder = os.stat(os.path.dirname(path))
        if folder.st_mode & stat.S_ISGID and os.stat(temporary).st_gid != folder.st_gid:
            os.chown(temporary, -1, folder.st_gid)
    os.replace(temporary, path)


def remove_empty(folder: str, top: str) -> str:
    """Remove a directory that is empty, and those above it that become so, up to another one.

    Returns:
        the first directory that stays.
    """
    while folder.startswith(top + os.sep):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass  # it went with a folder inside it
        except OSError:
            break  # not empty: a .gpg-id, a file that is not ours
        folder = os.path.dirname(folder)
    return folder


def remove_hollow(path: str) -> bool:
    """Remove a directory in which no file is; return whether it is gone. Empty directories in another one go too."""
    try:
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def sync_directory(path: str) -> None:
    """Force a directory's names to the disk, where the system can.

    The change is made and whole by now, and every reader sees it. That a power cut in the next seconds
    could undo it is no reason to call it failed.
    """
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return  # too many open files, too
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def sync_file_system(folder: str) -> None:
    """Force all that was written to a directory's file system to the disk, where the system can."""
    try:
        import ctypes  # only for a change of many files

        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (ImportError, AttributeError, OSError, TypeError):
        if hasattr(os, "sync"):  # not on Windows; not only this file system
            os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
