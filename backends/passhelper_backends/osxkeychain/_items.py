"""Which items of the keychain are a server's."""

from passhelper.registry import equivalents
from passhelper_backends.osxkeychain._location import Location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from passhelper_backends.osxkeychain._native import Item, Keychain

LABEL = "Docker Credentials"
AUTHENTICATION = "dflt"  # kSecAttrAuthenticationTypeDefault; without it helpers up to 0.8.2 do not find the item


def attributes(location: Location, username: str) -> "Mapping[str, object]":
    """Give all attributes of a new item."""
    return {
        **location.attributes,
        "kSecAttrAccount": username,
        "kSecAttrAuthenticationType": AUTHENTICATION,
        "kSecAttrLabel": LABEL,
    }


def of_location(keychain: "Keychain", location: "Location | None") -> "list[Item]":
    """Find the labelled items of a location; the one that counts comes first."""
    return [] if location is None else _exactly(keychain, location, kSecAttrLabel=LABEL)


def of_others(keychain: "Keychain", location: "Location | None") -> "list[Item]":
    """Find the items of a location that other programs made; the one that counts comes first."""
    return [] if location is None else [item for item in _exactly(keychain, location) if item.label != LABEL]


def of_equivalents(keychain: "Keychain", server: str) -> "list[Item]":
    """Find the labelled items of servers that mean the same registry, in byte order of their URLs."""
    held = by_url(keychain)
    return [item for url in equivalents(server, held) for item in held[url]]


def by_url(keychain: "Keychain") -> "dict[str, list[Item]]":
    """Find all labelled items, by URL; of several users the one that counts comes first."""
    found: dict[str, list[Item]] = {}
    for item in sorted(keychain.find({"kSecAttrLabel": LABEL}), key=_rank):
        if item.account and item.host and item.protocol in ("htps", "http"):
            location = Location(item.protocol, item.host, item.port, item.path)
            found.setdefault(location.url, []).append(item)
    return found


def of_user(items: "list[Item]", username: str) -> "Item | None":
    """Pick the item that a store would duplicate; one without authentication type (0.9.0 to 0.9.2) is different."""
    for item in items:
        if (item.account, item.authentication) == (username, AUTHENTICATION):
            return item
    return None


def _exactly(keychain: "Keychain", location: Location, **more: str) -> "list[Item]":
    """Find the items that have this port and path, or have none either."""
    items = keychain.find({**location.attributes, **more})
    exact = [item for item in items if (item.port, item.path) == (location.port, location.path) and item.account]
    return sorted(exact, key=_rank)


def _rank(item: "Item") -> bytes:
    return item.account.encode()
