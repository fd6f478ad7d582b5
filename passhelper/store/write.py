"""Changes to a store: one credential in, some out, each as one atomic step and one commit.

The order of a write is what makes it safe: recipients are compared with the pin before anything is
encrypted; everything is encrypted before the lock is taken; nothing is created before the lock; the
new file is in place before an older username is removed.
"""

import os
import time

from passhelper.errors import StoreError, TrustError
from passhelper.store import layout, recipients
from passhelper.store.child import finish
from passhelper.store.gpg import QUICK
from passhelper.store.store import Entry, PassStore, binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.store.commit import Committer
    from passhelper.store.recipients import Recipients
    from passhelper.store.repository import Repository
    from passhelper.store.trust import Pins

_TRIES = 3  # encryptions for a store whose recipients keep changing


def write(store: PassStore, server: str, username: str, secret: bytes) -> None:
    """Keep a credential and remove every other username of its server.

    Raises:
        StoreNotInitializedError: the store names no recipients.
        TrustError: its recipients are not the accepted ones.
        RecipientsError: one of them cannot be encrypted to.
        StoreError, GpgError, OSError: anything else; the store is as it was.
    """
    name = layout.encode_server(server)
    target = Entry(server, username, os.path.join(store.folder, layout.native(name),
                                                  layout.native(layout.encode_username(username))))  # fmt: skip
    store.check_folder()
    _refuse_shadowed_recipients(store, server, name)
    repository = store.repository(name)
    committer = _committer(store, repository)
    for _ in range(_TRIES):
        found, pins = _accepted(store, name, repository)
        ciphertext = _encrypt(store, target, secret, found, repository)
        if ciphertext is None:
            return  # in a git store: what is there says the same to the same keys
        with store.lock(repository):
            if recipients.find(store.root, name, store.environ).keys != found.keys:
                continue
            _replace(store, target, ciphertext, repository, committer, pins)
            return
    raise TrustError("the recipients keep changing while a credential is stored", "try again")


def _refuse_shadowed_recipients(store: PassStore, server: str, name: str) -> None:
    """Refuse to widen the readers of a server whose own ``.gpg-id`` lies in a hand-made spelling."""
    for other in layout.spellings(server)[1:]:
        path = os.path.join(layout.FOLDER, other, recipients.FILE)
        if os.path.lexists(os.path.join(store.root, path)):
            raise StoreError(
                f"{path} limits who reads this server, but its directory is not spelled as it is written",
                f"move it to {os.path.join(layout.FOLDER, name)}",
            )


def _committer(store: PassStore, repository: "Repository | None") -> "Committer | None":
    if repository is None:
        return None
    from passhelper.store.commit import Committer  # noqa: PLC0415 - only in a git store

    return Committer(repository, store.environ, store.files(), store.warn)


def _accepted(
    store: PassStore, name: str, repository: "Repository | None"
) -> "tuple[Recipients, Pins | None]":
    """Find the recipients and make sure that this machine has accepted them.

    Returns:
        the recipients, and the pins to write after the lock is taken if they are new.
    """
    found = recipients.find(store.root, name, store.environ)
    recipients.verify_signature(store.root, found, store.gpg)
    if repository is None or not found.path:
        return found, None
    from passhelper.store import trust  # noqa: PLC0415 - only in a git store

    pins = trust.load(repository.state)
    if pins is None:
        return found, trust.current(store.root)
    return found, trust.check(store.root, name, found, pins, store.gpg)


def _encrypt(
    store: PassStore, target: Entry, secret: bytes, found: "Recipients", repository: "Repository | None"
) -> "bytes | None":
    """Encrypt; None when the store already says the same to the same keys."""
    gpg = store.gpg
    keys = list(found.keys)
    name = binding(target.server, target.username)
    started = time.monotonic()
    encrypting = gpg.start_encrypt(secret, keys, name, trusted=found.all_fingerprints)
    current = _start_comparison(store, target) if repository is not None else None
    finish([encrypting], gpg.timeout())
    if store.environ.get("PASSHELPER_SKIP_UNUSABLE") == "1" and encrypting.returncode != 0:
        from passhelper.store import diagnose  # noqa: PLC0415 - only on failure

        keys = diagnose.usable_recipients(gpg, keys, found.label, store.warn)
        encrypting = gpg.start_encrypt(secret, keys, name, trusted=all(map(recipients.is_fingerprint, keys)))
        finish([encrypting], gpg.timeout())
    ciphertext = gpg.ciphertext(encrypting, keys, found.label)
    if current is not None:
        decrypting, existing = current
        finish([decrypting], max(QUICK - (time.monotonic() - started), 0.0))
        if _same(store, decrypting, existing, secret, name, ciphertext):
            return None
    return ciphertext


