"""The few lines of a user's ``gpg.conf`` that count here.

gpg is started with ``--no-options``: any other line, such as ``output FILE``, ``use-embedded-filename``, ``list-only``
or ``throw-keyids``, would change which bytes are read, written or compared, or where plain text goes. Nothing
secret is handed on: these become arguments, which every user of the machine can see.
"""

import os

# Each, and whether it takes a value.
KEPT = {
    # Who asks for a passphrase, and where.
    "pinentry-mode": True,
    "passphrase-file": True,
    "agent-program": True,
    "no-autostart": False,  # an agent that ssh forwards
    "display": True,
    "ttyname": True,
    "ttytype": True,
    "lc-ctype": True,
    "lc-messages": True,
    "xauthority": True,
    # Which keys there are.
    "keyring": True,
    "primary-keyring": True,
    "no-default-keyring": False,
    "use-keyboxd": False,
    "keyboxd-program": True,
    "lock-once": False,
    "lock-multiple": False,
    "lock-never": False,
    "try-secret-key": True,
    # Whom a recipient's name means, and whether gpg trusts that.
    "group": True,
    "ungroup": True,
    "no-groups": False,
    "trustdb-name": True,
    "trust-model": True,
    "always-trust": False,
    "trusted-key": True,
    "tofu-default-policy": True,
    "completes-needed": True,
    "marginals-needed": True,
    "max-cert-depth": True,
    "min-cert-level": True,
    "force-ownertrust": True,
    # Which of the ciphers that all recipients know.
    "personal-cipher-preferences": True,
    "personal-cipher-prefs": True,
}
_SPACE = b" \t\r\f\v"


def options(text: bytes) -> "list[str]":
    """Read the lines that count, as arguments for gpg.

    Args:
        text: the file. A line is an option's name without dashes and, after white space, its value, which may stand
            in double quotes; a line that begins with ``#`` is a comment.
    """
    found: list[str] = []
    for line in text.split(b"\n"):
        words = line.strip(_SPACE).split(None, 1)
        name = os.fsdecode(words[0]) if words else ""
        value = _unquoted(words[1]) if len(words) > 1 else b""
        # gpg refuses a name without the value that it takes, and the other way round.
        if name in KEPT and bool(value) == KEPT[name]:
            found.append(f"--{name}={os.fsdecode(value)}" if value else f"--{name}")
    return found


def _unquoted(value: bytes) -> bytes:
    return value[1:].removesuffix(b'"') if value.startswith(b'"') else value
