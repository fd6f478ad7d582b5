"""Questions about the keyring, through python-gnupg: which keys are there, whose, good for what.

Never on the verb path. A key is named by its full fingerprint, by an e-mail address that only one key
has, or by a file that holds it; short key ids are refused because anybody can make a key with the
same one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gnupg

from passhelper.errors import ConfigurationError, GpgError, PasshelperError, printable
from passhelper.oserrors import remedy
from passhelper.store import gpg_errors, gpghome, keyfaults, keyinfo
from passhelper.store.files import make_private
from passhelper.store.keynames import is_fingerprint, normalize
from passhelper.team.keyring import owners, pretenders
from passhelper.team.keyring.driver import Driver
from passhelper.team.keyring.key import Key, mail_address, names, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passhelper.store.gpg import Gpg

MAX_KEY_FILE = 1 << 20  # bytes of a key file; a key with a thousand signatures fits
_QUIET = (
    "--no-options",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--disable-dirmngr",
    "--no-auto-check-trustdb",
)


@dataclass(frozen=True)
class NewKey:
    """What to generate.

    Attributes:
        name: the owner's name.
        email: the owner's address.
        expire: as gpg takes it (``2y``, ``2030-01-01``); ``0`` for never.
    """

    name: str
    email: str
    expire: str = "0"

    @property
    def uid(self) -> str:
        """The user id as gpg writes it."""
        return f"{self.name} <{self.email}>"


class KeyRing:
    """The user's keyring.

    Args:
        gpg: which program and environment to use.
        sure: fingerprints of keys whose owner a person has confirmed.
    """

    def __init__(self, gpg: Gpg, sure: Iterable[str] = ()) -> None:
        self._gpg = gpg
        self._sure = frozenset(sure)
        try:
            self._driver = Driver(
                gpg.deadline.seconds,
                self._lock_error,
                gpgbinary=gpg.program,
                env=gpg.child_environ,
                options=list(_QUIET),
            )
        except (OSError, ValueError) as error:
            raise GpgError(f"gpg cannot be used: {printable(str(error))}", "run: gpg --version") from error
        self._driver.encoding = "utf-8"
        self._listed: list[Key] | None = None
        # python-gnupg logs what it imports at DEBUG level, secret keys among it.
        gnupg.logger.setLevel("WARNING")
        self._driver.options += gpg.configured()

    def own(self) -> list[Key]:
        """List the keys that this machine holds a secret part of, usable or not.

        Raises:
            GpgError: the agent, which knows them, cannot be reached.
        """
        keys = self._list(secret=True)
        if not keys:
            child = self._gpg.ask("--list-secret-keys", "--with-colons")
            trouble = gpg_errors.agent_error(self._gpg, child)
            if trouble is not None:
                raise trouble
        return keys

    def all(self) -> list[Key]:
        """List every key, the machine's own ones with what is known of their secret parts."""
        if self._listed is None:
            own = {key.fingerprint: key for key in self._list(secret=True)}
            self._listed = [own.get(key.fingerprint, key) for key in self._list(secret=False)]
        return self._listed

    def _list(self, *, secret: bool) -> list[Key]:
        listing = self._driver.list_keys(secret)
        trouble = self._lock_error(str(getattr(listing, "stderr", "")))
        if trouble is not None:  # then an empty list is not an answer
            raise trouble
        return [read(found, secret=secret) for found in listing]

    def find(self, name: str) -> list[Key]:
        """List the keys that a line of a ``.gpg-id`` may mean: a fingerprint, a subkey's too, a key id or an address.

        Raises:
            GpgError: gpg cannot say.
        """
        wanted = normalize(name).removesuffix("!")
        found = [key for key in self.all() if key.fingerprint == wanted] if is_fingerprint(name) else []
        if found:
            return found
        listed = {key.fingerprint for key in keyinfo.find_keys(self._gpg, name)}
        several = [key for key in self.all() if key.fingerprint in listed]
        if len(several) < 2 or is_fingerprint(name):
            return several
        if not mail_address(name) and all(name.lower() not in key.uid.lower() for key in several):
            return several  # one of gpg's own groups, whose keys gpg 2.4 lists
        return owners.among(self._gpg, name, several, self._sure) or several

    def meant(self, name: str, found: Sequence[Key], where: str = "") -> Key:
        """Choose the key that a name certainly means among those that it fits; see :func:`owners.choose`."""
        return owners.choose(self._gpg, name, found, self._sure, where)

    def resolve(self, name: str) -> Key:
        """Find the one key that a person means.

        Args:
            name: a fingerprint, an e-mail address, or the path of a key file, which is imported.

        Raises:
            UnsureOwnerError: it is an address, and nobody vouches that the key which has it is its owner's.
            ConfigurationError: it means no key, several, or is not the name of a key.
            GpgError: the file cannot be imported.
        """
        bare = "".join(name.split())
        if is_fingerprint(bare):
            found = (
                self.find(bare)
                if bare.endswith("!")
                else [key for key in self.all() if key.fingerprint == normalize(bare)]
            )
        elif os.path.isfile(name):
            return self.import_file(name)
        elif "@" in name and os.sep not in name:
            address = mail_address(name)
            found = [key for key in self.all() if address in key.emails]
            found = [self.meant(name, found)] if found else []
        else:
            is_file = os.sep in name or name.endswith((".asc", ".gpg", ".key", ".pub"))
            raise ConfigurationError(
                f"there is no key file {printable(name)} here"
                if is_file
                else f"not the name of a key: {printable(name)}",
                "give a full fingerprint, an e-mail address or a key file",
            )
        if not found:
            raise ConfigurationError(f"no key for {printable(name)} in this keyring", "run: gpg --import KEYFILE")
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} keys for {printable(name)}: {names(found)}", "name one by its fingerprint"
            )
        return found[0]

    def import_file(self, path: str) -> Key:
        """Import the one key that a file holds.

        Raises:
            UnsureOwnerError: the key pretends to be another one, and nobody vouches for it.
            ConfigurationError: the file cannot be read, or does not hold exactly one key.
            GpgError: gpg does not take it.
        """
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_KEY_FILE + 1)
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the key file {printable(path)}: {error.strerror}", remedy(error)
            ) from error
        if len(data) > MAX_KEY_FILE:
            raise ConfigurationError(f"{printable(path)} is larger than {MAX_KEY_FILE} bytes, which is not a key")
        inside = list(dict.fromkeys(found["fingerprint"] for found in self._driver.scan_keys_mem(data)))
        newer = keyinfo.newer_format(self._gpg, data) if not inside else ""
        if newer:
            raise ConfigurationError(f"{printable(path)} holds {newer}", "let its owner make a key of version 4")
        if len(inside) != 1:
            raise ConfigurationError(
                f"{printable(path)} holds {len(inside) or 'no'} keys, not one",
                "export one key: gpg --export --armor FINGERPRINT > FILE",
            )
        if inside[0] not in self._sure:
            pretenders.refuse(self._gpg, path, data)
        self._make_home()
        result = self._driver.import_keys(data)
        self._listed = None
        found = [key for key in self.all() if key.fingerprint == inside[0]]
        if not found:
            other = keyinfo.in_the_way(self._gpg, inside[0])
            if other is not None:
                raise GpgError(f"gpg could not import {printable(path)}: {other[0]}", other[1])
            raise self._failure(f"gpg could not import {printable(path)}", result)
        return found[0]

    def generate(self, wanted: NewKey, passphrase: bytes | None) -> Key:
        """Make an ed25519 key with a cv25519 subkey that encrypts.

        Args:
            wanted: whose, and for how long.
            passphrase: what protects it, None for nothing. It goes to gpg through a pipe.

        Raises:
            ConfigurationError: the name, address, date or passphrase cannot be given to gpg.
            GpgError: gpg could not make it.
        """
        _check_user(wanted)
        protection: dict[str, Any] = {"no_protection": True}
        if passphrase is not None:
            protection = {"passphrase": _parameter(passphrase)}
        self._make_home()
        result = self._driver.gen_key(
            self._driver.gen_key_input(
                key_type="EDDSA", key_curve="ed25519", key_usage="sign",
                subkey_type="ECDH", subkey_curve="cv25519", subkey_usage="encrypt",
                name_real=wanted.name, name_email=wanted.email, expire_date=wanted.expire, **protection,
            )
        )  # fmt: skip
        self._listed = None
        found = [key for key in self.own() if key.fingerprint == result.fingerprint]
        if not found:
            raise self._failure("gpg could not make a key", result)
        return found[0]

    def export(self, fingerprints: Sequence[str], passphrase: str | None = None) -> bytes:
        """Export keys, armored.

        Args:
            fingerprints: whose.
            passphrase: what protects the secret part, to export that; it goes to gpg through a pipe.

        Raises:
            GpgError: gpg does not give them.
        """
        secret = {"secret": True, "passphrase": passphrase} if passphrase is not None else {}
        text: str = self._driver.export_keys(list(fingerprints), **secret)
        if not text:
            raise GpgError(f"gpg could not export {', '.join(fingerprints)}")
        return text.encode()

    def problem(self, key: Key) -> str:
        """Say why one cannot encrypt to a key and what to do; empty if one can."""
        return "" if key.can_encrypt else keyfaults.complaint(self._gpg, key.fingerprint)

    def _make_home(self) -> None:
        """Make the directory of the keyring, as gpg does only for its default one, and not with ``--no-options``."""
        home = self._gpg.home
        if not os.path.isdir(home):
            try:
                make_private(home)
            except OSError as error:
                raise GpgError(f"cannot make GNUPGHOME {home}: {error.strerror}", remedy(error)) from error

    def _lock_error(self, text: str) -> GpgError | None:
        return gpghome.lock_error(self._gpg, text.encode(errors="replace"))

    def _failure(self, what: str, result: Any) -> PasshelperError:
        text = str(getattr(result, "stderr", ""))
        lines = [line for line in text.splitlines() if line.startswith("gpg:")]
        trouble = gpghome.socket_error(self._gpg.home) or self._lock_error(text)
        if trouble is not None:
            return trouble
        return GpgError(f"{what}: {printable(lines[-1]) if lines else 'it gave no reason'}")


def _check_user(wanted: NewKey) -> None:
    for text, option in ((wanted.name, "--name"), (wanted.email, "--email"), (wanted.expire, "--expire")):
        if not text.strip() or not text.isprintable() or any(char in "<>%" for char in text):
            raise ConfigurationError(f"{option} cannot be used in a key: {printable(text)!r}", f"give another {option}")
    if "@" not in wanted.email or " " in wanted.email:
        raise ConfigurationError(f"--email is not an address: {printable(wanted.email)!r}", "give one with an @")


def _parameter(passphrase: bytes) -> str:
    """Check that gpg's parameter lines, which lose outer white space, carry the passphrase exactly."""
    try:
        text = passphrase.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("the passphrase is not UTF-8 text", "choose another one") from None
    if text != text.strip() or not text:
        raise ConfigurationError("the passphrase is empty or begins or ends with a space", "choose another one")
    if any(char < " " for char in text):
        raise ConfigurationError("the passphrase has a control character", "choose another one")
    return text
