"""The laws that hold for every helper, each a function that tries to break it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passhelper.contract import samples
from passhelper.contract.place import LawBrokenError, NotApplicableError
from passhelper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from passhelper.contract.place import Place


@dataclass(frozen=True)
class Law:
    """One law.

    Attributes:
        id: a stable name; also the heading under which ``contrib/conformance.md`` explains the law.
        says: the law in one line.
        check: looks for a breach; raises LawBrokenError, or NotApplicableError.
    """

    id: str
    says: str
    check: Callable[[Place], None]


def _servers(place: Place) -> None:
    kept = [place.server(form) for form in samples.SERVERS]
    for server in kept:
        place.keep(server, "bob", f"secret of {server}")
    for server in kept:  # the later ones have not changed the earlier ones
        if not place.limits.refuses_server(server):
            place.expect(server, "bob", f"secret of {server}", listed=False)


def _usernames(place: Place) -> None:
    for number, username in enumerate(samples.USERNAMES):
        place.keep(place.server(f"u{number}.{{}}"), username)


def _slashes(place: Place) -> None:
    for number, username in enumerate(samples.SLASHES):
        place.keep(place.server(f"s{number}.{{}}"), username)


def _secrets(place: Place) -> None:
    server = place.server("secret.{}")
    for secret in samples.SECRETS:
        place.keep(server, "bob", secret, listed=False)


def _trailing(place: Place) -> None:
    server = place.server("trailing.{}")
    for secret in samples.TRAILING:
        place.keep(server, "bob", secret, listed=False)


def _sizes(place: Place) -> None:
    server, other = place.server("large.{}"), place.server("large-other.{}")
    place.keep(other, "zoe")
    for size in (*samples.SIZES, samples.SIZES[0], 1):
        place.keep(server, "bob", "x" * size, listed=False)
    place.erase(server)
    place.expect_nothing(server)
    place.expect(other, "zoe")


def _replace(place: Place) -> None:
    server = place.server("https://replace.{}/v1/")
    # Before and after in any order, and some that come back: Docker's secretservice is right by chance, too.
    for username in ("mid", "adam", "zoe", "bob", "mid", "adam"):
        place.keep(server, username, f"of {username}")
    place.keep(server, "mid", "changed")
    place.erase(server)
    place.expect_nothing(server)  # an earlier user must not show up again


def _erase(place: Place) -> None:
    server = place.server("https://erase.{}/v1/")
    others = [
        place.server(form) for form in ("erase.{}:5000", "http://erase.{}", "x.erase.{}", "https://erase.{}/team")
    ]
    others = [other for other in others if not _alike(place, server, other) and not place.limits.refuses_server(other)]
    for other in (server, *others):
        place.keep(other, "bob", f"of {other}")
    place.erase(server)
    place.expect_nothing(server)
    for other in others:
        place.expect(other, "bob", f"of {other}")


def _erase_absent(place: Place) -> None:
    server = place.server("never-stored.{}")
    place.erase(server)
    place.keep(server, "bob")
    place.erase(server)
    place.erase(server)
    place.expect_nothing(server)


def _not_found(place: Place) -> None:
    place.expect_nothing(place.server("https://nowhere.{}"))
    place.keep(place.server("somewhere.{}"), "bob")
    place.expect_nothing(place.server("https://nowhere.{}"))


def _list(place: Place) -> None:
    wanted = {place.server(f"list{number}.{{}}"): f"user{number}" for number in range(4)}
    before = place.listed()
    for server, username in wanted.items():
        place.keep(server, username)
    named = {place.limits.listed_as(server): username for server, username in wanted.items()}
    if place.listed() != before | named:
        raise LawBrokenError(f"list names {_names(place.listed())}, not {_names(before | named)}")
    for server, username in named.items():
        if place.helper.get(server).username != username:
            raise LawBrokenError(f"list and get disagree on the user of {printable(server)}")


def _neighbours(place: Place) -> None:
    for stored_form, asked_forms in samples.NEIGHBOURS.items():
        stored = place.server(stored_form)
        place.keep(stored, "bob")
        for form in asked_forms:
            asked = place.server(form)
            if not _alike(place, asked, stored):
                place.expect_nothing(asked)


def _traversal(place: Place) -> None:
    """Usernames that lead into the directory of another server, as base64 and plain."""
    victim = place.server("https://victim.{}")
    place.keep(victim, "zoe")
    for number, folder in enumerate((urlsafe_b64encode(victim.encode()).decode(), victim.partition("//")[2])):
        server = place.server(f"traversal{number}.{{}}")
        username = f"../{folder}/aaa"
        is_kept = place.keep_or_refuse(server, username)
        place.expect(victim, "zoe")
        if is_kept:
            place.expect(server, username)


def _survives(place: Place) -> None:
    if place.reopen is None:
        raise NotApplicableError("this place ends with its helper")
    server = place.server("survives.{}")
    place.keep(server, "bob")
    place.helper = place.reopen()
    place.expect(server, "bob")
    place.erase(server)
    place.helper = place.reopen()
    place.expect_nothing(server)


def _alike(place: Place, asked: str, stored: str) -> bool:
    limits = place.limits
    return limits.finds(asked, stored) or limits.listed_as(asked) == limits.listed_as(stored)


def _names(listed: dict[str, str]) -> str:
    return ", ".join(sorted(map(printable, listed))) or "nothing"


LAWS = (
    Law("servers", "what is stored for a server URL comes back under exactly that URL", _servers),
    Law("usernames", "every username comes back as it was given", _usernames),
    Law("slash-username", "a username with slashes comes back as it was given", _slashes),
    Law("traversal", "no username leads into another server's entry", _traversal),
    Law("secrets", "every secret comes back as it was given", _secrets),
    Law("trailing-line-ends", "line ends at the end of a secret are cut off, inner ones stay", _trailing),
    Law("large-secret", "secrets of 2,560, 2,561 and 20,000 bytes come back, and leave nothing behind", _sizes),
    Law("replace-user", "a server has one user: the one that was stored last", _replace),
    Law("erase", "erase forgets the server and no other", _erase),
    Law("erase-absent", "erasing what is not there is not an error", _erase_absent),
    Law("not-found", "get of an unknown server says that credentials were not found", _not_found),
    Law("list", "list names exactly the servers that get finds, with their users", _list),
    Law("neighbours", "another host, port, path or a plain http URL is another server", _neighbours),
    Law("survives", "what one process stores the next one finds", _survives),
)
