"""Every command with every option: those that click knows, so that a new one is run too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper.cli import _passhelper

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below one, with the words that lead to it."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walk(inner, (*path, name))
    if path and (not isinstance(command, click.Group) or command.invoke_without_command):
        yield path, command


COMMANDS = {" ".join(path): command for path, command in walk(_passhelper)}


def value(parameter: click.Parameter, world: dict[str, str], server: str) -> str:
    """Something to give to an option or argument."""
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if parameter.type in (click.INT, click.FLOAT) or isinstance(parameter.type, click.IntRange):
        return "1"
    samples = {
        "KEY": "bob@example.test", "FPR": "DEADBEEF" * 5, "HOST": server, "SERVER": server, "S": server,
        "NAME": "hang", "DIR": f"{world['HOME']}/dir", "USER": "alice",
    }  # fmt: skip
    name = (parameter.metavar or parameter.name or "").strip("[].").upper()
    return samples.get(name, f"{world['HOME']}/file")


def calls(command: click.Command, world: dict[str, str], server: str) -> Iterator[list[str]]:
    """The command as it is, and with each of its options."""
    needed: list[str] = []
    others: list[list[str]] = []
    for parameter in command.params:
        given = value(parameter, world, server)
        if isinstance(parameter, click.Argument):
            words = ["--", given] if parameter.required else []
            needed = needed + words if words else needed
            others += [] if words else [["--", given]]
        elif isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            words = [option] if parameter.is_flag else [f"{option}={given}"]
            if parameter.required:
                needed = words + needed
            else:
                others.append(words)
                if parameter._flag_needs_value:  # its value may be left out
                    others.append([option])
    yield needed
    for words in others:
        yield [*words, *needed] if words[0] != "--" else [*needed, *words]
