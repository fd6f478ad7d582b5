"""Every option that may stand in a gpg.conf, with a value where it takes one, and what comes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

_COMMANDS_END = "--Monitor"  # --dump-options lists commands first; headings begin with a capital
# What an option is to be given where gpg says that it misses a value; anything else gets a number.
_VALUES = {
    "output": "{folder}/leak-output", "log-file": "{folder}/log", "logger-file": "{folder}/log",
    "status-file": "{folder}/status", "attribute-file": "{folder}/attributes", "passphrase-file": "{folder}/nothing",
    "command-file": "{folder}/nothing", "logger-fd": "1", "status-fd": "1", "attribute-fd": "1", "command-fd": "0",
    "passphrase-fd": "0", "override-session-key-fd": "0", "charset": "iso-8859-1", "display-charset": "iso-8859-1",
    "set-filename": "leak-embedded", "cipher-algo": "3DES", "digest-algo": "SHA512", "cert-digest-algo": "SHA512",
    "compress-algo": "zip", "compression-algo": "zip", "trust-model": "direct", "pinentry-mode": "cancel",
    "group": "{bob}={stranger}", "recipient": "{stranger}", "hidden-recipient": "{stranger}",
    "remote-user": "{stranger}",
    "recipient-file": "{folder}/stranger.asc", "hidden-recipient-file": "{folder}/stranger.asc",
    "encrypt-to": "{stranger}", "hidden-encrypt-to": "{stranger}", "default-recipient": "{stranger}",
    "default-key": "{stranger}", "local-user": "{stranger}", "try-secret-key": "{stranger}",
    "trusted-key": "{stranger}", "keyring": "{folder}/other.kbx", "primary-keyring": "{folder}/other.kbx",
    "secret-keyring": "{folder}/other.gpg", "trustdb-name": "{folder}/other-trust.gpg", "homedir": "{folder}",
    "faked-system-time": "20200101T000000", "compliance": "rfc2440", "personal-cipher-preferences": "3DES",
    "personal-digest-preferences": "SHA1", "personal-compress-preferences": "ZIP", "disable-cipher-algo": "AES",
    "disable-pubkey-algo": "ECDH", "agent-program": "/usr/bin/gpg-agent", "exec-path": "{folder}",
    "temp-directory": "{folder}", "debug-level": "guru", "debug": "4095", "max-output": "3", "set-filesize": "3",
    "override-session-key": "9:" + "0" * 64, "comment": "leak", "default-comment": "leak", "keyid-format": "short",
    "import-options": "show-only", "export-options": "export-dane", "list-options": "show-photos",
    "import-filter": "keep-uid=uid = x", "export-filter": "keep-uid=uid = x", "key-origin": "url",
    "options": "{folder}/nothing", "user": "{stranger}", "sign-with": "{stranger}", "input-size-hint": "3",
    "request-origin": "remote", "tofu-default-policy": "bad", "auto-key-locate": "nodefault,local",
}  # fmt: skip


def options(program: str) -> list[str]:
    """List the options that gpg knows, without its commands."""
    names = subprocess.run([program, "--dump-options"], capture_output=True, check=True).stdout.decode().split()
    return [name[2:] for name in names[names.index(_COMMANDS_END) :] if not name[2:3].isupper()]


def line(program: str, name: str, words: Mapping[str, str], home: Path) -> str | None:
    """Write the line for a gpg.conf, as gpg takes it in this home.

    Returns:
        the line, None if gpg refuses the option there, with or without a value.
    """
    value = _VALUES.get(name, "1").format_map(words)
    for text in (f"{name} {value}", name):
        (home / "gpg.conf").write_text(text + "\n")
        said = subprocess.run(
            [program, "--batch", "--list-keys"], env={"GNUPGHOME": str(home), "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        if b"gpg.conf:1: " not in said.stderr:
            return text
    return None
