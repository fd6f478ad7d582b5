"""``passhelper setup``."""

from __future__ import annotations

import os

import click

from passhelper.ci import handover
from passhelper.ci import runner as ci_runner
from passhelper.cli import output, owners, terminal
from passhelper.cli.common import DRIFT, json_option, open_store, registry_option
from passhelper.docker import routes
from passhelper.errors import ConfigurationError
from passhelper.setup.steps import SetupOptions, Step, run
from passhelper.team.sync import freshness
from passhelper.team.sync.clone import COMMIT, Source

_HERE = "\0here"  # --git without a value: the store itself becomes a repository


_KEY = "Who reads the store: a fingerprint, an e-mail address or a key file. Repeatable."
_GIT = "Make the store a git repository; with a URL, clone the team's store or fill an empty remote."
_DEPTH = "With --git URL or --ci: clone only the last N commits."
_CI = "Set up a throw-away runner with the key in PASSHELPER_GPG_KEY or PASSHELPER_GPG_KEY_FILE."
_BIN_DIR = "Directory for docker-credential-pass; ~/.local/bin by default."


class _SetupCommand(click.Command):
    """A command that prints ``false`` for the shell that evaluates ``setup --ci``, even if an option is wrong."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        has_ci = "--ci" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            if has_ci:
                output.say("false")
            raise


@click.command(cls=_SetupCommand)
@click.option("--key", "keys", multiple=True, metavar="KEY", help=_KEY)
@click.option("--generate-key", is_flag=True, help="Make a key, unless the store names one of this machine.")
@click.option("--name", default="", metavar="NAME", help="The new key's owner; git's user.name by default.")
@click.option("--email", default="", metavar="EMAIL", help="The new key's address; git's user.email by default.")
@click.option("--expire", default="", metavar="DATE", help="When the new key expires, such as 2y; never by default.")
@click.option("--no-passphrase", is_flag=True, help="Create the key without a passphrase.")
@click.option("--git", is_flag=False, flag_value=_HERE, metavar="[URL]", help=_GIT)
@click.option("--whole-store", is_flag=True, help="With --git URL: push entries that are not Docker credentials too.")
@click.option("--depth", default=None, metavar="N", type=click.IntRange(1), help=_DEPTH)
@click.option("--bin-dir", default="", metavar="DIR", help=_BIN_DIR)
@registry_option
@click.option("--no-docker", is_flag=True, help="Leave Docker's config.json alone.")
@click.option("--containers", is_flag=True, help="Set up podman, buildah and skopeo too.")
@click.option("--ci", is_flag=True, help=_CI)
@click.option("--env-file", default="", metavar="FILE", help="With --ci: append the settings here too, as NAME=value.")
@json_option
@click.pass_context
def setup(  # noqa: PLR0913 - one argument per option
    ctx: click.Context,
    *,
    keys: tuple[str, ...],
    generate_key: bool,
    name: str,
    email: str,
    expire: str,
    no_passphrase: bool,
    git: str | None,
    whole_store: bool,
    depth: int | None,
    bin_dir: str,
    registries: tuple[str, ...],
    no_docker: bool,
    containers: bool,
    ci: bool,
    env_file: str,
    as_json: bool,
) -> int:
    """Set this machine up, from nothing to a working docker login.

    Looks first and changes only what is missing, so it can be run again at any time. It ends with a
    test: a credential is stored, read and erased through the helper that Docker would run, in a
    throw-away store.

    With --git URL the store is the team's. Its recipients are shown and, on a terminal, asked about. Where
    none of this machine's keys is one of them, its public key is written to a file for a member; exit status 3.

    \b
    Examples:
      passhelper setup --generate-key
      passhelper setup --generate-key --git git@git.example:team/registry-store.git
      passhelper setup --key alice@example.org --git
      passhelper setup --registry registry.example:5000
      eval "$(passhelper setup --ci || echo false)"
    """
    if ci:
        _set_up_runner(ctx, registries, env_file, depth or 0)
        return 0
    if env_file:
        raise click.UsageError("--env-file needs --ci")
    url = git if git != _HERE else ""
    _refuse_both(ctx, "keys", "generate_key")
    _refuse_both(ctx, "registries", "no_docker")
    if not url and (depth or whole_store):
        raise click.UsageError(f"{'--depth' if depth else '--whole-store'} needs --git URL")
    store = open_store()
    keys = tuple(owners.fingerprint(store.gpg, key) for key in keys)
    source = None
    if url:
        source = Source(url, store.environ.get(COMMIT, ""), depth or 0, demands=freshness.demands(store.environ))
    options = SetupOptions(
        keys=keys, generate=generate_key, name=name, email=email, expire=expire, protect=not no_passphrase,
        git=git is not None, source=source, whole_store=whole_store, bin_dir=bin_dir,
        docker=not no_docker, registries=registries, containers=containers,
    )  # fmt: skip
    steps: list[Step] = []
    proved = False
    try:
        for step in run(store, options, _ask_passphrase, _confirm if terminal.is_present() else None):
            steps.append(step)
            if not as_json:
                for line in step.text.split("\n"):
                    output.say(line)
        proved = steps[-1].name == "proof"
    finally:
        changed = any(step.changed for step in steps)
        if as_json:
            data = [{"step": step.name, "changed": step.changed, "text": step.text} for step in steps]
            output.envelope("setup", {"steps": data, "changed": changed, "proved": proved})
        elif proved and not changed:
            output.say("nothing had to be changed")
    return 0 if proved else DRIFT


def _confirm(who: str) -> bool:
    output.note(f"These keys can read the store: {who}")
    return terminal.confirm("Are they the right ones?")


def _set_up_runner(ctx: click.Context, registries: tuple[str, ...], env_file: str, depth: int) -> None:
    """Set a runner up; stdout is for the shell's ``eval``, so steps go to stderr."""
    try:
        for name in ctx.params:
            given = ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
            if given and name not in ("ci", "env_file", "registries", "depth"):
                raise click.UsageError(f"--ci and {_option(ctx, name)} exclude each other")
        environ = dict(os.environ)
        with ci_runner.set_up(environ, registries, output.warn, output.note, depth) as runner:
            handover.check(runner.settings)
            shadow = routes.shadow(environ)
            if shadow:
                output.warn(f"{shadow}; {routes.UNSET}")
            for file in handover.append(environ, runner.settings, runner.home.bin, env_file):
                output.note(f"settings: appended to {file}")
            output.raw("\n".join(handover.shell_lines(runner.settings)))
    except BaseException:
        output.say("false")  # eval "" would succeed
        raise


def _refuse_both(ctx: click.Context, one: str, other: str) -> None:
    if ctx.params[one] and ctx.params[other]:
        raise click.UsageError(f"{_option(ctx, one)} and {_option(ctx, other)} exclude each other")


def _option(ctx: click.Context, name: str) -> str:
    """Return an option as it is typed."""
    return next(option.opts[0] for option in ctx.command.params if option.name == name)


def _ask_passphrase() -> bytes:
    instead = "set PASSHELPER_PASSPHRASE_FILE, or give --no-passphrase"
    try:
        return terminal.ask_new_secret("Passphrase for the new key", instead=instead).encode()
    except UnicodeEncodeError:
        raise ConfigurationError("the passphrase is not valid text", "choose another one") from None
