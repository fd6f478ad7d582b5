"""Clone a shared store: no questions, no password in argv, and no code of the clone runs.

What is cloned is data. It is checked out only if no attribute of the tree changes what git writes. The caller decides
whether its recipients are accepted.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from passhelper import shellwords
from passhelper.errors import ConfigurationError, GitError, RemoteError, StoreError, TrustError, printable
from passhelper.store import gitwords, repository, treepolicy, trust, unfinished
from passhelper.store.child import Child, finish
from passhelper.store.files import Files
from passhelper.store.repository import Repository
from passhelper.team.git import gitrepo, objects, remoteurl
from passhelper.team.recipients import recipientlists
from passhelper.team.sync import apply, freshness, incoming, incomingtree
from passhelper.team.sync.freshness import Demands

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from passhelper.store.store import PassStore

COMMIT = "PASSHELPER_STORE_COMMIT"
_BRANCH = "main"  # what a store that passhelper makes calls it
_SECONDS = 600.0  # for what moves a whole store
_QUICK = 30.0  # for any other git
_SAFE = ("transfer.fsckObjects=true",)


class RemoteGit:
    """git in one repository, for commands that may talk to a remote.

    Args:
        place: the repository; it need not exist yet.
        store: whose modes and environment count.
        remedy: what a person should look at when the remote does not answer.
    """

    def __init__(self, place: Repository, store: PassStore, remedy: str) -> None:
        self._place = place
        self.root = place.root
        self._program = repository.program(store.environ)
        self._remedy = remedy
        self._umask = Files(store.environ).umask
        self._command = repository.command(place, self._program)
        for setting in _SAFE:
            self._command += ["-c", setting]
        self._given = store.environ
        self._environ = repository.environment(place, store.environ)

    def run(self, arguments: Sequence[str], failure: str, *, remote: bool = False, keep: Sequence[int] = ()) -> str:
        """Run one command that has to work.

        Args:
            arguments: the command and its arguments.
            failure: what has failed if it does.
            remote: whether it talks to the remote; it then has ten minutes.
            keep: descriptors that it gets besides.

        Raises:
            RemoteError: a command that talks to the remote failed.
            TrustError: the remote sends objects that git's own checks refuse.
            GitError: another did.
        """
        seconds = _SECONDS if remote else _QUICK
        child = self._start(arguments, seconds, self._silenced if remote else self._environ, keep)
        if child.returncode != 0:
            reason, remedy = gitwords.reason(child.stderr, child.returncode), self._remedy
            if child.timed_out:
                reason = f"no answer within {seconds:g} s"
            elif remote:
                objects.refuse_malformed(child)
                remedy = gitwords.remedy(child.stderr, remedy)
            if remote:
                raise RemoteError(f"{failure}: {reason}", remedy)
            raise GitError(f"{failure}: {reason}")
        return bytes(child.stdout).decode(errors="surrogateescape").strip()

    def ask(self, arguments: Sequence[str], seconds: float = _QUICK) -> Child:
        """Run one command that does not talk to the remote, and whose failure is an answer too."""
        return self._start(arguments, seconds, self._environ)

    def answer(self, arguments: Sequence[str], no: Collection[int] = (1,)) -> bool:
        """Run one command that says yes with exit status 0, and no with another.

        Raises:
            GitError: it says neither.
        """
        child = self.ask(arguments)
        if child.timed_out or child.returncode not in (0, *no):
            raise gitwords.failure(self._place.root, arguments[0], child, _QUICK)
        return child.returncode == 0

    @cached_property
    def _silenced(self) -> Mapping[str, str]:
        child = self.ask(["config", "--null", "--list"])
        if child.timed_out or child.returncode != 0:
            raise gitwords.failure(self._place.root, "config", child, _QUICK)
        settings = repository.parse_settings(child.stdout.decode(errors="surrogateescape"))
        allowed = {"GIT_ALLOW_PROTOCOL": repository.transports(self._given, settings)}
        return without_questions({**self._environ, **allowed}, settings)

    def _start(
        self, arguments: Sequence[str], seconds: float, environ: Mapping[str, str], keep: Sequence[int] = ()
    ) -> Child:
        umask = os.umask(self._umask)
        try:
            child = repository.start([*self._command, *arguments], environ, keep=keep, group=True)
            finish([child], seconds)
        finally:
            os.umask(umask)
        return child


@dataclass(frozen=True)
class Source:
    """What to clone.

    Attributes:
        url: what git understands; a password or token in it reaches git through a pipe.
        commit: an id that has to be part of the history, empty for any history.
        depth: how many commits of the history to take, 0 for all.
        remedy: what a person should look at when the remote does not answer.
        demands: how new it has to be, and of which store.
    """

    url: str
    commit: str = ""
    depth: int = 0
    remedy: str = "check the URL, and that you may read it"
    demands: Demands = field(default_factory=Demands)


def clone(store: PassStore, source: Source, settings: Sequence[str] = ()) -> Repository:
    """Clone a store; what fails leaves nothing behind.

    Args:
        store: where to; the directory is missing or empty.
        source: what to clone.
        settings: ``name=value``, for the clone's own configuration.

    Raises:
        RemoteError: git cannot clone it.
        StoreError: the remote has no commit.
        TrustError: the history lacks the commit, the tree holds what no store may hold, or it is not what is demanded.
        ConfigurationError: the directory is in use, or the commit is not a full id.
    """
    _check(source)
    if os.path.isdir(store.root) and os.listdir(store.root):
        raise ConfigurationError(
            f"PASSWORD_STORE_DIR ({store.root}) is not empty, so nothing is cloned into it", "unset PASSWORD_STORE_DIR"
        )
    files = Files(store.environ)
    made = files.make_directory(store.root)
    place = Repository(store.root, os.path.join(store.root, ".git"))
    try:
        _fill(store, place, source, settings)
    except BaseException:
        for name in os.listdir(store.root):  # it was empty
            shutil.rmtree(os.path.join(store.root, name), ignore_errors=True)
        files.remove_directories(made)
        raise
    return place


def _fill(store: PassStore, place: Repository, source: Source, settings: Sequence[str]) -> None:
    git, files = RemoteGit(place, store, source.remedy), Files(store.environ)
    # Checked out only when no attribute of the tree has a say over what git writes. Not a copy of
    # a local remote's files either: git would not look at its objects.
    options = ["--quiet", "--no-checkout", "--no-tags", "--template=", "--no-local"]
    # All branches, since a remote's HEAD may name one that nobody has pushed.
    options += [f"--depth={source.depth}", "--no-single-branch"] if source.depth else []
    for setting in settings:
        options += ["--config", setting]
    with password_pipe(absolute(source.url)) as (clean, helper, pipe):
        shown = remoteurl.shown(clean)
        git.run([*helper, "clone", *options, "--", clean, "."], f"git cannot clone {shown}", remote=True, keep=pipe)
    files.make_directory(place.state)
    place.prepare(files, repository.EVERYTHING)
    head = _head(git)
    # The HEAD of a remote may be detached, too: then it is a commit, and no branch that people push to.
    if not head or unfinished.find(place):
        _choose_branch(git, shown)
        head = _head(git)
    # By its id from here on: what was looked at is what is checked out.
    if source.commit and not _descends(git, source.commit, head):
        raise TrustError(
            f"the store at {shown} does not contain commit {source.commit} ({COMMIT}): its history was "
            "rewritten or rolled back",
            f"find out who did it; only then set {COMMIT} to a newer commit",
        )
    with gitrepo.opened(place, store.environ) as opened:
        _check_history(store, opened, head, source.commit)
        freshness.check(store, opened, head, source.demands)
        programs = _programs(opened, head)
    # Nothing is accepted yet: were this process to end here, no later one must take this for a store of its own.
    trust.save_all(place.state, trust.Trust({}, store=source.demands.store), files)
    git.run(["reset", "--hard", "--quiet", head], "git cannot check out the store")
    for path in programs:
        os.chmod(os.path.join(store.root, path), 0o666 & ~files.umask)
    place.prepare(files)  # what is not ours is the user's to filter from now on


def _programs(git: gitrepo.Git, commit: str) -> list[str]:
    """List the files of a commit that could be run; whoever can push decides what they are, so they lose that right."""
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
    found = [os.fsdecode(line.partition(b"\t")[2]) for line in listing if line.startswith(treepolicy.PROGRAM.encode())]
    if found:
        apply.ignore_modes(git)
    return found


def _check_history(store: PassStore, git: gitrepo.Git, head: str, vouched: str) -> None:
    """Refuse what a sync would refuse in a commit that comes in, but for its readers, whom the caller asks about.

    Args:
        store: the store.
        git: its repository, in which nothing is checked out yet.
        head: its commit.
        vouched: a commit that whoever set it up knows; what it comes from is accepted with it. Empty for none.
    """
    incomingtree.check(git, head)
    recipientlists.read(store, git, head)  # each can be read
    try:
        incoming.check_history(git, head, "", trust.Trust({}, vouched.lower()) if vouched else None)
    except TrustError as error:
        raise TrustError(error.cause, f"check this clock; to accept it, set {COMMIT}={head}") from None


def _choose_branch(git: RemoteGit, shown: str) -> None:
    """Take the branch that people push to where the remote's HEAD names none that is there, as a new server's may.

    Raises:
        StoreError: there is none, or more than one that it could be.
    """
    listing = git.run(
        ["for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin"], "git cannot list branches"
    )
    names = [name for name in listing.splitlines() if name != "HEAD"]
    if not names:
        raise StoreError(f"the store at {shown} has no commit", "push a store to it first")
    name = _BRANCH if _BRANCH in names else names[0]
    if len(names) > 1 and name != _BRANCH:
        raise StoreError(
            f"the store at {shown} does not say which of its branches counts: {', '.join(map(printable, names))}",
            "let its HEAD name one, there: git symbolic-ref HEAD refs/heads/NAME",
        )
    git.run(
        ["branch", "--quiet", "--track", "--", name, f"origin/{name}"], f"git cannot make the branch {printable(name)}"
    )
    git.run(["symbolic-ref", "HEAD", f"refs/heads/{name}"], f"git cannot use the branch {printable(name)}")


def _head(git: RemoteGit) -> str:
    """Give the id of the commit that HEAD leads to; empty if it leads to none."""
    arguments = ("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    child = git.ask(arguments)
    if child.timed_out or child.returncode not in (0, 1):
        raise gitwords.failure(git.root, arguments[0], child, _QUICK)
    return child.stdout.decode().strip()


def _descends(git: RemoteGit, commit: str, head: str) -> bool:
    """Return whether the newest commit comes from another one; not if that is not here."""
    is_here = git.answer(["cat-file", "-e", f"{commit}^{{commit}}"], no=(1, 128))
    return is_here and git.answer(["merge-base", "--is-ancestor", commit, head])


def _check(source: Source) -> None:
    """Refuse a commit id that cannot be looked for."""
    commit = source.commit
    if commit and not (len(commit) in (40, 64) and set(commit.lower()) <= set("0123456789abcdef")):
        raise ConfigurationError(f"{COMMIT} is not a full commit id: {printable(commit)!r}", "set it to 40 hex digits")
    if commit and source.depth:
        raise ConfigurationError(
            f"a shallow clone cannot show that it descends from {COMMIT}", f"leave out --depth, or unset {COMMIT}"
        )


def warn_of_the_way(store: PassStore, url: str) -> None:
    """Warn where anybody between here and a remote can read what goes there; git's settings may rewrite its URL."""
    git = RemoteGit(Repository(os.sep, os.path.join(os.sep, ".git")), store, "")
    child = git.ask(["ls-remote", "--get-url", "--", remoteurl.split(absolute(url)).clean])
    told = remoteurl.unencrypted(child.stdout.decode(errors="replace").strip())
    if told:
        store.warn(f"{told}; use https or ssh")


