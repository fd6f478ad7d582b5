"""The machine that the doctor looks at; what several checks need is read once."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from passhelper import settings
from passhelper.docker import config
from passhelper.errors import EntryError, PasshelperError
from passhelper.machine import tools
from passhelper.oserrors import remedy
from passhelper.store import layout, packets, recipients
from passhelper.store.gpg import Gpg
from passhelper.store.programs import clean_environ, find_program
from passhelper.store.runner import Runner
from passhelper.store.store import PassStore
from passhelper.team.git import history
from passhelper.team.keyring.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.child import Child
    from passhelper.store.recipients import Recipients
    from passhelper.store.repository import Repository
    from passhelper.store.store import Entry

LIMIT = 5.0  # seconds for anything that may hang: an agent, a remote, somebody's helper
_GPG_LIMIT = 10.0  # seconds for one gpg, whose options the user may have chosen


class NotCheckedError(Exception):
    """A check has nothing to look at; the text says why."""


class Git(Runner):
    """git as a doctor runs it: it asks no questions and takes at most :data:`LIMIT` seconds."""

    SECONDS = LIMIT
    FETCHES = False

    def __init__(self, repository: Repository, environ: Mapping[str, str]) -> None:
        # It writes nothing. What is wrong with the umask is said once, by the check of the store's modes.
        super().__init__(repository, {**environ, "PASSWORD_STORE_UMASK": ""})
        self.environ |= {"SSH_ASKPASS_REQUIRE": "never", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "never"}


class Context:
    """A machine. What is read for one check is kept for the others.

    Args:
        environ: the user's environment.
        lead: how many days ahead an expiry is a finding.
        max_age: after how many days without a change a credential is one; 0 for never.
    """

    def __init__(self, environ: Mapping[str, str], lead: int, max_age: int = 0) -> None:
        self.lead = lead
        self.max_age = max_age
        self.problems = settings.problems(environ)  # a finding; the other checks go on without these
        good = {name: value for name, value in environ.items() if name not in self.problems}
        self.can_prompt = Gpg(good).can_prompt
        # A doctor asks nobody, and does not wait as long as a person may type.
        self.environ = {**good, "PASSHELPER_NONINTERACTIVE": "1", "PASSHELPER_TIMEOUT": f"{_GPG_LIMIT:g}"}
        self.gpg = Gpg(self.environ)
        self.warnings: list[str] = []
        self._effective: dict[str, Recipients] = {}
        self.unreadable: dict[str, str] = {}  # server directories that cannot be listed, and why; known with `entries`

    def run(self, argv: list[str], environ: Mapping[str, str] | None = None, seconds: float = LIMIT) -> Child:
        """Run a program for a bounded time."""
        return tools.run(argv, clean_environ(self.environ) if environ is None else environ, seconds)

    # gpg

    @cached_property
    def gpg_home(self) -> str:
        """The directory of the keyring."""
        return self.gpg.home

    @cached_property
    def ring(self) -> KeyRing:
        """The keyring."""
        return KeyRing(self.gpg)

    # The store

    @cached_property
    def store(self) -> PassStore:
        """The store.

        Raises:
            ConfigurationError: its path cannot be used.
        """
        return PassStore(self.environ, self.warnings.append)

    @cached_property
    def directories(self) -> list[str]:
        """The names of all directories that should be servers."""
        try:
            with os.scandir(self.store.folder) as found:
                return sorted(item.name for item in found if item.is_dir(follow_symlinks=False) and item.name != ".git")
        except FileNotFoundError:
            return []

    @cached_property
    def entries(self) -> dict[str, list[Entry]]:
        """All entries, by the directory that they lie in."""
        found = {}
        for name in self.directories:
            server = layout.decode_server(name)
            if server is None:
                continue
            try:
                found[name] = self.store.entries(server, name)
            except OSError as error:
                found[name] = []
                self.unreadable[name] = error.strerror or type(error).__name__
        return found

    @cached_property
    def headers(self) -> dict[str, tuple[str, ...] | PasshelperError]:
        """The key ids of every entry's file, or why it is not an entry."""
        found: dict[str, tuple[str, ...] | PasshelperError] = {}
        for entry in (entry for several in self.entries.values() for entry in several):
            try:
                with open(self.store.open(entry), "rb") as file:
                    found[entry.path] = tuple(packets.key_ids(file.read(packets.MAX_HEADERS)))
            except PasshelperError as error:
                found[entry.path] = error
            except OSError as error:
                path = os.path.relpath(entry.path, self.store.root)
                found[entry.path] = EntryError(f"{path} cannot be read: {error.strerror}", remedy(error))
        return found

    @cached_property
    def changes(self) -> dict[str, int] | None:
        """When what each file says was last changed; see :func:`passhelper.team.git.history.last_changes`."""
        return history.last_changes(self.store)

    def effective(self, directory: str) -> Recipients:
        """Find the recipients of a server directory.

        Raises:
            StoreError: there are none, or they cannot be used.
        """
        if directory not in self._effective:
            self._effective[directory] = recipients.find(self.store.root, directory, self.environ)
        return self._effective[directory]

    @cached_property
    def sources(self) -> list[Recipients]:
        """Every list of recipients that is in force, each once.

        Raises:
            StoreError: one of them cannot be used.
        """
        used = [name for name, entries in self.entries.items() if entries]
        found = {source.label: source for source in map(self.effective, ["", *used])}
        return list(found.values())

    # git

    @cached_property
    def repository(self) -> Repository:
        """The repository of the store.

        Raises:
            NotCheckedError: it has none.
        """
        found = self.store.repository("")
        if found is None:
            raise NotCheckedError("the store is not a git repository")
        return found

    @cached_property
    def git(self) -> Git:
        """Git in the store; raises as :attr:`repository` does."""
        return Git(self.repository, self.environ)

    # Docker

    @cached_property
    def docker_config(self) -> str:
        """The text of ``config.json``, which has been checked.

        Raises:
            DockerError: Docker could not read it either.
        """
        return config.read(config.path(self.environ), consequence="Docker cannot read it")

    def locate(self, name: str) -> str | None:
        """Find a program as Docker would."""
        return find_program((name,), self.environ)
