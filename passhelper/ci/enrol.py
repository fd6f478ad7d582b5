"""A key for a runner: made in a throw-away keyring, so that the secret part is nowhere but in the CI system."""

from __future__ import annotations

import base64
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passhelper.ci import agent, homedir, runner
from passhelper.errors import ConfigurationError, GitError, printable
from passhelper.store import layout, pinning, recipients, treepolicy
from passhelper.store.allowed import VARIABLE as ACCEPT
from passhelper.store.gpg import Gpg
from passhelper.store.programs import clean_environ
from passhelper.team.git import gitrepo, network, remoteurl
from passhelper.team.keyring.keys import KeyRing, NewKey
from passhelper.team.recipients import gpgid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passhelper.store.store import PassStore
    from passhelper.team.keyring.key import Key

DOMAIN = "@runner.invalid"  # of the addresses that their keys have: nobody gets mail there
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class NewRunner:
    """The key of a runner. Its secret parts never show in ``repr``.

    Attributes:
        fingerprint: of the key.
        public: its public part, armored.
        secret: its secret part, armored and protected by the passphrase.
        passphrase: new, for this key alone.
    """

    fingerprint: str
    public: bytes
    secret: bytes = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True)
class Enrolled:
    """A runner whose key is on a list of recipients.

    Attributes:
        name: what it was called.
        key: its key.
        files: the ``.gpg-id`` files that name it.
    """

    name: str
    key: Key
    files: tuple[str, ...]


def make(environ: Mapping[str, str], name: str, expire: str, warn: Callable[[str], None]) -> NewRunner:
    """Make the key of a runner; nothing of it stays on this machine.

    Args:
        environ: the caller's environment.
        name: the runner's.
        expire: as gpg takes it.
        warn: takes one line that the user should know.

    Raises:
        ConfigurationError: the name or the date cannot be used, or there is no private place for the key.
        GpgError: gpg could not make it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{printable(name)!r} cannot be the name of a runner", "use up to 63 letters, digits, dots and hyphens"
        )
    passphrase = secrets.token_urlsafe(32)
    with homedir.create(environ, warn) as home:
        try:
            inner = {**clean_environ(environ), "GNUPGHOME": home.gnupg}
            agent.configure(home.gnupg)
            ring = KeyRing(Gpg(inner))
            key = ring.generate(NewKey(f"passhelper runner {name}", f"{name}{DOMAIN}", expire), passphrase.encode())
            home.agent = agent.pid(home.gnupg, inner)
            home.save()
            parts = ring.export([key.fingerprint]), ring.export([key.fingerprint], passphrase)
            return NewRunner(key.fingerprint, *parts, passphrase)
        finally:
            runner.remove(home, environ, store=False)


def find(store: PassStore) -> list[Enrolled]:
    """List the runners among the recipients, by name."""
    ring = KeyRing(store.gpg)
    files: dict[str, list[str]] = {}
    keys: dict[str, Key] = {}
    for path, lines in pinning.current(store.root).items():
        for key in (key for line in lines for key in ring.find(line)):
            if any(address.endswith(DOMAIN) for address in key.emails):
                keys[key.fingerprint] = key
                files.setdefault(key.fingerprint, []).append(path)
    found = [Enrolled(_name(key), key, tuple(dict.fromkeys(files[one]))) for one, key in keys.items()]
    return sorted(found, key=lambda one: (one.name, one.key.fingerprint))


def _name(key: Key) -> str:
    """Read the runner's name from the user id, which keeps its capitals."""
    return printable(key.uid.rpartition("<")[2].partition(DOMAIN)[0])


def settings(store: PassStore, new: NewRunner) -> dict[str, str]:
    """Give the variables of the CI system, by name: two secrets, and what the runner may believe of the store."""
    found = {
        "PASSHELPER_GPG_KEY": base64.b64encode(new.secret + _others(store, new)).decode(),
        "PASSHELPER_PASSPHRASE": new.passphrase,
        ACCEPT: _readers(store),
    }
    repository = store.repository("")
    if repository is not None:
        with gitrepo.opened(repository, store.environ) as git:
            found |= _shared(git)
    headers = [named for named in gpgid.headers(store).values() if named.store]
    if headers and recipients.signing_keys(store.environ):
        found["PASSWORD_STORE_SIGNING_KEY"] = " ".join(recipients.signing_keys(store.environ))
        found["PASSHELPER_STORE_ID"] = headers[0].store
        found["PASSHELPER_STORE_SERIAL"] = str(min(named.serial for named in headers))
    return found


def _others(store: PassStore, new: NewRunner) -> bytes:
    """Export the keys of the other readers that do not travel with the store: the runner encrypts to them, too."""
    ring = KeyRing(store.gpg)
    lines = dict.fromkeys(line for lines in pinning.current(store.root).values() for line in lines)
    found = dict.fromkeys(key.fingerprint for line in lines for key in ring.find(line))
    left = [
        one for one in found
        if one != new.fingerprint and not os.path.exists(os.path.join(store.root, treepolicy.KEYS, one))
    ]  # fmt: skip
    return ring.export(left) if left else b""


def _readers(store: PassStore) -> str:
    """Write who may read the store, and each server that has its own list; see :mod:`passhelper.store.allowed`."""
    whole: dict[str, None] = {}
    words = []
    for path, keys in pinning.current(store.root).items():
        directory = recipients.directory_of(path)
        server = layout.decode_server(directory) if directory else None
        if not directory:
            whole.update(dict.fromkeys(keys))
        elif server is not None and not any(map(str.isspace, server)):
            words.append(f"{server}={','.join(keys)}")
    return " ".join([",".join(whole), *words])


def _shared(git: gitrepo.Git) -> dict[str, str]:
    """Say where a runner clones the store from, and which commit that has to contain."""
    try:
        upstream = network.find(git)
        url = remoteurl.split(git.settings.get(f"remote.{upstream.remote}.url", "")).clean
    except (ConfigurationError, GitError):
        return {}
    head, theirs = git.revision("HEAD"), git.revision(upstream.tracking)
    return {"PASSHELPER_STORE_URL": url, **({"PASSHELPER_STORE_COMMIT": head} if head == theirs else {})}
