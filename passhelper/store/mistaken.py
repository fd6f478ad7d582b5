"""Look at the keyring again if gpg may have taken one key for another.

Imported only where a recipient is a subkey, and where something is wrong.
"""

from passhelper.errors import RecipientsError
from passhelper.store import keyinfo
from passhelper.store.gpg import OTHER_KEYS, OTHERS, Gpg
from passhelper.store.keynames import digits, is_fingerprint, long_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def refuse(gpg: Gpg, names: "Sequence[str]", taken: "Collection[str]", ids: "Collection[str]") -> None:
    """Refuse a message that gpg has encrypted to a key which holds a named one as a subkey, but is not its owner's.

    Args:
        gpg: what has encrypted.
        names: the recipients that it was given.
        taken: the primary fingerprints of the keys that it says it has taken.
        ids: the key ids that the message names.

    Raises:
        RecipientsError: it is for another key.
        GpgError: gpg cannot say whose a key is.
    """
    explained = set()
    for name in filter(is_fingerprint, names):
        bare = digits(name)
        if name in taken:
            explained.add(name)
            continue
        holders = [key for key in keyinfo.holders(gpg, bare) if bare in key.fingerprints]
        is_there = long_id(bare) in ids
        if is_there and len(holders) == 1:
            explained.add(holders[0].fingerprint)
            continue
        others = [key for key in holders if key.fingerprint != bare]
        if len(others) > (1 if is_there else 0):  # one may hold the very subkey that was encrypted to
            fingerprint = others[0].fingerprint
            remedy = (
                f"find out who made it, then remove it: gpg --delete-keys {fingerprint}, or name it by {fingerprint}"
            )
            if len(others) > 1:
                remedy = "find out whose it is, then name that key by its own fingerprint"
            several = " and ".join(f"the key {key.label}" for key in others)
            call = "calls" if len(others) == 1 else "call"
            raise RecipientsError(
                f"{several} {call} {bare} a subkey of its own, so that gpg takes it for that recipient", remedy
            )
        raise RecipientsError(OTHER_KEYS, OTHERS)
    if all(map(is_fingerprint, names)) and not explained.issuperset(taken):
        raise RecipientsError(OTHER_KEYS, OTHERS)
