"""``passhelper docker``: which helper Docker runs for which registry, and switching ``pass`` on and off."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.cli.common import json_option, registry_option
from passhelper.docker import config, containers
from passhelper.docker.routes import OTHERS, Route, routes
from passhelper.store.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {
    "DOCKER_AUTH_CONFIG": "the variable DOCKER_AUTH_CONFIG",
    "automatic": "docker's own choice, by what is on PATH",
    "auths": "plain text in auths",
    "none": "nothing serves it: docker login would write plain text",
}
_COLUMNS = ["REGISTRY", "HELPER", "PROGRAM", "WHY"]


@click.group()
def docker() -> None:
    """Show which helper Docker uses for which registry, and switch pass on and off.

    \b
    Examples:
      passhelper docker show
      passhelper docker enable --registry registry.example:5000
    """


@docker.command()
@json_option
def show(*, as_json: bool) -> None:
    """Show which helper serves which registry, and why; for podman and skopeo too, where they are installed.

    The last line, *, stands for every registry that is not named.

    \b
    Example:
      passhelper docker show --json
    """
    file = config.path(os.environ)
    found = routes(os.environ)
    others = containers.survey(os.environ)
    if as_json:
        data = {"file": file, "routes": [asdict(route) for route in found], "containers": asdict(others)}
        output.envelope("docker show", data)
        return
    output.note(f"configuration: {file}{'' if os.path.lexists(file) else ' (not there)'}")
    output.table(_COLUMNS, [_row(route) for route in found])
    if others.source or find_program(containers.PROGRAMS, os.environ) or os.environ.get(containers.VARIABLE):
        source = f"credential-helpers in {others.source}" if others.source else "the default"
        output.note(f"podman, buildah and skopeo: {', '.join(others.helpers)} ({source})")
        if others.routes:
            output.table(_COLUMNS, [_row(route, {"none": "nothing serves it"}) for route in others.routes])
        for text in others.warnings:
            output.warn(text)


def _row(route: Route, words: Mapping[str, str] = _WORDS) -> list[str]:
    why = words.get(route.source, route.source)
    if route.trouble and route.source != "auths":  # which says so itself
        why += f"; {route.trouble}"
    program = f"{route.program} (passhelper)" if route.is_passhelper else route.program
    return [route.server, route.helper or "-", program or "-", why]


@docker.command()
@registry_option
def enable(*, registries: tuple[str, ...]) -> None:
    """Make Docker ask pass for credentials, everywhere or for some registries.

    Sets credsStore, or credHelpers with --registry; everything else in config.json stays as it is.

    \b
    Examples:
      passhelper docker enable
      passhelper docker enable --registry registry.example:5000 --registry ghcr.io
    """
    changes = config.use_pass(os.environ, registries, "repair it")
    file = config.path(os.environ)
    output.say(f"set {', '.join(changes)} to pass in {file}" if changes else f"{file} names pass already")
    for route in _of(registries):
        if route.source == "DOCKER_AUTH_CONFIG":
            output.warn(f"DOCKER_AUTH_CONFIG is set and comes first for {route.server}; unset it")
        if not route.program:
            output.warn(f"docker-credential-{route.helper} is not on PATH; run: passhelper setup")


@docker.command()
@registry_option
def disable(*, registries: tuple[str, ...]) -> None:
    """Stop Docker from asking pass, everywhere or for some registries.

    Settings that name another helper stay. The credentials stay in the store.

    \b
    Examples:
      passhelper docker disable
      passhelper docker disable --registry ghcr.io
    """
    changes = config.stop_using_pass(os.environ, registries)
    file = config.path(os.environ)
    output.say(f"removed {', '.join(changes)} from {file}" if changes else f"{file} does not name pass there")
    for route in _of(registries):
        name = "registries that it does not name" if route.server == OTHERS else route.server
        if route.source == "automatic":
            output.warn(
                f"docker now chooses a helper for {name} by itself: {route.helper}; it does so while "
                f"docker-credential-{route.helper} is on PATH and the file has no auths, credsStore or credHelpers"
            )
        elif route.helper == config.HELPER:
            output.warn(f"{name} is still served by pass, through {route.source}")


def _of(registries: tuple[str, ...]) -> list[Route]:
    """Find the routes that a command was about; without names, the route of all other registries."""
    wanted = {config.server_name(registry) for registry in registries} or {OTHERS}
    found = {route.server: route for route in routes(os.environ)}
    return [found.get(server) or replace(found[OTHERS], server=server) for server in sorted(wanted)]
