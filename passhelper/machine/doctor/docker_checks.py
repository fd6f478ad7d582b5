"""What Docker will really run: its configuration, the helpers that it names, and what PATH holds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from passhelper.client import PREFIX
from passhelper.errors import PasshelperError, printable
from passhelper.machine import dockerconfig, launcher, plaintext, routes, userfile
from passhelper.machine.doctor.model import Check, Finding, Severity
from passhelper.machine.doctor.patient import LIMIT, NotCheckedError, Patient
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


def _config(patient: Patient) -> Iterator[Finding]:
    yield Finding(f"{len(patient.docker_config)} settings in {dockerconfig.path(patient.environ)}",
                  severity=Severity.NOTE)  # fmt: skip


def _auths(patient: Patient) -> Iterator[Finding]:
    path = dockerconfig.path(patient.environ)
    text = (userfile.read(path) or b"").decode()
    found = plaintext.document_of(text, path) if text.strip() else {}
    open_ = [server for server, fields in found.items() if any(fields.get(name) for name in plaintext.SECRETS)]
    if open_:
        yield Finding(f"{path} holds {len(open_)} credentials in plain text: {', '.join(map(printable, open_))}",
                      "run: passhelper import --docker-config")  # fmt: skip
    tokens = plaintext.registry_tokens(text, path) if text.strip() else []
    if tokens:
        names = ", ".join(map(printable, tokens))
        yield Finding(f"{path} holds registry tokens in plain text, which no helper can keep: {names}",
                      f"run: docker logout {word(tokens[0])}")  # fmt: skip


def _named(patient: Patient) -> dict[str, str]:
    """List the helpers that the configuration names, each with a setting that names it."""
    named: dict[str, str] = {}
    helpers = patient.docker_config.get("credHelpers")
    if isinstance(helpers, dict):
        named.update({name: f"credHelpers for {printable(server)}" for server, name in helpers.items()
                      if isinstance(name, str) and name})  # fmt: skip
    store = patient.docker_config.get("credsStore")
    if isinstance(store, str) and store:
        named[store] = "credsStore"
    return named


def _all_on_path(patient: Patient, program: str) -> list[str]:
    """List the files of this name in all directories of PATH, whether they can be run or not."""
    folders = [folder for folder in patient.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    found = dict.fromkeys(os.path.join(folder, program) for folder in folders)
    return [path for path in found if os.path.isfile(path) or os.path.islink(path)]


def _missing(patient: Patient, program: str) -> tuple[str, str]:
    """Say why a program is not found: it is not there, leads nowhere, or may not be run."""
    for path in _all_on_path(patient, program):
        if not os.path.exists(path):
            return f"{path} is a link that leads nowhere", "remove it, or make it anew"
        return f"{path} cannot be executed", f"run: chmod +x {word(path)}"
    return f"{program} is not on PATH", "install it, or change the setting: passhelper setup"


def _launcher(patient: Patient) -> Iterator[Finding]:
    program = launcher.find(patient.environ)
    if program is None:
        cause, remedy = _missing(patient, PROGRAM)
        is_named = dockerconfig.HELPER in _named(patient)
        yield Finding(cause, remedy if "chmod" in remedy else _SETUP, None if is_named else Severity.WARNING)
        return
    try:
        child = patient.run([program, "version"])
    except PasshelperError as error:
        yield Finding(f"{error.cause}{_interpreter(program)}", _SETUP)
        return
    if child.timed_out:
        yield Finding(f"{program} does not tell its version within {LIMIT:g} s", f"remove it, then {_SETUP}")
    elif child.returncode in _NOT_RUN:
        yield Finding(f"{program} does not start: {last_line(child)}", _SETUP)
    elif not child.stdout.startswith(_OURS):
        said = printable(child.stdout.decode(errors="replace").partition("\n")[0]) or f"exit status {child.returncode}"
        yield Finding(f"{program} comes first on PATH and is another program ({said})",
                      "remove it, or put ours before it: passhelper setup --bin-dir DIR")  # fmt: skip


def _interpreter(program: str) -> str:
    """Name the interpreter of a script that is not there any more."""
    try:
        with open(program, "rb") as file:
            first = file.readline(4096)
    except OSError:
        return ""
    words = first[2:].split()
    if not first.startswith(b"#!") or not words or os.path.exists(words[0]):
        return ""
    return f", its interpreter {printable(os.fsdecode(words[0]))} is gone"


def _helpers(patient: Patient) -> Iterator[Finding]:
    """Ask every other helper for its list, all at the same time."""
    running: list[tuple[str, str, Child]] = []
    for name, setting in _named(patient).items():
        if name == dockerconfig.HELPER:
            continue  # docker.launcher looks at ours
        program = patient.locate(PREFIX + name) if "/" not in name else None
        if program is None:
            cause, remedy = _missing(patient, PREFIX + name)
            yield Finding(f"{setting} names {printable(name)}, and {cause}", _WSL if _is_wsl(name) else remedy)
            continue
        try:
            running.append((program, name, start([program, "list"], clean_environ(patient.environ))))
        except PasshelperError as error:
            yield Finding(f"{error.cause}{_interpreter(program)}", _WSL if _is_wsl(name) else _SETUP)
    finish([child for _, _, child in running], LIMIT)
    for program, name, child in running:
        if child.timed_out:
            yield Finding(f"{program} list gives no answer within {LIMIT:g} s, and so docker waits for it",
                          f"run it by hand to see why, or {_SETUP}")  # fmt: skip
        elif child.returncode != 0:
            # What it said on stdout may hold anything; its last line on stderr is for people.
            why = last_line(child)
            yield Finding(f"{program} list failed: {why}", _WSL if _is_wsl(name) else f"repair it, or {_SETUP}")


def _is_wsl(name: str) -> bool:
    return name.endswith(".exe") and sys.platform != "win32"


def _automatic(patient: Patient) -> Iterator[Finding]:
    config = patient.docker_config
    if _named(patient) or config.get("auths"):
        return
    name = routes.automatic(patient.environ)
    if not name:
        yield Finding("nothing is configured, so docker login would write passwords in plain text", _SETUP)
    elif name != dockerconfig.HELPER:
        yield Finding(f"nothing is configured, so Docker chooses {PREFIX}{name} by itself", _SETUP)


def _routes(patient: Patient) -> Iterator[Finding]:
    """Show who serves whom; a stored server that Docker asks another helper for is a finding."""
    shadow = routes.shadow(patient.environ)
    if shadow:
        yield Finding(shadow, routes.UNSET)
    if not _named(patient) and not routes.automatic(patient.environ):
        raise NotCheckedError("Docker uses no helper")
    found = {route.server: route for route in routes.routes(patient.environ)}
    for route in found.values():
        who = route.program or "no helper"
        server = "every other registry" if route.server == routes.OTHERS else printable(route.server)
        yield Finding(f"{server}: {who} ({route.source})", severity=Severity.NOTE)
    try:
        entries = patient.store.walk()
    except PasshelperError:
        return  # store.path says why
    for entry in entries:
        route = found.get(dockerconfig.stored_name(entry.server), found[routes.OTHERS])
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
