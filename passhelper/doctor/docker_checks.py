"""What Docker will really run: its configuration, the helpers that it names, and what PATH holds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from passhelper.client import PREFIX
from passhelper.docker import config, jsonedit, plaintext, routes
from passhelper.doctor.context import LIMIT, Context, NotCheckedError
from passhelper.doctor.model import Check, Finding, Severity
from passhelper.errors import PasshelperError, printable
from passhelper.machine import launcher
from passhelper.shellwords import word
from passhelper.store.child import finish, last_line
from passhelper.store.helper import PROGRAM
from passhelper.store.programs import clean_environ
from passhelper.store.rootless import start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passhelper.store.child import Child

_OURS = f"{PROGRAM} (passhelper) ".encode()
_NOT_RUN = (126, 127)  # a shell's word for a program that it could not start
_SETUP = "run: passhelper setup"
_WSL = "WSL cannot start it from here: run: passhelper setup, or switch WSL's interop on"


def _config(context: Context) -> Iterator[Finding]:
    count = len(jsonedit.members(context.docker_config))
    yield Finding(f"{count} settings in {config.path(context.environ)}", severity=Severity.NOTE)


def _auths(context: Context) -> Iterator[Finding]:
    path = config.path(context.environ)
    text = context.docker_config
    found = plaintext.document_of(text, path)
    open_ = [server for server, fields in found.items() if any(fields.get(name) for name in plaintext.SECRETS)]
    if open_:
        yield Finding(f"{path} holds {len(open_)} credentials in plain text: {', '.join(map(printable, open_))}",
                      "run: passhelper import --docker-config")  # fmt: skip
    tokens = plaintext.registry_tokens(text, path)
    if tokens:
        names = ", ".join(map(printable, tokens))
        yield Finding(f"{path} holds registry tokens in plain text, which no helper can keep: {names}",
                      f"run: docker logout {word(tokens[0])}")  # fmt: skip


def _named(context: Context) -> dict[str, str]:
    """List the helpers that the configuration names, each with a setting that names it."""
    helpers = config.named_helpers(context.docker_config)
    named = {name: f"credHelpers for {printable(server)}" for server, name in helpers.items() if name}
    store = config.default_helper(context.docker_config)
    return {**named, store: "credsStore"} if store else named


def _missing(context: Context, program: str) -> tuple[str, str]:
    """Say why a program is not found: it is missing, a link that leads nowhere, or not executable."""
    for folder in filter(os.path.isabs, context.environ.get("PATH", "").split(os.pathsep)):
        path = os.path.join(folder, program)
        if os.path.islink(path) and not os.path.exists(path):
            return f"{path} is a link that leads nowhere", "remove it, or make it again"
        if os.path.islink(path) or os.path.isfile(path):
            return f"{path} cannot be executed", f"run: chmod +x {word(path)}"
    return f"{program} is not on PATH", "install it, or change the setting: passhelper setup"


def _launcher(context: Context) -> Iterator[Finding]:
    program = launcher.find(context.environ)
    if program is None:
        cause, remedy = _missing(context, PROGRAM)
        is_named = config.HELPER in _named(context)
        yield Finding(cause, remedy if "chmod" in remedy else _SETUP, None if is_named else Severity.WARNING)
        return
    try:
        child = context.run([program, "version"])
    except PasshelperError as error:
        yield Finding(f"{error.cause}{_interpreter(program)}", _SETUP)
        return
    if child.timed_out:
        yield Finding(f"{program} does not print its version within {LIMIT:g} s", f"remove it, then {_SETUP}")
    elif child.returncode in _NOT_RUN:
        yield Finding(f"{program} does not start: {last_line(child)}", _SETUP)
    elif not child.stdout.startswith(_OURS):
        said = printable(child.stdout.decode(errors="replace").partition("\n")[0]) or f"exit status {child.returncode}"
        yield Finding(f"{program} comes first on PATH and is another program ({said})",
                      "remove it, or put ours before it: passhelper setup --bin-dir DIR")  # fmt: skip


def _interpreter(program: str) -> str:
    """Name the interpreter of a script, if it no longer exists."""
    try:
        with open(program, "rb") as file:
            first = file.readline(4096)
    except OSError:
        return ""
    words = first[2:].split()
    if not first.startswith(b"#!") or not words or os.path.exists(words[0]):
        return ""
    return f", its interpreter {printable(os.fsdecode(words[0]))} is gone"


def _helpers(context: Context) -> Iterator[Finding]:
    """Ask every other helper for its list, all at the same time."""
    running: list[tuple[str, str, Child]] = []
    for name, setting in _named(context).items():
        if name == config.HELPER:
            continue  # docker.launcher looks at ours
        program = context.locate(PREFIX + name) if "/" not in name else None
        if program is None:
            cause, remedy = _missing(context, PREFIX + name)
            yield Finding(f"{setting} names {printable(name)}, and {cause}", _WSL if _is_wsl(name) else remedy)
            continue
        try:
            running.append((program, name, start([program, "list"], clean_environ(context.environ), group=True)))
        except PasshelperError as error:
            yield Finding(f"{error.cause}{_interpreter(program)}", _WSL if _is_wsl(name) else _SETUP)
    finish([child for _, _, child in running], LIMIT)
    for program, name, child in running:
        if child.timed_out:
            yield Finding(f"{program} list does not answer within {LIMIT:g} s, and so docker waits for it",
                          f"run it by hand to see why, or {_SETUP}")  # fmt: skip
        elif child.returncode != 0:
            # What it said on stdout may hold anything; its last line on stderr is for people.
            why = last_line(child)
            yield Finding(f"{program} list failed: {why}", _WSL if _is_wsl(name) else f"repair it, or {_SETUP}")


def _is_wsl(name: str) -> bool:
    return name.endswith(".exe") and sys.platform != "win32"


def _automatic(context: Context) -> Iterator[Finding]:
    auths = jsonedit.find(context.docker_config, "auths")
    if _named(context) or (auths is not None and auths.value):
        return
    name = routes.automatic(context.environ)
    if not name:
        yield Finding("nothing is configured, so docker login would write passwords in plain text", _SETUP)
    elif name != config.HELPER:
        yield Finding(f"nothing is configured, so Docker chooses {PREFIX}{name} by itself", _SETUP)


def _routes(context: Context) -> Iterator[Finding]:
    """Show which helper serves which registry; if Docker asks another helper for a stored server, that is a finding."""
    shadow = routes.shadow(context.environ)
    if shadow:
        yield Finding(shadow, routes.UNSET)
    if not _named(context) and not routes.automatic(context.environ):
        raise NotCheckedError("Docker uses no helper")
    found = {route.server: route for route in routes.routes(context.environ)}
    for route in found.values():
        who = route.program or "no helper"
        server = "every other registry" if route.server == routes.OTHERS else printable(route.server)
        yield Finding(f"{server}: {who} ({route.source})", severity=Severity.NOTE)
    try:
        entries = sorted(context.store.walk(), key=lambda entry: entry.server)
    except PasshelperError:
        return  # store.path says why
    for entry in entries:
        route = found.get(config.stored_name(entry.server), found[routes.OTHERS])
        if not route.is_passhelper:
            yield Finding(f"{printable(entry.server)} is in the store, but Docker asks {route.program or 'no helper'}",
                          f"run: passhelper setup --registry {word(entry.server)}")  # fmt: skip


CHECKS = (
    Check("docker.config", "Docker's `config.json`: readable JSON", Severity.FAILED, _config),
    Check("docker.auths", "no password in plain text in `config.json`", Severity.FAILED, _auths, ("docker.config",)),
    Check("docker.launcher", "the `docker-credential-pass` that is first on `PATH` is passhelper's, and starts",
          Severity.FAILED, _launcher, ("docker.config",)),
    Check("docker.helpers", "every other helper that `credsStore` and `credHelpers` name answers `list` within 5 s",
          Severity.FAILED, _helpers, ("docker.config",)),
    Check("docker.automatic", "a helper is configured, or Docker chooses `pass` by itself", Severity.WARNING,
          _automatic, ("docker.config",)),
    Check("docker.routes", "Docker asks passhelper for every registry in the store; shows who serves which",
          Severity.WARNING, _routes, ("docker.launcher", "docker.helpers")),
)  # fmt: skip
