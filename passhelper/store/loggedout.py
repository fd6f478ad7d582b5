"""Logging out of a registry in a shared clone: this clone forgets the credential, and the team keeps it.

``docker logout`` is what a person does to one machine. In a store that others share, erasing the entry would take the
credential from all of them with the next sync. So the clone notes the server in ``<git dir>/passhelper/logged-out``,
as an empty file with the name of the server's directory, and the verbs answer as if the entry were not there. Storing a
credential for the server ends that. ``git config passhelper.sharedErase true`` makes ``erase`` erase for everybody.

Only who erases or stores imports this; reading is :func:`passhelper.store.helper.logged_out`.
"""

import os

from passhelper.errors import ConfigurationError, GitError, printable
from passhelper.store import layout
from passhelper.store.files import Files
from passhelper.store.repository import FALSE, TRUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.store.store import PassStore

SETTING = "passhelper.sharedErase"


def is_wanted(store: "PassStore") -> bool:
    """Return whether an erase is one of this clone alone: others share the store, and nothing says otherwise.

    Raises:
        ConfigurationError: the setting is neither true nor false.
    """
    repository = store.repository("")
    if repository is None:
        return False
    from passhelper.store.runner import Runner, has_remote  # only in a git store

    try:
        settings = Runner(repository, store.environ, store.deadline).settings
    except GitError:
        return False  # then nothing is committed either, which is said
    value = settings.get(SETTING.lower(), "false")
    if value.lower() not in (*TRUE, *FALSE):
        raise ConfigurationError(
            f"git config {SETTING} is neither true nor false: {printable(value)}",
            f"run: git -C {printable(store.root)} config {SETTING} false",
        )
    return has_remote(settings) and value.lower() in FALSE


def add(store: "PassStore", servers: "Sequence[str]") -> None:
    """Note that this clone has logged out of some servers, and warn that others have not."""
    repository = store.repository("")
    if repository is None:
        return
    from passhelper.shellwords import operands  # only where there is a remote

    files = Files(store.environ)
    folder = os.path.join(repository.state, layout.LOGGED_OUT)
    files.make_directory(repository.state)
    files.make_directory(folder)
    for server in servers:
        files.replace(os.path.join(folder, layout.encode_server(server)), b"", repository.state)
    store.warn(
        f"logged out of {printable(', '.join(servers))} in this clone; the team keeps the credential, and "
        f"passhelper logout --team {operands(*map(printable, servers))} erases it for everybody"
    )


def end(store: "PassStore", servers: "Iterable[str]") -> None:
    """Forget that this clone has logged out of some servers."""
    repository = store.repository("")
    if repository is None:
        return
    for server in servers:
        try:
            os.unlink(os.path.join(repository.state, layout.LOGGED_OUT, layout.encode_server(server)))
        except FileNotFoundError:
            continue
