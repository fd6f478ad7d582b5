"""Removes credentials, as one atomic step and one commit."""

import os

from passhelper.errors import StoreError
from passhelper.store import layout
from passhelper.store.change import TRIES, Change, remove_files, share
from passhelper.store.files import Files
from passhelper.store.transaction import Transaction, undone_entries
from passhelper.store.workspace import committer_for, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.commit import Committer
    from passhelper.store.repository import Repository
    from passhelper.store.store import PassStore


def remove(store: "PassStore", servers: "list[str]") -> None:
    """Remove every entry of some servers; their ``.gpg-id`` files stay.

    Args:
        store: where.
        servers: exact names; those without entries are not an error.
    """
    for repository, group in _by_repository(store, servers):
        committer = committer_for(store, repository)
        try:
            if committer is not None:
                committer.begin()
            with Transaction(store, repository):
                _remove_group(store, group, repository, committer)
        finally:
            if committer is not None:
                committer.close()
        share(store, repository, committer)


def _remove_group(
    store: "PassStore", group: "list[tuple[str, str]]", repository: "Repository | None", committer: "Committer | None"
) -> None:
    """Remove what is in some directories of one repository; under the lock."""
    sweep(store, repository)
    for _ in range(TRIES):
        paths = _remove_once(store, group, repository, committer)
        back = [path for path in paths if layout.holds(*os.path.split(path))]
        if committer is None or not committer.has_committed or not back:
            return
    raise StoreError(f"git has put back {back[0]} while it was erased", "try again")


def _remove_once(
    store: "PassStore", group: "list[tuple[str, str]]", repository: "Repository | None", committer: "Committer | None"
) -> "list[str]":
    """Remove the files and commit; return which they were."""
    paths = [entry.path for server, name in group for entry in store.entries(server, name)]
    servers = {server for server, _ in group}
    paths += [entry.path for entry in undone_entries(store) if entry.server in servers]
    if not paths:
        return []
    files = Files(store.environ)
    temporary = store.folder
    if repository is not None:
        temporary = repository.state
        files.make_directory(temporary)
    with Change(files, temporary, committer, paths) as change:
        change.has_begun = True
        remove_files(store, paths)
    if committer is not None:
        names = ", ".join(dict.fromkeys(server for server, _ in group))
        committer.commit(f"Erase credential for {names}")
    return paths


def _by_repository(store: "PassStore", servers: "list[str]") -> "list[tuple[Repository | None, list[tuple[str, str]]]]":
    """Group the directories of some servers that have entries, or had before git undid it, by their repository."""
    groups: dict[str, tuple[Repository | None, list[tuple[str, str]]]] = {}
    undone = {os.path.dirname(entry.path) for entry in undone_entries(store)}
    for server in servers:
        for name in layout.spellings(server):
            if os.path.join(store.folder, name) in undone or store.entries(server, name):
                repository = store.repository(name)
                _, group = groups.setdefault(repository.root if repository else "", (repository, []))
                group.append((server, name))
    return list(groups.values())
