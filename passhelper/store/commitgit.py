"""Run git for one commit: with a time limit, with retries while somebody else holds a lock, and with clear errors."""

import os
import time

from passhelper.errors import GitError, PasshelperError, printable
from passhelper.store import repository as git
from passhelper.store.child import Child, finish
from passhelper.store.terminal import can_prompt, gpg_tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passhelper.settings import Deadline
    from passhelper.store.files import Files
    from passhelper.store.repository import Repository

_LASTING = (
    10.0  # seconds that a lock is old that will not go in the next few: a person's editor, or a kill, has left it
)
SHORT = 1.0  # seconds for which such a lock is waited for all the same
_SIGNER = "gpg-without-prompt"


class CommitGit:
    """git in one repository, as a commit needs it.

    Args:
        repository: where.
        environ: the caller's environment.
        files: writes with the store's modes.
        deadline: of what the commit is a part of.

    Attributes:
        seconds: how long one commit may take, waiting for somebody's ``index.lock`` included.
        program: git; empty where it could not be started.
        trouble: why not.
        child_environ: the environment of each git.
    """

    def __init__(
        self,
        repository: "Repository",
        environ: "Mapping[str, str]",
        files: "Files",
        deadline: "Deadline",
        seconds: float,
    ) -> None:
        self._repository = repository
        self._environ = environ
        self._files = files
        self._deadline = deadline
        self.seconds = seconds
        self._settings: Child | None = None
        self.child_environ = git.environment(repository, environ)
        self.program = ""
        self.trouble: PasshelperError | None = None

    def begin(self) -> None:
        """Ask git for its settings, which it tells while files are written."""
        if self._settings is not None:
            return
        try:
            self.program = git.program(self._environ)
            command = [self.program, "-C", self._repository.root, "config", "--null", "--list"]
            self._settings = git.start(command, self.child_environ)
        except PasshelperError as error:
            self.trouble = error

    def end(self) -> float:
        """Return when a commit that begins now must have ended."""
        return time.monotonic() + self._deadline.left(self.seconds)

    def close(self) -> None:
        """Collect the question to git, if nothing was committed."""
        if self._settings is not None:
            self._settings.kill()

    def read_settings(self, end: float) -> "dict[str, str]":
        """Collect the answer of ``git config --list``."""
        child = self._settings
        if child is None:
            return {}
        finish([child], end - time.monotonic())
        if child.returncode != 0:
            raise self.failure(child)
        return git.parse_settings(child.stdout.decode(errors="replace"))

    def open_to_hooks(self, settings: "Mapping[str, str]") -> None:
        """Let what the user's hooks start reach a remote, as git itself would; no other git of a commit needs one."""
        self.child_environ["GIT_ALLOW_PROTOCOL"] = git.transports(self._environ, settings)

    def run(self, argv: "list[str]", stdin: bytes, end: float, environ: "Mapping[str, str] | None" = None) -> bytes:
        """Run git; again and again while somebody else holds the index or a ref. Gives what it printed."""
        pause, locked = 0.02, None
        while True:
            child = git.start(argv, {**self.child_environ, **(environ or {})}, stdin=stdin)
            finish([child], max(end - time.monotonic(), 0.001))
            if child.returncode == 0:
                return bytes(child.stdout)
            lock = "" if child.timed_out else self._lock_in_the_way(child)
            if child.timed_out and locked is not None:  # too little time was left to try once more
                child = locked
            if not lock or time.monotonic() + pause >= end:
                raise self.failure(child)
            if locked is None and _is_lasting(lock):
                end = min(end, time.monotonic() + SHORT)
            locked = child
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def failure(self, child: Child) -> GitError:
        """Say why a git has failed."""
        text = child.stderr.decode(errors="replace")
        root = self._repository.root
        if "tell me who you are" in text or "auto-detection is disabled" in text or "empty ident" in text:
            return NoIdentityError("git knows no user.name and user.email")
        if "did not match any file" in text or (child.returncode == 1 and not text.strip()):
            return NothingToCommitError(f"git found nothing to commit in {root}")
        path = self._lock_in_the_way(child)
        if path:
            return GitError(f"another git is at work in {root}", f"run: passhelper doctor, should {path} stay")
        if "failed to sign" in text or "gpg failed" in text:
            return GitError(f"git could not sign the commit in {root}", "run: passhelper unlock")
        from passhelper.store import gitwords  # only for a failure

        return gitwords.failure(root, "", child, self._deadline.most(self.seconds))

    def _lock_in_the_way(self, child: Child) -> str:
        """Read from git's complaint which lock file is held by another git; empty if it is about something else."""
        from passhelper.store import gitwords  # only for a failure

        return gitwords.lock_in_the_way(self._repository, child.stderr)

    def head(self, begin: "list[str]", end: float) -> str:
        """Ask git for the current commit; empty before the first one."""
        child = git.start([*begin, "rev-parse", "--verify", "--quiet", "HEAD"], self.child_environ)
        finish([child], max(end - time.monotonic(), 0.001))
        if child.timed_out or child.returncode not in (0, 1):  # 1: no commit yet
            raise self.failure(child)
        return child.stdout.decode().strip()

    def add(self, begin: "list[str]", paths: "list[str]", end: float) -> None:
        """Tell git's index of new files, and of those that are gone, be it for a folder whose files are new."""
        full = {path: os.path.join(self._repository.root, path) for path in paths}
        paths = [path for path in paths if os.path.islink(full[path]) or not os.path.isdir(full[path])]
        self.run([*begin, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"], git.lines(paths), end)

    def changed(self, begin: "list[str]", paths: "list[str]", end: float) -> "list[str]":
        """Ask git which of some paths differ from the last commit."""
        status = self.run([*begin, *git.STATUS, "--untracked-files=no"], b"", end)
        found = {path.replace("/", os.sep) for path in git.changed_paths(status)}
        return [path for path in paths if path in found]

    def take_into_index(self, begin: "list[str]", paths: "list[str]", commit: str, end: float) -> None:
        """Let the index have some paths as a commit has them."""
        reset = ["reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul", commit]
        self.run([*begin, *reset], git.lines(paths), end)

    def may_have_identity(self, settings: "Mapping[str, str]") -> bool:
        """Return whether git may know a name to commit with; asking git for certain would cost a process."""
        return any(name.startswith(("user.", "author.", "committer.")) for name in settings) or any(
            name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) or name == "EMAIL" for name in self.child_environ
        )

    def signing(self, settings: "dict[str, str]", commit: "list[str]") -> "list[str]":
        """Sign if the user's settings say so, with a gpg that fails instead of waiting for an answer."""
        if is_on(settings, "pass.signcommits"):
            commit.append("--gpg-sign")
        elif not is_on(settings, "commit.gpgsign"):
            return []
        terminal = gpg_tty(self._environ)
        if terminal:
            self.child_environ["GPG_TTY"] = terminal
        if can_prompt(self._environ) or settings.get("gpg.format", "openpgp") != "openpgp":
            return []
        signer = settings.get("gpg.openpgp.program") or settings.get("gpg.program") or "gpg"
        from passhelper.shellwords import quoted  # only to sign

        script = f'#!/bin/sh\nexec {quoted(signer)} --pinentry-mode error "$@"\n'
        path = os.path.join(self._repository.state, _SIGNER)
        if not _is_script(path, script):
            self._files.make_directory(self._repository.state)
            self._files.replace(path, script.encode(), self._repository.state)
            os.chmod(path, 0o777 & ~self._files.umask)
        return ["-c", f"gpg.program={path}", "-c", f"gpg.openpgp.program={path}"]


class NothingToCommitError(GitError):
    """At least one path is not known to git, or nothing differs from the last commit."""


class NoIdentityError(GitError):
    """git has no name to commit with; passhelper then commits under its own."""


def _is_script(path: str, text: str) -> bool:
    """Return whether a file is this script already, so that another process that runs it is not disturbed."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _is_lasting(path: str) -> bool:
    """Return whether a lock is too old for a git at work. It stays, since nobody can tell whose it is."""
    try:
        return time.time() - os.stat(path).st_mtime >= _LASTING
    except OSError:
        return False


def is_on(settings: "Mapping[str, str]", name: str) -> bool:
    """Return whether git's settings switch something on."""
    return settings.get(name, "").lower() in git.TRUE


def in_words(settings: "Mapping[str, str]", subject: str, others: "Sequence[str]") -> str:
    """Write the message of a commit, without names where the settings want none.

    Args:
        settings: what git is configured to.
        subject: what it does, and what else it is to say.
        others: the messages of commits that could not be made before, and are a part of it.
    """
    if is_on(settings, "passhelper.neutralcommits"):
        return "Update credential" + "".join(subject.partition("\n")[1:])
    if not others:
        return subject
    listed = "".join(f"- {other.partition(chr(10))[0]}\n" for other in others)
    return f"{subject}\n\nWith what had waited for its commit:\n\n{listed}"


def with_trailer(settings: "Mapping[str, str]", message: str) -> str:
    """Add the trailer that the settings want below every message, such as a ``Signed-off-by`` that a server demands.

    Raises:
        GitError: what the settings say is not a trailer (git-interpret-trailers(1)).
    """
    trailer = settings.get("passhelper.trailer", "").strip()
    if not trailer:
        return message
    if not (_is_trailer(trailer) and trailer.isprintable()):
        raise GitError(
            f"git config passhelper.trailer is not a trailer: {printable(trailer)}",
            "set it to one line, such as Signed-off-by: NAME <ADDRESS>",
        )
    text = message.rstrip("\n")
    is_below_another = "\n\n" in text and _is_trailer(text.rpartition("\n")[2])
    return f"{text}\n{trailer}\n" if is_below_another else f"{text}\n\n{trailer}\n"


def _is_trailer(line: str) -> bool:
    name, _, value = line.partition(": ")
    return name.isascii() and name.replace("-", "").isalnum() and bool(value.strip())
