"""``passhelper sync``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from passhelper.cli import output
from passhelper.cli.common import DRIFT, json_option, open_store
from passhelper.cli.progress import status
from passhelper.errors import printable
from passhelper.shellwords import operands
from passhelper.store import claims
from passhelper.team.sync.exchange import switch_automatic, sync
from passhelper.team.sync.joining import describe
from passhelper.team.sync.report import Options, Report
from passhelper.wording import count

if TYPE_CHECKING:
    from passhelper.store.store import PassStore


@click.command("sync")
@click.option("--dry-run", is_flag=True, help="Fetch, and say what would happen.")
@click.option("--auto", metavar="push,pull|off", help="Set what is synced automatically; do nothing else now.")
@click.option("--remote", default="", metavar="NAME", help="Which remote, where there are several.")
@click.option(
    "--accept-recipients",
    multiple=True,
    metavar="[SERVER=]FINGERPRINT,...",
    help="All keys that may read the store, or one server's own list.",
)
@click.option(
    "--gone",
    type=click.Choice(["restore", "commit"]),
    help="Bring back what no command of passhelper has removed, or remove it for everybody.",
)
@click.option("--push", is_flag=True, help="Push from a clone that setup --ci made, too.")
@json_option
def sync_(  # noqa: PLR0913 - one for each option
    *,
    dry_run: bool,
    auto: str | None,
    remote: str,
    accept_recipients: tuple[str, ...],
    gone: str | None,
    push: bool,
    as_json: bool,
) -> int:
    """Bring the store and its git remote together.

    Fetches, merges, repairs drift and pushes; if others push meanwhile, it begins again. Where both sides have
    changed the same server, the change with the later commit wins; the other stays in history and is named here. If
    the remote cannot be reached (exit 6), nothing is lost: what was done here stays. New recipients have to be
    accepted first (exit 4).

    \b
    Examples:
      passhelper sync
      passhelper sync --dry-run --json
      passhelper sync --auto push,pull
    """
    store = open_store()
    if auto is not None and (dry_run or push or remote or accept_recipients or gone):
        raise click.UsageError("--auto sets what is synced automatically, and does nothing else: give it alone")
    if auto is not None:
        words = switch_automatic(store, auto)
        if as_json:
            output.envelope("sync", {"auto": words})
        else:
            output.say(f"automatic sync: {', '.join(words) or 'off'}")
        return 0
    keys = frozenset(word for text in accept_recipients for word in text.split())
    options = Options(remote=remote, push=push, dry_run=dry_run, accepted=keys, gone=gone or "")
    with status("looking at the store") as progress:
        report = sync(store, options, progress)
    if as_json:
        output.envelope("sync", asdict(report))
    else:
        _say(store, report)
    return DRIFT if report.drift else 0


def _say(store: PassStore, report: Report) -> None:
    would = "would be " if report.dry_run else ""
    place = f"{report.remote}/{report.branch}"
    lines = [
        (report.restored, f"{count(report.restored, 'file')} brought back"),
        (report.committed, f"{count(report.committed, 'local change')} {would}committed first"),
        (report.fetched, f"{count(report.fetched, 'commit')} {would}merged from {place}"),
        (report.imported, f"public keys imported: {', '.join(report.imported)}"),
        (report.renewed, f"public keys renewed in the store: {', '.join(report.renewed)}"),
        (report.removed, f"readers removed from {', '.join(report.removed)}"),
        (report.added, f"readers added to {', '.join(report.added)}"),
        (report.pushed, f"{count(report.pushed, 'commit')} {would}pushed to {place}"),
        (report.kept, f"{count(report.kept, 'commit')} kept in this runner's clone; run: passhelper sync --push"),
    ]
    said = [text for condition, text in lines if condition]
    for conflict in report.conflicts:
        output.warn(f"changed on both sides: {describe(conflict)}")
    for path, keys in report.accepted.items():
        output.note(f"accepted: {claims.describe({path: keys}, store.gpg, claims.on_disk(store.root))}")
    for one in report.erased:
        by = f" by {printable(one.author)}" if one.author else ""
        undo = f"passhelper restore {operands(printable(one.server))}"
        output.warn(f"erased{by}: {printable(one.server)} ({printable(one.username)}); to bring it back, run: {undo}")
    for line in said:
        output.say(line)
    for problem in report.drift:
        output.warn(problem)
    for question in report.unknown:
        output.warn(f"a dry run cannot tell {question}")
    if not said:
        output.say(f"up to date with {place}")
