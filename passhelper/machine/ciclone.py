"""The store of a runner: cloned from the team's, made new, or one that is there.

What comes out of a clone is data. Its recipients are pinned only as far as somebody outside the clone
vouches for them; with nobody, the runner reads and does not write. What it writes stays in the clone.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from passhelper.errors import ConfigurationError, GitError, StoreError, TrustError
from passhelper.machine import newstore
from passhelper.protocol import printable
from passhelper.store import diagnose, recipients, repository, trust
from passhelper.store.child import Child, finish, start
from passhelper.store.repository import Repository
from passhelper.team.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.keys import Key

URL = "PASSHELPER_STORE_URL"
COMMIT = "PASSHELPER_STORE_COMMIT"
MADE = ".passhelper-ci-store"  # in a store without git
_MADE_IN_GIT = "made-by-setup-ci"  # in <git dir>/passhelper
_SECONDS = 600.0  # for the clone
_QUICK = 30.0  # for any other git
_FETCH = ("transfer.fsckObjects=true", "protocol.ext.allow=never")


def is_made(root: str) -> bool:
    """Tell whether ``setup --ci`` made a store."""
    place = repository.find(root, "")
    mark = os.path.join(root, MADE) if place is None else os.path.join(place.state, _MADE_IN_GIT)
    return os.path.isfile(mark) and not os.path.islink(mark)


def clone(store: PassStore, url: str, commit: str) -> Repository:
    """Clone the team's store.

    Args:
        store: where to; the directory is missing or empty.
        url: what git understands; a password in it reaches git through a pipe.
        commit: an id that has to be part of the history, empty for any history.

    Raises:
        GitError: git cannot clone it.
        TrustError: the history lacks the commit.
        ConfigurationError: the directory is in use, or the commit is no full id.
    """
    if commit and not (len(commit) in (40, 64) and set(commit.lower()) <= set("0123456789abcdef")):
        raise ConfigurationError(f"{COMMIT} is not a full commit id: {printable(commit)!r}", "set it to 40 hex digits")
    if os.path.isdir(store.root) and os.listdir(store.root):
        raise ConfigurationError(
            f"PASSWORD_STORE_DIR ({store.root}) is not empty, so nothing is cloned into it", "unset PASSWORD_STORE_DIR"
        )
    files = store.files()
    files.make_directory(store.root)
    place = Repository(store.root, os.path.join(store.root, ".git"))
    git = _Git(place, store)
    bare = url if "://" in url or not os.path.exists(url) else os.path.abspath(url)
    with _password_pipe(bare) as (clean, helper):
        # Checked out only when no attribute of the tree has a say over what git writes. Not a copy of
        # a local remote's files either: hard links would let an overwritten object reach it.
        options = ["--quiet", "--no-checkout", "--no-tags", "--template=", "--no-hardlinks"]
        argv = [*helper, "clone", *options, "--config", "passhelper.ci=true", "--", clean, "."]
        git.run(argv, f"git cannot clone {printable(clean)}", _SECONDS)
    files.make_directory(place.state)
    place.prepare(files)
    head = git.ask(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
    if head.returncode != 0:
        raise StoreError(f"the store at {printable(clean)} has no commit", "push a store to it first")
    if commit and git.ask(["merge-base", "--is-ancestor", commit, "HEAD"]).returncode != 0:
        raise TrustError(
            f"the store at {printable(clean)} does not contain commit {commit} ({COMMIT}): its history was "
            "rewritten or rolled back",
            f"find out who did it; only then set {COMMIT} to a newer commit",
        )
    git.run(["reset", "--hard", "--quiet"], "git cannot check out the store", _SECONDS)
    files.replace(os.path.join(place.state, _MADE_IN_GIT), b"", place.state)
    return place


def make(store: PassStore, key: Key) -> None:
    """Make a new store that the runner's key reads."""
    newstore.write_recipients(store, [key])
    with open(os.path.join(store.root, MADE), "x", encoding="utf-8"):
        pass


def check_readable(store: PassStore, key: Key) -> None:
    """Make sure that the runner's key is a recipient of something in the store.

    Raises:
        ConfigurationError: it is not.
    """
    ring = KeyRing(store.gpg)
    lines = {line for keys in trust.current(store.root).values() for line in keys}
    if not lines:
        raise StoreError(f"{store.root} names no recipients: it is no password store", f"check {URL}")
    if not any(found.fingerprint == key.fingerprint for line in lines for found in ring.find(line)):
        raise ConfigurationError(
            f"the key of this runner is no recipient of the store: {key}",
            f"ask a member to run: passhelper recipients add {key.fingerprint}",
        )


