"""``passhelper unlock`` and ``lock``: the passphrase cache of gpg-agent for the store's keys."""

from __future__ import annotations

import os

import click

from passhelper import wording
from passhelper.ci import runner
from passhelper.cli import output, terminal
from passhelper.cli.common import open_store
from passhelper.errors import NoSecretKeyError
from passhelper.machine import agentcache, oskeyring
from passhelper.setup import newstore
from passhelper.store import readable, recipients
from passhelper.store.store import PassStore
from passhelper.team.keyring.key import Key
from passhelper.team.keyring.keys import KeyRing


def _own_keys(store: PassStore) -> list[Key]:
    """List this machine's keys among the recipients of the store, those of single servers too."""
    lines = [*recipients.find(store.root, "", store.environ).keys, *newstore.lines(store)]
    ring = KeyRing(store.gpg)
    ring.own()  # says so if the agent cannot be reached at all
    found = {key.fingerprint: key for line in lines for key in ring.find(line) if key.is_own and key.can_encrypt}
    if not found:
        raise NoSecretKeyError(
            f"this machine has no secret key for any recipient of {store.root}",
            "ask a member to run: passhelper recipients add KEY",
        )
    return list(found.values())


_TTL = "For this long at most; only with the agent of setup --ci."
_KEYRING = "Take the passphrase from the system's keyring: service passhelper, user FINGERPRINT."


@click.command()
@click.option("--from-keyring", is_flag=True, help=_KEYRING)
@click.option("--ttl", type=click.IntRange(min=1), metavar="SECONDS", help=_TTL)
def unlock(*, from_keyring: bool, ttl: int | None) -> None:
    """Enter the key's passphrase once, so that Docker need not ask.

    gpg-agent keeps it for its own cache times, which are printed. Without a terminal the passphrase
    comes from PASSHELPER_PASSPHRASE_FILE, PASSHELPER_PASSPHRASE_FD or PASSHELPER_PASSPHRASE, or with
    --from-keyring from where this has put it: keyring set passhelper FINGERPRINT

    \b
    Examples:
      passhelper unlock && docker pull registry.example/app
      passhelper unlock --from-keyring
    """
    environ = dict(os.environ)
    if ttl is not None:
        runner.own_keyring(environ)  # the user's own agent is refused before anybody is asked for anything
    store = PassStore(environ, output.warn)
    keys = _own_keys(store)
    configured = None if from_keyring else agentcache.passphrase_from_environment(store.environ)

    def secret_of(key: Key) -> bytes | None:
        if from_keyring:
            return oskeyring.passphrase(key, attended=terminal.is_present())
        return configured if configured is not None else _ask(key)

    if ttl is None:
        for key in keys:
            if agentcache.is_unlocked(store.gpg, key):
                output.say(f"already unlocked: {key}")
            else:
                _unlock(store, key, secret_of(key))
    else:
        # Ask for all of them before the agent forgets what it has.
        secrets = {key: secret_of(key) for key in keys if agentcache.is_protected(store.gpg, key)}
        runner.limit_cache(environ, ttl)
        for key, secret in secrets.items():
            _unlock(store, key, secret)
        for key in keys:
            if key not in secrets:
                output.say(f"has no passphrase: {key}")
    readable.write(store)
    _say_times(store)


def _unlock(store: PassStore, key: Key, secret: bytes | None) -> None:
    agentcache.unlock(store.gpg, key, secret)
    output.say(f"unlocked: {key}")


def _say_times(store: PassStore) -> None:
    times = agentcache.cache_times(store.gpg)
    if len(times) > 1:
        idle, most = times["default-cache-ttl"], times["max-cache-ttl"]
        when = f"{_duration(idle)} after its last use, " if idle < most else ""
        output.say(f"gpg-agent forgets it {when}{_duration(most)} from now at the latest")


def _ask(key: Key) -> bytes | None:
    if key.is_on_card:
        return None  # gpg asks for the PIN itself, since a card counts the wrong ones
    return terminal.ask_secret(f"Passphrase for {key}", instead="set PASSHELPER_PASSPHRASE_FILE").encode(
        errors="surrogateescape"
    )


@click.command()
def lock() -> None:
    """Make gpg-agent forget the passphrase of the store's keys.

    The user's other keys stay as they are.

    \b
    Example:
      passhelper lock
    """
    store = open_store()
    for key in _own_keys(store):
        agentcache.lock(store.gpg, key)
        output.say(f"locked: {key}")


def _duration(seconds: int) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            return wording.count(seconds // size, unit)
    return "at once"
