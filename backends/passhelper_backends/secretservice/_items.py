"""Which items of a Secret Service are Docker's, and which of them mean a server."""

from passhelper_backends.secretservice._service import SecretService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMA = "io.docker.Credentials"


class Item:
    """An item of ours, or a locked one that may be ours.

    Attributes:
        path: its D-Bus object.
        server: the server URL; empty if it cannot be read while it is locked.
        username: the user.
        locked: whether its secret can be read now.
        rank: where several are of one server, the greatest counts: unlocked before locked, then the newest.
    """

    __slots__ = ("_attributes", "locked", "path", "rank", "server", "username")

    def __init__(self, path: str, attributes: "dict[str, str]", facts: "dict[str, Any]", *, locked: bool) -> None:
        self.path = path
        self._attributes = attributes
        self.server = attributes.get("server", "")
        self.username = attributes.get("username", "")
        self.locked = locked
        self.rank = (not locked, facts.get("Modified", 0), facts.get("Created", 0), len(path), path)

    def has(self, attributes: "dict[str, str]") -> bool:
        """Return whether an item has all these attributes; KeePassXC adds some of its own."""
        return attributes.items() <= self._attributes.items()


def search(service: SecretService, server: str = "") -> "list[Item]":
    """Find the items of a server, or all that are Docker's."""
    wanted = {"docker_cli": "1", "server": server} if server else {"docker_cli": "1"}
    unlocked, locked = service.search(wanted)
    paths = unlocked + locked
    found = []
    for path, facts in zip(paths, service.properties(paths), strict=True):
        attributes = facts.get("Attributes", {})
        is_locked = path in locked
        # A keyring that was locked since login finds items by hashes of their attributes, and shows only those.
        is_hidden = is_locked and "docker_cli" not in attributes
        if is_hidden or attributes.get("xdg:schema") == SCHEMA:
            found.append(Item(path, attributes, facts, locked=is_locked))
    return found


def lookup(service: SecretService, server: str, *, strict: bool) -> "list[Item]":
    """Find the items of a server; only if there is none, those of the first equivalent name."""
    found = search(service, server)
    if found or strict:
        return found
    alike = _equivalents(service, server)
    return [item for item in alike if item.server == alike[0].server]


def all_of(service: SecretService, server: str, *, strict: bool) -> "list[Item]":
    """Find the items of a server and of all equivalent names."""
    found = search(service, server)
    return found if strict else found + _equivalents(service, server)


def _equivalents(service: SecretService, server: str) -> "list[Item]":
    """Find the items of all equivalent names, by name in byte order."""
    from passhelper.registry import equivalents, normalize  # noqa: PLC0415 - an exact name needs none of it

    if normalize(server) is None:
        return []
    found = search(service)
    names = equivalents(server, [item.server for item in found])
    return [item for name in names for item in found if item.server == name]