def pin(store: PassStore, place: Repository) -> str:
    """Pin the recipients for which ``PASSHELPER_ACCEPT_RECIPIENTS`` or a signature vouches, and no others.

    Returns:
        which are not accepted, empty if all are.
    """
    pins = trust.current(store.root)
    allowed = trust.accepted_by_environment(store.environ.get("PASSHELPER_ACCEPT_RECIPIENTS", ""))
    accepted = {path: keys for path, keys in pins.items() if allowed.issuperset(keys) or _is_signed(store, path)}
    trust.save(place.state, accepted, store.files())
    left = {path: (keys, list[str]()) for path, keys in pins.items() if path not in accepted}
    return trust.describe(left, store.gpg) if left else ""


def _is_signed(store: PassStore, path: str) -> bool:
    """Tell whether a key in ``PASSWORD_STORE_SIGNING_KEY`` has signed a ``.gpg-id``."""
    if not store.environ.get("PASSWORD_STORE_SIGNING_KEY", "").split():
        return False
    text = recipients.read_file(store.root, path)
    try:
        recipients.verify_signature(store.root, recipients.Recipients([], path, text or b""), store.gpg)
    except TrustError:
        return False
    return True


class _Git:
    """Runs git in the clone, with everything off that it could bring along."""

    def __init__(self, place: Repository, store: PassStore) -> None:
        program = repository.program(store.environ)
        self._store = store
        self._command = repository.command(place, program)
        for setting in _FETCH:
            self._command += ["-c", setting]
        self._environ = _without_questions(repository.environment(place, store.environ), program)

    def run(self, arguments: list[str], failure: str, seconds: float) -> None:
        """Run one command that has to work."""
        child = self.ask(arguments, seconds)
        if child.returncode != 0:
            reason = f"no answer within {seconds:g} s" if child.timed_out else printable(diagnose.last_line(child))
            raise GitError(f"{failure}: {reason}", f"check {URL} and that this runner may read it")

    def ask(self, arguments: list[str], seconds: float = _QUICK) -> Child:
        """Run one command."""
        umask = os.umask(self._store.files().umask)
        try:
            child = start([*self._command, *arguments], self._environ)
            finish([child], seconds)
        finally:
            os.umask(umask)
        return child


def _without_questions(environ: dict[str, str], git: str) -> dict[str, str]:
    """Keep ssh from asking on a terminal, with whatever command it is started."""
    command = environ.get("GIT_SSH_COMMAND", "")
    if not command and not environ.get("GIT_SSH"):
        child = start([git, "config", "--global", "--get", "core.sshCommand"], environ)
        finish([child], _QUICK)
        command = child.stdout.decode(errors="surrogateescape").strip() or "ssh"
    return {**environ, "GIT_SSH_COMMAND": f"{command} -oBatchMode=yes"} if command else environ


@contextmanager
def _password_pipe(url: str) -> Iterator[tuple[str, list[str]]]:
    """Take the password out of a URL: in argv every user of the machine would see it, and the clone would keep it.

    Yields:
        the URL without it, and options with which git reads it from a pipe.
    """
    parts = urlsplit(url) if url.startswith(("https://", "http://")) else None
    if parts is None or parts.password is None:
        yield url, []
        return
    host = parts.netloc.rpartition("@")[2]
    clean = parts._replace(netloc=f"{parts.netloc.partition(':')[0]}@{host}").geturl()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    if any(char < " " for char in user + password):
        raise ConfigurationError(f"the user name or password in {URL} has a control character", f"check {URL}")
    reader, writer = os.pipe()
    try:
        with open(writer, "wb") as file:
            file.write(f"username={user}\npassword={password}\n".encode())
        os.set_inheritable(reader, True)  # noqa: FBT003
        script = f'!f() {{ test "$1" = get && cat <&{reader}; }}; f'
        # The empty one puts aside the helpers of the machine, which would keep the password.
        yield clean, ["-c", "credential.helper=", "-c", f"credential.helper={script}"]
    finally:
        os.close(reader)


def source(environ: Mapping[str, str]) -> tuple[str, str]:
    """Read from the environment what to clone, and the commit that it must contain.

    Raises:
        ConfigurationError: a commit without a URL.
    """
    url, commit = environ.get(URL, ""), environ.get(COMMIT, "")
    if commit and not url:
        raise ConfigurationError(f"{COMMIT} is set and {URL} is not, so there is nothing to clone", f"set {URL}")
    return url, commit
