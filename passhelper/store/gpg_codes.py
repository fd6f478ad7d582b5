"""The codes of libgpg-error (their low 16 bits) in gpg's status lines: why a key has not opened a message.

Loaded only after a failure.
"""

CHECKSUM, CIPHER, NO_SECRET_KEY = 10, 12, 17
CANNOT_ALLOCATE = 32854
NO_PINENTRY, BAD_PASSPHRASE = 85, 11
# With which gpg says that a key is locked.
_LOCKED = frozenset((
    BAD_PASSPHRASE,
    62,  # timeout: the prompt was not answered
    NO_PINENTRY,
    99,  # cancelled
    198,  # fully cancelled
    32870,  # ENOTTY: a curses pinentry without a terminal
    32774,  # ENXIO: the same, on a terminal that is gone
))  # fmt: skip
# With which it says that a session key was not made for a secret key, or is damaged.
NOT_FOR_THIS_KEY = frozenset((
    7,  # bad secret key
    CHECKSUM,
    NO_SECRET_KEY,
    18,  # wrong secret key used
    79,  # invalid data
    89,  # bad data
    152,  # decryption failed
))  # fmt: skip


def error_codes(lines: "list[list[str]]") -> "list[int]":
    """Read with which codes of libgpg-error the keys have failed to open a message."""
    return [
        int(line[2]) & 0xFFFF
        for line in lines
        if line[:2] == ["ERROR", "pkdecrypt_failed"] and len(line) > 2 and line[2].isdigit()
    ]


def locked_code(codes: "list[int]") -> int:
    """Return the first code that says why a key is locked; 0 when none is."""
    return next((code for code in codes if code in _LOCKED), 0)
