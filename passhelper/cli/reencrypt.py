"""``passhelper reencrypt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.cli.common import DRIFT, exit_code, json_option, named, open_store
from passhelper.cli.progress import bar
from passhelper.cli.servers import stored
from passhelper.cli.unbound import EVERYTHING, agreed, hint, unbound
from passhelper.errors import printable
from passhelper.shellwords import operands
from passhelper.team.entries.failures import failure, name
from passhelper.team.entries.pipeline import UnboundError
from passhelper.team.entries.reencrypt import Rekey
from passhelper.wording import count

if TYPE_CHECKING:
    from passhelper.team.entries.batch import Result


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@click.option("--jobs", type=click.IntRange(1, 64), default=None, help="How many gpg processes run side by side.")
@click.option("--yes", is_flag=True, help="Add readers to the entries of SERVER without a question.")
@unbound
@json_option
def reencrypt(*, servers: tuple[str, ...], jobs: int | None, yes: bool, is_sure: bool, as_json: bool) -> int:
    """Bring every entry in line with its .gpg-id.

    An entry that is not bound to its server, such as one that pass wrote, may have been copied there by somebody
    who wants to read it. Unless this machine will be its only reader, it is encrypted anew only if you name its
    server and say yes; that also binds it. If this is interrupted, what is done stays done; run it again for the
    rest.

    \b
    Examples:
      passhelper reencrypt
      passhelper reencrypt registry.example
    """
    store = open_store()
    servers = tuple(dict.fromkeys(name for server in servers for name in stored(store, server)))
    may_add = EVERYTHING if is_sure or (yes and servers) else ()
    with bar("encrypting") as progress:
        result = Rekey(store, jobs=jobs or 0, progress=progress).reencrypt(servers or None, may_add)
    left = _unbound(result)
    seen = agreed([result.records[path] for path in left]) if left and servers else None
    if seen is not None:
        again = Rekey(store, jobs=jobs or 0).reencrypt(servers, seen)
        result.changed += again.changed
        result.failed, result.left = again.failed, again.left
        result.is_committed &= again.is_committed
        left = _unbound(result)
    _tell(result, as_json=as_json)
    if len(result.failed) > len(left):
        raise failure(result.failed, result.records)
    for path in left:
        output.warn(f"{name(result.records[path])} is left as it is: {result.failed[path].cause}")
    if left:
        output.note(hint(operands(*map(printable, servers))) if servers else hint())
    for path, error in result.left.items():
        output.warn(f"{name(result.records[path])} has fewer readers than its list names: {error}")
    return exit_code(DRIFT if left or result.left else 0, is_committed=result.is_committed)


def _unbound(result: Result) -> list[str]:
    return [path for path, error in result.failed.items() if isinstance(error, UnboundError)]


def _tell(result: Result, *, as_json: bool) -> None:
    if as_json:
        output.envelope("reencrypt", {
            "reencrypted": [named(record.entry) for record in result.changed],
            "failed": [
                {**named(result.records[path].entry), "reason": error.cause}
                for path, error in {**result.left, **result.failed}.items()
            ],
            "committed": result.is_committed,
        })  # fmt: skip
    elif result.changed or not result.failed:
        anew = f"encrypted {count(len(result.changed), 'entry', 'entries')} anew"
        output.say(anew if result.changed else "every entry is in line")
