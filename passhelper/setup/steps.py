"""``passhelper setup``: from nothing to a working ``docker login``, one step after the other.

Every step looks first and changes only what is missing, so a second run changes nothing and a run
that was interrupted is finished by the next one.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.docker import config, containers
from passhelper.errors import ConfigurationError
from passhelper.machine import agentcache, launcher, tools
from passhelper.setup import newstore, proof, sharedstore
from passhelper.setup.sharedstore import SharedStore
from passhelper.store import readable
from passhelper.store.keynames import is_fingerprint, normalize
from passhelper.store.programs import clean_environ, find_program
from passhelper.store.store import PassStore
from passhelper.team.keyring.key import Key, names
from passhelper.team.keyring.keys import KeyRing, NewKey
from passhelper.team.recipients.scope import other_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from passhelper.store.recipients import Recipients
    from passhelper.team.sync.clone import Source


@dataclass(frozen=True)
class SetupOptions:
    """What the user asked for.

    Attributes:
        keys: recipients, each a fingerprint, an address or a key file.
        generate: whether to make a key if the store names none of this machine.
        name, email, expire: for a new key; empty for the defaults.
        protect: whether a new key gets a passphrase.
        git: whether the store is to be a git repository.
        source: the team's store, to be cloned or filled; None for a store of one's own.
        whole_store: whether entries that are not Docker credentials may be pushed there too.
        bin_dir: where the launcher goes; chosen when empty.
        docker: whether to point Docker at ``pass``.
        registries: only for these servers; empty means all.
        containers: whether to point podman and skopeo at ``pass`` too.
    """

    keys: tuple[str, ...] = ()
    generate: bool = False
    name: str = ""
    email: str = ""
    expire: str = ""
    protect: bool = True
    git: bool = False
    source: Source | None = None
    whole_store: bool = False
    bin_dir: str = ""
    docker: bool = True
    registries: tuple[str, ...] = ()
    containers: bool = False


@dataclass(frozen=True)
class Step:
    """The outcome of one step.

    Attributes:
        name: a stable word for programs.
        changed: whether something was changed.
        text: what a person reads, a line or more.
    """

    name: str
    changed: bool
    text: str


def run(
    store: PassStore, options: SetupOptions, ask: Callable[[], bytes], confirm: Callable[[str], bool] | None = None
) -> Iterator[Step]:
    """Set the machine up.

    Args:
        store: where credentials go.
        options: what the user asked for.
        ask: asks a person for a new passphrase; raises if nobody can be asked.
        confirm: shows a person the recipients of a store that was cloned and asks whether they are right; None
            if nobody can be asked.

    Yields:
        each step when it is done; a last one called ``join`` when a member of the team has to act first.

    Raises:
        PasshelperError: what went wrong; the steps before it are done.
    """
    store.check_folder()
    secret = agentcache.passphrase_from_environment(store.environ)
    shared = SharedStore(store, options.source, is_whole=options.whole_store) if options.source is not None else None
    if shared is not None:
        text = shared.obtain()
        yield Step("clone", shared.was_cloned, f"clone: {text}")
        if shared.was_cloned:
            yield Step("accepted", changed=True, text=f"accepted: {shared.accept(confirm)}")
    keys = _Keys(store, options, ask, secret)
    if shared is not None and not shared.is_ours and not shared.was_cloned and not keys.can_read():
        came = shared.catch_up(keys.own())
        yield Step("sync", came, f"sync: {'fetched what is new' if came else 'nothing is new'}")
    if shared is not None and not shared.is_ours and not keys.can_read():
        yield from keys.join()
        shared.import_keys()
        return
    is_new = False
    for step in keys.settle():
        is_new = is_new or (step.name == "recipients" and step.changed)
        yield step
    if shared is not None and not shared.is_ours:
        shared.import_keys()
    if shared is not None and shared.is_ours:
        newstore.write_public_keys(store, keys.fingerprinted())
    if options.git or shared is not None or (is_new and store.repository("") is not None):
        done = newstore.make_repository(store, is_whole=options.whole_store)
        yield Step("git", bool(done), f"git: {', '.join(done)}" if done else f"git: {store.root} is a repository")
    if shared is not None and shared.is_ours:
        yield Step("push", changed=True, text=f"push: {shared.publish()}")
    placed = launcher.install(store.environ, options.bin_dir)
    verb = "wrote" if placed.changed else "found"
    note = f" ({placed.note})" if placed.note else ""
    yield Step("launcher", placed.changed, f"launcher: {verb} {placed.path}{note}")
    yield from _point(store.environ, options)
    reader = keys.only_reader
    proven = store if reader is None else PassStore({**store.environ, "PASSWORD_STORE_KEY": reader}, store.warn)
    program = proof.prove(proven, placed.path, secret)
    readable.write(store)
    yield Step("proof", changed=False, text=f"proved: {program} stores, gets and erases with the keys of this store")


def _point(environ: Mapping[str, str], options: SetupOptions) -> Iterator[Step]:
    if options.docker:
        changes = config.use_pass(environ, options.registries)
        file = config.path(environ)
        text = f"set {', '.join(changes)} to pass in {file}" if changes else f"{file} names pass"
        yield Step("docker", bool(changes), f"docker: {text}")
    if options.containers:
        file, changed = containers.use_pass(environ)
        yield Step("containers", changed, f"containers: {'wrote' if changed else 'found'} {file}")


class _Keys:
    """The keys that will be able to read the store.

    Attributes:
        only_reader: the key of a machine that reads some servers and not the store as a whole; None for others.
    """

    def __init__(self, store: PassStore, options: SetupOptions, ask: Callable[[], bytes], secret: bytes | None) -> None:
        self._store = store
        self._options = options
        self._ask = ask
        self._secret = secret
        self._ring = KeyRing(store.gpg)
        self.only_reader: str | None = None

    def own(self) -> list[Key]:
        """List this machine's keys."""
        return [key for key in self._ring.own() if key.is_own]

    def can_read(self) -> bool:
        """Return whether this machine holds a key of any recipient, of the store or of a single server."""
        return bool(self._readers())

    def fingerprinted(self) -> list[Key]:
        """List the keys that the store names by their fingerprints, so that nobody can mistake them for others."""
        return [key for line in newstore.lines(self._store) if is_fingerprint(line) for key in self._ring.find(line)]

    def _readers(self) -> list[Key]:
        return [key for line in newstore.lines(self._store) for key in self._ring.find(line) if key.is_own]

    def join(self) -> Iterator[Step]:
        """Find or make the key that this machine will read with, and write its public part for a member."""
        asked = [key for key in map(self._ring.resolve, self._options.keys) if key.is_own]
        if asked:
            key = asked[0]
        elif self._options.generate:
            key = yield from self._generate()
        else:
            key = self._only_own()
        path = sharedstore.export(self._store, key)
        text = (
            f"join: this machine's key is not a recipient of the store yet: {key}\n"
            f"join: give a member of the team the file {path}, to run: "
            f"passhelper recipients add {os.path.basename(path)} && passhelper sync\n"
            "join: then run this command again"
        )
        yield Step("join", changed=True, text=text)

    def settle(self) -> Iterator[Step]:
        """Find or make the keys and write them to the list."""
        asked = [self._ring.resolve(name) for name in self._options.keys]
        found = newstore.current(self._store)
        if found is not None and not self._may_add(found, asked):
            yield self._keep(found, asked)
            return
        if asked:
            chosen = asked
        elif self._options.generate:
            chosen = [(yield from self._generate())]
        else:
            chosen = [self._only_own()]
        self._check(chosen)
        path = newstore.write_recipients(self._store, chosen)
        yield Step("recipients", changed=True, text=f"recipients: wrote {path} for {names(chosen)}")

    def _may_add(self, found: Recipients, asked: list[Key]) -> bool:
        """Return whether keys other than the store's may be written beside its own ``.gpg-id``.

        A store of ``pass`` keeps its root's file; Docker credentials get one of their own as long as
        there are none that are encrypted to somebody else.
        """
        if {key.fingerprint for key in asked} <= {normalize(key) for key in found.keys}:
            return False
        foreign = found.path == os.path.basename(found.path) and other_entries(self._store) > 0
        return foreign and not self._store.walk()

    def _keep(self, found: Recipients, asked: list[Key]) -> Step:
        path = os.path.join(self._store.root, found.path)
        known = [key for line in found.keys for key in self._ring.find(line)]
        missing = [key for key in asked if key.fingerprint not in {key.fingerprint for key in known}]
        if missing:
            raise ConfigurationError(
                f"the store is set up already, and {path} does not name {names(missing)}",
                f"run: passhelper recipients add {missing[0].fingerprint}",
            )
        own = [key for key in known if key.is_own]
        some = [] if own else self._readers()
        if some:
            self._check(some)
            self.only_reader = some[0].fingerprint
            text = f"recipients: kept {path}, this machine reads single servers with {names(some)}"
            return Step("recipients", changed=False, text=text)
        if not own:
            raise ConfigurationError(
                f"this machine has no secret key for any recipient in {path}",
                "ask a member to run: passhelper recipients add KEY, or set PASSWORD_STORE_DIR to a store of your own",
            )
        self._check(own)
        return Step("recipients", changed=False, text=f"recipients: kept {path}, this machine reads with {names(own)}")

    def _check(self, keys: list[Key]) -> None:
        """Refuse keys that nobody can encrypt to, and a set that this machine cannot read."""
        problems = [problem for key in keys if (problem := self._ring.problem(key))]
        if problems:
            raise ConfigurationError(f"cannot encrypt for every key: {'; '.join(problems)}", "name another with --key")
        if not any(key.is_own for key in keys):
            raise ConfigurationError(
                f"this machine has no secret key for any of: {names(keys)}", "name one of its own with --key too"
            )

    def _only_own(self) -> Key:
        own = self._ring.own()
        usable = [key for key in own if key.is_own and key.can_encrypt]
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise ConfigurationError(
                f"this keyring has {len(usable)} usable secret keys: {names(usable)}",
                f"choose: passhelper setup --key {usable[0].fingerprint}",
            )
        reasons = "; ".join(filter(None, (self._ring.problem(key) for key in own)))
        raise ConfigurationError(
            "this keyring has no secret key to use" + (f": {reasons}" if reasons else ""),
            "run: passhelper setup --generate-key, or import yours: gpg --import FILE",
        )

    def _generate(self) -> Generator[Step, None, Key]:
        name = self._options.name or self._git_setting("user.name") or _user()
        email = self._options.email or self._git_setting("user.email") or f"{_user()}@{socket.gethostname()}"
        wanted = NewKey(name, email, self._options.expire or "0")
        again = [key for key in self._ring.own() if key.uid == wanted.uid and key.is_own and key.can_encrypt]
        if again:  # a run that was interrupted after it had made the key
            yield Step("key", changed=False, text=f"key: found {again[0]}")
            return again[0]
        passphrase = None
        if self._options.protect:
            passphrase = self._secret if self._secret is not None else self._ask()
        key = self._ring.generate(wanted, passphrase)
        if passphrase is not None:
            agentcache.unlock(self._store.gpg, key, passphrase)  # the proof must not ask for it again
        yield Step("key", changed=True, text=f"key: made {key}")
        export = f"gpg --export-secret-keys --armor {key.fingerprint} > passhelper-key.asc"
        text = f"backup: without this key nobody can read the store; keep a copy elsewhere: {export}"
        yield Step("backup", changed=False, text=text)
        return key

    def _git_setting(self, name: str) -> str:
        git = find_program(("git",), self._store.environ)
        if git is None:
            return ""
        child = tools.run([git, "config", "--global", "--get", name], clean_environ(self._store.environ), 5.0)
        return child.stdout.decode(errors="replace").strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "passhelper"
