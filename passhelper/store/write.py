"""Stores one credential: everything until it is encrypted and can be put in its place.

The order of a write is what makes it safe: recipients are compared with the pin before anything is
encrypted; everything is encrypted before the lock is taken; nothing is created before the lock; the
new file is in place before an older username is removed (:mod:`passhelper.store.exchange`).
"""

import errno
import os
import time

from passhelper import settings
from passhelper.errors import PasshelperError, StoreError, TrustError
from passhelper.store import keynames, layout, recipients
from passhelper.store.binding import binding
from passhelper.store.child import finish
from passhelper.store.gpg import QUICK
from passhelper.store.store import Entry, PassStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from passhelper.store.child import Child
    from passhelper.store.commit import Committer
    from passhelper.store.exchange import Exchange
    from passhelper.store.neighbours import Neighbours
    from passhelper.store.recipients import Recipients
    from passhelper.store.trust import Accepted, Pins

_NAME_REFUSED = (errno.ENOENT, errno.EINVAL, errno.EILSEQ)
_TRIES = 3  # encryptions for a store whose recipients keep changing


def write(store: PassStore, server: str, username: str, secret: bytes) -> None:
    """Store a credential and remove every other username of its server.

    Raises:
        StoreNotInitializedError: the store names no recipients.
        TrustError: its recipients are not the accepted ones.
        RecipientsError: one of them cannot be encrypted to.
        StoreError, GpgError, OSError: anything else; the store is as it was.
    """
    store.check_folder()
    store.check_user()
    writer = _Writer(store, server, username, layout.encode_username(username), secret)
    try:
        writer.write()
    except OSError as error:
        if error.errno not in _NAME_REFUSED or not layout.is_refused_by_some(username):
            raise
        # The disk cannot hold the name as it is (``<token>`` on exFAT), though this is not Windows.
        writer = _Writer(store, server, username, layout.encode_username(username, windows=True), secret)
        writer.write()
    from passhelper.store.change import share  # loaded with the rest, while gpg was busy

    share(store, writer.repository, writer.committer)


