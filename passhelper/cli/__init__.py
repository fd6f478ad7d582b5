"""The ``passhelper`` command: the only place that prints, apart from the protocol.

Results go to stdout; errors, warnings and hints to stderr (see :mod:`passhelper.cli.output`); questions to the
terminal itself (see :mod:`passhelper.cli.terminal`). Exit codes: 0 done, 1 failed, 2 wrong usage, 4
recipients that nobody has accepted.
"""

from __future__ import annotations

import contextlib
import sys
from typing import NoReturn

import click

from passhelper import oserrors
from passhelper.cli import output
from passhelper.cli.lazy import Lazy, LazyGroup
from passhelper.errors import PasshelperError
from passhelper.failures import details, end_by, interruption
from passhelper.protocol import catch_signals
from passhelper.store import ending
from passhelper.version import __version__

__all__ = ["main"]

_COMMANDS = {
    "setup": Lazy("setup:setup", "Set this machine up, from nothing to a working docker login."),
    "teardown": Lazy("teardown:teardown", "Remove what setup --ci made: its keys, its gpg-agent, its files."),
    "login": Lazy("credentials:login", "Store the credential of a registry."),
    "logout": Lazy("credentials:logout", "Erase the credential of a registry."),
    "get": Lazy("credentials:get", "Print the credential of a registry."),
    "list": Lazy("listing:list_", "List the credentials and who can read them."),
    "restore": Lazy("restore:restore", "Bring a credential back from the history of the store."),
    "bind": Lazy("bind:bind", "Bind credentials that other programs wrote to their servers."),
    "rename": Lazy("bind:rename", "Move a credential to another server."),
    "recipients": Lazy("recipients:recipients", "Show and change the keys that can read the store."),
    "runner": Lazy("runner:runner", "Make, list and remove the keys of CI runners."),
    "reencrypt": Lazy("reencrypt:reencrypt", "Bring every entry in line with its .gpg-id."),
    "rotation": Lazy("rotation:rotation", "Find the credentials that somebody could read."),
    "log": Lazy("log:log", "Say who stored, erased or re-keyed what, and when."),
    "sync": Lazy("sync:sync_", "Bring the store and its git remote together."),
    "status": Lazy("status:status", "Say how the store stands: its remote, what waits, keys that expire."),
    "unlock": Lazy("agent:unlock", "Enter the key's passphrase once, so that Docker need not ask."),
    "lock": Lazy("agent:lock", "Make gpg-agent forget the passphrase of the store's keys."),
    "import": Lazy("transfer:import_", "Bring in credentials from Docker's configuration or from another helper."),
    "export": Lazy("transfer:export", "Write credentials for tools that cannot run a credential helper."),
    "docker": Lazy("docker:docker", "Show which helper Docker uses for which registry, and switch pass on and off."),
    "link": Lazy("link:link", "Put docker-credential-NAME on PATH."),
    "unlink": Lazy("link:unlink", "Remove what link has put on PATH."),
    "backends": Lazy("backends:backends", "List the backends and whether they can be used here."),
    "conformance": Lazy(
        "conformance:conformance", "Find out whether a credential helper does what Docker's clients rely on."
    ),
    "doctor": Lazy("doctor:doctor", "Find out why something does not work, and what to do."),
    "completion": Lazy("completion:completion", "Print a completion script for a shell."),
}


@click.group(cls=LazyGroup, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-V", message="passhelper %(version)s")
def _passhelper() -> None:
    """Keep Docker registry credentials in a pass store: encrypted with GPG, shared through git.

    \b
    Begin with:  passhelper setup --generate-key
    Then:        docker login registry.example
    """


class _Interrupted(Exception):  # noqa: N818 - not an error
    """A signal has told the program to end; the message about it is printed already."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main() -> NoReturn:
    """Run ``passhelper``."""
    catch_signals()
    for name in ("stdout", "stderr"):
        setattr(sys, name, output.whole_writes(getattr(sys, name)))
    try:
        status = _run()
    except _Interrupted as interrupted:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        ending.end_all()
        end_by(interrupted.number)
    sys.exit(status)


def _run() -> int:
    try:
        result = _passhelper.main(prog_name="passhelper", standalone_mode=False)
    except PasshelperError as error:
        return _fail(error, error)
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        return _fail(PasshelperError(error.format_message()), error)
    except (click.Abort, KeyboardInterrupt) as error:
        status = _fail(PasshelperError("interrupted"), error)
        by = error.__cause__ if isinstance(error, click.Abort) else error  # click makes one of Ctrl-C and of Ctrl-D
        if isinstance(by, KeyboardInterrupt):
            raise _Interrupted(interruption(by)) from error
        return status
    except OSError as error:
        return _fail(PasshelperError(oserrors.cause(error), oserrors.remedy(error)), error)
    except Exception as error:  # noqa: BLE001 - the boundary; its text may hold a secret and stays hidden
        cause = PasshelperError(f"internal error: {type(error).__name__}", "set PASSHELPER_DEBUG=1 to see where")
        return _fail(cause, error)
    return result if isinstance(result, int) else 0


def _fail(shown: PasshelperError, error: BaseException) -> int:
    output.error(shown)
    more = details(error)
    if more:
        output.note(more)
    return shown.exit_code


def _usage(error: click.UsageError) -> int:
    """Rewrite click's sentences in the form of our own messages."""
    message = error.format_message().rstrip(".")
    help_ = error.ctx.get_help() if error.ctx is not None else ""
    if help_ and message == help_.rstrip("."):  # a group without a command, which is not a mistake
        output.note(help_)
        return error.exit_code
    path = error.ctx.command_path if error.ctx is not None else "passhelper"
    output.error(PasshelperError(message[:1].lower() + message[1:], f"run: {path} --help"))
    return error.exit_code
