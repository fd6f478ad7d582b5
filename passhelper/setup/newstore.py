"""Make a store: the ``.gpg-id`` that names its recipients, and the git repository around it.

A store that also holds other entries belongs to ``pass`` as a whole: there only
``docker-credential-helpers/`` is written to, never the root's ``.gpg-id``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, StoreError
from passhelper.store import gitwords, pinning, recipients, trust
from passhelper.store.files import Files
from passhelper.store.repository import Repository
from passhelper.store.transaction import Transaction
from passhelper.team.git import gitrepo
from passhelper.team.recipients import gpgid, publickeys
from passhelper.team.recipients.scope import other_entries
from passhelper.team.sync import uncommitted
from passhelper.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.recipients import Recipients
    from passhelper.store.store import PassStore
    from passhelper.team.keyring.key import Key


def current(store: PassStore) -> Recipients | None:
    """Find the recipients in the store's files, whatever ``PASSWORD_STORE_KEY`` says; None if there are none.

    Raises:
        StoreError: the file that counts cannot be used.
    """
    for path in recipients.candidates(""):
        if recipients.read_file(store.root, path) is not None:
            return recipients.find(store.root, "", {})
    return None


def lines(store: PassStore) -> list[str]:
    """List what the lists of recipients in the store's files name, each line once."""
    return list(dict.fromkeys(line for keys in pinning.current(store.root).values() for line in keys))


def write_recipients(store: PassStore, keys: Sequence[Key]) -> str:
    """Write the ``.gpg-id`` for new credentials and return its path.

    It has full fingerprints, each below a comment with its owner.
    """
    store.check_folder()
    files = Files(store.environ)
    files.make_directory(store.folder)
    path = os.path.join(store.folder if other_entries(store) else store.root, recipients.FILE)
    relative = os.path.relpath(path, store.root)
    repository = store.repository("")
    with Transaction(store, repository):
        if os.path.lexists(path):
            raise StoreError(f"{path} was written meanwhile", "run: passhelper setup")
        temporary = store.folder if repository is None else repository.state
        files.make_directory(temporary)
        files.sweep(temporary)
        known = trust.load_all(repository.state) if repository is not None else None
        signer = gpgid.Signer(store, known)
        named = {}
        if signer.is_wanted:
            named = {key.fingerprint: publickeys.digest(publickeys.export(store, key)[1]) for key in keys}
        text, signature = signer.seal(relative, gpgid.render(keys), named)
        if signature is not None:  # first: a list without one is refused
            files.put(f"{path}.sig", signature, temporary)
        files.put(path, text, temporary)
        if repository is not None and known is not None:  # the user has just named these keys: that is acceptance
            accepted = {relative: sorted({key.fingerprint for key in keys})}
            signed = ({relative: signer.serial}, signer.identity) if signature is not None else ({}, "")
            trust.write_down(repository.state, trust.Accepted(accepted, *signed), files)
    return path


def write_public_keys(store: PassStore, keys: Sequence[Key]) -> None:
    """Put public keys beside the entries, so that those who join later can encrypt to them."""
    exported = [publickeys.export(store, key) for key in keys]
    files = Files(store.environ)
    repository = store.repository("")
    with Transaction(store, repository):
        temporary = store.folder if repository is None else repository.state
        files.make_directory(temporary)
        for name, data in exported:
            path = os.path.join(store.root, name)
            if not os.path.lexists(path):
                files.put(path, data, temporary)


def make_repository(store: PassStore, *, is_whole: bool = False) -> list[str]:
    """Make the store a git repository, with what it holds in its first commit and its recipients pinned.

    Entries that are not Docker credentials are included only if it is whole.

    Returns:
        what was done, one phrase each; empty if everything was there.

    Raises:
        StoreError: the store also holds other entries.
        GitError: git is missing or failed.
    """
    done = []
    repository = store.repository("")
    if repository is None:
        repository = _init(store, is_whole=is_whole)
        done.append(f"made {repository.root} a git repository")
    files = Files(store.environ)
    with gitrepo.opened(repository, store.environ) as git, Transaction(store, repository):
        files.make_directory(repository.state)
        repository.prepare(files)
        if trust.load(repository.state) is None:
            trust.save_all(repository.state, _as_it_is(store), files)
            done.append("pinned its recipients")
        paths = uncommitted.find(store, git, is_whole=is_whole)
        uncommitted.refuse_lost(store, git, paths)
        if paths:
            committer = uncommitted.committer(store, repository)
            committer.plan(paths)
            committer.commit("Set up the store for Docker credentials")
            done.append(f"committed {count(len(paths), 'file')}")
    return done


def _as_it_is(store: PassStore) -> trust.Trust:
    """Accept the user's own store: its recipients and, if its lists are signed, the identity that they name."""
    named = gpgid.signed_headers(store) if recipients.signing_keys(store.environ) else {}
    serials = {path: header.serial for path, header in named.items()}
    return trust.Trust(pinning.current(store.root), {}, serials, store=gpgid.identity(named.values()))


def _init(store: PassStore, *, is_whole: bool) -> Repository:
    others = 0 if is_whole else other_entries(store)
    if others:
        raise StoreError(
            f"{store.root} also holds {count(others, 'other entry', 'other entries')}, which git would keep too",
            "set PASSWORD_STORE_DIR to a store of its own, or run: pass git init",
        )
    repository = Repository(store.root, os.path.join(store.root, ".git"))
    with gitrepo.opened(repository, store.environ) as git:
        # No template: the user's own could bring hooks along. Newer gits run reference-transaction already here.
        child = git.ask("init", "--quiet", "--template=", store.root, settings=("init.defaultBranch=main",))
    if child.returncode != 0:
        raise GitError(
            f"git could not make a repository of {store.root}: {gitwords.reason(child.stderr, child.returncode)}"
        )
    return repository
