"""``passhelper setup --ci`` and ``teardown``: a throw-away runner, from a secret key to a tested ``docker login``.

Everything lies in one private directory with an agent of its own; the user's files are read, never
edited, so jobs run side by side on one machine. A set-up that fails removes what it has made.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from passhelper.ci import agent, clients, clone, homedir, secretkey
from passhelper.ci.homedir import VARIABLE, Home
from passhelper.errors import ConfigurationError, PasshelperError
from passhelper.machine import agentcache, launcher, wipe
from passhelper.setup import proof
from passhelper.store import passphrase, readable
from passhelper.store.gpg import Gpg
from passhelper.store.programs import clean_environ
from passhelper.store.store import PassStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from passhelper.team.keyring.key import Key


class Runner:
    """The result of a set-up.

    Attributes:
        home: its directory.
        settings: the variables that lead there, by name; nothing in them is secret.
    """

    def __init__(self, home: Home, environ: Mapping[str, str]) -> None:
        self.home = home
        path = environ.get("PATH", os.defpath)
        self.settings = {
            "PATH": os.pathsep.join([home.bin, path] if path else [home.bin]),
            "GNUPGHOME": home.gnupg,
            "DOCKER_CONFIG": home.docker,
            "REGISTRY_AUTH_FILE": home.auth_file,
            "PASSWORD_STORE_DIR": home.store,
            VARIABLE: home.path,
        }


@contextmanager
def set_up(
    environ: Mapping[str, str],
    registries: Sequence[str],
    warn: Callable[[str], None],
    note: Callable[[str], None],
    depth: int = 0,
) -> Iterator[Runner]:
    """Set a runner up and test it; if that or the caller's block fails, everything is removed again.

    Args:
        environ: the job's environment.
        registries: the only ones that ``pass`` serves; none of them means all.
        warn: takes one line that the user should know.
        note: takes one line for each step.
        depth: how many commits of the store's history to clone, 0 for all.

    Raises:
        PasshelperError: what went wrong.
    """
    before = environ.get(VARIABLE, "")
    if before and homedir.load(before) is not None:
        raise ConfigurationError(f"this job is set up already: {VARIABLE} is {before}", "run: passhelper teardown")
    name = secretkey.source(environ)
    data = secretkey.read(environ)
    url, commit = clone.source(environ)
    secret_name = passphrase.source(environ)
    secret = agentcache.passphrase_from_environment(environ)
    sweep(environ)
    with homedir.create(environ, warn) as home:
        try:
            outside = PassStore(environ, warn).root if environ.get("PASSWORD_STORE_DIR") else ""
            home.store = outside or os.path.join(home.path, "store")
            runner = Runner(home, environ)
            # From here on nobody needs the secrets: not gpg, not git, not the helper in the proof.
            inner = {**clean_environ(environ), **runner.settings}
            agent.configure(home.gnupg)
            gpg = Gpg(inner)
            key = secretkey.import_key(gpg, data, name)
            note(f"key: imported {key}")
            secretkey.unlock(gpg, key, secret, secret_name)
            home.agent = agent.pid(home.gnupg, inner)
            home.save()
            _provide_store(home, PassStore(inner, warn), key, (url, commit, depth))
            note(f"store: {'made' if not url and home.made_store else 'cloned' if url else 'found'} {home.store}")
            _prove(home, environ, inner, registries, key)
            readable.write(PassStore(inner, _ignore))
            note("proved: docker-credential-pass stores, gets and erases with this key")
            home.is_complete = True  # before the caller can tell anybody of it
            home.save()
            yield runner
        except BaseException:
            remove(home, environ, store=True)
            raise


def sweep(environ: Mapping[str, str]) -> list[str]:
    """Remove the directories of set-ups that were killed, and end their agents; return what they were.

    A store outside such a directory stays: another job may have begun to use it.
    """
    with homedir.abandoned(environ) as left:
        for home in left:
            try:
                remove(home, environ, store=False)
            except (PasshelperError, OSError):
                pass  # an agent that does not end is no reason to stop this job
        return [home.path for home in left]


def _provide_store(home: Home, store: PassStore, key: Key, wanted: tuple[str, str, int]) -> None:
    """Clone the store, make it, or take what ``PASSWORD_STORE_DIR`` names."""
    url, commit, depth = wanted
    store.check_folder()
    is_new = not os.path.isdir(store.root) or not os.listdir(store.root)
    if is_new:  # known before anything is in it, so that a failure half-way removes it
        home.made_store = True
        home.save()
    if url:
        repository = clone.clone(store, url, commit, depth)
        clone.check_readable(store, key)
        refused = clone.pin(store, repository)
        if refused:
            store.warn(
                f"this clone is for reading only, its recipients are not accepted: {refused}; to store in it, "
                "set PASSHELPER_ACCEPT_RECIPIENTS to the fingerprints that you know"
            )
    elif is_new:
        clone.make(store, key)
    else:
        clone.check_readable(store, key)


def _prove(home: Home, environ: Mapping[str, str], inner: dict[str, str], registries: Sequence[str], key: Key) -> None:
    """Configure the clients and test the whole chain with the runner's own key, not with the store's recipients."""
    servers = [entry.server for entry in PassStore(inner, _ignore).walk()]
    clients.write(home, environ, registries, servers)
    placed = launcher.install(inner, home.bin)
    proof.prove(PassStore({**inner, "PASSWORD_STORE_KEY": key.fingerprint}, _ignore), placed.path, None)


def _ignore(text: str) -> None:
    """Drop a warning that the user has seen."""
    del text


def tear_down(environ: Mapping[str, str], *, store: bool) -> list[str]:
    """Remove what :func:`set_up` made, found by the variables that it exported; once that is gone, do nothing.

    A store that it made outside its directory is removed only on request.

    Returns:
        what was done, one line each.

    Raises:
        ConfigurationError: something there was not made by a set-up.
        GpgError: its agent does not end.
    """
    path = environ.get(VARIABLE, "")
    home = homedir.load(path) if path else None
    outside = PassStore(environ, _ignore).root if environ.get("PASSWORD_STORE_DIR") else ""
    if home is not None:
        outside = home.store
    has_store = bool(store and outside and os.path.lexists(outside))
    if has_store and not clone.is_made(outside):
        raise ConfigurationError(
            f"the store {outside} was not made by passhelper setup --ci, so it is left as it is",
            "run: passhelper teardown, without --store",
        )
    done = [f"removed {folder}, which a set-up that was killed had left" for folder in sweep(environ)]
    if home is not None:
        ended = remove(home, environ, store=False)
        done += [f"ended its gpg-agent and removed {path}" if ended else f"removed {path}"]
    if has_store and os.path.lexists(outside):  # one inside the directory went with it
        wipe.remove_tree(outside)
        done.append(f"removed {outside}")
    return done


def limit_cache(environ: Mapping[str, str], seconds: int) -> None:
    """Let the runner's agent forget what it has, and keep the next passphrase for some seconds only.

    Raises:
        GpgError: the agent does not take the setting.
    """
    agent.limit(own_keyring(environ), environ, seconds)


def own_keyring(environ: Mapping[str, str]) -> str:
    """Find the ``GNUPGHOME`` that :func:`set_up` made.

    Raises:
        ConfigurationError: the one in use is another.
    """
    path, used = environ.get(VARIABLE, ""), environ.get("GNUPGHOME", "")
    home = homedir.load(path) if path else None
    if home is None or not used or os.path.realpath(used) != home.gnupg:
        raise ConfigurationError(
            "--ttl works only with the gpg-agent of setup --ci: gpg 2.2 has no preset passphrase with a time limit, "
            "and the cache times of your own agent hold for all your keys",
            "set default-cache-ttl and max-cache-ttl in gpg-agent.conf, and run: gpgconf --reload gpg-agent",
        )
    return home.gnupg


def remove(home: Home, environ: Mapping[str, str], *, store: bool) -> bool:
    """Remove a runner's directory and end its agent; return whether there was one."""
    try:
        ended = agent.stop(home.gnupg, environ, home.agent)
    finally:  # a key must not stay because its agent does
        if store and home.made_store and os.path.lexists(home.store):
            wipe.remove_tree(home.store)
        home.erase()
    return ended
