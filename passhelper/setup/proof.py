"""Test that the machine works, without touching the store.

First a message is encrypted to the store's recipients and decrypted again. Then ``store``, ``get`` and
``erase`` go through the same ``docker-credential-pass`` that Docker would run, with a throw-away
store that holds only a ``.gpg-id``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

from passhelper.errors import NOT_FOUND, ConfigurationError, GpgError, PasshelperError, printable
from passhelper.machine import launcher
from passhelper.machine.agentcache import passphrase_pipe
from passhelper.store import cipher, pinning, recipients, signature, trust
from passhelper.store.child import finish
from passhelper.store.gpg import Gpg
from passhelper.store.helper import PROGRAM
from passhelper.store.programs import search_path

if TYPE_CHECKING:
    from passhelper.store.recipients import Recipients
    from passhelper.store.store import PassStore

SERVER = "selftest.passhelper.invalid"  # RFC 2606: no such host can exist
_USER = "selftest"
_NAME = "passhelper-test"
# What would make the throw-away store behave in another way than the user's own.
_LEFT_OUT = ("PASSWORD_STORE_SIGNING_KEY", "PASSHELPER_IGNORE_WRITES")


def prove(store: PassStore, installed: str, secret: bytes | None) -> str:
    """Run the whole test.

    Args:
        store: the user's store.
        installed: the launcher that should be found on PATH.
        secret: the key's passphrase, if one is configured.

    Returns:
        the program that Docker runs.

    Raises:
        PasshelperError: what does not work, and how to repair it.
    """
    found = recipients.find(store.root, "", store.environ)
    signature.verify_signature(store.root, found, store.gpg)
    _prove_accepted(store, found)
    _prove_keys(store, found, secret)
    program = _find_program(store, installed)
    _prove_program(store, program, found, secret)
    return program


def _prove_accepted(store: PassStore, found: Recipients) -> None:
    repository = store.repository("")
    if repository is None or not found.path:
        return
    known = trust.load_all(repository.state)
    if known is not None:
        pinning.check(store.root, "", found, known, store.gpg)


def _prove_keys(store: PassStore, found: Recipients, secret: bytes | None) -> None:
    gpg = store.gpg
    data = os.urandom(16)
    child = gpg.start_encrypt(data, found.keys, _NAME, trusted=found.all_fingerprints)
    finish([child], gpg.deadline.seconds)
    message = cipher.ciphertext(gpg, child, found.keys, found.label)
    with passphrase_pipe(store.environ, secret) as (environ, _):
        plaintext = cipher.decrypt(Gpg(environ), message, "the test message")
    if plaintext.data != data:
        raise GpgError("gpg did not decrypt what it had encrypted", "run: gpg --version")


def _find_program(store: PassStore, installed: str) -> str:
    remedy = f'add to your shell profile, and start a new shell: export PATH="{os.path.dirname(installed)}:$PATH"'
    program = launcher.find(store.environ)
    if program is None:
        raise ConfigurationError(
            f"{PROGRAM} is not on PATH, so Docker cannot run it",
            remedy,
        )
    if not launcher.is_ours(program, store.environ):
        raise ConfigurationError(
            f"PATH leads Docker to another program: {program}",
            remedy,
        )
    return program


def _prove_program(store: PassStore, program: str, found: Recipients, secret: bytes | None) -> None:
    with tempfile.TemporaryDirectory(prefix="passhelper-") as folder:
        with open(os.path.join(folder, recipients.FILE), "w", encoding="utf-8") as file:
            file.writelines(f"{key}\n" for key in found.keys)
        environ = {name: value for name, value in store.environ.items() if name not in _LEFT_OUT}
        environ["PASSWORD_STORE_DIR"] = folder
        environ["PATH"] = search_path(store.environ)
        password = os.urandom(16).hex()
        request = json.dumps({"ServerURL": SERVER, "Username": _USER, "Secret": password})
        docker = _Docker(program, environ, secret)
        docker.run("store", request)
        answer = json.loads(docker.run("get", SERVER))
        if (answer.get("Username"), answer.get("Secret")) != (_USER, password):
            raise PasshelperError(f"{program} returned a different credential from the one it had stored")
        docker.run("erase", SERVER)
        docker.run("get", SERVER, refused=NOT_FOUND)


class _Docker:
    """Runs the helper as Docker does."""

    def __init__(self, program: str, environ: dict[str, str], secret: bytes | None) -> None:
        self._program = program
        self._environ = environ
        self._secret = secret
        self._seconds = Gpg(environ).deadline.seconds + 10

    def run(self, verb: str, request: str, *, refused: str = "") -> str:
        """Run one verb and return its answer; an error if the verb failed."""
        with passphrase_pipe(self._environ, self._secret) as (environ, descriptors):
            try:
                done = subprocess.run(
                    [self._program, verb], input=request.encode(), env=environ, pass_fds=descriptors,
                    capture_output=True, timeout=self._seconds, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                raise PasshelperError(f"{self._program} {verb} failed: {type(error).__name__}") from error
        answer = done.stdout.decode(errors="replace")
        if refused and done.returncode == 1 and answer.strip() == refused:
            return answer
        if done.returncode == 0 and not refused:
            return answer
        reason = printable(answer.strip()) or f"exit status {done.returncode}"
        raise PasshelperError(f"{self._program} {verb} failed: {reason}")
