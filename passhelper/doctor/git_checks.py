"""The store's git repository. No check asks a question, and a remote has five seconds to answer."""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from passhelper import shellwords
from passhelper.doctor.context import LIMIT, Context, Git, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import GitError, StoreError, printable
from passhelper.store import claims, gitwords, kept, layout, pinning, recipients, repository, runner, trust, unfinished
from passhelper.team.git import remoteurl
from passhelper.wording import few

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.store.child import Child
    from passhelper.store.repository import Repository

_STATUS = (*repository.STATUS, "--untracked-files=all", "--")
_LASTING = 60.0  # seconds after which a lock of git's is reported


def _outer(context: Context) -> Iterator[Finding]:
    """Warn of a store in a folder of a larger repository: neither we nor ``pass`` commit anything there."""
    root = os.path.realpath(context.store.root)
    top = os.path.join(os.path.splitdrive(root)[0], os.sep)
    if context.store.repository("") is not None:
        return
    try:
        outer = repository.find(top, os.path.relpath(root, top))
    except (StoreError, OSError) as error:
        raise NotCheckedError(f"what is above the store cannot be read: {error}") from error
    if outer is None:
        return
    ask = partial(_ask, context, outer)
    inside = [os.path.relpath(path, outer.root) for path in (root, os.path.join(root, layout.FOLDER))]
    tracked = [bytes(ask("ls-files", "-z", "--", path).stdout) for path in inside]
    probe = os.path.join(inside[1], "server", f"user{layout.SUFFIX}")
    if not tracked[0] or (not tracked[1] and ask("check-ignore", "--quiet", "--no-index", "--", probe).returncode == 0):
        return  # it does not know the store, or ignores what we write
    count = len(_uncommitted(bytes(ask(*_STATUS, inside[0]).stdout)))
    cause = f"the store is a part of the git repository {printable(outer.root)}, to which passhelper commits nothing"
    if not count:
        yield Finding(cause, severity=Severity.NOTE)
        return
    here, there = f"git -C {shellwords.word(context.store.root)}", f"git -C {shellwords.word(outer.root)}"
    yield Finding(f"{cause}; changed since its last commit: {count} files",
                  f"run: {here} add . && {here} commit -m Credentials .; or give the store a repository of its own: "
                  f"{here} init && {there} rm -rq --cached {shellwords.word(inside[0])}")  # fmt: skip


def _program(context: Context) -> Iterator[Finding]:
    try:
        context.git.run("rev-parse", "--git-dir")
    except GitError as error:
        root = shellwords.word(context.repository.root)
        raise GitError(error.cause, error.remedy or f"run: git -C {root} status") from error
    yield from ()


def _identity(context: Context) -> Iterator[Finding]:
    for kind in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        if context.git.ask("var", kind, settings=("user.useConfigOnly=true",)).returncode != 0:
            yield Finding("git knows no user.name and user.email, so changes are committed as passhelper",
                          "run: git config --global user.name NAME && git config --global user.email ADDRESS",
                          )  # fmt: skip
            return


def _unfinished(context: Context) -> Iterator[Finding]:
    what = unfinished.find(context.repository)
    if what:
        yield Finding(f"{what}, so changes wait for their commit", unfinished.remedy(context.repository))


