"""Which attributes a server URL has in the keychain, and which URL such attributes make.

The keychain has fields for protocol, host, port and path instead of a URL. As in Docker's helper, a URL
without scheme counts as https, and the path is kept percent-decoded. Query, fragment and user
information have no field: Docker's helper drops them, so that two servers share an item; here such a URL
is in no keychain.
"""

from passhelper.credentials import has_control

_PROTOCOLS = {"https": "htps", "http": "http"}
_SCHEMES = {protocol: scheme for scheme, protocol in _PROTOCOLS.items()}
_NOT_IN_HOSTS = frozenset(' "%<>\\^`{|}@[]:')
_IN_PATHS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/")


class Location:
    """Where a server's items are: all items with these four attributes are its own."""

    __slots__ = ("host", "path", "port", "protocol")

    def __init__(self, protocol: str, host: str, port: int, path: str) -> None:
        self.protocol = protocol
        self.host = host
        self.port = port
        self.path = path

    @property
    def attributes(self) -> "dict[str, object]":
        """What an item of this location has; a port or path that is missing is left out, as Docker's helper does."""
        found: dict[str, object] = {"kSecAttrProtocol": self.protocol, "kSecAttrServer": self.host}
        if self.port:
            found["kSecAttrPort"] = self.port
        if self.path:
            found["kSecAttrPath"] = self.path
        return found

    @property
    def url(self) -> str:
        """The server URL, the same for all that name this location."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        path = "".join(chr(byte) if byte in _IN_PATHS else f"%{byte:02X}" for byte in self.path.encode())
        return f"{_SCHEMES.get(self.protocol, self.protocol)}://{host}{port}{path}"


def locate(server: str) -> "Location | None":
    """Find the location of a server URL; None if the keychain has no place for it."""
    scheme, separator, rest = server.partition("://")
    if not separator:
        scheme, rest = "https", server.removeprefix("//")
    protocol = _PROTOCOLS.get(scheme.lower())
    cut = rest.find("/")
    authority, path = (rest, "") if cut < 0 else (rest[:cut], rest[cut:])
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        is_valid = bool(bracket) and bool(host) and host.replace(":", "").isalnum() and port[:1] in ("", ":")
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
        is_valid = bool(host.strip(".")) and not _NOT_IN_HOSTS & set(host)
    decoded = _decode(path)
    if protocol is None or decoded is None or not is_valid or "?" in rest or "#" in rest:
        return None
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        return None
    return Location(protocol, host, int(port or 0), decoded)


def _decode(path: str) -> "str | None":
    """Undo percent-encoding; None if it is broken or hides a control character."""
    first, *others = path.encode().split(b"%")
    try:
        decoded = (first + b"".join(bytes.fromhex(other[:2].decode("ascii")) + other[2:] for other in others)).decode()
    except ValueError:
        return None
    if any(len(other) < 2 or b" " in other[:2] for other in others):  # fromhex() skips white space
        return None
    return None if has_control(decoded) else decoded
