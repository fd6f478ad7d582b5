"""Passphrases in the operating system's keyring, through the ``keyring`` library.

The service is ``passhelper``, the user the key's full fingerprint; so ``keyring set passhelper FINGERPRINT``
puts one there. Which keyring that is, the library decides: the macOS Keychain, the Windows Credential
Locker, the Secret Service of a desktop.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from passhelper.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from passhelper.team.keyring.key import Key

_SERVICE = "passhelper"
_ATTENDED = 120.0  # seconds for a person to unlock a keyring that asks
_UNATTENDED = 10.0  # seconds where nobody can
_INSTEAD = "set PASSHELPER_PASSPHRASE_FILE instead"
_NONE = ("keyring.backends.fail", "keyring.backends.null")  # what the library takes where there is none


def passphrase(key: Key, *, attended: bool) -> bytes:
    """Read the passphrase of a key; if attended, a person can answer the keyring's own questions.

    Raises:
        ConfigurationError: there is no keyring, it does not answer, or it does not have the passphrase.
    """
    seconds = _ATTENDED if attended else _UNATTENDED
    found: list[str | None] = []
    failed: list[BaseException] = []

    def read() -> None:
        try:
            found.append(_read(key.fingerprint))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failed.append(error)

    # A keyring that waits for a click nobody makes cannot be interrupted; it can be left behind.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise ConfigurationError(
            f"the keyring gave no answer within {seconds:g} seconds", f"unlock it in its session, or {_INSTEAD}"
        )
    if not found[0]:
        raise ConfigurationError(
            f"the keyring has no passphrase for GPG key {key}", f"run: keyring set {_SERVICE} {key.fingerprint}"
        )
    return found[0].encode(errors="surrogateescape")


def _read(fingerprint: str) -> str | None:
    import keyring  # noqa: PLC0415 - it looks for all its backends, which only this needs
    from keyring.errors import KeyringError  # noqa: PLC0415

    backend = keyring.get_keyring()
    if type(backend).__module__ in _NONE:
        raise ConfigurationError("this machine, or this session, has no keyring that can be asked", _INSTEAD)
    try:
        return backend.get_password(_SERVICE, fingerprint)
    except KeyringError as error:
        why = printable(" ".join(str(error).split())) or type(error).__name__
    except Exception as error:  # noqa: BLE001 - backends raise what their libraries raise, such as errors of D-Bus
        why = type(error).__name__
    raise ConfigurationError(f"the keyring did not give the passphrase: {why}", _INSTEAD)