def _locks(context: Context) -> list[tuple[str, float]]:
    """List git's locks that are too old for a git that is still at work, with their age in seconds."""
    found = []
    for git_dir in {context.repository.git_dir, repository.common_dir(context.repository.git_dir)}:
        for folder, folders, names in os.walk(git_dir):
            if folder == git_dir:
                folders[:] = [name for name in folders if name == "refs"]
            for name in names:
                if name.endswith(".lock"):
                    path = os.path.join(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        age = time.time() - os.lstat(path).st_mtime
                        if age >= _LASTING:
                            found.append((path, age))
    return sorted(found)


def _lock(context: Context) -> Iterator[Finding]:
    for path, age in _locks(context):
        since = f"{printable(path)} has been there for {age:.0f} s"
        holders = _gits(context.repository.root)
        if holders:
            yield Finding(f"{since}; git runs here: {', '.join(holders)}", "let it finish, or end it")
        else:
            yield Finding(f"{since}; no git was found running on this machine in {context.repository.root}",
                          f"make sure that none does elsewhere (ps -ef | grep git; containers, other machines that "
                          f"share the directory), then run: rm {shellwords.word(path)}")  # fmt: skip


def _gits(root: str) -> list[str]:
    """Name the git processes in a work tree, as far as this system shows them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = os.fsdecode(file.read(4096)).split("\0")
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if os.path.basename(words[0]).startswith("git") and (where == root or where.startswith(root + os.sep)):
            found.append(f"{printable(' '.join(words[:2]).strip())} (pid {pid})")
    return found


def _pending(context: Context) -> Iterator[Finding]:
    place = context.repository
    paths, copies = place.load_pending(), kept.load(place).files
    if not paths:
        if os.path.exists(place.kept) and not copies:
            yield Finding(f"{place.kept} holds copies of what waited for its commit, and cannot be read",
                          f"see whether all credentials are there, then: rm {shellwords.word(place.kept)}")  # fmt: skip
        return
    cause = "1 change waits for its commit" if len(paths) == 1 else f"{len(paths)} changes wait for their commit"
    remedy = "run: passhelper sync, or store a credential: either commits what is waiting"
    bare = [path for path in paths if path not in copies]
    if bare:  # as after a kill, or where the disk was full
        cause += f"; no copy is kept of {few(bare, 1)}, so git loses it when it aborts or resets anything"
        remedy += "; if the disk is full, make room first"
    yield Finding(cause, remedy)


def _changes(context: Context) -> Iterator[Finding]:
    root, store = context.repository.root, context.store
    ours = [path for path in (store.folder, os.path.join(store.root, recipients.FILE)) if os.path.lexists(path)]
    inside = [os.path.relpath(path, root) for path in ours if path == root or path.startswith(root + os.sep)]
    names = _uncommitted(context.git.run(*_STATUS, *inside))
    if names:
        what = "1 file of the store is" if len(names) == 1 else f"{len(names)} files of the store are"
        yield Finding(f"{what} not committed as now on disk, such as {printable(names[0])}",
                      f"look: git -C {shellwords.word(root)} status")  # fmt: skip


def _ask(context: Context, outer: Repository, *arguments: str) -> Child:
    """Ask git about a repository that is not the store's; it may say no, with exit status 1.

    Raises:
        NotCheckedError: git cannot answer.
    """
    try:
        child = Git(outer, context.environ).ask(*arguments)
    except GitError as error:
        raise NotCheckedError(error.cause) from error
    if child.timed_out or child.returncode not in (0, 1):
        why = "no answer" if child.timed_out else gitwords.reason(child.stderr, child.returncode)
        raise NotCheckedError(f"git cannot read {printable(outer.root)}: {why}")
    return child


def _uncommitted(status: bytes) -> list[str]:
    """List the files of a store in what :data:`_STATUS` has printed."""
    return [name for name in repository.changed_paths(status) if name.endswith((layout.SUFFIX, recipients.FILE))]


def _text(context: Context, *arguments: str) -> str:
    child = context.git.ask(*arguments)
    return child.stdout.decode(errors="replace").strip() if child.returncode == 0 else ""


def _transport(context: Context) -> Iterator[Finding]:
    remotes = _text(context, "remote").split()
    if not remotes:
        raise NotCheckedError("the store has no remote")
    for remote in remotes:
        urls: dict[str, None] = {}
        for direction in ((), ("--push",)):
            urls.update(dict.fromkeys(_text(context, "remote", "get-url", *direction, "--all", remote).splitlines()))
        for url in urls:
            told = remoteurl.unencrypted(url)
            if told:
                here, name = shellwords.word(context.repository.root), shellwords.word(remote)
                yield Finding(told, f"run: git -C {here} remote set-url {name} URL, with one of https or ssh")


def _remote(context: Context) -> Iterator[Finding]:
    branch = context.git.branch()
    settings = context.git.settings
    remote, ref = runner.shared_branch(settings, branch)
    if not branch or not remote:
        there = "several remotes" if runner.remotes(settings) else "no remote"
        raise NotCheckedError(f"the store has {there}" if branch else "the store is on no branch")
    child = context.git.talk("ls-remote", "--", remote, ref, seconds=LIMIT)
    if child.timed_out or child.returncode != 0:
        remedy = f"look: git -C {shellwords.word(context.repository.root)} fetch {shellwords.word(remote)}"
        if child.timed_out:
            why = f"no answer within {LIMIT:g} s"
        else:
            why = gitwords.reason(child.stderr, child.returncode)
            remedy = gitwords.remedy(child.stderr, remedy)
        yield Finding(f"remote {printable(remote)} cannot be reached: {why}", remedy)
        return
    theirs = child.stdout.decode(errors="replace").partition("\t")[0].strip()
    ours = _text(context, "rev-parse", "--verify", "--quiet", "HEAD")
    if theirs and theirs != ours:
        yield _compared(context, remote, branch, theirs)


def _compared(context: Context, remote: str, branch: str, theirs: str) -> Finding:
    """Say which side has commits that the other does not have, without fetching any."""
    if context.git.ask("cat-file", "-e", f"{theirs}^{{commit}}").returncode == 0:
        is_ahead = context.git.ask("merge-base", "--is-ancestor", "HEAD", theirs).returncode != 0
        is_behind = context.git.ask("merge-base", "--is-ancestor", theirs, "HEAD").returncode != 0
    else:  # only what was fetched last is known to be on both sides
        is_ahead = _text(context, "rev-list", "--count", f"refs/remotes/{remote}/{branch}..HEAD") not in ("", "0")
        is_behind = True
    name, remedy = printable(remote), "run: passhelper sync"
    if is_ahead and is_behind:
        return Finding(f"the store and its remote {name} have diverged", remedy, Severity.FAILED)
    if is_behind:
        return Finding(f"the remote {name} has commits that are not here", remedy, Severity.WARNING)
    return Finding(f"the store has commits that the remote {name} does not have", remedy, Severity.WARNING)


def _pins(context: Context) -> Iterator[Finding]:
    pins = trust.load(context.repository.state)
    if pins is None:
        raise NotCheckedError("the recipients were never pinned; the first write pins them")
    changed = pinning.all_differences(pins, pinning.current(context.store.root))
    if changed:
        cause = f"recipients changed: {claims.describe(changed, context.gpg, claims.on_disk(context.store.root))}"
        yield Finding(cause, "run: passhelper recipients accept")


CHECKS = (
    Check("git.outer", "the store is not in a larger git repository, where changes wait for a commit by hand",
          Severity.WARNING, _outer, ("store.path",)),
    Check("git.program", "git is installed and can read the store's repository", Severity.FAILED, _program,
          ("store.path",)),
    Check("git.identity", "a name and address to commit with", Severity.WARNING, _identity, ("git.program",)),
    Check("git.unfinished", "no merge, rebase or the like is unfinished, and HEAD is on a branch", Severity.FAILED,
          _unfinished, ("git.program",)),
    Check("git.lock", "git has held no lock for more than a minute; says whether a git runs here", Severity.WARNING,
          _lock, ("git.program",)),
    Check("git.pending", "no change is waiting for its commit", Severity.WARNING, _pending, ("git.program",)),
    Check("git.changes", "credentials and recipients are as in the last commit", Severity.WARNING, _changes,
          ("git.program",)),
    Check("git.transport", "the connection to the remote is encrypted", Severity.WARNING, _transport,
          ("git.program",)),
    Check("git.remote", "the remote answers within 5 s and has not diverged", Severity.UNREACHABLE, _remote,
          ("git.program",)),
    Check("git.pins", "the recipients are those that this machine accepted", Severity.UNACCEPTED, _pins,
          ("gpg.version", "gpg.home", "git.program")),
)  # fmt: skip
