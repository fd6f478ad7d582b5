"""What names a key, and whether gpg has taken the key that was named.

A name is bytes that are compared: ASCII digits of a fingerprint or a key id in one spelling, and nothing that merely
looks like them to a person or to Unicode. Anything else, an address or a group, means what gpg says that it means.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

HEX = frozenset("0123456789ABCDEF")
FINGERPRINTS = (40, 64)  # digits of a version 4 fingerprint, and of a later one
_LENGTHS = (8, 16, *FINGERPRINTS)  # those of a short and of a long id, too; gpg looks for any other text in user ids
_NOT_SELECTED = 1  # of KEY_CONSIDERED's flags: gpg has looked at the key and gone on to another one


def digits(name: str) -> str:
    """Read a fingerprint or a key id, whatever its spelling and with or without a ``!``: its digits in capitals.

    Returns:
        empty if it is not such a name: gpg then takes it as a text to look for, though a part of it may be digits.
    """
    bare = name.removesuffix("!")
    if not bare.isascii():
        return ""
    bare = bare.upper().removeprefix("0X")
    return bare if len(bare) in _LENGTHS and HEX.issuperset(bare) else ""


def normalize(name: str) -> str:
    """Write a key id in one way, so that two spellings of a fingerprint compare equal.

    A ``!`` stays: gpg then takes exactly that subkey, and not the newest one of the same key.
    """
    bare = digits(name)
    if not bare:
        return name
    return f"{bare}!" if name.endswith("!") else bare


def is_fingerprint(name: str) -> bool:
    """Return whether a text is a full fingerprint of version 4 or 6, not a short id, an e-mail or a group."""
    return len(digits(name)) in FINGERPRINTS


def can_be_name(name: str) -> bool:
    """Return whether a text could name a key: one without a letter or digit is in every user id for gpg, or in none."""
    return any(letter.isalnum() for letter in name.lower().removeprefix("0x"))


def long_id(fingerprint: str) -> str:
    """Find the key id in a fingerprint: the end of a version 4 one, the beginning of a longer one."""
    return fingerprint[:16] if len(fingerprint) == 64 else fingerprint[-16:]


def selected(lines: "Iterable[Sequence[str]]") -> "set[str]":
    """Read from gpg's status lines the primary fingerprints of the keys that it has encrypted to (or signed with)."""
    return {
        line[1]
        for line in lines
        if line[0] == "KEY_CONSIDERED" and len(line) > 2 and line[2].isdigit() and not int(line[2]) & _NOT_SELECTED
    }


def is_plain(names: "Sequence[str]", taken: "Collection[str]", ids: "Collection[str]") -> bool:
    """Return, without another look at the keyring, whether a message is for the keys that were named and no others.

    gpg looks for a fingerprint among the subkeys of all keys, too, and goes on to the next key that has it where the
    first one has expired. So whoever makes somebody's key a subkey of his own could be encrypted to in his place.

    Args:
        names: the recipients that gpg was given.
        taken: see :func:`selected`.
        ids: the key ids that the message names; no more than there are names.

    Returns:
        True also of a name that is not a fingerprint; False where a look at the keyring has to tell, for a name that is
        a subkey's.
    """
    # In capitals and without a "!", as they are in nearly every list.
    if all(name in taken or not is_fingerprint(name) for name in names):
        return True
    return all(map(is_fingerprint, names)) and {long_id(digits(name)) for name in names} == {*ids}
