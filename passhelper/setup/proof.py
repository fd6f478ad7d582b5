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
from functools import partial
from typing import TYPE_CHECKING

from passhelper.errors import NOT_FOUND, ConfigurationError, GpgError, PasshelperError, printable
from passhelper.machine import agentcache, launcher
from passhelper.store import cipher, pinning, recipients, signature, trust
from passhelper.store.gpg import Gpg
from passhelper.store.helper import PROGRAM
from passhelper.store.programs import search_path

if TYPE_CHECKING:
    from passhelper.store.recipients import Recipients
    from passhelper.store.store import PassStore

SERVER = "selftest.passhelper.invalid"  # RFC 2606: no such host can exist
_USER = "selftest"
# What would make the throw-away store behave in another way than the user's own.
_LEFT_OUT = ("PASSWORD_STORE_SIGNING_KEY", "PASSHELPER_IGNORE_WRITES")


def prove(store: PassStore, installed: str, secret: bytes | None) -> str:
    """Run the whole test and return the program that Docker runs.

    Args:
        store: the user's store.
        installed: the launcher that should be found on PATH.
        secret: the key's passphrase, if one is configured.

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
    data = os.urandom(16)
    message = agentcache.encrypted(store.gpg, data, found.keys, found.label, trusted=found.all_fingerprints)
    with agentcache.passphrase_pipe(store.environ, secret) as (environ, _):
        plaintext = cipher.decrypt(Gpg(environ), message, "the test message")
    if plaintext.data != data:
        raise GpgError("gpg did not decrypt what it had encrypted", "run: gpg --version")


def _find_program(store: PassStore, installed: str) -> str:
    remedy = f'add to your shell profile, and start a new shell: export PATH="{os.path.dirname(installed)}:$PATH"'
    program = launcher.find(store.environ)
    if program is None:
        raise ConfigurationError(f"{PROGRAM} is not on PATH, so Docker cannot run it", remedy)
    if not launcher.is_ours(program, store.environ):
        raise ConfigurationError(f"PATH leads Docker to another program: {program}", remedy)
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
        docker = partial(_run, environ, secret)
        docker([program, "store"], request)
        answer = json.loads(docker([program, "get"], SERVER))
        if (answer.get("Username"), answer.get("Secret")) != (_USER, password):
            raise PasshelperError(f"{program} returned a different credential from the one it had stored")
        docker([program, "erase"], SERVER)
        docker([program, "get"], SERVER, refused=NOT_FOUND)


def _run(environ: dict[str, str], secret: bytes | None, command: list[str], request: str, *, refused: str = "") -> str:
    """Run a verb of the helper as Docker does, and return its answer; it must fail if a refusal is expected."""
    with agentcache.passphrase_pipe(environ, secret) as (inner, descriptors):
        try:
            done = subprocess.run(
                command, input=request.encode(), env=inner, pass_fds=descriptors,
                capture_output=True, timeout=Gpg(environ).deadline.seconds + 10, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PasshelperError(f"{' '.join(command)} failed: {type(error).__name__}") from error
    answer = done.stdout.decode(errors="replace")
    if (done.returncode == 1 and answer.strip() == refused) if refused else done.returncode == 0:
        return answer
    reason = printable(answer.strip()) or f"exit status {done.returncode}"
    raise PasshelperError(f"{' '.join(command)} failed: {reason}")