class _Writer:
    """One credential on its way into the store."""

    def __init__(self, store: PassStore, server: str, username: str, file: str, secret: bytes) -> None:
        self.store = store
        self.secret = secret
        self.directory = layout.encode_server(server)
        path = os.path.join(store.folder, self.directory, layout.native(file))
        self.target = Entry(server, username, path)
        self.place = binding(server, username)
        self.repository = store.repository(self.directory)
        self.committer: Committer | None = None
        self.accepted: Accepted | None = None  # what to pin together with the write, if anything changed
        self.pins: Pins = {}
        self.neighbours: Neighbours | None = None
        self.comparison: tuple[Child, bytes] | None = None  # what decrypts the entry as it is, and its bytes
        self.children: list[Child] = []
        self.exchange: Exchange | None = None

    def write(self) -> None:
        try:
            self._write()
        finally:
            for child in self.children:  # what a failure or an early answer left running
                child.kill()
            if self.committer is not None:
                self.committer.close()

    def _write(self) -> None:
        store = self.store
        self._refuse_shadowed_recipients()
        self._refuse_twin()
        for _ in range(_TRIES):
            self._wait_for_unfinished()
            self.comparison = self._start_comparison()  # first what takes longest
            found = self._settled_recipients()
            ciphertext = self._encrypt(found)
            if ciphertext is None:  # in a git store: what is there says the same to the same keys
                self._commit_pending()
                return
            exchange = self._prepare()
            if self.committer is not None:
                self.committer.begin()
            from passhelper.store.transaction import Transaction  # loaded with the exchange

            with Transaction(store, self.repository):
                if recipients.find(store.root, self.directory, store.environ).keys == found.keys:
                    if self.neighbours is None or self.neighbours.have_changed():
                        self._look_around(found)
                    exchange.replace(ciphertext, self.accepted)
                    return
        raise TrustError("the recipients keep changing while a credential is stored", "try again")

    def _refuse_shadowed_recipients(self) -> None:
        """Refuse to widen the readers of a server whose own ``.gpg-id`` lies in a hand-made spelling."""
        for other in layout.spellings(self.target.server)[1:]:
            path = recipients.own(other)
            if os.path.lexists(os.path.join(self.store.root, path)):
                raise StoreError(
                    f"{path} limits who reads this server, but its directory does not have its usual name",
                    f"move it to {os.path.join(layout.FOLDER, self.directory)}",
                )

    def _refuse_twin(self) -> None:
        """Refuse a server whose directory this disk takes for the one of another server, and that is there."""
        folder, directory = self.store.folder, self.directory
        twin = layout.twin(folder, directory)
        if twin:
            path, other = os.path.join(folder, directory), layout.decode_server(twin) or twin
            raise StoreError(
                f"{path} is the directory of {other} on this disk, which takes capital and small letters for the same",
                "set PASSWORD_STORE_DIR to a store on another disk",
            )

    def _wait_for_unfinished(self) -> None:
        """Wait until a change of many files is finished and what git undid is back, or do it."""
        waiting = [self.store.journal(self.repository)]
        if self.repository is not None:
            waiting.append(self.repository.kept)
        if any(map(os.path.exists, waiting)):
            from passhelper.store.transaction import Transaction  # rare before gpg is busy

            with Transaction(self.store, self.repository):
                pass

    def _settled_recipients(self) -> "Recipients":
        """Find the recipients; where they are not accepted, once more between two writers."""
        try:
            return self._accepted_recipients()
        except TrustError:
            if self.repository is None:
                raise
        from passhelper.store.transaction import Transaction  # rare before gpg is busy

        self.comparison = None  # what is there may change as the lock is taken
        with Transaction(self.store, self.repository):  # they may have been about to be pinned
            return self._accepted_recipients()

    def _accepted_recipients(self) -> "Recipients":
        """Find the recipients and make sure that this machine has accepted them."""
        store = self.store
        found = recipients.find(store.root, self.directory, store.environ)
        if recipients.signing_keys(store.environ):
            from passhelper.store import signature  # only where lists are signed

            signature.verify_signature(store.root, found, store.gpg)
        if self.repository is not None and found.path:
            from passhelper.store import pinning, trust  # only in a git store

            known = trust.load_all(self.repository.state)
            self.pins = known.pins if known is not None else {}
            if known is None:
                self.accepted = pinning.first(store.root, found, store.gpg)
            else:
                self.accepted = pinning.check(store.root, self.directory, found, known, store.gpg)
        return found

    def _encrypt(self, found: "Recipients") -> "bytes | None":
        """Encrypt; None when the store already says the same to the same keys."""
        gpg = self.store.gpg
        keys = list(found.keys)
        started = time.monotonic()
        encrypting = gpg.start_encrypt(self.secret, keys, self.place, trusted=found.all_fingerprints)
        self.children.append(encrypting)
        self._look_around(found)
        from passhelper.store import cipher  # while gpg is busy

        current = self.comparison
        if current is not None and self._is_waited_for():
            current = None
        if current is None:
            self._prepare()
        finish([encrypting], gpg.deadline.left())
        if encrypting.returncode != 0 and settings.is_on(self.store.environ, settings.SKIP_UNUSABLE):
            from passhelper.store import keyfaults  # only on failure

            keys = keyfaults.usable_recipients(gpg, keys, found.label, self.store.warn)
            trusted = all(map(keynames.is_fingerprint, keys))
            encrypting = gpg.start_encrypt(self.secret, keys, self.place, trusted=trusted)
            finish([encrypting], gpg.deadline.left())
        ciphertext = cipher.ciphertext(gpg, encrypting, keys, found.label)
        if current is not None:
            decrypting, existing = current
            self._prepare()  # decrypting takes longer, and what is there is seldom the same
            finish([decrypting], gpg.deadline.left(max(QUICK - (time.monotonic() - started), 0.0)))
            if self._is_same(decrypting, existing, ciphertext):
                return None
        return ciphertext

    def _look_around(self, found: "Recipients") -> None:
        """Refuse recipients that the list of another name of this registry leaves out; done while gpg is busy."""
        from passhelper.store.neighbours import Neighbours  # reading needs none of it

        self.neighbours = Neighbours(self.store, self.target.server, self.pins)
        self.neighbours.refuse(found)

    def _prepare(self) -> "Exchange":
        """Load what comes after the encryption, while gpg is busy where it is known to be needed."""
        if self.exchange is None:
            from passhelper.store.exchange import Exchange
            from passhelper.store.workspace import committer_for

            self.committer = committer_for(self.store, self.repository)
            self.exchange = Exchange(self.store, self.target, self.repository, self.committer)
        return self.exchange

    def _start_comparison(self) -> "tuple[Child, bytes] | None":
        """Start decrypting what is there now, beside all until the encryption; only if it could be the same."""
        store, target = self.store, self.target
        if self.repository is None or settings.is_on(store.environ, settings.ALWAYS_WRITE):
            return None
        if [entry.path for entry in store.all_entries(target.server)] != [target.path]:
            return None
        try:
            descriptor = store.open(target)
        except (StoreError, OSError):
            return None
        with open(descriptor, "rb") as file:
            existing = file.read()
        decrypting = store.gpg.start_decrypt(existing, prompt=False)
        self.children.append(decrypting)
        return decrypting, existing

    def _is_waited_for(self) -> bool:
        """Return whether git may have undone a later change: what is on the disk is not what was stored last."""
        from passhelper.store import unfinished  # whoever takes the lock needs it too

        repository = self.repository
        return repository is not None and (os.path.exists(repository.kept) or bool(unfinished.aborted(repository)))

    def _is_same(self, decrypting: "Child", existing: bytes, ciphertext: bytes) -> bool:
        """Compare what is there with what would be written. Any doubt means "write"."""
        from passhelper.store import cipher, packets  # only in a git store

        try:
            plaintext = cipher.plaintext(self.store.gpg, decrypting, "")
        except PasshelperError:
            return False
        if plaintext.data != self.secret or plaintext.name != self.place:
            return False
        before, after = sorted(packets.key_ids(existing)), sorted(packets.key_ids(ciphertext))
        return before == after and packets.HIDDEN not in before

    def _commit_pending(self) -> None:
        """Commit what an earlier writer could not; this one changes nothing."""
        if self.repository is None or not os.path.exists(self.repository.pending):
            return
        exchange = self._prepare()
        if self.committer is not None and self.committer.has_pending():
            self.committer.begin()
            exchange.commit_pending()
