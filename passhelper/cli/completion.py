"""``passhelper completion``: prints the completion scripts that click makes for our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from passhelper.cli import output
from passhelper.errors import ConfigurationError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script for a shell.

    \b
    Examples, each for the shell that it names:
      echo 'eval "$(passhelper completion bash)"' >> ~/.bashrc
      echo 'eval "$(passhelper completion zsh)"' >> ~/.zshrc
      echo 'passhelper completion fish | source' >> ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigurationError(f"no completion for {shell}", "use bash, zsh or fish")
    output.raw(kind(ctx.find_root().command, {}, "passhelper", "_PASSHELPER_COMPLETE").source())
