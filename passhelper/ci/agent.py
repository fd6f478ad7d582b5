"""The gpg-agent of a runner: it is configured before it starts, and ended reliably."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from passhelper.errors import GpgError
from passhelper.machine import tools
from passhelper.store.programs import clean_environ, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper.store.child import Child

CACHE = 24 * 60 * 60  # seconds that the agent keeps the passphrase; teardown ends it before
# A runner has no card reader, and looking for one would cost a process each time that keys are listed.
# Its 64 KiB of secure memory are enough for some thirty decryptions with RSA-4096 at a time, not for a large build.
# Left alone, the agent first measures for seconds how often it can hash a passphrase in a tenth of one, and then spends
# that on every `get`. The number here is the most that a secret key's own export can say (RFC 9580, 3.7.1.3: octet
# 255), so the key is no less protected than the file that the runner was given.
_CONF = """\
# Written by: passhelper setup --ci
allow-loopback-pinentry
allow-preset-passphrase
default-cache-ttl {seconds}
max-cache-ttl {seconds}
disable-scdaemon
auto-expand-secmem
s2k-count 65011712
"""
_SECONDS = 5.0  # for one question to the agent
_KILL = 9  # signal.SIGKILL, which Windows has not
_PATIENCE = 3.0  # seconds until an agent that was asked to end is made to
_CERTAINTY = 20.0  # seconds for the end of one that was killed: it is sure to come, but not soon on a busy machine


def configure(home: str, seconds: int = CACHE) -> None:
    """Write the ``gpg-agent.conf`` of a runner, whose agent keeps a passphrase for some seconds."""
    with open(os.path.join(home, "gpg-agent.conf"), "w", encoding="utf-8") as file:
        file.write(_CONF.format(seconds=seconds))


def limit(home: str, environ: Mapping[str, str], seconds: int) -> None:
    """Let the agent keep passphrases for some seconds only; it forgets those that it has now.

    Raises:
        GpgError: the agent does not take the setting.
    """
    configure(home, seconds)
    child = _run(("gpg-connect-agent", "--homedir", home, "RELOADAGENT", "/bye"), home, environ)
    if child is None or not child.stdout.startswith(b"OK"):
        raise GpgError("gpg-agent does not take its new settings", "run: gpgconf --reload gpg-agent")


def pid(home: str, environ: Mapping[str, str]) -> int:
    """Ask the agent of a ``GNUPGHOME`` for its process id, without starting one; 0 if none answers."""
    child = _run(("gpg-connect-agent", "--homedir", home, "--no-autostart", "GETINFO pid", "/bye"), home, environ)
    if child is not None and child.returncode == 0:
        for line in child.stdout.decode(errors="replace").splitlines():
            if line.startswith("D ") and line[2:].isdigit():
                return int(line[2:])
    return 0


def stop(home: str, environ: Mapping[str, str], remembered: int) -> bool:
    """End the agent of a ``GNUPGHOME``, make sure that it has ended, and return whether there was one.

    Args:
        home: the runner's ``GNUPGHOME``.
        environ: where PATH comes from.
        remembered: its process id as it was at the start, for an agent that does not answer.

    Raises:
        GpgError: it does not end.
    """
    is_there = os.path.isdir(home)
    found = pid(home, environ) if is_there else 0
    signals: list[int] = [0, signal.SIGTERM, _KILL]
    if not found and _is_agent(remembered, home):  # it hangs: no use in asking it to end
        found, signals = remembered, signals[1:]
    elif is_there:
        _run(("gpgconf", "--homedir", home, "--kill", "all"), home, environ)
    if found and not any(_ended(found, number) for number in signals):
        raise GpgError(f"gpg-agent (pid {found}) does not end", f"run: kill -9 {found}")
    sockets = _run(("gpgconf", "--homedir", home, "--list-dirs", "socketdir"), home, environ) if is_there else None
    if sockets is not None and sockets.stdout.strip() not in (b"", os.fsencode(home)):
        # gpg keeps sockets below /run/user where that exists, in a directory made for this GNUPGHOME.
        _run(("gpgconf", "--homedir", home, "--remove-socketdir"), home, environ)
    return bool(found)


def _run(command: tuple[str, ...], home: str, environ: Mapping[str, str]) -> Child | None:
    program = find_program(command[:1], environ)
    if program is None:
        return None
    return tools.run([program, *command[1:]], {**clean_environ(environ), "GNUPGHOME": home}, _SECONDS)


def _ended(process: int, number: int) -> bool:
    """Send a signal and wait for the end of a process; 0 only waits."""
    try:
        os.kill(process, number)
        end = time.monotonic() + (_CERTAINTY if number == _KILL else _PATIENCE)
        while time.monotonic() < end:
            os.kill(process, 0)
            if _is_zombie(process):
                return True  # a container without an init collects nobody
            time.sleep(0.02)
    except ProcessLookupError:
        return True
    return False


def _is_zombie(process: int) -> bool:
    return _read(f"/proc/{process}/stat").rpartition(b") ")[2][:1] == b"Z"


def _is_agent(process: int, home: str) -> bool:
    """Return whether a process id still is the agent of a ``GNUPGHOME``; only where the system can say so."""
    words = _read(f"/proc/{process}/cmdline").split(b"\0") if process > 1 else []
    return bool(words) and words[0].endswith(b"gpg-agent") and os.fsencode(home) in words


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