def _start_comparison(store: PassStore, target: Entry) -> "tuple[Child, bytes] | None":
    """Start decrypting what is there now, beside the encryption; only if it could be the same credential."""
    if store.environ.get("PASSHELPER_ALWAYS_WRITE") == "1":
        return None
    present = [entry for name in layout.spellings(target.server) for entry in store.entries(target.server, name)]
    if [entry.path for entry in present] != [target.path]:
        return None
    try:
        descriptor = store.open(target)
    except (StoreError, OSError):
        return None
    with open(descriptor, "rb") as file:
        existing = file.read()
    return store.gpg.start_decrypt(existing, prompt=False), existing


def _same(
    store: PassStore, decrypting: "Child", existing: bytes, secret: bytes, name: str, ciphertext: bytes
) -> bool:
    """Compare what is there with what would be written. Any doubt means "write"."""
    from passhelper.errors import PasshelperError  # noqa: PLC0415
    from passhelper.store import packets  # noqa: PLC0415

    try:
        plaintext = store.gpg.plaintext(decrypting, "")
    except PasshelperError:
        return False
    if plaintext.data != secret or plaintext.name != name:
        return False
    before, after = sorted(packets.key_ids(existing)), sorted(packets.key_ids(ciphertext))
    return before == after and packets.HIDDEN not in before


def _replace(
    store: PassStore,
    target: Entry,
    ciphertext: bytes,
    repository: "Repository | None",
    committer: "Committer | None",
    pins: "Pins | None",
) -> None:
    """Put the new file in place, remove older usernames, commit; under the lock."""
    files = store.files()
    _sweep(store, repository)
    folder = os.path.dirname(target.path)
    temporary = repository.state if repository is not None else store.folder
    made = files.make_directory(store.folder)
    try:
        if repository is not None:
            files.make_directory(repository.state)
        made += files.make_directory(folder)
        files.replace(target.path, ciphertext, temporary)
    except BaseException:
        files.remove_directories(made)
        raise
    removed = [
        entry.path
        for name in layout.spellings(target.server)
        for entry in store.entries(target.server, name)
        if entry.path != target.path
    ]
    _remove_files(store, removed)
    if repository is not None and pins is not None:
        from passhelper.store import trust  # noqa: PLC0415 - only in a git store

        trust.save(repository.state, pins, files)
    if committer is not None:
        committer.commit([target.path, *removed], f"Store credential for {target.server} ({target.username})")


def remove(store: PassStore, servers: "list[str]") -> None:
    """Remove every entry of some servers; their ``.gpg-id`` files stay.

    Args:
        store: where.
        servers: exact names; those without entries are no error.
    """
    names = [(server, name) for server in servers for name in layout.spellings(server)]
    touched = [(server, name) for server, name in names if store.entries(server, name)]
    if not touched:
        return
    repositories = {name: store.repository(name) for _, name in touched}
    groups: dict[str, list[tuple[str, str]]] = {}
    for server, name in touched:
        repository = repositories[name]
        groups.setdefault(repository.root if repository else "", []).append((server, name))
    for group in groups.values():
        _remove_group(store, group, repositories[group[0][1]])


def _remove_group(store: PassStore, group: "list[tuple[str, str]]", repository: "Repository | None") -> None:
    committer = _committer(store, repository)
    with store.lock(repository):
        _sweep(store, repository)
        paths = [entry.path for server, name in group for entry in store.entries(server, name)]
        _remove_files(store, paths)
        if committer is not None and paths:
            names = ", ".join(dict.fromkeys(server for server, _ in group))
            committer.commit(paths, f"Erase credential for {names}")


def _remove_files(store: PassStore, paths: "list[str]") -> None:
    """Unlink files and the directories that become empty, up to the folder of all credentials."""
    from passhelper.store.files import sync_directory  # noqa: PLC0415

    folders = set()
    for path in paths:
        os.unlink(path)
        folders.add(os.path.dirname(path))
    for folder in sorted(folders, key=len, reverse=True):
        place = folder
        try:
            while place.startswith(store.folder + os.sep):
                os.rmdir(place)
                place = os.path.dirname(place)
        except OSError:
            pass  # not empty: a .gpg-id, a file that is not ours
        sync_directory(place)


def _sweep(store: PassStore, repository: "Repository | None") -> None:
    """Remove what a killed writer left: its temporary file and the directory it had just made."""
    files = store.files()
    left = files.sweep(store.folder)
    if repository is not None:
        left = files.sweep(repository.state) or left
    if not left:
        return
    for name in os.listdir(store.folder):
        try:
            os.rmdir(os.path.join(store.folder, name))
        except OSError:
            continue