def absolute(url: str) -> str:
    """Give a path as an absolute one, for git works in another directory; a URL as it is."""
    return url if "://" in url or not os.path.exists(url) else os.path.abspath(url)


def without_questions(environ: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Keep ssh from asking on a terminal, with whatever command it is started."""
    command = environ.get("GIT_SSH_COMMAND", "")
    if not command and not environ.get("GIT_SSH"):
        command = settings.get("core.sshcommand", "").strip() or "ssh"
    return {**environ, "GIT_SSH_COMMAND": f"{command} -oBatchMode=yes"} if command else dict(environ)


@contextmanager
def password_pipe(url: str) -> Iterator[tuple[str, list[str], list[int]]]:
    """Take the secret out of a URL: in argv every user of the machine would see it, and the clone would keep it.

    Yields:
        the URL without it, options with which git reads it from a pipe, once, and that pipe for git to keep.
    """
    parts = remoteurl.split(url)
    if parts.secret is None:
        yield parts.clean, [], []
        return
    user, password = parts.secret
    place = urlsplit(parts.clean)
    host = unquote(place.netloc.rpartition("@")[2])
    reader, writer = os.pipe()
    try:
        with open(writer, "wb") as file:
            file.write(f"username={user}\npassword={password}\n".encode())
        os.set_inheritable(reader, True)  # noqa: FBT003
        # git asks for every host that wants a password, a proxy or where a server has sent it among them: compare.
        # By its path: dash, which is sh on Debian, knows no <& with a number of two digits.
        script = (
            '!f() { test "$1" = get || return 0; p= h=; while IFS= read -r l; do case $l in protocol=*) p=${l#*=};; '
            "host=*) h=${l#*=};; esac; done; "
            f'test "$p" = {shellwords.quoted(place.scheme)} && test "$h" = {shellwords.quoted(host)} && '
            f"cat /dev/fd/{reader}; return 0; }}; f"
        )
        # The empty one puts aside the helpers of the machine, which would keep the password.
        yield parts.clean, ["-c", "credential.helper=", "-c", f"credential.helper={script}"], [reader]
    finally:
        os.close(reader)
