"""``passhelper login``, ``logout`` and ``get``: one credential, without the docker program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from passhelper import settings
from passhelper.cli import output, terminal
from passhelper.cli.common import open_store
from passhelper.cli.servers import logged_out_of
from passhelper.credentials import Credentials, encodable, validate_server, validate_username
from passhelper.docker.config import DOCKER_HUB, HUB_TOKENS, server_name
from passhelper.errors import CredentialsNotFoundError, DockerError, InvalidRequestError, StoreError, printable
from passhelper.protocol import Stdin, read_request
from passhelper.registry import normalize
from passhelper.shellwords import operands, word
from passhelper.store.helper import PassHelper, logged_out

if TYPE_CHECKING:
    from passhelper.store.store import PassStore


def _helper(*, shared_erase: bool = False) -> PassHelper:
    return PassHelper(dict(os.environ), output.warn, shared_erase=shared_erase)


@click.command()
@click.argument("server")
@click.option("-u", "--username", required=True, metavar="USER", help="The name of the user or of a robot account.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
@click.option("--check", is_flag=True, help="Try it against the registry first; if it is refused, it is not stored.")
def login(*, server: str, username: str, password_stdin: bool, check: bool) -> None:
    """Store the credential of a registry.

    The password is asked for on the terminal, or read from stdin. It is stored under the name that
    docker login would use.

    \b
    Examples:
      passhelper login registry.example:5000 -u alice
      passhelper login ghcr.io -u bot --password-stdin --check < token.txt
    """
    name = server_name(server)
    validate_username(username)
    secret = _read_password() if password_stdin else terminal.ask_secret("Password", instead="use --password-stdin")
    if "\0" in secret or not encodable(secret):
        raise InvalidRequestError("the password holds a character that no client could send")
    credentials = Credentials(name, username, secret)
    if check:
        _check(credentials, server)
    _helper().store(credentials)
    if not settings.is_on(os.environ, settings.IGNORE_WRITES):
        output.say(f"stored the credential of {username} for {name}")


def _read_password() -> str:
    try:
        text = read_request(Stdin("passhelper", "the password")).decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("the password on stdin is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise InvalidRequestError("the password on stdin is empty", "pipe it in: passhelper login ... < FILE")
    return text


def _check(credentials: Credentials, typed: str) -> None:
    from passhelper.docker.registrycheck import Verdict, check  # noqa: PLC0415 - only --check needs httpx

    # As it was typed, so that a scheme is kept: http:// to another machine is refused.
    verdict = check(Credentials(validate_server(typed), credentials.username, credentials.secret))
    if verdict is Verdict.REFUSED:
        raise DockerError(
            f"{credentials.server} refuses the credential of {credentials.username}, so it was not stored",
            "check the user name and the password",
        )
    if verdict is Verdict.OPEN:
        output.warn(f"{credentials.server} asks for no login, so the credential was not tried")


@click.command()
@click.argument("server")
@click.option("--team", is_flag=True, help="Where others share the store, erase it for all of them.")
def logout(*, server: str, team: bool) -> None:
    """Erase the credential of a registry.

    It goes under every name that means the same registry. In a store that others share, it goes for this clone alone:
    the team keeps the credential, and passhelper restore or another login brings it back here.

    \b
    Examples:
      passhelper logout registry.example:5000
      passhelper logout --team registry.example:5000
    """
    helper = _helper(shared_erase=team)
    store = open_store()
    name = validate_server(server)
    before, left = _stored(store), logged_out(store)
    wanted = [name]
    if name not in before:  # a name that is there is meant, not Docker's own name for its host
        name = server_name(server)
        wanted.append(name)
    if any(normalize(one) == normalize(DOCKER_HUB) for one in wanted):
        wanted += HUB_TOKENS  # as docker logout does
    for one in dict.fromkeys(wanted):
        helper.erase(one)
    erased = sorted(before - _stored(store))
    for one in erased:
        output.say(f"erased the credential for {one}")
    if not erased and logged_out(store) == left and not settings.is_on(os.environ, settings.IGNORE_WRITES):
        output.say(f"there is no credential for {name}")


def _stored(store: PassStore) -> set[str]:
    """Name the servers of the store, those that this clone has logged out of and cannot read among them."""
    return {entry.server for entry in store.walk()}


@click.command()
@click.argument("server")
@click.option("--password", is_flag=True, help="Print the secret alone.")
def get(*, server: str, password: bool) -> None:
    """Print the credential of a registry.

    As JSON, in the form that Docker's credential helpers use.

    \b
    Example:
      passhelper get registry.example:5000 --password | crane auth login registry.example:5000 -u bot --password-stdin
    """
    helper = _helper()
    try:
        found = helper.get(validate_server(server))
    except CredentialsNotFoundError:
        name = server_name(server)
        try:
            found = helper.get(name)
        except CredentialsNotFoundError:
            left = logged_out_of(open_store(), name)
            if left:
                cause = f"this clone has logged out of {printable(left[0])}, which the store has a credential for"
                raise StoreError(cause, f"run: passhelper restore {operands(printable(left[0]))}") from None
            remedy = f"run: passhelper login {word(name)} -u USER"
            raise StoreError(f"there is no credential for {name}", remedy) from None
    if password:
        output.secret(found.secret)
    else:
        output.document({"ServerURL": found.server, "Username": found.username, "Secret": found.secret})
