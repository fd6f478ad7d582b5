"""``passhelper import`` and ``passhelper export``."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from passhelper import wording
from passhelper.cli import output, terminal
from passhelper.cli.common import json_option
from passhelper.client import SECONDS
from passhelper.docker import config, endpoints, importing, plaintext
from passhelper.docker import export as exporting
from passhelper.errors import ConfigurationError, DockerError, printable
from passhelper.machine.privatefile import PrivateFile
from passhelper.shellwords import word
from passhelper.store.helper import PassHelper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from passhelper.credentials import Credentials

_TO = "Where they go: a backend of this installation, or docker-credential-NAME."
_HERE = "\0here"  # --docker-config without a value: Docker's own file
_FILE = "Move plain text out of this file; out of Docker's own config.json without FILE."
_FOR_PODMAN = "for podman and skopeo run: passhelper setup --containers"
_UNATTENDED = 6.0  # seconds for one verb of another helper, where nobody can answer what it may be asking
_VERBS = {"stored": "stored", "kept": "the store already had", "would-store": "would store"}


@click.command("import")
@click.option("--docker-config", "file", is_flag=False, flag_value=_HERE, metavar="[FILE]", help=_FILE)
@click.option("--docker-auth-config", "variable", is_flag=True, help="Copy from the variable DOCKER_AUTH_CONFIG.")
@click.option("--from", "name", metavar="NAME", help="Copy from docker-credential-NAME, or a backend of ours.")
@click.option("--to", "target", metavar="NAME", default=config.HELPER, show_default=True, help=_TO)
@click.option("--replace", is_flag=True, help="Overwrite another credential that the store has for a server.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@json_option
def import_(  # noqa: PLR0913 - one argument per option
    *, file: str | None, variable: bool, name: str | None, target: str, replace: bool, dry_run: bool, as_json: bool
) -> None:
    """Bring in credentials from Docker's configuration or from another helper.

    Each is read back from the store before it counts. A file is changed only when all of its
    credentials that can be used are in the store; what cannot be used stays there, with the reason,
    and so do podman's keys for a namespace (host/team), for which no client asks a helper. Another
    helper keeps what it has. With --to they go to another backend instead, so that credentials can
    be copied between any two.

    \b
    Examples:
      passhelper import --docker-config --dry-run
      passhelper import --docker-config ~/.config/containers/auth.json
      passhelper import --from secretservice
      passhelper import --from pass --to secretservice --dry-run
    """
    if [file is not None, variable, name is not None].count(True) != 1:
        raise click.UsageError("choose one of --docker-config, --docker-auth-config and --from")
    path = config.path(os.environ) if file == _HERE else os.path.abspath(file or "")
    seconds = SECONDS if terminal.is_present() else _UNATTENDED
    source = endpoints.source(name, target, os.environ, seconds) if name is not None else None
    store = endpoints.target(target, os.environ, output.warn, seconds)
    importer = importing.Importer(store, replace=replace, dry_run=dry_run)
    found: Iterable[importing.Report]
    if source is not None:
        found = importing.copy_helper(source, importer)
    elif variable:
        found = importing.copy_text(_variable(), plaintext.VARIABLE, importer)
    else:
        found = importing.move_file(path, importer, dry_run=dry_run)
    reports = []
    for report in found:  # one after the other: another helper may take its time
        reports.append(report)
        _print(report, as_json=as_json, is_prefixed=source is not None)
    if as_json:
        output.envelope("import", {"dry_run": dry_run, "credentials": [_document(report) for report in reports]})
    elif not reports:
        output.say("there is nothing to import")
    if file is not None and reports:
        _conclude(path, reports, dry_run=dry_run, as_json=as_json)
    if name is None:
        _warn_of_tokens(_variable() if variable else config.read(path), plaintext.VARIABLE if variable else path)
    failed = sum(1 for report in reports if report.result == "failed")
    if failed:
        raise DockerError(f"{failed} of {len(reports)} credentials were not imported", "see above for each of them")


def _variable() -> str:
    text = os.environ.get(plaintext.VARIABLE)
    if not text:
        raise ConfigurationError(f"{plaintext.VARIABLE} is not set", "set it, or give --docker-config")
    return text


def _print(report: importing.Report, *, as_json: bool, is_prefixed: bool) -> None:
    server, username = printable(report.server), printable(report.username)
    if report.result == "left":
        output.warn(str(report.error))
    elif report.error is not None:
        cause = f"{server}: {report.error.cause}" if is_prefixed else report.error.cause
        output.error(type(report.error)(cause, report.error.remedy))
    elif not as_json:
        output.say(f"{_VERBS[report.result]} the credential of {username} for {server}")


def _document(report: importing.Report) -> dict[str, object]:
    document = asdict(report)
    document["error"] = str(report.error) if report.error is not None else None
    return document


def _conclude(path: str, reports: list[importing.Report], *, dry_run: bool, as_json: bool) -> None:
    moved = [report.server for report in reports if report.error is None]
    if moved and not dry_run and not as_json:
        output.say(f"blanked {len(moved)} in {path}")
    left = importing.unserved(path, moved)
    if left:
        is_dockers = path == config.path(os.environ)
        remedy = "run: passhelper docker enable" if is_dockers else _FOR_PODMAN
        output.warn(f"{path} does not name pass for {wording.few(left, 1)}; {remedy}")


def _warn_of_tokens(text: str, label: str) -> None:
    for server in plaintext.registry_tokens(text, label):
        output.warn(
            f"{label}: the registry token of {printable(server)} stays where it is, a credential helper cannot "
            f"keep one; run: docker logout {word(printable(server))}, and log in again"
        )


@click.command()
@click.option("--format", "form", type=click.Choice(exporting.FORMATS), required=True, help="What to write.")
@click.option("--server", "servers", multiple=True, metavar="S", help="Only this server. Repeatable.")
@click.option("--output", "path", metavar="FILE", default="", help="A file, mode 0600, instead of stdout.")
@click.option("--force", is_flag=True, help="Write to a terminal, to a file that others can read, over another file.")
def export(*, form: str, servers: tuple[str, ...], path: str, force: bool) -> None:
    """Write credentials for tools that cannot run a credential helper.

    The output holds the secrets in plain text.

    \b
    Example:
      passhelper export --format dockerconfigjson --server ghcr.io --output pull.json
      kubectl create secret generic pull --type kubernetes.io/dockerconfigjson --from-file .dockerconfigjson=pull.json
    """
    if not path:
        if not force:
            exporting.check_stream(1)
        _export(form, servers, lambda text, _: output.raw(text.rstrip("\n")))
        return
    with PrivateFile(os.path.abspath(path)) as file:
        held = [] if force else exporting.check_file(file)

        def write(text: str, found: Sequence[Credentials]) -> None:
            exporting.check_kept(file.path, held, found)
            file.write(text.encode())
            output.note(f"wrote {len(found)} to {file.path}")

        _export(form, servers, write)


def _export(form: str, servers: Sequence[str], write: Callable[[str, Sequence[Credentials]], None]) -> None:
    found, failed = exporting.collect(PassHelper(dict(os.environ), output.warn), servers)
    text = exporting.render(found, form)
    for server, error in failed:
        output.error(type(error)(f"{printable(server)}: {error.cause}", error.remedy))
    for server in exporting.unusable(found, form):
        output.warn(
            f"the credential of {printable(server)} is an identity token, with which Kubernetes cannot pull; "
            "for a pull secret log in with a password or an access token"
        )
    write(text, found)
    if failed:
        raise DockerError(
            f"{len(failed)} of {len(found) + len(failed)} credentials were not exported", "see above for each of them"
        )
