"""What is wrong with recipients' keys, and who can do what about it.

Imported only after a failure, and by the commands.
"""

from passhelper.errors import GpgError, RecipientsError
from passhelper.store.keyinfo import NEWER, Key, find_keys, is_pinned, knows_newer_keys, names, overlooked, version
from passhelper.store.keynames import digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from passhelper.store.gpg import Gpg


def complaint(gpg: "Gpg", name: str) -> str:
    """Say what is wrong with a recipient and what to do; empty if nothing is."""
    keys = find_keys(gpg, name)
    if not keys and len(digits(name)) == 64 and not knows_newer_keys(gpg):
        return f"{name} is a key of a newer format than {version(gpg)} takes, {NEWER}"
    if not keys:
        return f"{name} is not in this keyring, run: gpg --import KEYFILE"
    unseen = overlooked(gpg, name, [key.fingerprint for key in keys])
    if unseen is not None:
        return ", ".join(unseen)
    usable = [key for key in keys if not key.problem]
    if usable and (not is_pinned(name) or any(names(name, each) for key in usable for each in key.encryption)):
        return ""
    if usable:
        others = " or ".join(f"0x{each}!" for each in usable[0].encryption)
        return f"{name} is not a subkey of {usable[0].label} to encrypt to today, name {others}"
    key = keys[0]
    remedy = advice(gpg, key)
    return ", ".join(filter(None, (f"key {key.label} {key.problem}", remedy)))


def advice(gpg: "Gpg", key: Key) -> str:
    """Say what to do about a key's problem; empty if nothing can be done."""
    return by_owner(gpg, key.fingerprint, key.remedy) if key.needs_primary else key.remedy


def by_owner(gpg: "Gpg", fingerprint: str, remedy: str) -> str:
    """Say who can do what only the primary secret key can, and how the key comes here then.

    Args:
        gpg: the keyring here.
        fingerprint: the key's.
        remedy: what to do, as it is done where the primary secret key is.
    """
    try:
        own = find_keys(gpg, fingerprint, secret=True)
    except GpgError:
        return remedy  # it has said enough by the time that anybody follows this
    if any(key.has_primary for key in own):
        return remedy
    if own:
        return f"its primary secret key is not here: where it is, {remedy}; then import the key: gpg --import KEYFILE"
    command = remedy.partition(": ")[2]
    return (
        f"ask its owner to run: {command}, and passhelper sync; then run: passhelper sync, "
        "or, with a key that you are sent, gpg --import KEYFILE"
    )


def usable_recipients(
    gpg: "Gpg", recipients: "Sequence[str]", where: str, warn: "Callable[[str], None]"
) -> "list[str]":
    """Leave out the recipients that cannot be encrypted to (``PASSHELPER_SKIP_UNUSABLE=1``).

    Raises:
        RecipientsError: nobody would be left, or nobody on this machine.
    """
    complaints = {name: why for name in recipients if (why := complaint(gpg, name))}
    usable = [name for name in recipients if name not in complaints]
    if complaints and not any(find_keys(gpg, name, secret=True) for name in usable):
        raise RecipientsError(
            f"no usable recipient in {where} has a secret key here: " + "; ".join(complaints.values())
        )
    for why in complaints.values():
        warn(f"not encrypted for a recipient in {where}: {why}")
    return usable
