"""Make a store: the ``.gpg-id`` that names its recipients, and the git repository around it.

A store that also holds other entries belongs to ``pass`` as a whole: there only
``docker-credential-helpers/`` is written to, never the root's ``.gpg-id``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passhelper.errors import GitError, StoreError
from passhelper.store import gitwords, layout, pinning, recipients, repository, treepolicy, trust
from passhelper.store.child import finish
from passhelper.store.commit import Committer
from passhelper.store.files import Files
from passhelper.store.repository import Repository
from passhelper.store.transaction import Transaction
from passhelper.team.git import gitrepo
from passhelper.team.recipients import gpgid, publickeys
from passhelper.team.recipients.scope import other_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passhelper.store.recipients import Recipients
    from passhelper.store.store import PassStore
    from passhelper.team.keyring.key import Key

_SECONDS = 30.0  # for one git


def current(store: PassStore) -> Recipients | None:
    """Find the recipients in the store's files, whatever ``PASSWORD_STORE_KEY`` says; None if there are none.

    Raises:
        StoreError: the file that counts cannot be used.
    """
    for path in recipients.candidates(""):
        if recipients.read_file(store.root, path) is not None:
            return recipients.find(store.root, "", {})
    return None


def write_recipients(store: PassStore, keys: Sequence[Key]) -> str:
    """Write the ``.gpg-id`` for new credentials: full fingerprints, each below a comment with its owner.

    Returns:
        the file's path.
    """
    store.check_folder()
    files = Files(store.environ)
    files.make_directory(store.folder)
    path = os.path.join(store.folder if other_entries(store) else store.root, recipients.FILE)
    relative = os.path.relpath(path, store.root)
    place = store.repository("")
    with Transaction(store, place):
        if os.path.lexists(path):
            raise StoreError(f"{path} was written meanwhile", "run: passhelper setup")
        temporary = store.folder if place is None else place.state
        files.make_directory(temporary)
        files.sweep(temporary)
        known = trust.load_all(place.state) if place is not None else None
        signer = gpgid.Signer(store, known)
        named = {}
        if signer.is_wanted:
            named = {key.fingerprint: publickeys.digest(publickeys.export(store, key)[1]) for key in keys}
        text, signature = signer.seal(relative, gpgid.render(keys), named)
        if signature is not None:  # first: a list without one is refused
            files.put(f"{path}.sig", signature, temporary)
        files.put(path, text, temporary)
        if place is not None and known is not None:  # the user has just named these keys: that is acceptance
            accepted = {relative: sorted({key.fingerprint for key in keys})}
            signed = ({relative: signer.serial}, signer.identity) if signature is not None else ({}, "")
            trust.write_down(place.state, trust.Accepted(accepted, *signed), files)
    return path


def write_public_keys(store: PassStore, keys: Sequence[Key]) -> None:
    """Put public keys beside the entries, so that those who join later can encrypt to them."""
    exported = [publickeys.export(store, key) for key in keys]
    files = Files(store.environ)
    place = store.repository("")
    with Transaction(store, place):
        temporary = store.folder if place is None else place.state
        files.make_directory(temporary)
        for name, data in exported:
            path = os.path.join(store.root, name)
            if not os.path.lexists(path):
                files.put(path, data, temporary)


def make_repository(store: PassStore, *, is_whole: bool = False) -> list[str]:
    """Make the store a git repository, with what it holds in its first commit and its recipients pinned.

    Args:
        store: the store.
        is_whole: whether to include entries that are not Docker credentials.

    Returns:
        what was done, one phrase each; empty if everything was there.

    Raises:
        StoreError: the store also holds other entries.
        GitError: git is missing or failed.
    """
    done = []
    place = store.repository("")
    if place is None:
        place = _init(store, is_whole=is_whole)
        done.append(f"made {place.root} a git repository")
    git = repository.program(store.environ)
    files = Files(store.environ)
    with Transaction(store, place):
        files.make_directory(place.state)
        place.prepare(files)
        if trust.load(place.state) is None:
            trust.save_all(place.state, _as_it_is(store), files)
            done.append("pinned its recipients")
        paths = _uncommitted(store, place, git, is_whole=is_whole)
        if paths:
            committer = Committer(place, store.environ, files, store.warn)
            committer.plan(paths)
            committer.commit("Set up the store for Docker credentials")
            done.append(f"committed {len(paths)} file{'s' * (len(paths) > 1)}")
    return done


def _as_it_is(store: PassStore) -> trust.Trust:
    """Accept the user's own store: its recipients and, if its lists are signed, the identity that they name."""
    named = gpgid.signed_headers(store) if recipients.signing_keys(store.environ) else {}
    serials = {path: header.serial for path, header in named.items()}
    return trust.Trust(pinning.current(store.root), "", serials, store=gpgid.identity(named.values()))


def _init(store: PassStore, *, is_whole: bool) -> Repository:
    others = 0 if is_whole else other_entries(store)
    if others:
        raise StoreError(
            f"{store.root} also holds {others} other {'entry' if others == 1 else 'entries'}, which git would keep too",
            "set PASSWORD_STORE_DIR to a store of its own, or run: pass git init",
        )
    place = Repository(store.root, os.path.join(store.root, ".git"))
    git = repository.program(store.environ)
    # No template: the user's own could bring hooks along. Newer gits run reference-transaction already here.
    settings = ["-c", "init.defaultBranch=main", "-c", "core.hooksPath=/dev/null"]
    argv = [git, *settings, "init", "--quiet", "--template=", store.root]
    umask = os.umask(Files(store.environ).umask)
    try:
        child = repository.start(argv, repository.environment(place, store.environ))
        finish([child], _SECONDS)
    finally:
        os.umask(umask)
    if child.returncode != 0:
        raise GitError(
            f"git could not make a repository of {store.root}: {gitwords.reason(child.stderr, child.returncode)}"
        )
    return place


def _uncommitted(store: PassStore, place: Repository, git: str, *, is_whole: bool) -> list[str]:
    """List our files, or all files of the store, that differ from the last commit."""
    inside = [store.root] if is_whole else [store.folder]
    if not other_entries(store):
        inside += [os.path.join(store.root, name) for name in (recipients.FILE, f"{recipients.FILE}.sig")]
    inside.append(os.path.join(store.root, treepolicy.KEYS))
    pathspecs = [os.path.relpath(path, place.root) for path in inside if os.path.lexists(path)]
    pathspecs = [path for path in pathspecs if not path.startswith(os.pardir)]
    if not pathspecs:
        return []
    argv = [*repository.command(place, git), "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"]
    child = repository.start([*argv, "--", *pathspecs], repository.environment(place, store.environ),
                             limit=gitrepo.MAX_ANSWER)  # fmt: skip
    finish([child], _SECONDS)
    if child.returncode != 0:
        raise gitwords.failure(place.root, "status", child, _SECONDS)
    names = [os.fsdecode(line[3:]) for line in bytes(child.stdout).split(b"\0") if line]
    ours = (recipients.FILE, f"{recipients.FILE}.sig", layout.SUFFIX)
    keys = f"{treepolicy.KEYS}/"
    return [os.path.join(place.root, name) for name in names if name.endswith(ours) or name.startswith(keys)]
