"""``passhelper setup --git URL``: join the team's store, or share this one.

A remote with commits is cloned: its recipients are shown, accepted and pinned. An empty one gets the store of
this machine, unless that also holds entries that are not Docker credentials.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, StoreError, TrustError
from passhelper.machine import userfile, wipe
from passhelper.settings import home_directory
from passhelper.store import allowed, claims, layout, pinning, recipients, trust
from passhelper.store.repository import PUSH, Repository
from passhelper.store.runner import remotes
from passhelper.store.transaction import Transaction
from passhelper.team.git import gitrepo, remoteurl
from passhelper.team.recipients import acceptance, publickeys, recipientlists, signed
from passhelper.team.recipients.scope import other_entries
from passhelper.team.sync import clone, exchange, incomingtree
from passhelper.team.sync.report import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from passhelper.store.store import PassStore
    from passhelper.team.git.gitrepo import Git
    from passhelper.team.keyring.key import Key

_REMOTE = "origin"
_SECONDS = 300.0  # for a look at the whole history


class SharedStore:
    """The store of a team on its way to or from this machine.

    Args:
        store: the local store; it may not exist yet.
        source: the remote.
        is_whole: whether entries that are not Docker credentials may be shared too.

    Attributes:
        is_ours: whether the remote is still empty, so that this store is pushed to it.
        was_cloned: whether :meth:`obtain` has cloned it.
    """

    def __init__(self, store: PassStore, source: clone.Source, *, is_whole: bool) -> None:
        self._store = store
        self._source = source
        self._is_whole = is_whole
        self.is_ours = False
        self.was_cloned = False

    def obtain(self) -> str:
        """Clone the store, or find out that this machine's own is to be shared; return which, in words.

        Raises:
            ConfigurationError: another store is here.
            StoreError: the store also holds other entries.
        """
        store = self._store
        repository = store.repository("")
        clone.warn_of_the_way(store, self._source.url)
        wanted = _bare(self._source.url)
        shown = remoteurl.shown(wanted)
        if repository is not None:
            with gitrepo.opened(repository, store.environ) as git:
                is_clone = bool(_remote(git, wanted))
                others = [git.settings[f"remote.{name}.url"] for name in remotes(git.settings)]
                is_pushed = git.ask("rev-parse", "--verify", "--quiet", "@{upstream}").returncode == 0
            if is_clone:
                self.is_ours = not is_pushed
                return f"{store.root} is a clone of {shown}"
            if others:
                raise ConfigurationError(
                    f"{store.root} has another remote, {', '.join(map(remoteurl.shown, others))}",
                    "set PASSWORD_STORE_DIR to a directory for the other store",
                )
        is_here = os.path.isdir(store.root) and bool(os.listdir(store.root))
        if self._is_empty_remote(repository):
            self.is_ours = True
            self.check_scope(repository)
            return f"{shown} is empty and gets the store at {store.root}"
        if is_here:
            raise ConfigurationError(
                f"there is a store at {store.root} and another one at {shown}",
                "set PASSWORD_STORE_DIR to a new directory for the other one",
            )
        clone.clone(store, self._source)
        self.was_cloned = True
        return f"cloned {shown} into {store.root}"

    def check_scope(self, repository: Repository | None) -> None:
        """Refuse to share a store, or a history, with entries that are not Docker credentials."""
        if self._is_whole:
            return
        others = other_entries(self._store)
        if not others and repository is not None:
            others = _other_entries_in_history(self._store, repository)
        if others:
            raise StoreError(
                f"{self._store.root} is not pushed: it also holds {others} other entries",
                "use PASSWORD_STORE_DIR for a store of its own, or --whole-store",
            )

    def accept(self, confirm: Callable[[str], bool] | None) -> str:
        """Pin the recipients of a fresh clone, and return who was accepted.

        Args:
            confirm: shows a person what is to be accepted and asks; None if nobody can be asked.

        Raises:
            TrustError: they were not accepted, by a person or by a signature; the clone is removed again.
        """
        store = self._store
        repository = store.repository("")
        pins = pinning.current(store.root)
        if not pins or repository is None:
            wipe.remove_tree(store.root)
            shown = remoteurl.shown(_bare(self._source.url))
            raise StoreError(f"{shown} names no recipients: it is not a password store", "check the URL")
        who = claims.describe({path: (keys, []) for path, keys in pins.items()}, store.gpg, claims.on_disk(store.root))
        may_read = allowed.by_environment(store.environ)
        with gitrepo.opened(repository, store.environ) as git:
            lists = recipientlists.read(store, git, git.revision("HEAD"))
            found = signed.counting(store, lists, trust.load_all(repository.state))
        vouched = all(may_read.covers(path, keys, None) or path in found for path, keys in pins.items())
        if not vouched and not self._is_accepted(who, confirm, is_limited=bool(may_read)):
            wipe.remove_tree(store.root)
            if may_read or confirm is not None:
                raise TrustError(
                    f"recipients not accepted: {who}",
                    "ask a member of the team which keys are right, then set up again",
                )
            raise TrustError(
                f"recipients not accepted: {who}; no valid signature, by a key in PASSWORD_STORE_SIGNING_KEY "
                "that this keyring holds, says that they are right",
                "import the signer's key, or name the readers in PASSHELPER_ACCEPT_RECIPIENTS, then set up again"
                if any(file.signature is not None for file in lists.values())
                else "let a member sign them (passhelper recipients sign), or unset PASSWORD_STORE_SIGNING_KEY",
            )
        with gitrepo.opened(repository, store.environ) as git, Transaction(store, repository):
            acceptance.pin(store, git, pins)
        return who

    def _is_accepted(self, who: str, confirm: Callable[[str], bool] | None, *, is_limited: bool) -> bool:
        """Return whether recipients are accepted for whom neither the environment nor a signature vouches.

        They are not if the environment names the complete set. If nobody can be asked, they are only shown.
        """
        if is_limited:
            return False
        return confirm(who) if confirm is not None else not recipients.signing_keys(self._store.environ)

    def catch_up(self, own: Iterable[Key]) -> bool:
        """See whether a member has added this machine's key since it asked; return whether anything was fetched.

        That one of its own keys became a recipient is what it asked for, so that is accepted.

        Raises:
            TrustError: other recipients were added too, or something else needs a person's consent.
            RemoteError: the remote cannot be reached.
        """
        repository = self._store.repository("")
        if repository is None or trust.load(repository.state) is None:
            return False
        # Not a set that holds for every list: who reads one may not come into another unasked.
        joining = frozenset(key.fingerprint for key in own)
        return exchange.sync(self._store, Options(own=joining)).fetched > 0

    def import_keys(self) -> None:
        """Import the public keys of the accepted recipients that came with the store."""
        repository = self._store.repository("")
        if repository is not None:
            with gitrepo.opened(repository, self._store.environ) as git:
                publickeys.refresh(self._store, git)
                signed.learn(self._store, git)  # the signer's key may have come only now

    def publish(self) -> str:
        """Push the store to the empty remote.

        Raises:
            RemoteError: it cannot be pushed; the local store is complete.
        """
        store = self._store
        repository = store.repository("")
        if repository is None:
            raise StoreError(f"{store.root} is not a git repository", "run: passhelper setup --git")
        self.check_scope(repository)
        with (
            gitrepo.opened(repository, store.environ) as git,
            clone.password_pipe(clone.absolute(self._source.url)) as (clean, helper, pipe),
        ):
            incomingtree.check_outgoing(git, incomingtree.commit_id(git, "HEAD"), "")
            remote = _remote(git, _bare(self._source.url)) or _REMOTE
            if remote not in remotes(git.settings):
                git.run("remote", "add", "--", remote, clean)
            push = [*helper, *PUSH, "--quiet", "--set-upstream", remote, f"HEAD:refs/heads/{git.branch()}"]
            clone.talk(git, push, f"git cannot push to {remoteurl.shown(clean)}", self._source.remedy, keep=pipe)
        return f"pushed to {remoteurl.shown(clean)}"

    def _is_empty_remote(self, repository: Repository | None) -> bool:
        """Ask whether the remote has any branch; with no repository yet, from the directory above it."""
        where = repository or Repository(home_directory(self._store.environ), os.path.join(self._store.root, ".git"))
        with (
            gitrepo.opened(where, self._store.environ) as git,
            clone.password_pipe(clone.absolute(self._source.url)) as (clean, helper, pipe),
        ):
            ask = [*helper, "ls-remote", "--heads", "--", clean]
            told = (f"git cannot read {remoteurl.shown(clean)}", self._source.remedy)
            return not clone.talk(git, ask, *told, keep=pipe).strip()


def export(store: PassStore, key: Key) -> str:
    """Write the public part of a key to a file in the home directory, for a member of the team; return its path."""
    _, data = publickeys.export(store, key)
    path = os.path.join(home_directory(store.environ), f"passhelper-{key.fingerprint[-16:]}.asc")
    userfile.replace(path, data, 0o644)
    return path


def _bare(url: str) -> str:
    return remoteurl.split(clone.absolute(url)).clean


def _remote(git: Git, wanted: str) -> str:
    """Find the remote with a URL, which may still have a password if git itself made the clone; empty for none."""
    for name in remotes(git.settings):
        with suppress(ConfigurationError):
            if remoteurl.split(git.settings[f"remote.{name}.url"]).clean == wanted:
                return name
    return ""


def _other_entries_in_history(store: PassStore, repository: Repository) -> int:
    """Count the entries that were removed but would be pushed with the history."""
    # Ours are left out: there may be any number of them.
    others = ("--", ":(top)", f":(top,exclude){layout.FOLDER}")
    with gitrepo.opened(repository, store.environ) as git:
        text = git.run(
            "log", "--format=", "--name-only", "-z", "--no-renames", "HEAD", *others, seconds=_SECONDS,
            environ={"GIT_LITERAL_PATHSPECS": "0"},
        )  # fmt: skip
    return len({name for name in text.split(b"\0") if os.fsdecode(name).endswith(layout.SUFFIX)})
