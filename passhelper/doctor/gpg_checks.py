"""gpg, its home, its agent, and where a passphrase can come from."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from passhelper.doctor.context import LIMIT, Context, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import GpgError, printable
from passhelper.machine import tools
from passhelper.shellwords import word
from passhelper.store import gpg_errors, gpghome, passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLDEST = (2, 2)  # what the tests run with; before 2.1 there is no --pinentry-mode


def _program(context: Context) -> Iterator[Finding]:
    yield Finding(context.gpg.program, severity=Severity.NOTE)


def _version(context: Context) -> Iterator[Finding]:
    child = context.run([context.gpg.program, "--version"], context.gpg.child_environ)
    first = child.stdout.decode(errors="replace").partition("\n")[0]
    found = re.search(r"(\d+)\.(\d+)", first)
    if child.returncode != 0 or found is None:
        raise GpgError(f"{context.gpg.program} does not print its version", "reinstall GnuPG, or set PASSHELPER_GPG")
    if (int(found[1]), int(found[2])) < _OLDEST:
        yield Finding(f"{printable(first)} is too old", "install GnuPG 2.2 or newer, or set PASSHELPER_GPG")
    else:
        yield Finding(printable(first), severity=Severity.NOTE)


def _home(context: Context) -> Iterator[Finding]:
    home = context.gpg_home
    name = "GNUPGHOME" if context.environ.get("GNUPGHOME") else "gpg's home"
    if not os.path.isdir(home):
        if not os.path.lexists(home) and os.access(os.path.dirname(home), os.R_OK | os.X_OK):
            yield Finding(f"{name} {home} does not exist", "run: passhelper setup --generate-key, or check GNUPGHOME")
        else:
            yield Finding(f"{name} {home} is not a directory that can be reached", "check GNUPGHOME")
        return
    if sys.platform == "win32":
        return  # owner and mode do not say who has access there
    facts = os.stat(home)
    user = f"uid {os.geteuid()}"
    if not os.access(home, os.R_OK | os.X_OK):
        yield Finding(
            f"{name} {home} belongs to uid {facts.st_uid} and cannot be used by {user}",
            "run as its owner, or set GNUPGHOME to a directory of your own",
        )
    elif facts.st_uid != os.geteuid():
        yield Finding(
            f"{name} {home} belongs to uid {facts.st_uid}, and this is {user}",
            "run as its owner, or set GNUPGHOME", Severity.WARNING,
        )  # fmt: skip
    elif facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(f"{name} {home} is open to other users", f"run: chmod 700 {word(home)}", Severity.WARNING)


def _socket(context: Context) -> Iterator[Finding]:
    # Where /run/user/UID exists, gpg keeps its sockets there.
    trouble = gpghome.socket_error(context.gpg_home, tools.gpg_directory("agent-socket", context.environ, LIMIT))
    if trouble is not None:
        yield Finding(trouble.cause, trouble.remedy)


def _agent(context: Context) -> Iterator[Finding]:
    # Through gpg itself: whether it may start an agent is its configuration's business.
    child = context.gpg.ask("--with-colons", "--list-secret-keys", seconds=LIMIT)
    trouble = gpghome.lock_error(context.gpg, child.stderr)
    if trouble is None and child.timed_out:
        yield Finding(f"gpg-agent for {context.gpg_home} does not answer within {LIMIT:g} s",
                      "end the gpg-agent process; gpg starts a new one")  # fmt: skip
        return
    trouble = trouble or gpg_errors.agent_error(context.gpg, child)
    if trouble is not None:
        raise trouble


def _terminal(context: Context) -> Iterator[Finding]:
    if context.can_prompt:
        yield Finding("somebody can answer gpg's prompts", severity=Severity.NOTE)
    elif passphrase.source(context.environ):
        yield Finding(f"the passphrase comes from {passphrase.source(context.environ)}", severity=Severity.NOTE)
    else:
        yield Finding("nobody can answer gpg's prompts, so a locked key fails at once", severity=Severity.NOTE)


def _passphrase(context: Context) -> Iterator[Finding]:
    name = passphrase.source(context.environ)
    if name == "PASSHELPER_PASSPHRASE_FD":
        raise NotCheckedError("a descriptor can be read only once")
    if not name:
        return
    passphrase.read(context.environ)
    if name == "PASSHELPER_PASSPHRASE_FILE" and os.name == "posix":
        path = context.environ[name]
        facts = os.stat(path)
        if stat.S_ISREG(facts.st_mode) and facts.st_mode & (stat.S_IRGRP | stat.S_IROTH):
            yield Finding(f"{path}, the passphrase, can be read by other users", f"run: chmod 600 {word(path)}",
                          Severity.WARNING)  # fmt: skip


def _settings(context: Context) -> Iterator[Finding]:
    for error in context.problems.values():
        yield Finding(error.cause, error.remedy)


CHECKS = (
    Check("gpg.settings", "switches and time limits among the variables have valid values", Severity.FAILED, _settings),
    Check("gpg.program", "a gpg program in an absolute directory of `PATH`", Severity.FAILED, _program),
    Check("gpg.version", "GnuPG 2.2 or newer", Severity.FAILED, _version, ("gpg.program",)),
    Check("gpg.home", "`GNUPGHOME`: there, readable, the user's own", Severity.FAILED, _home),
    Check("gpg.socket", "the agent's socket path: at most 107 bytes", Severity.FAILED, _socket, ("gpg.home",)),
    Check("gpg.agent", "gpg reaches its agent, within 5 s", Severity.FAILED, _agent, ("gpg.version", "gpg.socket")),
    Check("gpg.terminal", "shows who answers gpg's prompts", Severity.FAILED, _terminal),
    Check("gpg.passphrase", "the configured passphrase can be read, and by nobody else", Severity.FAILED, _passphrase),
)
