"""Clone a shared store: no questions, no password in argv, and no code of the clone runs.

What is cloned is data. It is checked out only if no attribute of the tree changes what git writes. The caller decides
whether its recipients are accepted.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from passhelper import shellwords
from passhelper.errors import ConfigurationError, RemoteError, StoreError, TrustError, printable
from passhelper.store import gitwords, treepolicy, trust, unfinished
from passhelper.store.files import Files
from passhelper.store.repository import EVERYTHING, Repository
from passhelper.team.git import commits, gitrepo, network, objects, remoteurl
from passhelper.team.recipients import recipientlists
from passhelper.team.sync import apply, freshness, incoming, incomingtree
from passhelper.team.sync.freshness import Demands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passhelper.store.store import PassStore

COMMIT = "PASSHELPER_STORE_COMMIT"
_SECONDS = 600.0  # for what moves a whole store


@dataclass(frozen=True)
class Source:
    """What to clone.

    Attributes:
        url: what git understands; a password or token in it reaches git through a pipe.
        commit: an id that has to be part of the history, empty for any history.
        depth: how many commits of the history to take, 0 for all.
        remedy: what a person should look at when the remote does not answer.
        demands: how new it has to be, and which store it has to be.
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
    repository = Repository(store.root, os.path.join(store.root, ".git"))
    try:
        _fill(store, repository, source, settings)
    except BaseException:
        for name in os.listdir(store.root):  # it was empty
            shutil.rmtree(os.path.join(store.root, name), ignore_errors=True)
        files.remove_directories(made)
        raise
    return repository


def _fill(store: PassStore, repository: Repository, source: Source, settings: Sequence[str]) -> None:
    # Checked out only when no attribute of the tree has a say over what git writes. Not a copy of
    # a local remote's files either: git would not look at its objects.
    options = ["--quiet", "--no-checkout", "--no-tags", "--template=", "--no-local", "--origin=origin"]
    # All branches, since a remote's HEAD may name one that nobody has pushed.
    options += [f"--depth={source.depth}", "--no-single-branch"] if source.depth else []
    for setting in settings:
        options += ["--config", setting]
    with gitrepo.opened(repository, store.environ) as git, password_pipe(absolute(source.url)) as (clean, helper, pipe):
        shown = remoteurl.shown(clean)
        told = (f"git cannot clone {shown}", source.remedy)
        talk(git, [*helper, "clone", *options, "--", clean, "."], *told, keep=pipe)
    files = Files(store.environ)
    files.make_directory(repository.state)
    repository.prepare(files, EVERYTHING)
    with gitrepo.opened(repository, store.environ) as git:
        head = _head(git, repository, shown)
        # By its id from here on: what was looked at is what is checked out.
        if source.commit and not commits.is_ancestor(git, source.commit.lower(), head):
            raise TrustError(
                f"the store at {shown} does not contain commit {source.commit} ({COMMIT}): its history was "
                "rewritten or rolled back",
                f"find out who did it; only then set {COMMIT} to a newer commit",
            )
        _check_history(store, git, head, source.commit)
        freshness.check(store, git, head, source.demands)
        programs = _programs(git, head)
        # Nothing is accepted yet: were this process to end here, no later one must take this for a store of its own.
        trust.save_all(repository.state, trust.Trust({}, store=source.demands.store), files)
        git.run("reset", "--hard", "--quiet", head)
    for path in programs:
        os.chmod(os.path.join(store.root, path), 0o666 & ~files.umask)
    repository.prepare(files)  # what is not ours is the user's to filter from now on


def talk(git: gitrepo.Git, arguments: Sequence[str], failure: str, remedy: str, keep: Sequence[int] = ()) -> bytes:
    """Run a command that talks to a remote, moves a whole store and has to work; gives what it printed.

    Args:
        git: where.
        arguments: the command and its arguments.
        failure: what has failed if it does.
        remedy: what a person should look at then.
        keep: descriptors that it gets besides.

    Raises:
        RemoteError: it failed.
        TrustError: the remote sends objects that git's own checks refuse.
    """
    child = git.talk(*arguments, seconds=_SECONDS, keep=keep)
    if child.returncode == 0:
        return bytes(child.stdout)
    if child.timed_out:
        raise RemoteError(f"{failure}: no answer within {_SECONDS:g} s", remedy)
    objects.refuse_malformed(child)
    reason = gitwords.reason(child.stderr, child.returncode)
    raise RemoteError(f"{failure}: {reason}", gitwords.remedy(child.stderr, remedy))


def _programs(git: gitrepo.Git, commit: str) -> list[str]:
    """List the files of a commit that could be run; whoever can push decides what they are, so they lose that right."""
    listing = git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
    found = [os.fsdecode(line.partition(b"\t")[2]) for line in listing if line.startswith(treepolicy.PROGRAM.encode())]
    if found:
        apply.ignore_modes(git)
    return found


def _check_history(store: PassStore, git: gitrepo.Git, head: str, vouched: str) -> None:
    """Refuse what a sync would, but for the readers; what a commit that somebody vouches for comes from is accepted."""
    incomingtree.check(git, head)
    recipientlists.read(store, git, head)  # each can be read
    try:
        incoming.check_history(git, head, "", trust.Trust({}, {"": vouched.lower()}) if vouched else None)
    except TrustError as error:
        raise TrustError(error.cause, f"check this clock; to accept it, set {COMMIT}={head}") from None


def _head(git: gitrepo.Git, repository: Repository, shown: str) -> str:
    """Find the newest commit of the branch that people push to.

    The remote's HEAD may name no branch that is there, as a new server's does, or be detached: then it is a commit.
    """
    head = git.revision("HEAD^{commit}")
    if head and not unfinished.find(repository):
        return head
    listing = git.run("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin")
    names = [name for name in listing.decode(errors="surrogateescape").splitlines() if name != "HEAD"]
    if not names:
        raise StoreError(f"the store at {shown} has no commit", "push a store to it first")
    name = network.first_choice(names)
    if not name:
        raise network.undecided(f"the store at {shown}", names)
    git.run("branch", "--quiet", "--track", "--", name, f"refs/remotes/origin/{name}")
    git.run("symbolic-ref", "HEAD", f"refs/heads/{name}")
    return git.revision("HEAD^{commit}")


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
    with gitrepo.opened(Repository(os.sep, os.path.join(os.sep, ".git")), store.environ) as git:
        child = git.ask("ls-remote", "--get-url", "--", remoteurl.split(absolute(url)).clean)
    told = remoteurl.unencrypted(child.stdout.decode(errors="replace").strip())
    if told:
        store.warn(f"{told}; use https or ssh")


def absolute(url: str) -> str:
    """Give a path as an absolute one, for git works in another directory; a URL as it is."""
    return url if "://" in url or not os.path.exists(url) else os.path.abspath(url)


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
    target = urlsplit(parts.clean)
    host = unquote(target.netloc.rpartition("@")[2])
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
            f'test "$p" = {shellwords.quoted(target.scheme)} && test "$h" = {shellwords.quoted(host)} && '
            f"cat /dev/fd/{reader}; return 0; }}; f"
        )
        # The empty one puts aside the helpers of the machine, which would keep the password.
        yield parts.clean, ["-c", "credential.helper=", "-c", f"credential.helper={script}"], [reader]
    finally:
        os.close(reader)
